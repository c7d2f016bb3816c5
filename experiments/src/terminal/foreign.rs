//! Exit codes and remedies of the errors of other crates.

use pythia_core::device::DeviceError;
use pythia_core::load::LoadError;
use pythia_core::store::StoreError;
use pythia_core::tokenizer::TokenizerError;
use pythia_core::weights::WeightError;
use pythia_hooks::HookError;
use pythia_report::query::{Mistake, QueryError, READING};
use pythia_report::results::ResultsError;

use super::{Exit, Explained, quote};

impl Explained for DeviceError {
    fn exit(&self) -> Exit {
        match self {
            Self::Absent { .. } | Self::Failed { .. } => Exit::Resources,
            Self::Unknown { .. } | Self::NotBuilt { .. } | Self::Inexact { .. } | Self::Numbers { .. } => Exit::Usage,
        }
    }

    fn remedy(&self) -> Option<String> {
        Some("`pythia list devices` shows what there is; docs/gpu.md says what a GPU needs".into())
    }
}

impl Explained for HookError {
    /// Every variant is a request that does not fit the model or the run.
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn remedy(&self) -> Option<String> {
        let is_name = matches!(self, Self::UnknownName { .. });
        is_name.then(|| "`pythia list hooks` shows every name with its axes".into())
    }
}

impl Explained for LoadError {
    fn exit(&self) -> Exit {
        match self {
            Self::Store(error) => error.exit(),
            Self::Weights(error) => error.exit(),
            Self::Tokenizer(error) => error.exit(),
            Self::Io { .. } | Self::Config { .. } | Self::NoTokenizer { .. } => Exit::BadInput,
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::Store(error) => Explained::remedy(error),
            Self::Weights(error) => Explained::remedy(error),
            Self::Tokenizer(error) => error.remedy(),
            Self::Io { .. } | Self::Config { .. } => self.remedy().map(str::to_owned),
            Self::NoTokenizer { .. } => None,
        }
    }
}

impl Explained for StoreError {
    fn exit(&self) -> Exit {
        match self {
            // A word of the command line.
            Self::Name(_) => Exit::Usage,
            Self::NoFolder { .. }
            | Self::Io { .. }
            | Self::NotAModel { .. }
            | Self::DanglingLink { .. }
            | Self::NotAFile { .. }
            | Self::Foreign { .. }
            | Self::Content { .. }
            | Self::NoConfig { .. }
            | Self::NoWeights { .. }
            | Self::MissingShard { .. }
            | Self::BadIndex { .. }
            | Self::TooLarge { .. }
            | Self::BadDescription { .. }
            | Self::NotCached { .. }
            | Self::RevisionNotCached { .. }
            | Self::BadReference { .. }
            | Self::BadPin { .. }
            | Self::StepRequired { .. }
            | Self::Suite(_)
            | Self::NoSuchStep { .. } => Exit::BadInput,
        }
    }

    fn remedy(&self) -> Option<String> {
        self.remedy().map(str::to_owned)
    }
}

impl Explained for TokenizerError {
    fn exit(&self) -> Exit {
        match self {
            Self::File { source, .. } => source.exit(),
            Self::Io { .. }
            | Self::TooLarge { .. }
            | Self::Content(_)
            | Self::Malformed { .. }
            | Self::Failed { .. }
            | Self::UnknownId { .. } => Exit::BadInput,
        }
    }
}

impl Explained for WeightError {
    fn exit(&self) -> Exit {
        match self {
            Self::Io { .. }
            | Self::NoFiles
            | Self::Content { .. }
            | Self::Safetensors { .. }
            | Self::Zip { .. }
            | Self::Pickle { .. }
            | Self::Duplicate { .. }
            | Self::Missing { .. }
            | Self::NoUnembedding { .. }
            | Self::Empty { .. }
            | Self::Quantised { .. }
            | Self::Adapter { .. }
            | Self::Unexpected { .. }
            | Self::Shape { .. }
            | Self::Dtype { .. }
            | Self::NotFinite { .. }
            | Self::TiedDiffers { .. }
            | Self::NotAsStored { .. } => Exit::BadInput,
        }
    }

    fn remedy(&self) -> Option<String> {
        self.remedy().map(str::to_owned)
    }
}

impl Explained for ResultsError {
    /// Every other variant is about files among the results.
    fn exit(&self) -> Exit {
        // The command line names a folder that is no output folder.
        if matches!(self, Self::NotResults { .. }) { Exit::Usage } else { Exit::BadInput }
    }

    fn remedy(&self) -> Option<String> {
        Some(self.remedy().into())
    }
}

impl Explained for QueryError {
    fn exit(&self) -> Exit {
        match self {
            Self::Results(error) => error.exit(),
            Self::Writes { .. } | Self::Several { .. } | Self::Empty | Self::Sql { .. } | Self::Encode { .. } => {
                Exit::Usage
            }
        }
    }

    fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Results(error) => error.remedy().into(),
            Self::Writes { .. } => {
                format!("begin with {}; results are changed by `pythia run` alone", READING.join(", "))
            }
            Self::Several { .. } => "ask each by a command of its own".into(),
            Self::Empty => "write for example 'SHOW TABLES'".into(),
            Self::Sql { mistake: Mistake::Syntax, .. } => {
                "check the words near that place; 'texts' stand in single quotes, \"names\" in double quotes or bare"
                    .into()
            }
            Self::Sql { mistake: Mistake::Column { tables }, .. } => {
                let of = |(table, columns): &(String, Vec<String>)| {
                    format!("the columns of {} are {}", quote::sql_name(table), sql_names(columns))
                };
                tables.iter().map(of).collect::<Vec<_>>().join("; ")
            }
            Self::Sql { mistake: Mistake::Table, tables, .. } => format!("the tables are {}", sql_names(tables)),
            Self::Sql { mistake: Mistake::Other, tables, .. } => {
                format!("write it as Polars' SQL has it; the tables are {}", sql_names(tables))
            }
            Self::Encode { .. } => "choose columns of text and numbers, or another form".into(),
        })
    }
}

/// Names as they are written in SQL.
fn sql_names(names: &[String]) -> String {
    names.iter().map(|name| quote::sql_name(name)).collect::<Vec<_>>().join(", ")
}
