//! `pythia summary`: the main numbers of a folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pythia_report::listing::Listing;
use pythia_report::results::Results;
use pythia_report::summary;
use serde_json::Value;

use crate::cli::failure::Failure;
use crate::cli::results_args::ResultsArgs;
use crate::files::folder::PendingFile;
use crate::results::manifest::Manifest;
use crate::results::status::clean;
use crate::terminal::exit::{self, Exit};
use crate::terminal::human;
use crate::terminal::say;

/// Summarise an output folder: top heads and when they emerged, largest effects, losses, bad checkpoints, missing cells
///
/// Reads the tables under DIR/results, also while a run goes on. Each curve over checkpoints is given with the step at
/// which it changes and a 95 % interval.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    results: ResultsArgs,
    /// Rows for each model and score, method or direction
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    top: u32,
    /// Print JSON to stdout
    #[arg(long)]
    json: bool,
    /// Write each table as CSV into this folder
    #[arg(long, value_name = "DIR")]
    csv: Option<PathBuf>,
}

const LONG_HELP: &str = exit::examples!(
    "  pythia summary out/demo
  pythia summary out/demo --top 1
  pythia summary out/demo --json | jq '.[] | select(.id == \"head-scores\") | .rows[0]'
  pythia summary out/demo --top 1000 --csv summary/"
);

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let dir = args.results.folder()?;
    let mut results = Results::open(&dir)?;
    let listings = results.around_damage(|results| summary::summary(results, args.top as usize))?;
    if let Some(folder) = &args.csv {
        for listing in &listings {
            PendingFile::claim(&folder.join(format!("{}.csv", listing.id)))?.write(listing.csv().as_bytes())?;
        }
        say!("wrote {} to {}", human::plural(listings.len(), "table"), folder.display());
    }
    match () {
        () if args.json => super::print(&format!("{:#}", Value::from_iter(listings.iter().map(Listing::json))))?,
        () if args.csv.is_none() => {
            terminal(&listings)?;
            for note in notes(&dir)? {
                super::print(&format!("note: {note}"))?;
            }
        }
        () => {}
    }
    super::query::complete(&results)
}

/// What the runs of the folder passed over or could not read.
fn notes(out: &Path) -> Result<BTreeSet<String>, Failure> {
    let manifests = Manifest::all(out)?;
    Ok(manifests.iter().flat_map(|manifest| &manifest.notes).map(|note| clean(note)).collect())
}

fn terminal(listings: &[Listing]) -> Result<(), Failure> {
    if listings.is_empty() {
        return super::print("no results yet");
    }
    for listing in listings {
        super::print(&format!("{}\n", listing.terminal()))?;
    }
    super::print(summary::WHEN)
}
