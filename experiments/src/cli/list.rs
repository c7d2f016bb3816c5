//! `pythia list`: models, steps, hooks, probes, devices.

mod probes;

use clap::ValueEnum;
use pythia_core::device::{self, Backend, Compute, DeviceError};
use pythia_core::store::{Checkpoints, FolderStore, ModelRef};
use pythia_core::suite::{Checkpoint, ModelId, Step, Suite};
use pythia_hooks::{ModelShape, Presence, SITES};
use serde_json::{Value, json};

use crate::checkpoint::single::model_named;
use crate::cli::error::CommandError;
use crate::cli::failure::Failure;
use crate::config::Precision;
use crate::resolved::model_info::{published_shape, shape};
use crate::terminal::exit::{self, Exit};

/// List models, steps, hooks, probes or devices
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    /// What to list
    what: What,
    /// For steps: which model's, a name of the suite or a folder [default: pythia-70m]. For hooks: the same, to list
    /// those that it has [default: those of every model]. For probes: one kind, with each
    /// key's type, default and allowed values [default: every kind]
    name: Option<String>,
    /// For probes: the columns of their tables, with types, units and meanings, instead of their settings
    #[arg(long)]
    columns: bool,
    /// Print JSON to stdout
    #[arg(long)]
    json: bool,
}

const LONG_HELP: &str = exit::examples!(
    "  pythia list models
  pythia list steps pythia-160m-v0
  pythia list steps ./data/nano --json
  pythia list hooks pythia-70m
  pythia list probes ablation
  pythia list probes --columns
  pythia list devices"
);

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// The models of the suite
    Models,
    /// The checkpoints of a model
    Steps,
    /// The hook points, by their names
    Hooks,
    /// The probes with their settings
    Probes,
    /// Where models can run on this machine
    Devices,
}

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let rows = match args.what {
        What::Models | What::Devices if args.name.is_some() => {
            return Err(CommandError::NothingOfThatName { name: args.name.unwrap_or_default() }.into());
        }
        What::Models => models(),
        What::Steps => steps(args.name.as_deref().unwrap_or("pythia-70m"))?,
        What::Hooks => hooks(args.name.as_deref().map(shape_of).transpose()?),
        What::Probes => probes::rows(args.name.as_deref(), args.columns)?,
        What::Devices => devices(),
    };
    if args.json {
        let values: Vec<Value> = rows.into_iter().map(|row| row.json).collect();
        super::print(&format!("{:#}", Value::Array(values)))?;
    } else {
        let lines: Vec<String> = rows.into_iter().map(|row| row.text).collect();
        super::print(&lines.join("\n"))?;
    }
    Ok(Exit::Ok)
}

/// One thing, for people and for machines.
struct Row {
    text: String,
    json: Value,
}

fn models() -> Vec<Row> {
    let row = |id: ModelId| {
        let info = id.info();
        let (shape, steps) = (info.shape, info.grid().len());
        let text = format!(
            "{:<28} {:>2} layers, d {:>4}, {:>2} heads, {steps:>3} checkpoints",
            info.name, shape.n_layers, shape.d_model, shape.n_heads
        );
        let json = json!({
            "model": info.name, "n_layers": shape.n_layers, "d_model": shape.d_model, "n_heads": shape.n_heads,
            "n_params": shape.n_params, "checkpoints": steps, "file_bytes": shape.file_bytes,
        });
        Row { text, json }
    };
    Suite::models().iter().map(|info| row(info.id)).collect()
}

fn steps(model: &str) -> Result<Vec<Row>, Failure> {
    match model_named(model.as_ref())? {
        ModelRef::Suite(id) => Ok(id.info().grid().iter().map(|step| published(id, *step)).collect()),
        ModelRef::Folder(folder) => {
            let store = FolderStore::open(&folder)?;
            let seen = |step: Step| store.tokens_per_step().map(|each| step.tokens_seen(each));
            Ok(store.steps()?.into_iter().map(|step| step_row(step, seen(step), None)).collect())
        }
    }
}

