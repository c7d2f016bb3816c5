//! Published evaluations of checkpoints, from a CSV file, beside one's own curves.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use polars::prelude::{CsvReadOptions, DataFrame, DataType, SerReader};

use crate::chart::{Chart, LinePanel, Lines, Point, Series, Tone, X, Y};
use crate::kinds::Z95;
use crate::listing::csv_line;
use crate::page::{Block, Code, Figure};
use crate::pick::{any_of, quoted};
use crate::words;

/// Models in a figure if the file has none of the report's models.
const MODELS: usize = 8;
/// Tasks in a figure.
const TASKS: usize = 12;

/// Why a file of published curves cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// It is not a CSV file.
    #[error("it is not a CSV file: {problem}")]
    Csv {
        /// What Polars said.
        problem: String,
    },
    /// A column is missing.
    #[error(
        "it has no column `{column}` (model, step, task, metric, value are needed; stderr and num_fewshot are used)"
    )]
    Column {
        /// Name of the missing column.
        column: &'static str,
    },
    /// No row has both a step and a value.
    #[error("no row has both a step of at least 0 and a value")]
    Empty,
}

/// One published number.
#[derive(Clone, Debug, PartialEq)]
struct PublishedScore {
    model: String,
    step: i64,
    shots: Option<i64>,
    task: String,
    metric: String,
    value: f64,
    error: Option<f64>,
}

/// Published evaluations of checkpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// What the report calls the file.
    pub name: String,
    rows: Vec<PublishedScore>,
}

impl Published {
    /// Reads the columns `model, step, task, metric, value` and, if the file has them, `stderr` and `num_fewshot`.
    /// Other columns are ignored, and so are rows without a step of at least 0 or without a value, such as those of
    /// models without checkpoints.
    ///
    /// # Errors
    /// [`PublishedError`] with what is wrong.
    pub fn parse(name: &str, text: &str) -> Result<Self, PublishedError> {
        let options = CsvReadOptions::default().with_infer_schema_length(None);
        let frame = options.into_reader_with_file_handle(Cursor::new(text.as_bytes())).finish();
        let frame = frame.map_err(|error| PublishedError::Csv { problem: error.to_string() })?;
        let rows = rows(&frame)?;
        if rows.is_empty() { Err(PublishedError::Empty) } else { Ok(Self { name: name.into(), rows }) }
    }

    /// A figure for each metric, because metrics share no axis. It shows those models of the file that are among `own`,
    /// else the plain models of the file.
    pub(super) fn blocks(&self, own: &[&str]) -> Vec<Block> {
        let models = self.models(own);
        let chosen: Vec<&PublishedScore> =
            self.rows.iter().filter(|row| models.contains(&row.model.as_str())).collect();
        let shots = chosen.iter().filter_map(|row| row.shots).min();
        let chosen: Vec<&PublishedScore> = chosen.into_iter().filter(|row| row.shots == shots).collect();
        let mut by_metric: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for task in chosen.iter().map(|row| row.task.as_str()).collect::<BTreeSet<_>>() {
            by_metric.entry(metric_of(task, &chosen)).or_default().push(task);
        }
        let common = own.iter().any(|model| models.contains(model));
        let whose = if common {
            "the models of this report"
        } else {
            "models of the file, which has none of this report's models"
        };
        let figure = |(metric, tasks): (&str, Vec<&str>)| {
            let rows: Vec<&PublishedScore> = chosen
                .iter()
                .copied()
                .filter(|row| row.metric == metric && tasks.contains(&row.task.as_str()))
                .collect();
            Block::Figure(self.figure(metric, &tasks, &rows, &models, (shots, whose)))
        };
        by_metric.into_iter().map(figure).collect()
    }

    fn figure(
        &self,
        metric: &str,
        tasks: &[&str],
        rows: &[&PublishedScore],
        models: &[&str],
        (shots, whose): (Option<i64>, &str),
    ) -> Figure {
        let how = shots.map_or("Results".to_owned(), |shots| format!("{shots}-shot results"));
        let hidden = tasks.len().saturating_sub(TASKS);
        let others =
            if hidden > 0 { format!(" {} are not shown.", words::plural(hidden, "more task")) } else { String::new() };
        Figure {
            id: words::slug(&format!("published evaluations {metric}")),
            title: format!("Published {metric} ({})", self.name),
            caption: format!("{how} of {whose}. Bands are 1.96 published standard errors on each side.{others}"),
            alt: format!(
                "Published {metric} of {} on {}.",
                words::plural(models.len(), "model"),
                words::plural(tasks.len(), "task")
            ),
            chart: Chart::Lines(Lines {
                x: X::Steps { tokens_per_step: None },
                y: Y { label: metric.to_owned(), include: vec![] },
                panels: tasks.iter().take(TASKS).map(|task| panel(task, rows, models)).collect(),
            }),
            csv: csv(rows),
            code: self.code(metric, models, shots),
        }
    }

