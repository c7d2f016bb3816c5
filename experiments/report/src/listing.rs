//! A small table as people read it: in a terminal, in the page, as CSV and as JSON.

/// A table of texts with what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// A word for files and links: lower case letters, digits and hyphens.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// A sentence on how to read it; may be empty.
    pub note: String,
    /// Its columns.
    pub columns: Vec<ListingColumn>,
    /// Its rows, each with a text for every column; an empty text stands for no value.
    pub rows: Vec<Vec<String>>,
}

/// A column of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListingColumn {
    /// Its name.
    pub name: String,
    /// Whether it holds numbers, which stand at the right.
    pub numeric: bool,
}
