//! Published evaluations of checkpoints, from a CSV file. A curve of the report stands in the same figure where its
//! table and metric are the file's task and metric.

use std::collections::{BTreeMap, BTreeSet};

use crate::chart::{Chart, LinePanel, Lines, Point, Series, Tone, X, Y};
use crate::kinds::Z95;
use crate::listing::csv_line;
use crate::page::{Block, Code, Figure};
use crate::pick::{any_of, quote};
use crate::words;

mod own;
mod read;

pub(super) use own::{OwnCurve, own_curves};
pub use read::PublishedError;
use read::PublishedScore;

/// Models in a figure if the file has none of the report's models.
const MODELS: usize = 8;
/// Tasks in a figure.
const TASKS: usize = 12;
/// Models without checkpoints in a figure.
const REFERENCES: usize = 6;

/// Published evaluations of checkpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// What the report calls the file.
    pub name: String,
    rows: Vec<PublishedScore>,
}

/// What one figure shows.
struct Choice<'a> {
    metric: &'a str,
    tasks: Vec<&'a str>,
    shots: Option<i64>,
    /// The models with checkpoints.
    models: &'a [&'a str],
    /// The models without checkpoints that are drawn, and how many are not.
    references: (Vec<&'a str>, usize),
    rows: Vec<&'a PublishedScore>,
    /// The report's own curves of these tasks under this metric.
    own: Vec<&'a OwnCurve>,
}

impl Published {
    /// Reads the columns `model, step, task, metric, value` and, if the file has them, `stderr` and `num_fewshot`.
    /// Other columns are ignored, and so are rows without a value. Rows without a step, or with step −1, are of models
    /// without checkpoints, such as OPT and BLOOM: they become reference lines.
    ///
    /// # Errors
    /// [`PublishedError`] with what is wrong.
    pub fn parse(name: &str, text: &str) -> Result<Self, PublishedError> {
        Ok(Self { name: name.into(), rows: read::parse(text)? })
    }

    /// A figure for each metric, because metrics share no axis. It shows those models of the file that are among the
    /// report's `models`, else the plain models of the file.
    pub(super) fn blocks(&self, report: &[&str], own: &[OwnCurve]) -> Vec<Block> {
        let models = self.models(report);
        let at_steps = |row: &&PublishedScore| row.step.is_some() && models.contains(&row.model.as_str());
        let shots = self.rows.iter().filter(at_steps).filter_map(|row| row.shots).min();
        let with_shots: Vec<&PublishedScore> = self.rows.iter().filter(|row| row.shots == shots).collect();
        let curves: Vec<&PublishedScore> = with_shots.iter().copied().filter(at_steps).collect();
        let mut by_metric: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for task in curves.iter().map(|row| row.task.as_str()).collect::<BTreeSet<_>>() {
            by_metric.entry(metric_of(task, &curves)).or_default().push(task);
        }
        let common = report.iter().any(|model| models.contains(model));
        let figure = |(metric, tasks): (&str, Vec<&str>)| {
            let is_shown = |row: &&PublishedScore| row.metric == metric && tasks.contains(&row.task.as_str());
            let references = self.references(&models, with_shots.iter().copied().filter(is_shown));
            let shown = |row: &&PublishedScore| {
                at_steps(row) || (row.step.is_none() && references.0.contains(&row.model.as_str()))
            };
            let rows = with_shots.iter().copied().filter(is_shown).filter(shown).collect();
            let own = own.iter().filter(|curve| curve.metric == metric && tasks.contains(&&*curve.task)).collect();
            let choice = Choice { metric, tasks, shots, models: &models, references, rows, own };
            Block::Figure(self.figure(&choice, common))
        };
        by_metric.into_iter().map(figure).collect()
    }

