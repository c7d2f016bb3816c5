//! `pythia merge`: the parts of every table as one file per model.

use std::path::PathBuf;

use crate::cli::error::CommandError;
use crate::cli::failure::Failure;
use crate::cli::results_args::ResultsArgs;
use crate::results::merge::Merge;
use crate::terminal::exit::{self, Exit};
use crate::terminal::{human, quote, say};

/// Put the parts of every table together: one file per table and model, sorted by step
///
/// DIR/results stays as it is; the merged tables appear as DIR/merged/TABLE/MODEL.parquet, each whole or not at all.
/// Missing parts are listed and nothing is merged, unless --allow-missing (checkpoints that a run left out as bad are
/// not missing); parts of one table that were made with different settings are never mixed. Merging twice gives the
/// same bytes. Metadata that differs between parts is kept in the merged file as JSON by step, under pythia.parts.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    results: ResultsArgs,
    /// Folder for the merged tables [default: DIR/merged]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Merge what there is, also where parts are missing
    #[arg(long)]
    allow_missing: bool,
}

const LONG_HELP: &str = exit::examples!(
    "  pythia merge out/demo
  pythia merge out/demo --allow-missing --out /tmp/so-far
  python -c 'import polars as pl; print(pl.scan_parquet(\"out/demo/merged/head_scores/*.parquet\").collect())'"
);

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let dir = args.results.folder()?;
    let to = args.out.unwrap_or_else(|| dir.join("merged"));
    if is_inside(&to, &dir.join("results")) {
        return Err(CommandError::OutIsInput(to).into());
    }
    let merge = Merge::open(dir, to, args.allow_missing)?;
    warn(&merge);
    let merged = merge.run(|one| {
        let (table, model, parts, rows) = (&one.table, &one.model, one.parts, one.rows);
        say!("{table}: {model}: {}, {}", human::plural(parts, "part"), human::plural(rows as usize, "row"));
    })?;
    if merged.is_empty() {
        say!("there is nothing to merge in {}", merge.from.display());
        return Ok(Exit::Ok);
    }
    say!("Merged tables are in {}; read them with", merge.to.display());
    say!("  import polars as pl");
    let mut tables: Vec<&str> = merged.iter().map(|one| one.table.as_str()).collect();
    tables.dedup();
    for table in tables {
        say!("  {}", quote::scan_parquet(&merge.to.join(table), "*.parquet"));
    }
    Ok(Exit::Ok)
}

/// Says how much is missing of what is merged all the same, and what was left out.
fn warn(merge: &Merge) {
    let missing_parts = &merge.missing_parts;
    if !missing_parts.has_manifest {
        say!("warning: there is no manifest of a run here, so missing parts cannot be found");
    } else if merge.allow_missing && !missing_parts.missing.is_empty() {
        let expected = human::plural(missing_parts.expected, "part");
        say!("warning: missing {} of {expected}", missing_parts.missing.len());
    }
    if missing_parts.left_out > 0 {
        let left_out = human::plural(missing_parts.left_out, "checkpoint");
        say!("left out as bad: {left_out}, with rows in the table `checkpoints` alone");
    }
}

/// Whether a path leads into a folder, as far as it exists.
fn is_inside(path: &std::path::Path, folder: &std::path::Path) -> bool {
    let Ok(folder) = folder.canonicalize() else { return false };
    let there = path.ancestors().find_map(|ancestor| ancestor.canonicalize().ok());
    there.is_some_and(|there| there.starts_with(&folder))
}
