//! `pythia verify`: is every checkpoint of a model what its name says?

use std::ffi::OsString;
use std::path::PathBuf;

use pythia_core::store::{self, Checkpoints, ModelRef, StoreError};
use pythia_core::suite::{Checkpoint, ModelId, Step};
use pythia_hub::Lock;
use serde_json::json;

use crate::checkpoint::hub_access::{HubAccess, HubAccessError, PinRequest};
use crate::checkpoint::single::model_named;
use crate::checkpoint::verify::{self, Findings};
use crate::cli::failure::Failure;
use crate::config::read_text;
use crate::integrity::KnownDefects;
use crate::resolved::pins::Pins;
use crate::terminal::exit::{self, Exit};
use crate::terminal::human;
use crate::terminal::progress::Progress;
use crate::terminal::say;

/// Check every checkpoint of a model: is it what its name says?
///
/// For a model of the suite the hub is asked for each branch's commit and the hashes of its files; nothing is fetched.
/// Branches with the same weights, branches without weights, and those on the list of known defects are named. With
/// --read, and for a folder, the weights on this disk are read too, and equal weights, parts of another step (a shard)
/// and jumps of the embedding's norm are reported.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    /// A name of the suite, or a folder of checkpoints
    model: OsString,
    /// Only these steps
    #[arg(long, value_delimiter = ',', value_name = "STEP,STEP")]
    steps: Vec<Step>,
    /// Read the weights that are on this disk
    #[arg(long)]
    read: bool,
    /// A file that adds to the list of known defects
    #[arg(long, value_name = "FILE")]
    known_bad: Option<PathBuf>,
    /// Take commits and hashes from this lock file; the hub is not asked
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
    /// Open no connection
    #[arg(long)]
    offline: bool,
    /// Print JSON to stdout
    #[arg(long)]
    json: bool,
}

const LONG_HELP: &str = exit::examples!(
    "  pythia verify pythia-2.8b
  pythia verify pythia-12b --steps 49000,50000,51000 --read
  pythia verify ./data/nano --json"
);

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let known = known(&args)?;
    let findings = match model_named(&args.model)? {
        ModelRef::Suite(id) if !args.read => listing(&args, id, &known)?,
        model => contents(&args, &model, &known)?,
    };
    if args.json {
        super::print(&format!("{:#}", json!({ "model": args.model.to_string_lossy(), "findings": findings.json() })))?;
    } else {
        findings.lines().iter().try_for_each(|line| super::print(line))?;
    }
    Ok(if findings.is_clean() { Exit::Ok } else { Exit::BadInput })
}

fn known(args: &Args) -> Result<KnownDefects, Failure> {
    let Some(path) = &args.known_bad else { return Ok(KnownDefects::default()) };
    Ok(KnownDefects::parse(path.clone(), &read_text(path)?)?)
}

/// By the hashes that the hub lists.
fn listing(args: &Args, id: ModelId, known: &KnownDefects) -> Result<Findings, Failure> {
    let steps = chosen(args, id.info().grid());
    steps.iter().try_for_each(|step| Checkpoint::new(id, *step).map(drop)).map_err(StoreError::from)?;
    let request = PinRequest { id, steps: steps.iter().copied().collect() };
    let lock = match &args.lock {
        Some(path) => HubAccess::lock_in(path)?,
        None => ask(args, &request)?,
    };
    let pins = Pins::of(&lock, id).ok_or(HubAccessError::NotPinned { model: id })?;
    Ok(verify::by_listing(&pins, id, known, &steps))
}

fn ask(args: &Args, request: &PinRequest) -> Result<Lock, Failure> {
    let hub = HubAccess::open_client(None, args.offline);
    let repo = request.repo();
    let pins = HubAccess::resolve(&hub, &repo, request.branches(), &|line| say!("{line}"))?;
    say!("{repo}: {} listed", human::plural(pins.len(), "branch"));
    Ok(Lock { repos: [(repo, pins)].into() })
}

/// By the weights on this disk.
fn contents(args: &Args, model: &ModelRef, known: &KnownDefects) -> Result<Findings, Failure> {
    let hub = HubAccess::open_client(None, true);
    let store = store::open(model, hub.cache())?;
    let there = store.steps()?;
    let steps = chosen(args, &there);
    let mut progress = Progress::new(format!("reading {}", store.model()), steps.len());
    let findings = verify::by_content(store.as_ref() as &dyn Checkpoints, known, &steps, |done, step| {
        progress.advance_to(done, &step.to_string());
    });
    progress.finish();
    Ok(findings)
}

fn chosen(args: &Args, all: &[Step]) -> Vec<Step> {
    if args.steps.is_empty() { all.to_vec() } else { args.steps.clone() }
}
