//! Senders and receivers as a configuration names them.

use pythia_hooks::Anatomy;

use super::edges::{Input, Receiver, Sender};
use crate::causal::places;
use crate::error::ProbeError;

/// The field of the configuration with the senders.
pub const SENDERS: &str = "senders";
/// The field of the configuration with the receivers.
pub const RECEIVERS: &str = "receivers";

/// The senders that a word stands for.
///
/// # Errors
/// A word that means nothing for the model.
pub fn sender(word: &str, anatomy: &Anatomy) -> Result<Vec<Sender>, ProbeError> {
    let (layers, heads) = (0..anatomy.n_layers, anatomy.n_heads);
    let of = |layer| (0..heads).map(move |head| Sender::Head { layer, head });
    match word {
        "embed" => Ok(vec![Sender::Embed]),
        "heads" => Ok(layers.flat_map(of).collect()),
        "mlps" => Ok(layers.map(|layer| Sender::Mlp { layer }).collect()),
        _ => {
            let head = || places::head(SENDERS, word, anatomy).map(|(layer, head)| Sender::Head { layer, head });
            let one = mlp(word, anatomy).map(|layer| Sender::Mlp { layer }).or_else(|| head().ok());
            one.map(|one| vec![one]).ok_or_else(|| no_such(SENDERS, word, anatomy))
        }
    }
}

/// The receivers that a word stands for.
///
/// # Errors
/// A word that means nothing for the model.
pub fn receiver(word: &str, anatomy: &Anatomy) -> Result<Vec<Receiver>, ProbeError> {
    let (layers, heads) = (0..anatomy.n_layers, anatomy.n_heads);
    let of = |input| (0..heads).map(move |head| Receiver { input, head: Some(head) });
    let whole = |input| Receiver { input, head: None };
    match word {
        "logits" => Ok(vec![whole(Input::Logits)]),
        "mlps" => Ok(layers.map(|layer| whole(Input::Mlp(layer))).collect()),
        _ => match head_input(word) {
            Some(input) => Ok(layers.flat_map(|layer| of(input(layer))).collect()),
            None => {
                let one = mlp(word, anatomy).map(|layer| whole(Input::Mlp(layer))).or_else(|| one_head(word, anatomy));
                one.map(|one| vec![one]).ok_or_else(|| no_such(RECEIVERS, word, anatomy))
            }
        },
    }
}

/// The layer of `mlp3`.
fn mlp(word: &str, anatomy: &Anatomy) -> Option<usize> {
    word.strip_prefix("mlp")?.parse().ok().filter(|layer| *layer < anatomy.n_layers)
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
fn one_head(word: &str, anatomy: &Anatomy) -> Option<Receiver> {
    let (head, input) = word.rsplit_once('.')?;
    let (layer, head) = places::head(RECEIVERS, head, anatomy).ok()?;
    Some(Receiver { input: head_input(input)?(layer), head: Some(head) })
}

fn no_such(field: &'static str, word: &str, anatomy: &Anatomy) -> ProbeError {
    let (layer, head) = (anatomy.n_layers.saturating_sub(1), anatomy.n_heads.saturating_sub(1));
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
