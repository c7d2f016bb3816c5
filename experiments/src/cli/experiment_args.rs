//! The options that name an experiment, and those of a run that replace values of its file.

use std::path::PathBuf;

use clap::ValueEnum;
use pythia_core::device::DeviceName;
use pythia_probes::Bytes;
use toml::Spanned;

use crate::checkpoint::hub_access::{HubAccess, HubAccessError};
use crate::cli::error::read_file;
use crate::cli::failure::Failure;
use crate::config::{self, Experiment, Precision};
use crate::integrity::OnBad;
use crate::plan::disk::Disk;

/// The experiment, and how its checkpoints are fetched.
#[derive(Debug, clap::Args)]
pub(crate) struct ExperimentArgs {
    /// The experiment file
    file: PathBuf,
    /// Replace a value of the file, by dotted path: --set seed=1, --set probe.0.prompts.n=4, --set 'steps=[0, 512]'
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    cache: CacheArgs,
}

/// The experiment of a run, and options that replace values of its file.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Folder for results/ and state/ [default: the file's `out`, else out/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Keep only the first N cells of the plan, for a cheap trial
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) limit: Option<usize>,
    /// What to do with checkpoints that are known to be wrong, or have the weights of another step [default: the file's
    /// `on_bad`, else fail]
    #[arg(long, ignore_case = true)]
    on_bad: Option<OnBad>,
    #[command(flatten)]
    compute: ComputeArgs,
}

/// How checkpoints are fetched and kept.
#[derive(Debug, clap::Args)]
struct CacheArgs {
    /// Open no connection: use what is in the cache
    #[arg(long)]
    offline: bool,
    /// Disk that fetched checkpoints may take, for example 200GB; the least recently used go first [default: the file's
    /// `cache_max`, else no bound]
    #[arg(long, value_name = "BYTES")]
    cache_max: Option<Bytes>,
    /// Disk that must stay free [default: the file's `min_free`, else 1GiB]
    #[arg(long, value_name = "BYTES")]
    min_free: Option<Bytes>,
    /// The file of pins [default: the experiment file's path, ending in .lock.json]
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
}

/// What to compute with.
#[derive(Debug, clap::Args)]
struct ComputeArgs {
    /// Memory that the whole process may take, such as 16GiB [default: the file's `memory`, else what is free]
    #[arg(long, value_name = "SIZE")]
    memory: Option<Bytes>,
    /// Where to compute: cpu, gpu[:n], wgpu[:n] or cuda[:n]; `pythia list devices` shows them [default: the file's
    /// `device`, else cpu]
    #[arg(long)]
    device: Option<DeviceName>,
    /// Precision: of everything (f32, f64), or of weights and their products (f16, bf16) [default: the file's `dtype`,
    /// else f32]
    #[arg(long, ignore_case = true)]
    dtype: Option<Precision>,
}

impl ExperimentArgs {
    /// Reads the experiment, with the values of the command line in place of the file's.
    pub(super) fn experiment(&self) -> Result<Experiment, Failure> {
        self.read(&self.set)
    }

    fn read(&self, overrides: &[String]) -> Result<Experiment, Failure> {
        let text = read_file(&self.file)?;
        let mut experiment = config::parse(&self.file, &text, overrides)?;
        let store = &mut experiment.store;
        store.cache_max = self.cache.cache_max.or(store.cache_max);
        store.min_free = self.cache.min_free.or(store.min_free);
        store.lock = self.cache.lock.clone().map(|path| Spanned::new(0..0, path)).or(store.lock.take());
        Ok(experiment)
    }

    /// Where its checkpoints come from.
    pub(super) fn hub(&self, experiment: &Experiment) -> Result<HubAccess, HubAccessError> {
        HubAccess::open(experiment, &self.file, self.cache.offline)
    }
}

impl RunArgs {
    /// Reads the experiment, with the values of the command line in place of the file's.
    pub(super) fn experiment(&self) -> Result<Experiment, Failure> {
        self.experiment.read(&self.overrides())
    }

    /// The `--set` arguments, and the options that are short for one.
    fn overrides(&self) -> Vec<String> {
        let ComputeArgs { memory, device, dtype } = &self.compute;
        let mut overrides = self.experiment.set.clone();
        overrides.extend(device.map(|name| format!("device=\"{name}\"")));
        overrides.extend(dtype.as_ref().map(|dtype| format!("dtype={}", word(dtype))));
        overrides.extend(memory.map(|memory| format!("memory=\"{memory}\"")));
        overrides.extend(self.on_bad.as_ref().map(|on_bad| format!("on_bad={}", word(on_bad))));
        overrides
    }

    /// Where its checkpoints come from.
    pub(super) fn hub(&self, experiment: &Experiment) -> Result<HubAccess, HubAccessError> {
        self.experiment.hub(experiment)
    }

    /// The output folder: the command line's, the file's, or the default.
    pub(super) fn disk(&self, experiment: &Experiment) -> Disk {
        let out = self.out.clone().unwrap_or_else(|| experiment.output_folder());
        Disk { out, offline: self.experiment.cache.offline }
    }
}

/// A choice as the command line spells it.
fn word(choice: &impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "a whole number from 1 on is expected".into())
}
