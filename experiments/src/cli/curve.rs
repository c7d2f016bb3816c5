//! The emergence curve: a table for the terminal, from the results of the shipped induction experiment.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{RecordBatch, cast::AsArray};

use crate::files::sink::{self, Batches, SinkError};
use crate::files::table::file_of;
use crate::plan::disk::Disk;
use crate::resolved::ResolvedExperiment;

/// Rows that are printed; there may be many more checkpoints.
const ROWS: usize = 24;
/// Width of a full bar.
const BAR: usize = 24;

/// What the curve shows of one checkpoint; `None` where a table lacks it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Point {
    first_half: Option<f64>,
    second_half: Option<f64>,
    best: Option<Best>,
}

/// The head with the highest induction score under the definition `strict`.
#[derive(Clone, Debug, PartialEq)]
struct Best {
    layer: i64,
    head: i64,
    value: f64,
    uniform: f64,
}

/// The table: loss on both halves of repeated random tokens, and the best induction head with its score and that of
/// uniform attention.
pub(crate) fn of(resolved: &ResolvedExperiment, disk: &Disk) -> Result<String, SinkError> {
    let mut lines = vec![format!(
        "{:>7}  {:>16} {:>11}  {:>9}  {:>6} {:>7}",
        "step", "loss, first half", "second half", "best head", "score", "uniform"
    )];
    for model in &resolved.models {
        let mut points = BTreeMap::new();
        for step in &model.steps {
            let mut point = Point::default();
            for probe in &resolved.experiment.probes {
                let file = disk.out.join(file_of(&probe.name, &model.label, *step));
                for batch in read(&file)? {
                    point.take(probe.spec.kind(), &batch);
                }
            }
            points.insert(step.map_or(0, |step| step.label()), point);
        }
        lines.extend(thinned(&points).map(|(step, point)| line(step, point)));
    }
    Ok(lines.join("\n"))
}

/// The batches of a results file; none where the cell failed.
fn read(path: &Path) -> Result<Vec<RecordBatch>, SinkError> {
    match sink::reader(path) {
        Err(SinkError::Open { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
        Ok(reader) => Batches::of(path, reader)?.collect(),
    }
}

impl Point {
    /// Takes what the table of one probe says. Of two probes of a kind the first is shown.
    fn take(&mut self, kind: &str, batch: &RecordBatch) {
        match kind {
            "induction_loss" if self.first_half.is_none() => {
                self.first_half = mean(batch, "loss_first_half");
                self.second_half = mean(batch, "loss_second_half");
            }
            "head_scores" if self.best.is_none() => self.best = best(batch),
            _ => {}
        }
    }
}

/// The mean over prompts of one metric.
fn mean(batch: &RecordBatch, metric: &str) -> Option<f64> {
    let metrics = batch.column_by_name("metric")?.as_string_opt::<i32>()?;
    let values = batch.column_by_name("value")?.as_primitive_opt::<Float64Type>()?;
    let chosen: Vec<f64> =
        metrics.iter().zip(values).filter(|(name, _)| *name == Some(metric)).filter_map(|(_, value)| value).collect();
    (!chosen.is_empty()).then(|| chosen.iter().sum::<f64>() / chosen.len() as f64)
}

fn best(batch: &RecordBatch) -> Option<Best> {
    let texts = |name| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    let ints = |name| batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let floats = |name| batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Float64Type>());
    let (scores, definitions) = (texts("score")?, texts("definition")?);
    let (layers, heads, values, uniforms) = (ints("layer")?, ints("head")?, floats("value")?, floats("uniform")?);
    let row = |row: usize| {
        let chosen = scores.value(row) == "induction" && definitions.value(row) == "strict";
        chosen.then(|| Best {
            layer: layers.value(row),
            head: heads.value(row),
            value: values.value(row),
            uniform: uniforms.value(row),
        })
    };
    (0..batch.num_rows()).filter_map(row).max_by(|a, b| a.value.total_cmp(&b.value))
}

/// Every checkpoint where they are few, else evenly chosen ones with the last among them.
fn thinned(points: &BTreeMap<u32, Point>) -> impl Iterator<Item = (u32, &Point)> {
    let every = points.len().div_ceil(ROWS).max(1);
    let last = points.len().saturating_sub(1);
    points
        .iter()
        .enumerate()
        .filter(move |(index, _)| index % every == 0 || *index == last)
        .map(|(_, (step, point))| (*step, point))
}

fn line(step: u32, point: &Point) -> String {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    let losses = format!("{step:>7}  {:>16} {:>11}", number(point.first_half), number(point.second_half));
    match &point.best {
        None => losses,
        Some(Best { layer, head, value, uniform }) => {
            let bar = "█".repeat((value.clamp(0.0, 1.0) * BAR as f64).round() as usize);
            format!("{losses}  {:>9}  {value:>6.3} {uniform:>7.3}  {bar}", format!("L{layer}H{head}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_line_with_a_bar() {
        let best = Some(Best { layer: 1, head: 2, value: 0.5, uniform: 0.02 });
        let point = Point { first_half: Some(5.5), second_half: None, best };
        let shown = line(512, &point);
        assert_eq!(
            shown,
            format!("    512             5.500           -       L1H2   0.500   0.020  {}", "█".repeat(12))
        );
    }

    #[test]
    fn only_a_file_that_is_not_there_counts_as_a_cell_that_failed() {
        let scratch = crate::testing::Scratch::new("curve");
        assert!(read(&scratch.0.join("none.parquet")).expect("nothing to show").is_empty());
        let file = scratch.0.join("file");
        std::fs::write(&file, "x").expect("write");
        assert!(matches!(read(&file.join("below.parquet")), Err(SinkError::Open { .. })));
        assert!(matches!(read(&file), Err(SinkError::Damaged(_))));
    }

    #[test]
    fn many_points_are_thinned_and_the_last_stays() {
        let points: BTreeMap<u32, Point> = (0..154).map(|step| (step, Point::default())).collect();
        let steps: Vec<u32> = thinned(&points).map(|(step, _)| step).collect();
        assert!(steps.len() <= ROWS + 1);
        assert_eq!((steps[0], steps[steps.len() - 1]), (0, 153));
    }
}
