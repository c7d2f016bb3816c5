//! Senders and receivers as a configuration names them.

use pythia_hooks::ModelShape;

use super::edges::{Input, Receiver, Sender};
use crate::error::ProbeError;
use crate::families::causal::places;

/// The field of the configuration with the senders.
pub(super) const SENDERS: &str = "senders";
/// The field of the configuration with the receivers.
pub(super) const RECEIVERS: &str = "receivers";

/// The senders that a word stands for.
///
/// # Errors
/// A word that means nothing for the model.
pub(super) fn sender(word: &str, model_shape: &ModelShape) -> Result<Vec<Sender>, ProbeError> {
    let (layers, heads) = (0..model_shape.n_layers, model_shape.n_heads);
    let of = |layer| (0..heads).map(move |head| Sender::Head { layer, head });
    match word {
        "embed" => Ok(vec![Sender::Embed]),
        "heads" => Ok(layers.flat_map(of).collect()),
        "mlps" => Ok(layers.map(|layer| Sender::Mlp { layer }).collect()),
        _ => {
            let head = || places::head(SENDERS, word, model_shape).map(|(layer, head)| Sender::Head { layer, head });
            let one = mlp(word, model_shape).map(|layer| Sender::Mlp { layer }).or_else(|| head().ok());
            one.map(|one| vec![one]).ok_or_else(|| no_such(SENDERS, word, model_shape))
        }
    }
}

/// The receivers that a word stands for.
///
/// # Errors
/// A word that means nothing for the model.
pub(super) fn receiver(word: &str, model_shape: &ModelShape) -> Result<Vec<Receiver>, ProbeError> {
    let (layers, heads) = (0..model_shape.n_layers, model_shape.n_heads);
    let of = |input| (0..heads).map(move |head| Receiver { input, head: Some(head) });
    let whole = |input| Receiver { input, head: None };
    match word {
        "logits" => Ok(vec![whole(Input::Logits)]),
        "mlps" => Ok(layers.map(|layer| whole(Input::Mlp(layer))).collect()),
        _ => match head_input(word) {
            Some(input) => Ok(layers.flat_map(|layer| of(input(layer))).collect()),
            None => {
                let one = mlp(word, model_shape)
                    .map(|layer| whole(Input::Mlp(layer)))
                    .or_else(|| one_head(word, model_shape));
                one.map(|one| vec![one]).ok_or_else(|| no_such(RECEIVERS, word, model_shape))
            }
        },
    }
}

/// The layer of `mlp3`.
fn mlp(word: &str, model_shape: &ModelShape) -> Option<usize> {
    word.strip_prefix("mlp")?.parse().ok().filter(|layer| *layer < model_shape.n_layers)
}

fn head_input(word: &str) -> Option<fn(usize) -> Input> {
    match word {
        "q" => Some(Input::Query),
        "k" => Some(Input::Key),
        "v" => Some(Input::Value),
        _ => None,
    }
}

/// The receiver `4.1.k`.
fn one_head(word: &str, model_shape: &ModelShape) -> Option<Receiver> {
    let (head, input) = word.rsplit_once('.')?;
    let (layer, head) = places::head(RECEIVERS, head, model_shape).ok()?;
    Some(Receiver { input: head_input(input)?(layer), head: Some(head) })
}

fn no_such(field: &'static str, word: &str, model_shape: &ModelShape) -> ProbeError {
    let (layer, head) = (model_shape.n_layers.saturating_sub(1), model_shape.n_heads.saturating_sub(1));
    let allowed = if field == SENDERS {
        format!(
            "\"heads\", \"mlps\", \"embed\", a head from \"0.0\" to \"{layer}.{head}\", or \"mlp0\" to \"mlp{layer}\""
        )
    } else {
        let one = format!("one input of a head from \"0.0.q\" to \"{layer}.{head}.v\", or \"mlp0\" to \"mlp{layer}\"");
        format!("\"q\", \"k\", \"v\", \"mlps\", \"logits\", {one}")
    };
    ProbeError::NoSuchChoice { field, word: word.to_owned(), allowed }
}
