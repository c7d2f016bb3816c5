//! `pythia cache`: what the cache of checkpoints holds, and what to do with it.

use std::time::SystemTime;

use clap::Subcommand;
use pythia_hub::{Budget, Cached, Entry, LruCache, Usage};
use pythia_probes::Bytes;
use serde_json::{Value, json};

use super::ExperimentArgs;
use crate::checkpoint::hub_access::{HubAccessError, PinRequest, PinScope};
use crate::cli::failure::Failure;
use crate::resolved::pins::Pins;
use crate::terminal::Explained;
use crate::terminal::env;
use crate::terminal::exit::{self, Exit};
use crate::terminal::human;
use crate::terminal::say;

/// Look into the cache of checkpoints; fetch, verify or remove some
///
/// The cache is the one that the hub's Python client uses (HF_HUB_CACHE, HF_HOME/hub), and both use each other's files.
/// What other tools fetched is never removed unless `prune --all` asks for it.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

const LONG_HELP: &str = exit::examples!(
    "  pythia cache ls
  pythia cache fetch exp.toml --cache-max 200GB
  pythia cache verify pythia-70m
  pythia cache prune --keep 20GB"
);

/// What to do.
#[derive(Debug, Subcommand)]
enum Action {
    /// List what the cache holds
    Ls {
        /// Print JSON to stdout
        #[arg(long)]
        json: bool,
    },
    /// Fetch the checkpoints of an experiment ahead of a run, as far as the budget goes
    Fetch(ExperimentArgs),
    /// Hash files again and compare them with their names
    Verify {
        /// Of one model only
        model: Option<String>,
    },
    /// Remove what this program fetched
    Prune {
        /// Of one model only
        model: Option<String>,
        /// Keep this much, the most recently used first, for example 20GB
        #[arg(long, value_name = "BYTES")]
        keep: Option<Bytes>,
        /// Also what other tools fetched
        #[arg(long)]
        all: bool,
    },
}

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    match args.action {
        Action::Ls { json } => list(json),
        Action::Fetch(experiment) => fetch(&experiment),
        Action::Verify { model } => verify(model.as_deref()),
        Action::Prune { model, keep, all } => prune(model.as_deref(), keep.map(|bytes| bytes.get()), all),
    }
}

fn open_cache() -> LruCache {
    LruCache::open(&env::hub_settings().cache, Budget { max: None, min_free: 0 })
}

fn list(as_json: bool) -> Result<Exit, Failure> {
    let cache = open_cache();
    let (entries, usage) = (entries(&cache)?, cache.usage().map_err(HubAccessError::from)?);
    if as_json {
        let rows: Vec<Value> = entries.iter().map(entry_json).collect();
        super::print(&format!("{:#}", json!({ "entries": rows, "usage": usage_json(&usage) })))?;
        return Ok(Exit::Ok);
    }
    super::print(&format!("{:<36} {:<14} {:>10}  {:<14} from", "repository", "branch", "bytes", "last used"))?;
    for entry in &entries {
        super::print(&line(entry))?;
    }
    let Usage { ours, foreign, held, reserved, free } = usage;
    let [ours, foreign, held, reserved, free] = [ours, foreign, held, reserved, free].map(human::bytes);
    super::print(&format!(
        "{ours} fetched by pythia ({held} in use, {reserved} reserved), {foreign} by other tools, \
         {free} free on the disk"
    ))?;
    Ok(Exit::Ok)
}

fn entries(cache: &LruCache) -> Result<Vec<Entry>, Failure> {
    Ok(cache.entries().map_err(HubAccessError::from)?)
}

fn line(entry: &Entry) -> String {
    let branch = match (&entry.branches[..], &entry.commit) {
        ([], Some(commit)) => commit.as_str()[..12].to_owned(),
        ([], None) => "(no commit)".to_owned(),
        (branches, _) => branches.join(","),
    };
    let ours = entry.files.iter().any(|file| file.ours);
    let held = if entry.held { ", in use" } else { "" };
    let from = if ours { "pythia" } else { "another tool" };
    let (bytes, used) = (human::bytes(entry.bytes()), age(entry.last_used));
    format!("{:<36} {branch:<14} {bytes:>10}  {used:<14} {from}{held}", entry.repo.as_str())
}

/// How long ago, for messages.
fn age(time: Option<SystemTime>) -> String {
    match time.and_then(|time| time.elapsed().ok()) {
        None => "-".to_owned(),
        Some(age) => format!("{} ago", human::seconds(age.as_secs_f64())),
    }
}

