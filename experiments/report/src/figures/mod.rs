//! The sections of a report: one for each table, then comparisons of models, then published curves.
//!
//! ```
//! use pythia_report::figures::{Published, PublishedError};
//!
//! let text = "model,step,task,metric,value\npythia-70m,512,lambada,acc,0.1\n";
//! assert!(Published::parse("evals.csv", text).is_ok());
//! let refused = Published::parse("evals.csv", "model,step\npythia-70m,512\n");
//! assert!(matches!(refused, Err(PublishedError::Column { column: "task" })));
//! ```

use crate::kinds::{TableKind, main_tables};
use crate::page::{Block, Section};
use crate::results::{DeclaredColumn, Results, ResultsError, Table, declared};
use crate::words;

mod across;
mod colors;
mod published;
mod sample;

pub use published::{Published, PublishedError};

/// The sections of all tables, then the comparison of models.
pub(crate) fn sections(results: &Results, published: Option<&Published>) -> Result<Vec<Section>, ResultsError> {
    let mut sections = Vec::new();
    for (table, kind) in main_tables(results) {
        let mut blocks = match kind {
            Some(kind) => sample::stated(table, kind.section(table)?)?,
            None => vec![Block::Text(unknown(table))],
        };
        blocks.extend(columns(table));
        sections.extend(section(&words::slug(&table.name), &title(table, kind), blocks));
    }
    let together = if results.models().len() > 1 { "Across models" } else { "Scores and losses together" };
    sections.extend(section("across", together, across::blocks(results)?));
    if let Some(published) = published {
        let blocks = published.blocks(&results.models(), &published::own_curves(results)?);
        sections.extend(section("published", "Published evaluations", blocks));
    }
    colors::fix(&mut sections, &results.models());
    Ok(sections)
}

fn section(id: &str, title: &str, blocks: Vec<Block>) -> Option<Section> {
    (!blocks.is_empty()).then(|| Section { id: id.into(), title: title.into(), blocks })
}

/// What is said of a table of an unknown probe.
fn unknown(table: &Table) -> String {
    let probe = match table.origin.kind.as_str() {
        "" => "its files do not say which probe made them".to_owned(),
        kind => format!("this version has none for the probe `{kind}`"),
    };
    format!("There are no figures of this table: {probe}. `pythia query` can read it.")
}

/// The documentation of a table's columns, folded; none for a table of an unknown probe.
fn columns(table: &Table) -> Option<Block> {
    let line = |column: &DeclaredColumn| format!("{}: {}, {}\n", column.name, column.values, column.describe());
    let text: String = declared(&table.origin.kind, "").iter().map(line).collect();
    (!text.is_empty()).then(|| Block::Folded { title: format!("Columns of {}", table.name), text })
}

/// What a section is called: what its probe measures, and the table where that has a name of its own.
fn title(table: &Table, kind: Option<&TableKind>) -> String {
    match kind {
        None => table.name.clone(),
        Some(kind) if table.name == kind.name => kind.title.to_owned(),
        Some(kind) => format!("{}: {}", kind.title, table.name),
    }
}
