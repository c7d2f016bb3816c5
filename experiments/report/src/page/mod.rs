//! One self-contained HTML page: no request, no frame, a strict content policy, readable without its script.
//!
//! A figure's id is that of its element. Sections and listings may have the same ids as figures, so the ids of their
//! elements contain an underscore, which ids of figures never do.
//!
//! ```
//! use pythia_report::page::{Block, Page, Section};
//!
//! let blocks = vec![Block::Text("Heads of layer 5 score highest.".into())];
//! let section = Section { id: "heads".into(), title: "Heads".into(), blocks };
//! let page = Page { title: "pythia-70m".into(), lead: Vec::new(), sections: vec![section] };
//! assert!(page.html().contains("<p>Heads of layer 5 score highest.</p>"));
//! ```

mod csv;
mod figure;
mod html;
mod policy;
mod table;

use self::html::Html;
use crate::chart::{Chart, Drawing};
use crate::listing::Listing;

/// The content of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// Title of the page and of its browser tab.
    pub title: String,
    /// What stands below the title: paragraphs of plain text, in which a piece between backticks is code.
    pub lead: Vec<String>,
    /// Its sections, in the order of reading; the first level of the table of contents.
    pub sections: Vec<Section>,
}

impl Page {
    /// The whole page as one file. The same page is the same text, on every machine.
    pub fn html(&self) -> String {
        let mut html = Html::default();
        html.raw("<!doctype html>\n");
        html.element("html", &[("lang", "en")], |html| {
            html.element("head", &[], |html| self.head(html));
            html.element("body", &[], |html| self.body(html));
        });
        html.raw("\n");
        html.into_string()
    }

    /// Its figures in the order of reading; captions count them from 1.
    pub fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.sections.iter().flat_map(Section::figures)
    }

    fn head(&self, html: &mut Html) {
        let policy = policy::policy(policy::STYLE, policy::SCRIPT);
        html.start("meta", &[("charset", "utf-8")]);
        html.start("meta", &[("http-equiv", "Content-Security-Policy"), ("content", &policy)]);
        html.start("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
        html.start("meta", &[("name", "color-scheme"), ("content", "light dark")]);
        html.start("meta", &[("name", "referrer"), ("content", "no-referrer")]);
        // An icon of nothing, or a browser would ask a server for one.
        html.start("link", &[("rel", "icon"), ("href", "data:,")]);
        html.leaf("title", &[], &self.title);
        html.element("style", &[], |html| html.raw(policy::STYLE));
    }

    fn body(&self, html: &mut Html) {
        html.leaf("a", &[("class", "skip"), ("href", "#_main")], "Skip to the results");
        html.element("header", &[], |html| {
            html.leaf("h1", &[], &self.title);
            for paragraph in &self.lead {
                html.element("p", &[], |html| html.prose(paragraph));
            }
        });
        html.element("nav", &[("aria-labelledby", "_contents")], |html| self.contents(html));
        html.element("main", &[("id", "_main"), ("tabindex", "-1")], |html| {
            let mut number = 0;
            for section in &self.sections {
                section.write(html, &mut number);
            }
        });
        // A module is strict, keeps its names to itself, and runs when all figures are there.
        html.element("script", &[("type", "module")], |html| html.raw(policy::SCRIPT));
    }

    /// The table of contents: sections, and what can be linked to inside of them.
    fn contents(&self, html: &mut Html) {
        html.leaf("h2", &[("id", "_contents")], "Contents");
        html.element("ol", &[], |html| {
            for section in &self.sections {
                html.element("li", &[], |html| {
                    link(html, &section.anchor(), &section.title);
                    let entries: Vec<_> = section.blocks.iter().filter_map(Block::entry).collect();
                    if !entries.is_empty() {
                        html.element("ol", &[], |html| {
                            for (id, title) in entries {
                                html.element("li", &[], |html| link(html, &id, title));
                            }
                        });
                    }
                });
                html.raw("\n");
            }
        });
    }
}

