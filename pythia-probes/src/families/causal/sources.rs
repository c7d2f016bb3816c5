//! What can be put in place of activations besides those of the pair's other prompt: means over all prompts,
//! activations of other pairs, and vectors.

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use pythia_core::device::{host_f64, ints};
use pythia_hooks::{Activation, Axis, HookError, HookPoint, Region};

use super::paired_runs::{Group, PairedRuns, Side};
use super::places::{self, Positions};
use crate::engine::{Run, SourceActivations};
use crate::error::ProbeError;
use crate::random::{Domain, below, generator};
use crate::subject::Files;

/// Bytes that a number of a vector's file may take on average, its indentation included.
const BYTES_PER_NUMBER: usize = 64;
/// Why two activations of one point can be put together.
const SAME_AXES: &str = "activations of one point have the same number of axes";
/// Characters of a reader's message that are kept.
const LONGEST_REASON: usize = 300;

/// The means over all prompts of one side and their positions, every token with the same weight: `[1, 1, …]`. Not for
/// patterns and scores, which have no axis of positions.
///
/// # Errors
/// A point that the runs did not keep.
pub(crate) fn mean(runs: &PairedRuns, side: Side, points: &[HookPoint]) -> Result<SourceActivations, ProbeError> {
    let runs: Vec<&Run> = runs.groups.iter().map(|group| group.run(side)).collect();
    means(&runs, points, &[0, 1])
}

/// The means at each position over all prompts of one side that have this length: `[1, pos, …]`.
///
/// # Errors
/// A point that the runs did not keep.
pub(crate) fn mean_per_position(
    runs: &PairedRuns,
    side: Side,
    length: usize,
    points: &[HookPoint],
) -> Result<SourceActivations, ProbeError> {
    means(&of_length(runs, side, length), points, &[0])
}

fn of_length<'a>(runs: &'a PairedRuns, side: Side, length: usize) -> Vec<&'a Run> {
    runs.groups.iter().map(|group| group.run(side)).filter(|run| run.length() == length).collect()
}

/// The means along `axes` over all of `runs`, every prompt and position with the same weight.
fn means(runs: &[&Run], points: &[HookPoint], axes: &[usize]) -> Result<SourceActivations, ProbeError> {
    let size = |run: &Run| (run.batch() * if axes.contains(&1) { run.length() } else { 1 }) as f64;
    let total: f64 = runs.iter().map(|run| size(run)).sum();
    let part = |run: &&Run, point| Ok(share(kept(run, point)?, axes, size(run) / total));
    let mean = |&point: &HookPoint| {
        let parts = runs.iter().map(|run| part(run, point)).collect::<Result<Vec<_>, ProbeError>>()?;
        let sum = parts.into_iter().reduce(plus).ok_or(HookError::NotCaptured { point })?;
        Ok((point, sum))
    };
    points.iter().map(mean).collect()
}

fn kept(run: &Run, point: HookPoint) -> Result<&Activation, ProbeError> {
    Ok(run.get(point).ok_or(HookError::NotCaptured { point })?)
}

/// The mean along some axes, times a factor.
fn share(activation: &Activation, axes: &[usize], factor: f64) -> Activation {
    fn mean<const D: usize>(tensor: &Tensor<D>, axes: &[usize], factor: f64) -> Tensor<D> {
        axes.iter().fold(tensor.clone(), |tensor, &axis| tensor.mean_dim(axis)) * factor
    }
    match activation {
        Activation::Three(tensor) => Activation::Three(mean(tensor, axes, factor)),
        Activation::Four(tensor) => Activation::Four(mean(tensor, axes, factor)),
    }
}

/// The sum of two activations of one point, which have the same number of axes.
fn plus(a: Activation, b: Activation) -> Activation {
    match (a, b) {
        (Activation::Three(a), Activation::Three(b)) => Activation::Three(a + b),
        (Activation::Four(a), Activation::Four(b)) => Activation::Four(a + b),
        (Activation::Three(_), Activation::Four(_)) | (Activation::Four(_), Activation::Three(_)) => {
            unreachable!("{SAME_AXES}")
        }
    }
}