    /// The models of some rows that have no checkpoint in the file: those nearest in size to the largest of `models`,
    /// in the order of their sizes, and how many others there are.
    fn references<'a>(
        &'a self,
        models: &[&str],
        rows: impl Iterator<Item = &'a PublishedScore>,
    ) -> (Vec<&'a str>, usize) {
        let trained: BTreeSet<&str> =
            self.rows.iter().filter(|row| row.step.is_some()).map(|row| row.model.as_str()).collect();
        let names: BTreeSet<&str> =
            rows.map(|row| row.model.as_str()).filter(|model| !trained.contains(model)).collect();
        let largest = models.iter().filter_map(|model| words::parameters(model)).fold(1.0, f64::max);
        let distance = |model: &str| words::parameters(model).map_or(f64::INFINITY, |size| (size / largest).ln().abs());
        let mut names: Vec<&str> = names.into_iter().collect();
        names.sort_by(|a, b| distance(a).total_cmp(&distance(b)).then_with(|| a.cmp(b)));
        let others = names.len().saturating_sub(REFERENCES);
        names.truncate(REFERENCES);
        names.sort_by(|a, b| words::by_size(a, b));
        (names, others)
    }

    fn figure(&self, choice: &Choice<'_>, common: bool) -> Figure {
        let Choice { metric, tasks, models, .. } = choice;
        Figure {
            id: words::slug(&format!("published evaluations {metric}")),
            title: format!("Published {metric} ({})", self.name),
            caption: caption(choice, common),
            alt: format!(
                "Published {metric} of {} on {}.",
                words::plural(models.len(), "model"),
                words::plural(tasks.len(), "task")
            ),
            chart: Chart::Lines(Lines {
                x: X::Steps { tokens_per_step: None },
                y: Y { label: (*metric).to_owned(), include: vec![] },
                panels: tasks.iter().take(TASKS).map(|task| panel(task, choice)).collect(),
            }),
            csv: csv(&choice.rows),
            code: self.code(choice),
        }
    }

    fn models<'a>(&'a self, own: &[&'a str]) -> Vec<&'a str> {
        let mut counts: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
        for (row, step) in self.rows.iter().filter_map(|row| Some((row, row.step?))) {
            counts.entry(&row.model).or_default().insert(step);
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
    fn code(&self, choice: &Choice<'_>) -> Code {
        let Choice { metric, models, shots, references: (references, _), .. } = choice;
        let list = |names: &[&str]| names.iter().map(|name| quote::python(name)).collect::<Vec<_>>().join(", ");
        let any = |names: &[&str]| any_of("model", names.iter().map(|name| quote::rust(name)));
        let path = quote::glob(&self.name);
        let of = |names: &[&str]| format!("pl.col(\"model\").is_in([{}])", list(names));
        let (mut python, mut rust) = (
            format!("{} & (pl.col(\"step\") >= 0)", of(models)),
            format!("{}.and(col(\"step\").gt_eq(lit(0)))", any(models)),
        );
        if !references.is_empty() {
            python = format!("({python}) | {}", of(references));
            rust = format!("{rust}.or({})", any(references));
        }
        let shots_py = shots.map_or(String::new(), |shots| format!(", pl.col(\"num_fewshot\") == {shots}"));
        let shots_rs = shots.map_or(String::new(), |shots| format!(".and(col(\"num_fewshot\").eq(lit({shots})))"));
        let python = format!(
            "import polars as pl\n\n(\n    pl.scan_csv({}, infer_schema_length=None)\n    .filter({python})\n    \
             .filter(pl.col(\"metric\") == {}{shots_py})\n    \
             .select(\"task\", \"metric\", \"model\", \"step\", \"value\")\n    .collect()\n)",
            quote::python(&path),
            quote::python(metric)
        );
        let rust = format!(
            "use polars::prelude::*;\n\nLazyCsvReader::new(PlRefPath::new({}))\n    \
             .with_infer_schema_length(None)\n    .finish()?\n    .filter({rust})\n    \
             .filter(col(\"metric\").eq(lit({})){shots_rs})\n    \
             .select([col(\"task\"), col(\"metric\"), col(\"model\"), col(\"step\"), col(\"value\")])\n    .collect()?",
            quote::rust(&path),
            quote::rust(metric)
        );
        Code { python, rust }
    }
}

fn caption(choice: &Choice<'_>, common: bool) -> String {
    let how = choice.shots.map_or("Results".to_owned(), |shots| format!("{shots}-shot results"));
    let whose = match common {
        true => "the models of this report",
        false => "models of the file, which has none of this report's models",
    };
    let mut text = format!("{how} of {whose}. Bands are 1.96 published standard errors on each side.");
    let (references, others) = &choice.references;
    if !references.is_empty() {
        text.push_str(&format!(" Dotted: models without checkpoints ({}).", references.join(", ")));
    }
    if *others > 0 {
        text.push_str(&format!(" {} of other sizes are not shown.", words::plural(*others, "such model")));
    }
    let hidden = choice.tasks.len().saturating_sub(TASKS);
    if hidden > 0 {
        text.push_str(&format!(" {} are not shown.", words::plural(hidden, "more task")));
    }
    text.push_str(match choice.own.is_empty() {
        true => {
            " No table of this report measures one of these tasks under this metric, so none of its curves is here."
        }
        false => " The curves of this report are means over its own prompts.",
    });
    text
}

/// The metric that stands for a task: accuracy where there is one, else its first.
fn metric_of<'a>(task: &str, rows: &[&'a PublishedScore]) -> &'a str {
    let metrics: BTreeSet<&str> = rows.iter().filter(|row| row.task == task).map(|row| row.metric.as_str()).collect();
    metrics.get("acc").or_else(|| metrics.first()).copied().unwrap_or_default()
}