fn published(id: ModelId, step: Step) -> Row {
    let checkpoint = Checkpoint::new(id, step).ok();
    let known_bad = checkpoint.and_then(Checkpoint::known_bad).map(|entry| entry.problem.as_str());
    step_row(step, checkpoint.map(Checkpoint::tokens_seen), known_bad)
}

fn step_row(step: Step, tokens_seen: Option<u64>, known_bad: Option<&str>) -> Row {
    let tokens = tokens_seen.map(|tokens| format!("{tokens:>16} tokens")).unwrap_or_default();
    let remark = known_bad.map(|problem| format!("  known to be wrong: {problem}")).unwrap_or_default();
    Row {
        text: format!("{:>8}{tokens}{remark}", step.label()),
        json: json!({ "step": step.label(), "tokens_seen": tokens_seen, "known_bad": known_bad }),
    }
}

/// The shape of a model, from the configuration of its first checkpoint that has one.
fn shape_of(model: &str) -> Result<ModelShape, Failure> {
    match model_named(model.as_ref())? {
        ModelRef::Suite(id) => Ok(published_shape(id).model_shape()),
        ModelRef::Folder(folder) => {
            let store = FolderStore::open(&folder)?;
            let mut steps: Vec<Option<Step>> = store.steps()?.into_iter().map(Some).collect();
            if steps.is_empty() {
                steps.push(None);
            }
            Ok(shape(&store, &steps)?.0.config.model_shape())
        }
    }
}

/// The points of a model, or of all of them.
fn hooks(model: Option<ModelShape>) -> Vec<Row> {
    let has = |site: &&pythia_hooks::SiteRow| {
        !(site.presence == Presence::SequentialOnly && model.is_some_and(|model| model.parallel))
    };
    let row = |site: &pythia_hooks::SiteRow| {
        let block = if site.site.is_global() { "" } else { "blocks.{l}." };
        let name = format!("{block}{}", site.name);
        let axes: Vec<&str> = site.axes.iter().map(|axis| axis.name()).collect();
        let when = match site.presence {
            Presence::Always => "",
            Presence::WhenWanted => " (computed only if asked for)",
            Presence::SequentialOnly => " (only in sequential blocks)",
        };
        Row {
            text: format!("{name:<34} [{}]  {}{when}", axes.join(" "), site.doc),
            json: json!({ "hook": name, "axes": axes, "doc": site.doc, "also": site.aliases }),
        }
    };
    SITES.iter().filter(has).map(row).collect()
}

/// The devices, those that do not answer too, and what this program was built without.
fn devices() -> Vec<Row> {
    let missing = Backend::ALL.into_iter().filter(|backend| !backend.is_built());
    let missing = missing.filter_map(|backend| Some((backend, backend.feature()?)));
    let missing = missing.map(|(backend, feature)| Row {
        text: format!("{backend:<8} this program was built without it: cargo build --release --features {feature}"),
        json: json!({ "backend": backend.name(), "built": false, "feature": feature }),
    });
    let row = |device: Result<Compute, DeviceError>| match device {
        Ok(compute) => device_row(&compute),
        Err(error) => Row { text: error.to_string(), json: json!({ "built": true, "error": error.to_string() }) },
    };
    device::list().into_iter().map(row).chain(missing).collect()
}

fn device_row(compute: &Compute) -> Row {
    let precisions: Vec<Value> = Precision::value_variants()
        .iter()
        .filter(|precision| compute.computes_in(precision.dtype()))
        .map(|precision| json!(precision))
        .collect();
    let names: Vec<&str> = precisions.iter().filter_map(Value::as_str).collect();
    let (name, words) = match compute.backend {
        Backend::Cpu => ("cpu".to_owned(), "the cores of this machine"),
        backend => (format!("{backend}:{}", compute.index), compute.name.as_deref().unwrap_or("nameless")),
    };
    Row {
        text: format!("{name:<8} {words}{}: {}", compute.remark(), names.join(", ")),
        json: json!({
            "device": name, "backend": compute.backend.name(), "built": true, "name": compute.name,
            "software": compute.software, "dtypes": precisions,
        }),
    }
}