/// For each pair of a group, the activations of another pair's prompt of the same side and length; `None` where there
/// is no other pair. Over all pairs of one length this is a permutation without fixed points.
///
/// # Errors
/// A point that the runs did not keep.
pub(crate) fn resampled(
    runs: &PairedRuns,
    side: Side,
    group: usize,
    points: &[HookPoint],
) -> Result<Option<SourceActivations>, ProbeError> {
    let (length, batch) = (runs.groups[group].run(side).length(), runs.groups[group].members.len());
    let same = of_length(runs, side, length);
    let Some(order) = derangement(runs.seed, length, same.iter().map(|run| run.batch()).sum()) else {
        return Ok(None);
    };
    let before = runs.groups[..group].iter().filter(|group| group.run(side).length() == length);
    let first: usize = before.map(|group| group.members.len()).sum();
    let sourced = |&point: &HookPoint| {
        let all = same.iter().map(|run| kept(run, point)).collect::<Result<Vec<_>, _>>()?;
        Ok((point, rows(&all, &order[first..first + batch])))
    };
    points.iter().map(sourced).collect::<Result<_, _>>().map(Some)
}

/// Rows along the batch of activations that follow each other.
fn rows(all: &[&Activation], wanted: &[usize]) -> Activation {
    fn chosen<const D: usize>(all: &[&Activation], wanted: &[usize]) -> Tensor<D> {
        let tensor = |part: &&Activation| (*part).clone().into_tensor().unwrap_or_else(|| unreachable!("{SAME_AXES}"));
        let all = Tensor::cat(all.iter().map(tensor).collect(), 0);
        let index = ints(wanted.iter().copied(), [wanted.len()], &all.device());
        all.select(0, index)
    }
    match all[0] {
        Activation::Three(_) => Activation::Three(chosen(all, wanted)),
        Activation::Four(_) => Activation::Four(chosen(all, wanted)),
    }
}

/// A permutation of `n` things without fixed points, each such permutation equally likely; `None` for fewer than two.
fn derangement(seed: u64, length: usize, n: usize) -> Option<Vec<usize>> {
    if n < 2 {
        return None;
    }
    let mut rng = generator(seed, Domain::Resample, length as u64);
    // One shuffle in e has no fixed point, whatever n is.
    loop {
        let mut order: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            order.swap(last, below(&mut rng, last as u32 + 1) as usize);
        }
        if order.iter().enumerate().all(|(at, &to)| at != to) {
            return Some(order);
        }
    }
}

/// The mean over pairs, and over positions where `choice` stands for several, of clean minus corrupt activations at a
/// point of the stream's width: `[d_model]`.
///
/// # Errors
/// A point that the runs did not keep, reading from the device.
pub(crate) fn mean_difference(runs: &PairedRuns, point: HookPoint, choice: &Positions) -> Result<Vec<f64>, ProbeError> {
    let (mut sum, mut count) = (vec![0.0; runs.subject.model.config().d_model], 0);
    for group in &runs.groups {
        let regions = places::position_regions(choice, Axis::Pos, &Region::all(), &group.pairs(runs));
        for region in regions.iter().flat_map(|(_, _, regions)| regions) {
            let (part, tokens) = difference(group, point, region)?;
            sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            count += tokens;
        }
    }
    Ok(sum.into_iter().map(|sum| sum / count as f64).collect())
}

/// The sum of clean minus corrupt activations in a region, and over how many tokens it goes.
fn difference(group: &Group, point: HookPoint, region: &Region) -> Result<(Vec<f64>, usize), ProbeError> {
    let part = |side| {
        let found = kept(group.run(side), point)?;
        let wrong = HookError::WrongRank { point, asked: 3, found: found.dims().len() };
        Ok::<_, ProbeError>(region.take(point, found.clone().into_tensor::<3>().ok_or(wrong)?)?)
    };
    let difference = part(Side::Clean)? - part(Side::Corrupt)?;
    let [batch, positions, _] = difference.dims();
    let sum = host_f64(difference.sum_dim(0).sum_dim(1)).map_err(ProbeError::device("a mean"))?;
    Ok((sum, batch * positions))
}