/// One task: published curves, the report's own, and dotted the models without checkpoints.
fn panel(task: &str, choice: &Choice<'_>) -> LinePanel {
    let rows = || choice.rows.iter().copied().filter(|row| row.task == task);
    let published = choice.models.iter().enumerate().map(|(index, model)| {
        let by_step: BTreeMap<i64, &PublishedScore> =
            rows().filter(|row| row.model == *model).filter_map(|row| Some((row.step?, row))).collect();
        let point = |(step, row): (&i64, &&PublishedScore)| Point {
            x: *step as f64,
            y: Some(row.value),
            band: row.error.map(|error| (row.value - Z95 * error, row.value + Z95 * error)),
        };
        series((*model).to_owned(), Tone::Color(index), by_step.iter().map(point).collect())
    });
    let own = choice.own.iter().filter(|curve| curve.task == task).enumerate().map(|(index, curve)| {
        series(format!("{}, this report", curve.model), Tone::Color(choice.models.len() + index), curve.points.clone())
    });
    let mut all: Vec<Series> = published.chain(own).filter(|series| !series.points.is_empty()).collect();
    let steps = || all.iter().flat_map(|series| &series.points).map(|point| point.x);
    let ends = steps().reduce(f64::min).zip(steps().reduce(f64::max));
    let references = choice.references.0.iter().enumerate().filter_map(|(index, model)| {
        let value = rows().find(|row| row.model == *model && row.step.is_none())?.value;
        let (from, to) = ends?;
        let points = [from, to].map(|x| Point { x, y: Some(value), band: None }).to_vec();
        Some(series((*model).to_owned(), Tone::Reference(index), points))
    });
    let references: Vec<Series> = references.collect();
    all.extend(references);
    LinePanel { title: task.to_owned(), series: all }
}

fn series(name: String, tone: Tone, points: Vec<Point>) -> Series {
    Series { name, tone, points, event: None }
}

