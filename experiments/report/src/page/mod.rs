//! One self-contained HTML page: no request, no frame, a strict content policy, readable without its script.

use crate::chart::Chart;
use crate::listing::Listing;

/// A page.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Its title.
    pub title: String,
    /// What stands below the title: paragraphs of plain text.
    pub lead: Vec<String>,
    /// Its sections, in the order of reading; the first level of the table of contents.
    pub sections: Vec<Section>,
}

/// A section with a place in the table of contents.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// A word for links: lower case letters, digits and hyphens.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// What it holds.
    pub blocks: Vec<Block>,
}

/// A part of a section.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// A paragraph of plain text.
    Text(String),
    /// A table.
    Listing(Listing),
    /// A figure.
    Figure(Figure),
    /// Names with their values, such as the provenance.
    Pairs(Vec<(String, String)>),
    /// Something long that is folded until asked for: a heading and its text, such as a resolved experiment.
    Folded {
        /// The line that is always seen.
        title: String,
        /// The text, in a fixed-width face.
        text: String,
    },
}

/// A chart with everything that belongs under it.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// A word for files and links: lower case letters, digits and hyphens.
    pub id: String,
    /// What it shows, in a few words.
    pub title: String,
    /// How to read it, in a sentence or two.
    pub caption: String,
    /// What it shows to those who do not see it: the finding, not the look.
    pub alt: String,
    /// The chart.
    pub chart: Chart,
    /// Its data as CSV with a header line.
    pub csv: String,
    /// The lines that make its data from the results.
    pub code: Code,
}

/// Lines of Polars that reproduce a figure's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// For Python.
    pub python: String,
    /// For Rust.
    pub rust: String,
}
