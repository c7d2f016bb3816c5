//! `pythia run`: sweep an experiment's probes over its checkpoints.

pub(crate) mod messages;

use std::path::Path;
use std::sync::Arc;

use super::RunArgs;
use crate::checkpoint::fetch::HubFetcher;
use crate::checkpoint::hub_access::{HubAccess, HubAccessError, PinRequest, PinScope};
use crate::cli::device_args::open_device;
use crate::cli::error::CommandError;
use crate::cli::failure::Failure;
use crate::config::Experiment;
use crate::files::folder::Folder;
use crate::files::journal::{self, Event, Journal};
use crate::files::table;
use crate::integrity::CHECKPOINTS;
use crate::plan::Plan;
use crate::plan::disk::{Disk, WithoutResults, pairs};
use crate::resolved::ResolvedExperiment;
use crate::resolved::pair_counts::PairCounts;
use crate::results::{at_work, manifest};
use crate::sweep::outcome::Outcome;
use crate::sweep::refusal::{self, Refusal};
use crate::sweep::signals::{self, WriteLock};
use crate::sweep::{Sweep, Timeline};
use crate::terminal::env;
use crate::terminal::exit::{self, Exit};
use crate::terminal::progress::Progress;
use crate::terminal::{quote, say};

/// Sweep an experiment's probes over its checkpoints; resumes what was begun
///
/// Tables appear under OUT/results/PROBE/MODEL/step000512.parquet, whole or not at all, and can be read while the run
/// goes on. What is done is skipped: running the same command again resumes, after an error, an interruption or a power
/// cut, and gives the same bytes as a run that was never interrupted.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) experiment: RunArgs,
    /// Remove the results of this experiment's probes on its models first, and the models' table of checkpoints
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Write no report.html at the end
    #[arg(long)]
    pub(crate) no_report: bool,
}

const LONG_HELP: &str = exit::examples!(
    "  pythia run exp.toml
  pythia run exp.toml --limit 3 --out /tmp/trial
  pythia run exp.toml --set seed=1 --set 'steps=[0, 512, 1000]' --out out/seed1
  python -c 'import polars as pl; print(pl.scan_parquet(\"out/seed1/results/head_scores/**/*.parquet\").collect())'"
);

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let experiment = args.experiment.experiment()?;
    let disk = args.experiment.disk(&experiment);
    let hub = args.experiment.hub(&experiment)?;
    let (resolved, hub) = prepare(experiment, hub)?;
    let outcome = sweep(&resolved, &disk, &hub, args.experiment.limit, args.fresh)?;
    let exit = messages::report(&resolved, &disk, &outcome);
    if !args.no_report {
        show(&resolved, &disk);
    }
    Ok(exit)
}

/// Writes the report where there is something to show, and prints where it is. A report that cannot be written changes
/// no exit code: all tables are in their places.
pub(crate) fn show(resolved: &ResolvedExperiment, disk: &Disk) {
    // What cannot be listed was said with the results.
    if messages::tables_with_rows(resolved, disk).is_ok_and(|tables| tables.is_empty()) {
        return;
    }
    match super::report::write(&disk.out, None) {
        Ok((page, damage)) => {
            let (page, out) = (page.display(), quote::shell(&disk.out));
            say!("open {page} in a browser; `pythia summary {out}` has the numbers");
            if let Some(damage) = damage {
                say!("it lacks parts that other runs wrote: {}", Failure::from(damage).report(env::color()));
            }
        }
        Err(failure) => {
            say!("no report was written: {}", failure.report(env::color()))
        }
    }
}

/// Pins what the experiment reads of the hub, fetches the small files that describe its models, and resolves it.
pub(crate) fn prepare(experiment: Experiment, mut hub: HubAccess) -> Result<(ResolvedExperiment, HubAccess), Failure> {
    let requests = PinRequest::all(&experiment);
    if hub.pin(&requests, PinScope::Needed, &|line| say!("{line}"))? {
        say!("commits and hashes are pinned in {}", hub.file.display());
    }
    if !hub.client.settings().offline {
        requests.iter().try_for_each(|request| hub.describe(request))?;
    }
    let resolved = ResolvedExperiment::open(experiment, &hub.lock, hub.client.cache())?;
    Ok((resolved, hub))
}

