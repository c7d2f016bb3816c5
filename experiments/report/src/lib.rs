//! What people look at: a folder of results → tables → summaries, figures, one HTML report.
//!
//! The Parquet files are all that a report is made of. This crate depends on no other crate of the workspace and reads
//! no model, so a report can be made years later, on another machine, and shows what any reader of the files would see.
//! What it must know of the probes' tables (names, types and meanings of columns) is data: `columns.json`, which the
//! probes generate.
//!
//! | module | holds |
//! |---|---|
//! | [`results`] | the tables of an output folder, checked, as frames and curves |
//! | [`kinds`] | what is made of the tables of each probe: one file and one row per probe |
//! | [`summary`] | the few numbers that one asks for first |
//! | [`figures`] | the sections of a report |
//! | [`report`] | the report of a folder: the page and the files beside it |
//! | [`query`] | SQL over the tables |
//! | [`page`] | one self-contained HTML page |
//! | [`listing`] | a small table for a terminal, the page, CSV and JSON |
//! | [`chart`] | numbers → SVG |
//!
//! This crate never uses the network, writes no file, and reads none outside the folder that it is given.
//!
//! ```
//! use pythia_report::chart::{Chart, LinePanel, Lines, Point, Series, Tone, X, Y};
//!
//! let points = [(0.0, 0.02), (512.0, 0.4), (143_000.0, 0.9)];
//! let points = points.map(|(x, y)| Point { x, y: Some(y), band: None }).to_vec();
//! let series = vec![Series { name: "L5H1".into(), tone: Tone::Color(0), points, event: None }];
//! let chart = Chart::Lines(Lines {
//!     x: X::Steps { tokens_per_step: Some(2_097_152.0) },
//!     y: Y { label: "induction score".into(), include: vec![0.0, 1.0] },
//!     panels: vec![LinePanel { title: String::new(), series }],
//! });
//! let drawing = chart.draw("induction", "Induction", "The induction score of head L5H1 rises to 0.9.");
//! assert!(drawing.svg.starts_with("<svg"));
//! ```
//!
//! A report takes three calls; `pythia report` makes them:
//!
//! ```no_run
//! use pythia_report::{report::report, results::Results};
//!
//! let results = Results::open("out/demo".as_ref())?;
//! let report = report(&results, None)?;
//! std::fs::write("report.html", report.page.html())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod chart;
pub mod figures;
pub mod kinds;
pub mod listing;
pub mod page;
pub mod query;
pub mod report;
pub mod results;
pub mod summary;
pub mod words;

pub use pick::quote;

mod change_point;
mod pick;
#[cfg(test)]
mod testing;
