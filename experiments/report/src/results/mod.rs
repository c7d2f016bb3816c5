//! The results in one output folder: which tables there are, which files they consist of, and which are missing.
//!
//! Reading starts from what the folder holds: `results/TABLE/MODEL/step000512.parquet`, or `merged/TABLE/MODEL.parquet`
//! where only that was kept. Names of folders and files say which parts there are: those of one model, and the
//! checkpoints that a table lacks. Figures and listings read `model` and `step` from the rows.
//!
//! ```
//! use pythia_report::results::{Results, ResultsError};
//!
//! let refused = Results::open("no/such/folder".as_ref());
//! assert!(matches!(refused, Err(ResultsError::NotResults { .. })));
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use polars::prelude::col;

mod columns;
mod error;
mod frame;
mod guard;
mod manifest;
mod missing;
mod origin;
pub mod part;
mod scan;
mod table;

pub use columns::ColumnType;
pub(crate) use columns::{DeclaredColumn, declared, is_declared};
pub use error::{NamesDamage, ResultsError};
pub(crate) use frame::{CurvePoint, Curves, FrameRows, defined, last, peak};
pub use guard::guarded;
pub use manifest::{Manifest, ManifestModel, ManifestProbe};
pub(crate) use missing::{MissingSteps, missing};
pub use origin::{Origin, TABLE_VERSION};
pub use part::DamagedPart;
pub use table::Table;

/// The table of checkpoints, which every sweep writes beside those of its probes.
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// Whether a checkpoint of that status is what its name says, as far as anybody can know.
pub(crate) fn is_good(checkpoint_status: &str) -> bool {
    matches!(checkpoint_status, "ok" | "unverified")
}

/// The tables of an output folder, as they were when it was opened: a run that is still going on may add files later.
#[derive(Clone, Debug)]
pub struct Results {
    /// The output folder.
    pub root: PathBuf,
    /// Its tables by name, without the table of checkpoints.
    pub tables: BTreeMap<String, Table>,
    /// The table of checkpoints, if there is one.
    pub checkpoints: Option<Table>,
    /// The experiments that ran into the folder, by name.
    pub manifests: Vec<Manifest>,
    /// Parts that are in none of the tables, because they cannot be decoded.
    pub damaged: Vec<DamagedPart>,
}

impl Results {
    /// Finds the tables of an output folder and checks the version and the columns of every file.
    ///
    /// # Errors
    /// [`ResultsError::NotResults`] if the folder holds no results, [`ResultsError::Io`] if it cannot be read,
    /// [`ResultsError::Version`] and [`ResultsError::FileColumn`] if a file was not made by this version. Damaged parts
    /// are no error: they are [set aside](Self::damaged).
    pub fn open(root: &Path) -> Result<Self, ResultsError> {
        let (mut tables, damaged) = scan::tables(root)?;
        let checkpoints = tables.remove(CHECKPOINTS);
        Ok(Self { root: root.into(), tables, checkpoints, manifests: manifest::all(root)?, damaged })
    }

    /// Makes something of the tables. Some damage is found only when rows are decoded: then those parts are set aside
    /// too, and it is made of the others.
    ///
    /// # Errors
    /// Those of `make`, but for damaged parts.
    pub fn around_damage<T, E: NamesDamage>(&mut self, make: impl Fn(&Self) -> Result<T, E>) -> Result<T, E> {
        loop {
            match make(self) {
                Err(error) if self.set_aside(error.damaged()) => {}
                made => return made,
            }
        }
    }

    /// Takes damaged parts out of their tables; whether any was there.
    fn set_aside(&mut self, parts: &[DamagedPart]) -> bool {
        let count = |results: &Self| -> usize {
            let tables = results.tables.values().chain(&results.checkpoints);
            tables.flat_map(|table| table.parts.values()).map(Vec::len).sum()
        };
        if parts.is_empty() {
            return false;
        }
        let before = count(self);
        self.tables.values_mut().chain(&mut self.checkpoints).for_each(|table| table.leave_out(parts));
        self.tables.retain(|_, table| !table.parts.is_empty());
        self.checkpoints = self.checkpoints.take().filter(|table| !table.parts.is_empty());
        self.damaged.extend(parts.iter().cloned());
        count(self) < before
    }

    /// The damaged parts as an error: what is made of the others is not all that the folder holds.
    pub fn damage(&self) -> Option<ResultsError> {
        (!self.damaged.is_empty()).then(|| ResultsError::Damaged { parts: self.damaged.clone() })
    }

    /// The models of any table in the order of their sizes: pythia-70m before pythia-160m.
    pub fn models(&self) -> Vec<&str> {
        let tables = self.tables.values().chain(&self.checkpoints);
        let mut models: Vec<&str> = tables.flat_map(|table| table.parts.keys().map(String::as_str)).collect();
        models.sort_by(|a, b| crate::words::by_size(a, b));
        models.dedup();
        models
    }

    /// The checkpoints, by model and step, whose weights are not those that their names promise.
    ///
    /// # Errors
    /// [`ResultsError`] if the table of checkpoints cannot be read.
    pub fn bad(&self) -> Result<BTreeSet<(String, Option<i64>)>, ResultsError> {
        let Some(table) = &self.checkpoints else {
            return Ok(BTreeSet::new());
        };
        let selected = ["model", "step", "checkpoint_status"].map(col);
        let rows = FrameRows::collect(table, table.frame()?.select(selected))?;
        let checkpoints = rows.texts("model")?.into_iter().zip(rows.ints("step")?);
        let all = checkpoints.zip(rows.texts("checkpoint_status")?);
        Ok(all.filter(|(_, status)| !is_good(status)).map(|(checkpoint, _)| checkpoint).collect())
    }

    /// The main tables of all probes, in the order of their names.
    pub fn main_tables(&self) -> Vec<&Table> {
        self.tables.values().filter(|table| table.origin.table.is_empty()).collect()
    }
}