/// Computes the results that a folder lacks.
pub(crate) fn sweep(
    resolved: &ResolvedExperiment,
    disk: &Disk,
    hub: &HubAccess,
    limit: Option<usize>,
    fresh: bool,
) -> Result<Outcome, Failure> {
    let machine = &resolved.experiment.machine;
    let runs_on = open_device(*machine.device.get_ref(), machine.dtype)?;
    refusal::check_version(resolved, disk, fresh)?;
    let folder = Arc::new(Folder::create(&disk.out)?);
    // Before the plan: what another process writes meanwhile may be unfinished to this one.
    let manifest = manifest::write::text(resolved);
    at_work::check_known(&disk.out, &manifest, false, journal::now())?;
    let plan = &plan(resolved, disk, hub, limit, fresh)?;
    if plan.largest_fetch() > 0 {
        // Known now, and not at each checkpoint again.
        hub.client.check_settings().map_err(HubAccessError::from)?;
    }
    let writing = stop_on_signals(&folder)?;
    let mut journal = begin(resolved, plan, &folder, &manifest)?;
    if fresh {
        remove_results(resolved, &folder)?;
    }
    let pair_counts = &PairCounts::of(resolved);
    messages::announce(resolved, plan, pair_counts);
    let fetcher = &HubFetcher::new(&hub.client, &hub.cache, plan.largest_fetch());
    let (runs_on, folder, timeline) = (&runs_on, folder.as_ref(), Timeline::start());
    let sweep = Sweep { resolved, plan, runs_on, folder, pair_counts, fetcher, writing, timeline };
    let mut progress = Progress::new(resolved.experiment.name.clone(), plan.cells.len() - plan.n_done());
    let outcome = sweep.run(&mut journal, &mut progress)?;
    progress.finish();
    let summary = sweep.timeline.summary();
    journal.note(&Event::Finished { failed: outcome.failed.len(), seconds: summary.seconds })?;
    folder.write(Path::new("state/timeline.json"), summary.json().as_bytes())?;
    messages::conclude(&outcome, plan, &summary);
    Ok(outcome)
}

/// The plan of a run that nothing speaks against. A fresh run is planned as if its results were gone, so that they are
/// removed only once it can begin.
fn plan(
    resolved: &ResolvedExperiment,
    disk: &Disk,
    hub: &HubAccess,
    limit: Option<usize>,
    fresh: bool,
) -> Result<Plan, Refusal> {
    let plan = if fresh {
        Plan::make(resolved, &WithoutResults(disk), limit)
    } else {
        refusal::check_results(resolved, disk)?;
        Plan::make(resolved, disk, limit)
    };
    refusal::check_plan(resolved, disk, &plan, hub.cache.budget().max)?;
    Ok(plan)
}

/// From now on a signal ends the process between two writes.
fn stop_on_signals(folder: &Arc<Folder>) -> Result<WriteLock, CommandError> {
    let writing = WriteLock::default();
    let message = format!("stopped: finished cells are kept; resume with\n  {}", env::this_command());
    signals::stop_cleanly(Arc::clone(folder), Arc::clone(&writing), message).map_err(CommandError::Signals)?;
    Ok(writing)
}

/// Writes the manifest, and the journal's first line. Gives way to a process that has begun in the same moment.
fn begin(resolved: &ResolvedExperiment, plan: &Plan, folder: &Folder, manifest: &str) -> Result<Journal, Failure> {
    folder.write(&manifest::write::file(resolved), manifest.as_bytes())?;
    let mut journal = Journal::open(folder)?;
    let hash = blake3::hash(manifest.as_bytes()).to_hex().to_string();
    journal.note(&Event::Started {
        name: &resolved.experiment.name,
        version: env!("CARGO_PKG_VERSION"),
        experiment: &hash,
        cells: plan.cells.len(),
        done: plan.n_done(),
    })?;
    if let Err(error) = at_work::check_known(folder.root(), manifest, true, journal::now()) {
        journal.note(&Event::Withdrawn {})?;
        return Err(error.into());
    }
    Ok(journal)
}

fn remove_results(resolved: &ResolvedExperiment, folder: &Folder) -> Result<(), Failure> {
    for (table, model) in pairs(resolved) {
        folder.remove(&table::file_of(&table.folder(), &model.label, None).with_file_name(""))?;
    }
    // Rows of other versions among new ones would leave a folder that cannot be read.
    for model in &resolved.models {
        folder.remove(&table::file_of(CHECKPOINTS, &model.label, None).with_file_name(""))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
