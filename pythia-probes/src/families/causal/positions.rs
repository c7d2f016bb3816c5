//! Positions of interventions, as a configuration names them.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use pythia_hooks::{Axis, HookPoint, Region};

use super::places::{ALL, EACH};
use crate::counted::tokens;
use crate::error::ProbeError;
use crate::pairs::Pair;

/// A choice along the positions of prompts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Positions {
    /// Every position, one after another.
    Each,
    /// All positions together.
    All,
    /// The position that every pair has under that name.
    Named(String),
    /// The position of that number, from the end where it is negative.
    At(i64),
}

/// Reads the entries of a field `positions`.
///
/// # Errors
/// A word that is neither `each`, `all`, a number, nor a name that every pair has.
pub(crate) fn positions(
    field: &'static str,
    words: &[String],
    pairs: &[impl Borrow<Pair>],
) -> Result<Vec<Positions>, ProbeError> {
    let pairs: Vec<&Pair> = pairs.iter().map(Borrow::borrow).collect();
    let read = |word: &String| match word.as_str() {
        EACH => Ok(Positions::Each),
        ALL => Ok(Positions::All),
        _ => match word.parse::<i64>() {
            Ok(number) => numbered(field, word, number, &pairs),
            Err(_) if pairs.iter().all(|pair| pair.positions.contains_key(word)) => Ok(Positions::Named(word.clone())),
            Err(_) => Err(no_such_position(field, word, &pairs)),
        },
    };
    words.iter().map(read).collect()
}

fn numbered(field: &'static str, word: &str, number: i64, pairs: &[&Pair]) -> Result<Positions, ProbeError> {
    let length = pairs.iter().map(|pair| pair.clean.len()).min().unwrap_or(0);
    let shortest = length as i64;
    if (-shortest..shortest).contains(&number) {
        return Ok(Positions::At(number));
    }
    let allowed =
        format!("the shortest prompt has {}, so the positions {} to {}", tokens(length), -shortest, shortest - 1);
    Err(ProbeError::NoSuchChoice { field, word: word.to_owned(), allowed })
}

fn no_such_position(field: &'static str, word: &str, pairs: &[&Pair]) -> ProbeError {
    let mut names: Vec<&str> =
        pairs.first().map_or(Vec::new(), |pair| pair.positions.keys().map(String::as_str).collect());
    names.retain(|name| pairs.iter().all(|pair| pair.positions.contains_key(*name)));
    let allowed = format!("\"each\", \"all\", a number, or a position that all pairs name ({})", names.join(", "));
    ProbeError::NoSuchChoice { field, word: word.to_owned(), allowed }
}

/// The axis along which a hook's activations have positions; `Query` for patterns and scores.
pub(crate) fn position_axis(point: HookPoint) -> Axis {
    if point.site().dim_of(Axis::Query).is_some() { Axis::Query } else { Axis::Pos }
}

/// The regions that a choice of positions stands for at a hook, for prompts of one length. Each comes with the
/// position, where it is one number, and with its name, where it has one. A named position can be a region per
/// prompt.
pub(crate) fn position_regions(
    choice: &Positions,
    axis: Axis,
    base: &Region,
    pairs: &[&Pair],
) -> Vec<(Option<usize>, String, Vec<Region>)> {
    let length = pairs.first().map_or(0, |pair| pair.clean.len());
    let at = |position: usize| base.clone().along(axis, position as i64);
    match choice {
        Positions::All => vec![(None, String::new(), vec![base.clone()])],
        Positions::Each => (0..length).map(|position| (Some(position), String::new(), vec![at(position)])).collect(),
        Positions::At(number) if *number < 0 => {
            let position = (length as i64 + number) as usize;
            vec![(None, number.to_string(), vec![at(position)])]
        }
        Positions::At(number) => vec![(Some(*number as usize), String::new(), vec![at(*number as usize)])],
        Positions::Named(name) => vec![(None, name.clone(), per_prompt(name, axis, base, pairs))],
    }
}

/// The regions of several choices of positions, in their order, as [`position_regions`] gives them.
pub(crate) fn regions_at(
    choices: &[Positions],
    axis: Axis,
    base: &Region,
    pairs: &[&Pair],
) -> Vec<(Option<usize>, String, Vec<Region>)> {
    choices.iter().flat_map(|choice| position_regions(choice, axis, base, pairs)).collect()
}

/// A region per span that a name stands for; along the batch it holds the prompts that have the name there.
fn per_prompt(name: &str, axis: Axis, base: &Region, pairs: &[&Pair]) -> Vec<Region> {
    let mut prompts: BTreeMap<&[usize], Vec<i64>> = BTreeMap::new();
    for (index, pair) in pairs.iter().enumerate() {
        if let Some(span) = pair.positions.get(name) {
            prompts.entry(span).or_default().push(index as i64);
        }
    }
    let region = |(span, prompts): (&[usize], Vec<i64>)| {
        let all = prompts.len() == pairs.len();
        let region = match span {
            &[position] => base.clone().along(axis, position as i64),
            _ => base.clone().along(axis, span.iter().map(|at| *at as i64).collect::<Vec<_>>()),
        };
        if all { region } else { region.along(Axis::Batch, prompts) }
    };
    prompts.into_iter().map(region).collect()
}

/// The number of a named position in a pair's prompts, where it is one: of a name that the pair has, or of a number
/// that counts from the end.
pub(crate) fn pos_of(name: &str, pair: &Pair) -> Option<usize> {
    match name.parse::<i64>() {
        Ok(number) => usize::try_from(pair.clean.len() as i64 + number).ok(),
        Err(_) => pair.position(name),
    }
}