    fn models<'a>(&'a self, own: &[&'a str]) -> Vec<&'a str> {
        let mut counts: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        for row in &self.rows {
            counts.entry(&row.model).or_default().insert(row.step);
        }
        let mut models: Vec<&str> = own.iter().copied().filter(|model| counts.contains_key(model)).collect();
        if models.is_empty() {
            // The shortest names are those of the plain models; variants have longer ones.
            let mut known: Vec<(usize, &str)> =
                counts.iter().filter(|(_, steps)| steps.len() > 1).map(|(model, _)| (model.len(), *model)).collect();
            known.sort_unstable();
            models = known.into_iter().take(MODELS).map(|(_, model)| model).collect();
        }
        models.sort_by(|a, b| words::by_size(a, b));
        models
    }

    /// The code that reads the file; it names no optional column unless it is used.
    fn code(&self, metric: &str, models: &[&str], shots: Option<i64>) -> Code {
        let (file, metric, list) = (quoted(&self.name), quoted(metric), serde_json::json!(models));
        let shots_py = shots.map_or(String::new(), |shots| format!(", pl.col(\"num_fewshot\") == {shots}"));
        let python = format!(
            "import polars as pl\n\n(\n    pl.scan_csv({file}, infer_schema_length=None)\n    \
             .filter(pl.col(\"model\").is_in({list}), pl.col(\"metric\") == {metric}, pl.col(\"step\") >= \
             0{shots_py})\n    .select(\"task\", \"metric\", \"model\", \"step\", \"value\")\n    .collect()\n)"
        );
        let any = any_of("model", models.iter().map(|model| quoted(model)));
        let shots_rs = shots.map_or(String::new(), |shots| format!(".and(col(\"num_fewshot\").eq(lit({shots})))"));
        let rust = format!(
            "use polars::prelude::*;\n\nLazyCsvReader::new(PlRefPath::new({file}))\n    \
             .with_infer_schema_length(None)\n    .finish()?\n    .filter({any})\n    \
             .filter(col(\"metric\").eq(lit({metric})).and(col(\"step\").gt_eq(lit(0))){shots_rs})\n    \
             .select([col(\"task\"), col(\"metric\"), col(\"model\"), col(\"step\"), col(\"value\")])\n    .collect()?"
        );
        Code { python, rust }
    }
}

fn rows(frame: &DataFrame) -> Result<Vec<PublishedScore>, PublishedError> {
    let column = |name: &'static str, wanted: DataType| {
        let column = frame.column(name).map_err(|_| PublishedError::Column { column: name })?;
        column.cast(&wanted).map_err(|error| PublishedError::Csv { problem: error.to_string() })
    };
    let texts = |name: &'static str| -> Result<Vec<String>, PublishedError> {
        let column = column(name, DataType::String)?;
        let values = column.str().map_err(|_| PublishedError::Column { column: name })?;
        Ok(values.iter().map(|value| value.unwrap_or_default().to_owned()).collect())
    };
    let numbers = |name: &'static str| -> Result<Vec<Option<f64>>, PublishedError> {
        let column = column(name, DataType::Float64)?;
        let values = column.f64().map_err(|_| PublishedError::Column { column: name })?;
        Ok(values.iter().map(|value| value.filter(|number| number.is_finite())).collect())
    };
    let optional = |name: &'static str| match frame.column(name) {
        Ok(_) => numbers(name),
        Err(_) => Ok(vec![None; frame.height()]),
    };
    let (models, tasks, metrics) = (texts("model")?, texts("task")?, texts("metric")?);
    let (steps, values) = (numbers("step")?, numbers("value")?);
    let (shots, errors) = (optional("num_fewshot")?, optional("stderr")?);
    let row = |row: usize| {
        let step = steps[row].filter(|step| *step >= 0.0)?;
        let (model, task, metric) = (models[row].clone(), tasks[row].clone(), metrics[row].clone());
        let shots = shots[row].map(|shots| shots as i64);
        Some(PublishedScore { model, step: step as i64, shots, task, metric, value: values[row]?, error: errors[row] })
    };
    Ok((0..frame.height()).filter_map(row).collect())
}