fn entry_json(entry: &Entry) -> Value {
    let file = |file: &Cached| {
        json!({
            "name": file.name,
            "hash": file.hash,
            "bytes": file.size,
            "fetched_by_pythia": file.ours,
            "verified": file.verified,
        })
    };
    json!({
        "repository": entry.repo,
        "commit": entry.commit,
        "branches": entry.branches,
        "bytes": entry.bytes(),
        "in_use": entry.held,
        "files": entry.files.iter().map(file).collect::<Vec<Value>>(),
    })
}

fn usage_json(usage: &Usage) -> Value {
    let Usage { ours, foreign, held, reserved, free } = usage;
    json!({ "fetched_by_pythia": ours, "other_tools": foreign, "in_use": held, "reserved": reserved, "free": free })
}

/// Fetches checkpoints one after another, until the next one would not fit into the budget.
fn fetch(args: &ExperimentArgs) -> Result<Exit, Failure> {
    let experiment = args.experiment()?;
    let mut hub = args.hub(&experiment)?;
    let requests = PinRequest::all(&experiment);
    hub.pin(&requests, PinScope::Needed, &|line| say!("{line}"))?;
    let mut holds = Vec::new();
    for request in &requests {
        let Some(pins) = Pins::of(&hub.lock, request.id) else { continue };
        for step in request.steps.iter().map(|step| Some(*step)) {
            match hub.fetch(&pins, step) {
                Ok(hold) => holds.push(hold),
                Err(error) if error.exit() == Exit::Resources && !holds.is_empty() => {
                    let step = crate::resolved::pins::branch(step);
                    let there = human::plural(holds.len(), "checkpoint");
                    say!("the budget is spent at {} {step}; now in the cache: {there}", request.id);
                    return Ok(Exit::Ok);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    say!("now in the cache: {}", human::plural(holds.len(), "checkpoint"));
    Ok(Exit::Ok)
}

fn of_model(entry: &Entry, model: Option<&str>) -> bool {
    model.is_none_or(|model| entry.repo.short() == model || entry.repo.as_str() == model)
}

/// Prints a note if a name matches nothing, since it may be misspelt.
fn none_of(model: Option<&str>, empty: bool) {
    if let (Some(model), true) = (model, empty) {
        say!("note: the cache holds nothing of {model}; `pythia cache ls` lists what it holds");
    }
}

fn verify(model: Option<&str>) -> Result<Exit, Failure> {
    let cache = open_cache();
    let (mut files, mut bad) = (0, 0);
    let mut entries = entries(&cache)?;
    entries.retain(|entry| of_model(entry, model));
    none_of(model, entries.is_empty());
    for entry in &entries {
        files += entry.files.len();
        for file in cache.verify(entry).map_err(HubAccessError::from)? {
            bad += 1;
            let name = file.name.map_or_else(|| "a file".to_owned(), |name| name.to_string());
            super::print(&format!(
                "{} {}: {name} is not what its hash {} says",
                entry.repo,
                entry.branches.join(","),
                file.hash
            ))?;
        }
    }
    super::print(&format!("hashed {}, {bad} wrong", human::plural(files, "file")))?;
    Ok(if bad == 0 { Exit::Ok } else { Exit::BadInput })
}

/// Removes the least recently used checkpoints until what remains is at most `keep`.
fn prune(model: Option<&str>, keep: Option<u64>, all: bool) -> Result<Exit, Failure> {
    let cache = open_cache();
    let mut entries = entries(&cache)?;
    entries.retain(|entry| of_model(entry, model) && (all || entry.files.iter().any(|file| file.ours)));
    none_of(model, entries.is_empty());
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.last_used));
    let mut kept = 0;
    let to_remove: Vec<_> = entries
        .into_iter()
        .filter(|entry| {
            kept += entry.bytes();
            kept > keep.unwrap_or(0)
        })
        .map(|entry| (entry.repo, entry.commit))
        .collect();
    let wanted = |entry: &Entry| to_remove.iter().any(|(repo, commit)| *repo == entry.repo && *commit == entry.commit);
    let pruned = cache.prune(all, &wanted).map_err(HubAccessError::from)?;
    super::print(&format!("removed {}, {}", human::plural(pruned.files, "file"), human::bytes(pruned.bytes)))?;
    Ok(Exit::Ok)
}