fn csv(rows: &[&PublishedScore]) -> String {
    let header = csv_line(["task", "metric", "model", "step", "value", "stderr"].into_iter());
    let line = |row: &&PublishedScore| {
        let step = row.step.map_or(String::new(), |step| step.to_string());
        let error = row.error.map_or(String::new(), |error| error.to_string());
        csv_line(
            [&row.task, &row.metric, &row.model, &step, &row.value.to_string(), &error].map(String::as_str).into_iter(),
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
                        opt,opt-1b,-1,0,piqa,acc,0.9,0.01\nbloom,bloom-560m,,0,piqa,acc,0.8,0.01\n";

    #[test]
    fn another_separator_is_named() {
        for separator in [';', '\t'] {
            let text = TEXT.replace(',', &separator.to_string());
            let error = Published::parse("evals.csv", &text).expect_err("no commas");
            assert!(matches!(error, PublishedError::Separator { separator: found } if found == separator), "{error}");
        }
        assert!(Published::parse("evals.csv", &format!("\u{feff}{TEXT}")).is_ok(), "a byte order mark");
    }

    #[test]
    fn own_models_come_first_and_models_without_checkpoints_are_reference_lines() {
        let published = Published::parse("evals.csv", TEXT).expect("a file");
        assert_eq!(published.rows.len(), 6);
        assert_eq!(published.models(&["pythia-160m", "nano"]), ["pythia-160m"]);
        assert_eq!(published.models(&["nano"]), ["pythia-70m"]);
        let blocks = published.blocks(&["pythia-70m"], &[]);
        let [Block::Figure(figure)] = blocks.as_slice() else { panic!("{blocks:?}") };
        let Chart::Lines(lines) = &figure.chart else { panic!("{figure:?}") };
        assert_eq!((lines.panels[0].title.as_str(), lines.y.label.as_str()), ("piqa", "acc"));
        let points: Vec<(f64, Option<f64>)> =
            lines.panels[0].series[0].points.iter().map(|point| (point.x, point.y)).collect();
        assert_eq!(points, [(0.0, Some(0.5)), (512.0, Some(0.55))]);
        assert_eq!(lines.panels[0].series[0].points[1].band, None);
        let [bloom, opt] = &lines.panels[0].series[1..] else { panic!("{lines:?}") };
        assert_eq!((bloom.name.as_str(), bloom.tone), ("bloom-560m", Tone::Reference(0)));
        assert_eq!((opt.name.as_str(), opt.tone), ("opt-1b", Tone::Reference(1)));
        let level: Vec<(f64, Option<f64>)> = opt.points.iter().map(|point| (point.x, point.y)).collect();
        assert_eq!(level, [(0.0, Some(0.9)), (512.0, Some(0.9))]);
        assert!(
            figure.caption.contains("Dotted: models without checkpoints (bloom-560m, opt-1b)."),
            "{}",
            figure.caption
        );
        assert!(figure.csv.contains("piqa,acc,opt-1b,,0.9,0.01"), "{}", figure.csv);
        assert!(
            figure.code.python.contains(r#"| pl.col("model").is_in(["bloom-560m", "opt-1b"])"#),
            "{}",
            figure.code.python
        );
    }

    #[test]
    fn references_of_the_nearest_sizes_are_shown_and_the_others_counted() {
        let sizes = ["125m", "350m", "1.3b", "2.7b", "6.7b", "13b", "30b", "66b"];
        let lines: String = sizes.map(|size| format!("opt-{size},-1,piqa,acc,0.6\n")).concat();
        let text =
            format!("model,step,task,metric,value\npythia-1b,0,piqa,acc,0.5\npythia-1b,512,piqa,acc,0.6\n{lines}");
        let blocks = Published::parse("evals.csv", &text).expect("a file").blocks(&["pythia-1b"], &[]);
        let [Block::Figure(figure)] = blocks.as_slice() else { panic!("{blocks:?}") };
        let wanted = "(opt-125m, opt-350m, opt-1.3b, opt-2.7b, opt-6.7b, opt-13b). 2 such models of other sizes";
        assert!(figure.caption.contains(wanted), "{}", figure.caption);
    }

    #[test]
    fn a_curve_of_the_report_stands_beside_published_ones_of_the_same_task_and_metric() {
        let text = "model,step,task,metric,value\nm,0,induction_loss,loss_second_half,5\n\
                    m,512,induction_loss,loss_second_half,1\n";
        let point = |x: f64, y: f64| Point { x, y: Some(y), band: None };
        let curve = |metric: &str| OwnCurve {
            model: "m".into(),
            task: "induction_loss".into(),
            metric: metric.into(),
            points: vec![point(0.0, 6.0), point(512.0, 2.0)],
        };
        let figure = |own: &[OwnCurve]| {
            let blocks = Published::parse("evals.csv", text).expect("a file").blocks(&["m"], own);
            let Some(Block::Figure(figure)) = blocks.into_iter().next() else { panic!("no figure") };
            figure
        };
        let beside = figure(&[curve("loss_second_half"), curve("loss_first_half")]);
        let Chart::Lines(lines) = &beside.chart else { panic!("{beside:?}") };
        let names: Vec<&str> = lines.panels[0].series.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, ["m", "m, this report"]);
        assert!(beside.caption.ends_with("means over its own prompts."), "{}", beside.caption);
        let alone = figure(&[curve("loss_first_half")]);
        assert!(alone.caption.ends_with("so none of its curves is here."), "{}", alone.caption);
    }

    #[test]
    fn metrics_share_no_axis_and_optional_columns_are_optional() {
        let text = "model,step,task,metric,value\nm,0,piqa,acc,0.5\nm,0,crows,difference,8\nm,512,crows,difference,7\n";
        let blocks = Published::parse("evals.csv", text).expect("a file").blocks(&["m"], &[]);
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
            "no row has both a step of at least 0 and a value; rows without a step are only drawn beside such rows"
        );
    }
}