/// The metric that stands for a task: accuracy where there is one, else its first.
fn metric_of<'a>(task: &str, rows: &[&'a PublishedScore]) -> &'a str {
    let metrics: BTreeSet<&str> = rows.iter().filter(|row| row.task == task).map(|row| row.metric.as_str()).collect();
    metrics.get("acc").or_else(|| metrics.first()).copied().unwrap_or_default()
}

/// One task.
fn panel(task: &str, rows: &[&PublishedScore], models: &[&str]) -> LinePanel {
    let own: Vec<&&PublishedScore> = rows.iter().filter(|row| row.task == task).collect();
    let series = models.iter().enumerate().map(|(index, model)| {
        let by_step: BTreeMap<i64, &PublishedScore> =
            own.iter().filter(|row| row.model == *model).map(|row| (row.step, **row)).collect();
        let point = |(step, row): (&i64, &&PublishedScore)| Point {
            x: *step as f64,
            y: Some(row.value),
            band: row.error.map(|error| (row.value - Z95 * error, row.value + Z95 * error)),
        };
        Series {
            name: (*model).to_owned(),
            tone: Tone::Color(index),
            points: by_step.iter().map(point).collect(),
            event: None,
        }
    });
    LinePanel { title: task.to_owned(), series: series.filter(|series| !series.points.is_empty()).collect() }
}

fn csv(rows: &[&PublishedScore]) -> String {
    let header = csv_line(["task", "metric", "model", "step", "value", "stderr"].into_iter());
    let line = |row: &&PublishedScore| {
        let error = row.error.map_or(String::new(), |error| error.to_string());
        csv_line(
            [&row.task, &row.metric, &row.model, &row.step.to_string(), &row.value.to_string(), &error]
                .map(String::as_str)
                .into_iter(),
        )
    };
    [header].into_iter().chain(rows.iter().map(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "suite,model,step,num_fewshot,task,metric,value,stderr\n\
                        v1,pythia-70m,0,0,piqa,acc,0.5,0.01\nv1,pythia-70m,512,0,piqa,acc,0.55,\n\
                        v1,pythia-70m,512,5,piqa,acc,0.7,0.01\nv1,pythia-160m,512,0,piqa,acc_norm,0.6,0.01\n\
                        opt,opt-1b,-1,0,piqa,acc,0.9,0.01\n";

    #[test]
    fn own_models_come_first_and_rows_without_a_step_are_left_out() {
        let published = Published::parse("evals.csv", TEXT).expect("a file");
        assert_eq!(published.rows.len(), 4);
        assert_eq!(published.models(&["pythia-160m", "nano"]), ["pythia-160m"]);
        assert_eq!(published.models(&["nano"]), ["pythia-70m"]);
        let blocks = published.blocks(&["pythia-70m"]);
        let [Block::Figure(figure)] = blocks.as_slice() else { panic!("{blocks:?}") };
        let Chart::Lines(lines) = &figure.chart else { panic!("{figure:?}") };
        assert_eq!((lines.panels[0].title.as_str(), lines.y.label.as_str()), ("piqa", "acc"));
        let points: Vec<(f64, Option<f64>)> =
            lines.panels[0].series[0].points.iter().map(|point| (point.x, point.y)).collect();
        assert_eq!(points, [(0.0, Some(0.5)), (512.0, Some(0.55))]);
        assert_eq!(lines.panels[0].series[0].points[1].band, None);
    }

    #[test]
    fn metrics_share_no_axis_and_optional_columns_are_optional() {
        let text = "model,step,task,metric,value\nm,0,piqa,acc,0.5\nm,0,crows,difference,8\nm,512,crows,difference,7\n";
        let blocks = Published::parse("evals.csv", text).expect("a file").blocks(&["m"]);
        let figures: Vec<&Figure> = blocks
            .iter()
            .filter_map(|block| if let Block::Figure(figure) = block { Some(figure) } else { None })
            .collect();
        let ids: Vec<&str> = figures.iter().map(|figure| figure.id.as_str()).collect();
        assert_eq!(ids, ["published-evaluations-acc", "published-evaluations-difference"]);
        for figure in figures {
            assert!(!figure.caption.contains("shot"), "{}", figure.caption);
            assert!(!figure.code.python.contains("num_fewshot") && !figure.code.rust.contains("num_fewshot"));
        }
    }

    #[test]
    fn what_is_no_such_file_says_why() {
        let error =
            |text: &str| Published::parse("x", text).map_err(|error| error.to_string()).expect_err("no such file");
        assert!(error("model,step,task,metric\na,1,b,c\n").starts_with("it has no column `value`"));
        assert_eq!(
            error("model,step,task,metric,value\na,-1,b,c,0.5\n"),
            "no row has both a step of at least 0 and a value"
        );
    }
}
