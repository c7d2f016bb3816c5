//! The results of one output folder: which tables there are, which parts they have, and which they lack.
//!
//! Reading starts from what the folder holds, `results/TABLE/MODEL/step000512.parquet`, or `merged/TABLE/MODEL.parquet` where
//! only that was kept. Names of files are not trusted with more than that: `model` and `step` come from the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polars::prelude::{LazyFrame, PlRefPath, ScanArgsParquet, UniqueKeepStrategy, col, lit};

use crate::frame::Rows;

mod error;
mod holes;
mod kind;
mod origin;
mod record;
mod scan;

pub use error::ResultsError;
pub use holes::{Hole, holes};
pub use kind::Kind;
pub use origin::Origin;
pub use record::{Record, RecordedModel, RecordedProbe};

/// The table of checkpoints, which every sweep writes beside those of its probes.
pub const CHECKPOINTS: &str = "checkpoints";

/// An output folder that was looked through. It may still be growing: what came later is not in it.
#[derive(Clone, Debug)]
pub struct Results {
    /// The output folder.
    pub root: PathBuf,
    /// Its tables by name, checkpoints left out.
    pub tables: BTreeMap<String, Table>,
    /// The table of checkpoints, where there is one.
    pub checkpoints: Option<Table>,
    /// The experiments that ran into the folder, by name.
    pub records: Vec<Record>,
}

/// A table: its parts, and how they came to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its name, which is the folder's.
    pub name: String,
    /// The folder that it lies in, `results` or `merged`.
    pub shelf: &'static str,
    /// Its parts by model, in the order of their names, which is that of the steps.
    pub parts: BTreeMap<String, Vec<PathBuf>>,
    /// What the metadata of its first part says.
    pub origin: Origin,
}

impl Results {
    /// Looks through an output folder.
    ///
    /// # Errors
    /// [`ResultsError::NotResults`] where the folder holds no results, [`ResultsError::Io`] and [`ResultsError::Parquet`] where
    /// it cannot be read.
    pub fn open(root: &Path) -> Result<Self, ResultsError> {
        let mut tables = scan::tables(root)?;
        let checkpoints = tables.remove(CHECKPOINTS);
        Ok(Self { root: root.into(), tables, checkpoints, records: record::all(root)? })
    }

    /// The models of any table, sorted as people count: pythia-70m before pythia-160m.
    pub fn models(&self) -> Vec<&str> {
        let tables = self.tables.values().chain(&self.checkpoints);
        let mut models: Vec<&str> = tables.flat_map(|table| table.parts.keys().map(String::as_str)).collect();
        models.sort_by(|a, b| crate::words::by_size(a, b));
        models.dedup();
        models
    }

    /// How many checkpoints the results are of: those that the sweeps met, else those of the first table.
    ///
    /// # Errors
    /// [`ResultsError`] where the table cannot be read.
    pub fn n_checkpoints(&self) -> Result<usize, ResultsError> {
        let first = self.main_tables().first().copied();
        let Some(table) = self.checkpoints.as_ref().or(first) else {
            return Ok(0);
        };
        let each = table.frame()?.select([col("model"), col("step")]).unique(None, UniqueKeepStrategy::Any);
        Ok(Rows::collect(table, each)?.len())
    }

    /// The checkpoints that are not what their names say, by model and step.
    ///
    /// # Errors
    /// [`ResultsError`] where the table of checkpoints cannot be read.
    pub fn bad(&self) -> Result<BTreeSet<(String, Option<i64>)>, ResultsError> {
        let Some(table) = &self.checkpoints else {
            return Ok(BTreeSet::new());
        };
        let good = col("checkpoint_status").eq(lit("ok")).or(col("checkpoint_status").eq(lit("unverified")));
        let bad = table.frame()?.filter(good.not()).select([col("model"), col("step")]);
        let rows = Rows::collect(table, bad)?;
        Ok(rows.texts("model")?.into_iter().zip(rows.ints("step")?).collect())
    }

