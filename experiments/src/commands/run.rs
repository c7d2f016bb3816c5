//! `pythia run`: sweep an experiment's probes over its checkpoints.

use std::path::PathBuf;
use std::sync::Arc;

use super::ExperimentArgs;
use crate::disk::{Disk, pairs};
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::folder::Folder;
use crate::journal::{Event, Journal};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::study::Study;
use crate::sweep::{self, Outcome, Sweep};
use crate::{cell, place, record, signals};

/// Sweep an experiment's probes over its checkpoints; resumes what was begun
///
/// Tables appear under OUT/results/PROBE/MODEL/step000512.parquet, whole or not at all, and can be read while the run goes
/// on. What is done is skipped: running the same command again resumes, after an error, an interruption or a power cut,
/// and gives the same bytes as a run that was never interrupted.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub struct Args {
    #[command(flatten)]
    pub(crate) experiment: ExperimentArgs,
    /// Remove the results of this experiment's probes on its models first
    #[arg(long)]
    pub(crate) fresh: bool,
}

const LONG_HELP: &str = concat!(
    "Examples:
  pythia run exp.toml
  pythia run exp.toml --limit 3 --out /tmp/trial
  pythia run exp.toml --set seed=1 --set 'steps=[0, 512, 1000]' --out out/seed1
  python -c 'import polars as pl; print(pl.scan_parquet(\"out/results/head_scores/**/*.parquet\").collect())'

",
    exit::help!()
);

/// Runs the command.
pub fn run(args: Args) -> Result<Exit, Failure> {
    let experiment = args.experiment.experiment()?;
    let disk = args.experiment.disk(&experiment);
    let study = Study::open(experiment)?;
    let outcome = sweep(&study, &disk, args.experiment.limit, args.fresh)?;
    Ok(report(&study, &disk, &outcome))
}

/// Does what is left of a study in a folder.
pub(crate) fn sweep(study: &Study, disk: &Disk, limit: Option<usize>, fresh: bool) -> Result<Outcome, Failure> {
    let folder = Arc::new(Folder::create(&disk.out)?);
    if fresh {
        remove_results(study, &folder)?;
    }
    refuse_strangers(study, disk)?;
    let plan = Plan::make(study, disk, limit);
    let writing = sweep::write_lock();
    let farewell = format!("stopped: finished cells are kept; resume with\n  {}", place::this_command());
    signals::stop_cleanly(Arc::clone(&folder), Arc::clone(&writing), farewell).map_err(Failure::Signals)?;
    let record = record::of(study);
    folder.write(&record::file(study), record.as_bytes())?;
    let mut journal = Journal::open(&folder)?;
    let hash = blake3::hash(record.as_bytes()).to_hex().to_string();
    let (cells, done, version) = (plan.cells.len(), plan.n_done(), env!("CARGO_PKG_VERSION"));
    journal.note(&Event::Started { version, experiment: &hash, cells, done })?;
    announce(study, &plan);
    let mut progress = Progress::new(study.experiment.name.clone(), cells - done);
    let outcome = Sweep { study, plan: &plan, folder: &folder, writing }.run(&mut journal, &mut progress)?;
    journal.note(&Event::Finished { failed: outcome.failed.len(), seconds: progress.seconds() })?;
    let seconds = progress.seconds();
    progress.finish();
    eprintln!("{} cells done in {seconds:.1} s, {done} were done before, {} failed", outcome.done, outcome.failed.len());
    Ok(outcome)
}

fn remove_results(study: &Study, folder: &Folder) -> Result<(), Failure> {
    for (probe, model) in pairs(study) {
        folder.remove(&cell::file_of(&probe.name, &model.label, None).with_file_name(""))?;
    }
    Ok(())
}

fn refuse_strangers(study: &Study, disk: &Disk) -> Result<(), Failure> {
    let mut strangers = disk.strangers(study).into_iter();
    match strangers.next() {
        None => Ok(()),
        Some(first) => Err(Failure::Foreign {
            path: first.path,
            others: strangers.count(),
            found: first.found,
            wanted: first.wanted,
        }),
    }
}

/// Warns of published checkpoints that are known to be wrong: a curve through them is false.
fn announce(study: &Study, plan: &Plan) {
    let bad: Vec<_> = plan.cells.iter().filter_map(|cell| Some((cell.name(study), cell.known_bad?))).collect();
    if let Some((name, problem)) = bad.first() {
        eprintln!("warning: {} of the checkpoints are known to be wrong as published, first {name}: {problem}", bad.len());
    }
}

/// Says what failed and how to read what there is.
pub(crate) fn report(study: &Study, disk: &Disk, outcome: &Outcome) -> Exit {
    let mut last_remedy = None;
    for failed in &outcome.failed {
        for error in &failed.errors {
            if let Some(remedy) = last_remedy.filter(|last| *last != error.remedy()) {
                eprintln!("  remedy: {remedy}");
            }
            eprintln!("failed: {}: {error}", failed.name);
            last_remedy = Some(error.remedy());
        }
    }
    if let Some(remedy) = last_remedy {
        eprintln!("  remedy: {remedy}; then run the same command again");
    }
    eprintln!("results lie in {}; read them with", disk.out.join("results").display());
    for probe in &study.experiment.probes {
        eprintln!("  {}", polars_call(disk, &probe.name));
    }
    if outcome.failed.is_empty() { Exit::Ok } else { Exit::CellsFailed }
}

/// The call that reads one probe's table.
pub(crate) fn polars_call(disk: &Disk, probe: &str) -> String {
    let glob: PathBuf = disk.out.join("results").join(probe).join("**/*.parquet");
    format!("pl.scan_parquet(\"{}\").collect()", glob.display())
}
