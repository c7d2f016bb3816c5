//! Parts of a model whose weights are exchanged.

use pythia_core::model::GptNeoX;
use pythia_hooks::{ModelShape, Site};

use crate::error::ProbeError;
use crate::families::causal::places::{self, Place};

/// The field of the configuration.
const WEIGHTS: &str = "weights";

/// Weights that are exchanged together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Head { layer: usize, head: usize },
    Mlp { layer: usize },
    Block { layer: usize },
}

impl Part {
    /// The activation that the part writes, which is all that the rest of the model reads of it.
    pub(super) fn place(self) -> Place {
        let (point, head, name) = match self {
            Part::Head { layer, head } => (Site::AttnOut.at(layer), Some(head), "head"),
            Part::Mlp { layer } => (Site::MlpOut.at(layer), None, "mlp"),
            Part::Block { layer } => (Site::ResidPost.at(layer), None, "block"),
        };
        Place { head, position_name: name.to_owned(), ..Place::of(point) }
    }

    /// The block that it is a part of.
    pub(super) const fn layer(self) -> usize {
        match self {
            Part::Head { layer, .. } | Part::Mlp { layer } | Part::Block { layer } => layer,
        }
    }

    /// `model` with the weights of `source` in this part.
    pub(super) fn exchanged(self, model: &GptNeoX, source: &GptNeoX) -> GptNeoX {
        match self {
            Part::Head { layer, head } => model.with_head_of(source, layer, head),
            Part::Mlp { layer } => model.with_mlp_of(source, layer),
            Part::Block { layer } => model.with_block_of(source, layer),
        }
    }
}

/// Reads the entries of the field `weights`: the parts, each once, in order.
///
/// # Errors
/// A word that means nothing for the model.
pub(super) fn parts(words: &[String], model_shape: &ModelShape) -> Result<Vec<Part>, ProbeError> {
    let mut parts = Vec::new();
    for word in words {
        parts.extend(named(word, model_shape).ok_or_else(|| no_such(word, model_shape))?);
    }
    parts.sort_unstable();
    parts.dedup();
    Ok(parts)
}

fn named(word: &str, model_shape: &ModelShape) -> Option<Vec<Part>> {
    let (layers, heads) = (0..model_shape.n_layers, model_shape.n_heads);
    let numbered = |word: &str| word.parse::<usize>().ok().filter(|layer| *layer < model_shape.n_layers);
    match word {
        "heads" => Some(layers.flat_map(|layer| (0..heads).map(move |head| Part::Head { layer, head })).collect()),
        "mlps" => Some(layers.map(|layer| Part::Mlp { layer }).collect()),
        "blocks" => Some(layers.map(|layer| Part::Block { layer }).collect()),
        _ => match (word.strip_prefix("mlp"), word.strip_prefix("block")) {
            (Some(layer), _) => numbered(layer).map(|layer| vec![Part::Mlp { layer }]),
            (_, Some(layer)) => numbered(layer).map(|layer| vec![Part::Block { layer }]),
            _ => places::head(WEIGHTS, word, model_shape).ok().map(|(layer, head)| vec![Part::Head { layer, head }]),
        },
    }
}

fn no_such(word: &str, model_shape: &ModelShape) -> ProbeError {
    let (layer, head) = (model_shape.n_layers.saturating_sub(1), model_shape.n_heads.saturating_sub(1));
    let one = format!(
        "a head from \"0.0\" to \"{layer}.{head}\", \"mlp0\" to \"mlp{layer}\", or \"block0\" to \"block{layer}\""
    );
    let allowed = format!("\"heads\", \"mlps\", \"blocks\", {one}");
    ProbeError::NoSuchChoice { field: WEIGHTS, word: word.to_owned(), allowed }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: ModelShape = ModelShape { n_layers: 2, n_heads: 3, d_model: 8, d_head: 4, d_mlp: 32, parallel: true };

    fn read(words: &[&str]) -> Result<Vec<Part>, ProbeError> {
        parts(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), &MODEL)
    }

    #[test]
    fn words_name_parts_and_nothing_comes_twice() {
        assert_eq!(read(&[]), Ok(Vec::new()));
        let some = [Part::Head { layer: 1, head: 2 }, Part::Mlp { layer: 0 }, Part::Block { layer: 1 }];
        assert_eq!(read(&["block1", "1.2", "mlp0", "1.2"]), Ok(some.to_vec()));
        let all = read(&["blocks", "mlps", "heads", "0.1"]).expect("parts");
        assert_eq!(all.len(), 6 + 2 + 2);
        assert_eq!(all[5..7], [some[0], some[1]]);
    }

    #[test]
    fn what_is_no_part_is_refused_with_what_would_be() {
        for bad in ["head", "2.0", "0.3", "mlp2", "mlp", "block", "block2", "embed", "", "0.-1"] {
            match read(&["heads", bad]) {
                Err(ProbeError::NoSuchChoice { field: "weights", word, allowed }) => {
                    assert!(word == bad && allowed.contains("\"1.2\"") && allowed.contains("block1"), "{allowed}");
                }
                other => panic!("{bad}: {other:?}"),
            }
        }
    }
}