    /// The main tables of all probes, in the order of their kinds and names; those of kinds that are not known last.
    pub fn main_tables(&self) -> Vec<&Table> {
        let mut tables: Vec<&Table> = self.tables.values().filter(|table| table.origin.table.is_empty()).collect();
        tables.sort_by_key(|table| (table.kind().is_none(), table.kind(), &table.name));
        tables
    }

    /// The main tables of probes of one kind, in the order of their names.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Table> {
        self.main_tables().into_iter().filter(move |table| table.kind() == Some(kind))
    }
}

impl Table {
    /// What it holds; none where its probe is not known to this version.
    pub fn kind(&self) -> Option<Kind> {
        Kind::of(&self.origin.kind)
    }

    /// Its models, sorted as people count.
    pub fn models(&self) -> Vec<&str> {
        let mut models: Vec<&str> = self.parts.keys().map(String::as_str).collect();
        models.sort_by(|a, b| crate::words::by_size(a, b));
        models
    }

    /// Tokens in one step of a model; none for a single model, or where the rows do not say.
    ///
    /// # Errors
    /// [`ResultsError::Polars`] where the last part cannot be read.
    pub fn tokens_per_step(&self, model: &str) -> Result<Option<f64>, ResultsError> {
        let last = self.parts.get(model).and_then(|parts| parts.last());
        let frame = self.scan(last.into_iter())?.select([col("step"), col("tokens_seen")]).tail(1);
        let rows = Rows::collect(self, frame)?;
        let (steps, tokens) = (rows.ints("step")?, rows.ints("tokens_seen")?);
        let pair = steps.first().copied().flatten().zip(tokens.first().copied().flatten());
        Ok(pair.filter(|(step, _)| *step > 0).map(|(step, tokens)| tokens as f64 / step as f64))
    }

    /// Tokens in one step, where all models of the table have the same number: only then is there one axis of tokens.
    ///
    /// # Errors
    /// As [`tokens_per_step`](Self::tokens_per_step).
    pub fn common_tokens(&self) -> Result<Option<f64>, ResultsError> {
        let all = self.parts.keys().map(|model| self.tokens_per_step(model)).collect::<Result<Vec<_>, _>>()?;
        Ok(all.first().copied().flatten().filter(|first| all.iter().all(|other| *other == Some(*first))))
    }

    /// All rows of the table, lazily.
    ///
    /// # Errors
    /// [`ResultsError::Polars`] with the table's name.
    pub fn frame(&self) -> Result<LazyFrame, ResultsError> {
        self.scan(self.parts.values().flatten())
    }

    /// The rows of one model, lazily; none where it has no part.
    ///
    /// # Errors
    /// As [`frame`](Self::frame).
    pub fn frame_of(&self, model: &str) -> Result<Option<LazyFrame>, ResultsError> {
        self.parts.get(model).map(|parts| self.scan(parts.iter())).transpose()
    }

    fn scan<'a>(&self, paths: impl Iterator<Item = &'a PathBuf>) -> Result<LazyFrame, ResultsError> {
        // Names are taken as they are: a folder called `a[b]` is no pattern.
        let args = ScanArgsParquet { glob: false, ..ScanArgsParquet::default() };
        let paths = paths.map(|path| PlRefPath::try_from_path(path)).collect::<Result<Vec<_>, _>>();
        paths
            .and_then(|paths| LazyFrame::scan_parquet_files(paths.into(), args))
            .map_err(|source| ResultsError::Polars { table: self.name.clone(), source })
    }

    /// An error of this table. Polars does not say which file it stumbled over, so a damaged one is looked for.
    pub(crate) fn failed(&self) -> impl Fn(polars::error::PolarsError) -> ResultsError + '_ {
        move |source| {
            let damaged = self.parts.values().flatten().find_map(|part| Origin::of(part).err());
            damaged.unwrap_or_else(|| ResultsError::Polars { table: self.name.clone(), source })
        }
    }
}