/// A vector as an activation of a point: every axis but the last has the size 1.
pub(crate) fn vector(runs: &PairedRuns, point: HookPoint, values: &[f64]) -> Option<Activation> {
    let like = runs.groups.first()?.clean.end();
    let options = (&like.device(), like.dtype());
    let data = |shape: Vec<usize>| TensorData::new(values.to_vec(), shape);
    Some(match point.site().axes().len() {
        3 => Activation::Three(Tensor::from_data(data(vec![1, 1, values.len()]), options)),
        _ => Activation::Four(Tensor::from_data(data(vec![1, 1, 1, values.len()]), options)),
    })
}

/// The vector of a file: a JSON list of `width` numbers.
///
/// # Errors
/// [`ProbeError::NoFile`]; [`ProbeError::Vector`] for anything that is not such a list.
pub(crate) fn read_vector(files: &Files, path: &Path, width: usize) -> Result<Vec<f64>, ProbeError> {
    let refused = |reason: String| ProbeError::Vector { path: path.to_owned(), reason };
    let text = files.get(path).ok_or_else(|| ProbeError::NoFile { path: path.to_owned() })?;
    let most = BYTES_PER_NUMBER.saturating_mul(width + 16);
    if text.len() > most {
        return Err(refused(format!("{} bytes are more than {width} numbers can need ({most})", text.len())));
    }
    // A message may quote all of what it found.
    let short = |error: serde_json::Error| refused(error.to_string().chars().take(LONGEST_REASON).collect());
    let values: Vec<f64> = serde_json::from_str(text).map_err(short)?;
    if values.len() != width {
        return Err(refused(format!("{} numbers, but {width} are needed there", values.len())));
    }
    match values.iter().position(|value| !(*value as f32).is_finite()) {
        Some(index) => Err(refused(format!("number {index} is {}, beyond what the model counts with", values[index]))),
        None => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_derangement_leaves_nothing_in_its_place_and_every_one_is_drawn() {
        let all: BTreeSet<Vec<usize>> = (0..200).filter_map(|seed| derangement(seed, 9, 4)).collect();
        assert_eq!(all.len(), 9, "four things have nine derangements");
        for order in all {
            assert!(order.iter().enumerate().all(|(at, &to)| at != to));
            assert_eq!(order.iter().copied().collect::<BTreeSet<_>>(), (0..4).collect());
        }
        assert_eq!(derangement(3, 9, 50), derangement(3, 9, 50));
        assert_ne!(derangement(3, 9, 50), derangement(3, 8, 50));
        assert_eq!((derangement(0, 9, 2), derangement(0, 9, 1)), (Some(vec![1, 0]), None));
    }

    #[test]
    fn a_vector_is_a_list_of_that_many_numbers_and_nothing_else() {
        let path = Path::new("vector.json");
        let read = |text: &str| read_vector(&Files([(path.to_owned(), text.to_owned())].into()), path, 3);
        assert_eq!(read("[1, -2.5, 3e-2]\n"), Ok(vec![1.0, -2.5, 0.03]));
        let reason = |text: &str| match read(text) {
            Err(ProbeError::Vector { reason, .. }) => reason,
            other => panic!("{text}: {other:?}"),
        };
        assert!(reason("[1, 2]").contains("2 numbers, but 3"));
        assert!(reason("[1, 2, 1e39]").contains("number 2"));
        assert!(reason("[1, 2, 1e999]").contains("out of range"));
        assert!(reason("[1, 2, NaN]").contains("line 1"));
        assert!(reason("[1, 2, null]").contains("null"));
        assert!(reason("{\"values\": [1, 2, 3]}").contains("map"));
        assert!(reason(&format!("[1, 2, 3{}]", " ".repeat(5000))).contains("bytes"));
        assert_eq!(read_vector(Files::NONE, path, 3), Err(ProbeError::NoFile { path: path.to_owned() }));
    }
}
