//! Why a command could not do what it was asked, and the exit code that says so.

use std::io;
use std::path::PathBuf;

use pythia_core::device::DeviceError;
use pythia_core::store::{ModelRefError, StoreError};
use pythia_core::tokenizer::TokenizerError;
use pythia_core::weights::WeightError;
use pythia_report::figures::PublishedError;
use pythia_report::query::QueryError;
use pythia_report::results::ResultsError;

use crate::bench::BenchError;
use crate::checkpoint::fetch::FetchError;
use crate::checkpoint::hub_access::HubAccessError;
use crate::cli::capture::CaptureError;
use crate::config::ConfigErrors;
use crate::config::InputError;
use crate::config::ModelInfoError;
use crate::files::folder::FolderError;
use crate::files::sink::SinkError;
use crate::integrity::{KnownDefectsError, Verdict};
use crate::nano::NanoError;
use crate::plan::difference::Difference;
use crate::results::index::IndexError;
use crate::results::merge::MergeError;
use crate::results::status::StatusError;
use crate::terminal::exit::Exit;
use crate::terminal::{env, human};

/// An error that ends a command.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The experiment is wrong, or its models are.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// A file named on the command line cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be computed there.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The output folder cannot be used.
    #[error("{0}")]
    Folder(#[from] FolderError),
    /// The output folder holds results of something else.
    #[error("{} was made with other settings{}: {difference}", path.display(), more(*others))]
    Foreign {
        /// The first such file.
        path: PathBuf,
        /// How many more there are.
        others: usize,
        /// In what the two configurations differ.
        difference: Difference,
    },
    /// A file among the results is no results file.
    #[error("{} is not a whole results file: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A checkpoint has changed since its results were made.
    #[error("{} was made from other weights than those of {cell} now", path.display())]
    OtherWeights {
        /// The results file.
        path: PathBuf,
        /// The cell.
        cell: String,
    },
    /// Checkpoints are not what their names say.
    #[error("{}", list_of_bad(bad))]
    BadCheckpoints {
        /// Their names, and what is known about each.
        bad: Vec<(String, Verdict)>,
    },
    /// The hub, the cache or the lock file cannot be used.
    #[error(transparent)]
    Hub(#[from] HubAccessError),
    /// A checkpoint cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A file that is read besides cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The file of further known defects is no such list.
    #[error(transparent)]
    KnownBad(#[from] KnownDefectsError),
    /// One checkpoint is larger than the cache may be.
    #[error("a checkpoint of {} does not fit into a cache of {}", human::bytes(*largest), human::bytes(*max))]
    SmallBudget {
        /// Bytes of the largest checkpoint.
        largest: u64,
        /// The budget.
        max: u64,
    },
    /// The plan needs more memory than there is or than it may take.
    #[error(
        "even with weights used layer by layer this needs about {}MiB of memory, and it may take {}MiB",
        needed.div_ceil(1 << 20),
        bound.div_ceil(1 << 20)
    )]
    Memory {
        /// Bytes at the peak, as planned for the smallest way to hold weights.
        needed: u64,
        /// Bytes that are free, or that the experiment allows.
        bound: u64,
    },
    /// What is to be written would replace what is to be read.
    #[error("--out {} is one of the files that this command reads", .0.display())]
    OutIsInput(PathBuf),
    /// A model's name means nothing.
    #[error(transparent)]
    ModelName(#[from] ModelRefError),
    /// A checkpoint is not where it should be.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A configuration cannot be read.
    #[error(transparent)]
    ModelInfo(#[from] ModelInfoError),
    /// Weights cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// A tokenizer cannot be read or used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A text was given for a model that has no tokenizer.
    #[error("{model} has no tokenizer.json beside {}", config.display())]
    NoTokenizer {
        /// The model's label.
        model: String,
        /// The configuration beside which the tokenizer was looked for.
        config: PathBuf,
    },
    /// A file of token ids is not one.
    #[error("{} is not a list of token ids, or of such lists: {source}", path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Activations could not be captured.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// A workload cannot be timed.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The suite could not be trained.
    #[error(transparent)]
    Nano(#[from] NanoError),
    /// A results file cannot be written or read.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Results cannot be read.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// A query has no answer.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A file of published curves is none.
    #[error("{} holds no published curves: {problem}", path.display())]
    Published {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: PublishedError,
    },
    /// Parts cannot be merged.
    #[error(transparent)]
    Merge(#[from] MergeError),
    /// A folder's runs cannot be looked at.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// The handlers of signals could not be set up.
    #[error("cannot watch for signals: {0}")]
    Signals(io::Error),
    /// Machine output could not be written to stdout.
    #[error("cannot write to stdout: {0}")]
    Stdout(io::Error),
}

/// "and N more such files", where there are more.
fn more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" (and {others} more such files)") }
}

/// The first few bad checkpoints, a line each.
fn list_of_bad(bad: &[(String, Verdict)]) -> String {
    const SHOWN: usize = 5;
    let lines = bad.iter().take(SHOWN).map(|(name, verdict)| format!("\n  {name}: {}: {verdict}", verdict.status));
    let others = bad.len().saturating_sub(SHOWN);
    let others = if others > 0 { format!("\n  and {others} more (`pythia plan` lists them)") } else { String::new() };
    format!(
        "{} of the chosen checkpoints are not what their names say:{}{others}",
        bad.len(),
        lines.collect::<String>()
    )
}

impl Failure {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Config(errors) if errors.are_about_data() => Exit::BadInput,
            Failure::Config(_) | Failure::Read { .. } | Failure::OutIsInput(_) => Exit::Usage,
            Failure::SmallBudget { .. } => Exit::Resources,
            Failure::Device(DeviceError::Absent { .. } | DeviceError::Dead { .. }) => Exit::Resources,
            Failure::Device(_) => Exit::Usage,
            Failure::Capture(CaptureError::Device { .. }) => Exit::Resources,
            Failure::Query(QueryError::Sql { .. } | QueryError::Encode { .. }) => Exit::Usage,
            Failure::Folder(_) | Failure::Signals(_) | Failure::Stdout(_) | Failure::Memory { .. } => Exit::Resources,
            Failure::Hub(error) if error.is_temporary() => Exit::Temporary,
            Failure::Fetch(error) if error.is_temporary() => Exit::Temporary,
            Failure::Fetch(error) if error.is_full() => Exit::Resources,
            Failure::Hub(HubAccessError::Io { .. } | HubAccessError::LruCache(_)) => Exit::Resources,
            Failure::Hub(HubAccessError::Settings(_)) | Failure::Input(_) | Failure::KnownBad(_) => Exit::Usage,
            Failure::ModelName(_) | Failure::Capture(CaptureError::Hook(_)) => Exit::Usage,
            Failure::Merge(error) => error.exit(),
            Failure::Status(StatusError::Index(IndexError::NoResults { .. })) => Exit::Usage,
            Failure::Nano(NanoError::Io { .. }) => Exit::Resources,
            Failure::Nano(NanoError::NoName { .. }) => Exit::Usage,
            _ => Exit::BadInput,
        }
    }

    /// Prints the whole message to stderr, in colours where a person reads it.
    pub fn print(&self) {
        crate::terminal::say!("{}", self.report(env::color()));
    }

    /// The whole message for people: what is wrong and what to do.
    pub(crate) fn report(&self, color: bool) -> String {
        match self {
            Failure::Config(errors) => errors.render(color),
            other => {
                let remedy = other.remedy().map(|remedy| format!("\nremedy: {remedy}")).unwrap_or_default();
                format!("error: {other}{remedy}")
            }
        }
    }

    fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Failure::Hub(error) => return Some(error.remedy()),
            Failure::Fetch(error) => return Some(error.remedy()),
            Failure::Folder(error) => Some(error.remedy()),
            Failure::Results(error) | Failure::Query(QueryError::Results(error)) => Some(error.remedy()),
            Failure::Query(QueryError::Sql { tables, .. }) => {
                return Some(format!("the tables are {}", tables.join(", ")));
            }
            Failure::Query(QueryError::Encode { .. }) => Some("choose columns of text and numbers, or another form"),
            Failure::Published { .. } => Some("give a CSV with the columns model, step, task, metric and value"),
            Failure::Merge(error) => error.remedy(),
            Failure::Status(StatusError::Index(IndexError::NoResults { .. })) => {
                Some("name the folder that the run writes to, its --out")
            }
            Failure::Foreign { .. } | Failure::OtherWeights { .. } => {
                Some("choose another folder with --out DIR, or replace these results with --fresh")
            }
            Failure::BadCheckpoints { .. } => Some(
                "choose other steps, leave the bad ones out with --on-bad skip, or run them with --on-bad mark: the column checkpoint_status then says what each is",
            ),
            Failure::SmallBudget { .. } => {
                Some("give more disk with --cache-max; three checkpoints let the stages overlap")
            }
            Failure::Unreadable { .. } => Some("remove that file and run the same command again"),
            Failure::Memory { .. } => Some(
                "allow that much with --memory if the machine has it free, or lower the probes' batch, for example with --set probe.0.batch=2",
            ),
            Failure::OutIsInput(_) => Some("choose another file with --out FILE"),
            Failure::Read { .. } => Some("check the path, and that the file is text in UTF-8"),
            Failure::Device(_) => Some("`pythia list devices` shows what there is; docs/gpu.md says what a GPU needs"),
            Failure::NoTokenizer { .. } => {
                Some("copy the model's tokenizer.json there, or give ids with --tokens FILE")
            }
            Failure::Tokens { .. } => Some("write for example [[0, 5, 9], [0, 7, 2]]"),
            Failure::Weights(_) => Some("copy or download the checkpoint's files again"),
            _ => None,
        };
        remedy.map(str::to_owned)
    }
}
