//! What people look at: a folder of results → frames → summaries, figures, one HTML report.
//!
//! Nothing here knows models, hooks or probes as code. The Parquet files are all there is between a sweep and its report, so
//! a report can be made years later, on another machine, and what it shows is what any reader of the files would see.
#![forbid(unsafe_code)]

mod change_point;
pub mod chart;
pub mod figures;
pub mod kinds;
pub mod listing;
pub mod page;
mod pick;
pub mod query;
pub mod report;
pub mod results;
pub mod summary;
#[cfg(test)]
mod testing;
pub mod words;