/// A link to a place in the page.
fn link(html: &mut Html, id: &str, title: &str) {
    html.leaf("a", &[("href", &format!("#{id}"))], title);
}

/// A section with a place in the table of contents.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// A word for links: lower case letters, digits and hyphens.
    pub id: String,
    /// Heading of the section, also in the table of contents.
    pub title: String,
    /// What it holds.
    pub blocks: Vec<Block>,
}

impl Section {
    /// Figures of the section, in the order of reading.
    pub fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Figure(figure) => Some(figure),
            _ => None,
        })
    }

    /// The id of its element.
    fn anchor(&self) -> String {
        format!("section_{}", self.id)
    }

    /// Writes it; `number` counts the figures of the page.
    fn write(&self, html: &mut Html, number: &mut usize) {
        let (anchor, heading) = (self.anchor(), format!("{}_heading", self.anchor()));
        html.element("section", &[("id", &anchor), ("aria-labelledby", &heading)], |html| {
            html.leaf("h2", &[("id", &heading)], &self.title);
            for block in &self.blocks {
                block.write(html, number);
            }
        });
        html.raw("\n");
    }
}

/// A part of a section.
#[expect(clippy::large_enum_variant, reason = "a page has some dozens of them, most of them figures")]
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// A paragraph of plain text, in which a piece between backticks is code.
    Text(String),
    /// A small table.
    Listing(Listing),
    /// A chart with its caption, data and code.
    Figure(Figure),
    /// Names with their values, such as the provenance.
    Pairs(Vec<(String, String)>),
    /// A long text that is folded until the reader opens it, such as a resolved experiment.
    Folded {
        /// The line that is always seen.
        title: String,
        /// The text, in a fixed-width face.
        text: String,
    },
}

impl Block {
    /// The id of its element and its title in the table of contents, if it has a place there.
    fn entry(&self) -> Option<(String, &str)> {
        match self {
            Self::Listing(listing) => Some((table::anchor(listing), &listing.title)),
            Self::Figure(figure) => Some((figure.id.clone(), &figure.title)),
            Self::Text(_) | Self::Pairs(_) | Self::Folded { .. } => None,
        }
    }

    fn write(&self, html: &mut Html, number: &mut usize) {
        match self {
            Self::Text(text) => html.element("p", &[], |html| html.prose(text)),
            Self::Listing(listing) => table::listing(html, listing),
            Self::Figure(figure) => {
                *number += 1;
                figure::figure(html, *number, figure, &figure.draw());
            }
            Self::Pairs(pairs) => html.element("dl", &[], |html| {
                for (name, value) in pairs {
                    html.element("div", &[], |html| {
                        html.leaf("dt", &[], name);
                        html.leaf("dd", &[], value);
                    });
                }
            }),
            Self::Folded { title, text } => html.element("details", &[("class", "folded")], |html| {
                html.leaf("summary", &[], title);
                html.leaf("pre", &[("tabindex", "0")], text);
            }),
        }
    }
}

/// A chart with its caption, data and code.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// A word for files and links: lower case letters, digits and hyphens.
    pub id: String,
    /// What it shows, in a few words.
    pub title: String,
    /// How to read it, in a sentence or two.
    pub caption: String,
    /// The finding in words, for readers who do not see the chart.
    pub alt: String,
    /// What is drawn.
    pub chart: Chart,
    /// Its data as CSV with a header line.
    pub csv: String,
    /// The code that makes its data from the results.
    pub code: Code,
}

impl Figure {
    /// Draws its picture, which is the same in the page and in its file.
    pub fn draw(&self) -> Drawing {
        self.chart.draw(&self.id, &self.title, &self.alt)
    }
}

/// Polars code that reproduces a figure's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Code {
    /// For Python.
    pub python: String,
    /// For Rust.
    pub rust: String,
}

#[cfg(test)]
mod tests;
