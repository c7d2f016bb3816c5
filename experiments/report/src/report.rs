//! The report of a folder: a page and the files beside it.

use std::path::PathBuf;

use crate::figures::{self, Published};
use crate::page::{Block, Page, Section};
use crate::results::{Record, Results, ResultsError};
use crate::summary;
use crate::words;

/// A report, in memory: whoever asked for it puts the files in their places.
#[derive(Clone, Debug)]
pub struct Report {
    /// The page.
    pub page: Page,
    /// Every figure as SVG and its data as CSV, by their paths beside the page.
    pub files: Vec<(PathBuf, Vec<u8>)>,
}

/// Looks at everything in a folder.
///
/// # Errors
/// [`ResultsError`] where a table cannot be read.
pub fn report(results: &Results, published: Option<&Published>) -> Result<Report, ResultsError> {
    let mut sections = figures::sections(results, published)?;
    sections.push(integrity(results)?);
    sections.push(provenance(results));
    let page = Page { title: title(results), lead: lead(results, &sections), sections };
    let files = files(&page);
    Ok(Report { page, files })
}

fn title(results: &Results) -> String {
    let names: Vec<&str> = results.records.iter().map(|record| record.name.as_str()).collect();
    match names.as_slice() {
        [] => results.root.display().to_string(),
        names => names.join(", "),
    }
}

/// What stands at the top: what was looked at, and the first finding of each section.
fn lead(results: &Results, sections: &[Section]) -> Vec<String> {
    let models = results.models();
    let checkpoints: usize = results.checkpoints.iter().flat_map(|table| table.parts.values().map(Vec::len)).sum();
    let tables = words::plural(results.tables.values().filter(|table| table.origin.table.is_empty()).count(), "table");
    let what = match models.as_slice() {
        [] => "No results yet.".to_owned(),
        models => format!("{} at {}, {tables} of results.", list(models), words::plural(checkpoints, "checkpoint")),
    };
    let first = |section: &Section| {
        section.blocks.iter().find_map(|block| match block {
            Block::Figure(figure) => Some(figure.alt.clone()),
            _ => None,
        })
    };
    let findings = sections.iter().filter_map(first).take(3);
    [what].into_iter().chain(findings).chain([summary::WHEN.to_owned()]).collect()
}

fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Which checkpoints the curves run through, and what is missing.
fn integrity(results: &Results) -> Result<Section, ResultsError> {
    let listings = [summary::checkpoints(results)?, summary::bad_checkpoints(results)?, summary::missing(results)];
    let complete = listings[2].is_none() && !results.records.is_empty();
    let mut blocks: Vec<Block> = listings.into_iter().flatten().map(Block::Listing).collect();
    if complete {
        blocks.push(Block::Text("Nothing is missing: every cell of every experiment in this folder is there.".into()));
    }
    if blocks.is_empty() {
        blocks.push(Block::Text("The folder has neither a table of checkpoints nor a record of an experiment.".into()));
    }
    Ok(Section { id: "integrity".into(), title: "Checkpoints".into(), blocks })
}

/// Everything that is needed to repeat the run.
fn provenance(results: &Results) -> Section {
    let mut blocks = vec![Block::Text(
        "Every table carries its own provenance in the metadata of its Parquet files; `pl.read_parquet_metadata(file)` shows it. What \
         follows is that of the first part of each table, and the experiments as they were resolved, every default filled in."
            .into(),
    )];
    for table in results.tables.values().filter(|table| table.origin.table.is_empty()) {
        const KEYS: [&str; 8] =
            ["version", "table_version", "seed", "prepend_bos", "device", "dtype", "weights", "config_hash"];
        let metadata = &table.origin.metadata;
        let pairs = KEYS.iter().filter_map(|key| Some(((*key).replace('_', " "), metadata.get(*key)?.clone())));
        let head = [("table".to_owned(), table.name.clone()), ("probe".to_owned(), table.origin.kind.clone())];
        blocks.push(Block::Pairs(head.into_iter().chain(pairs).collect()));
        blocks.push(Block::Folded {
            title: format!("Configuration of {}", table.name),
            text: format!("{:#}", table.origin.config()),
        });
    }
    let fold =
        |record: &Record| Block::Folded { title: format!("Experiment {}", record.name), text: record.text.clone() };
    blocks.extend(results.records.iter().map(fold));
    Section { id: "provenance".into(), title: "Provenance".into(), blocks }
}

fn files(page: &Page) -> Vec<(PathBuf, Vec<u8>)> {
    let figures = page.sections.iter().flat_map(|section| &section.blocks).filter_map(|block| match block {
        Block::Figure(figure) => Some(figure),
        _ => None,
    });
    let both = figures.flat_map(|figure| {
        let drawing = figure.chart.draw(&figure.id, &figure.title, &figure.alt);
        let path = |ending: &str| PathBuf::from(format!("figures/{}.{ending}", figure.id));
        [(path("svg"), drawing.svg.into_bytes()), (path("csv"), figure.csv.clone().into_bytes())]
    });
    both.collect()
}
