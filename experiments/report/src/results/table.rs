//! One table: its files by model, and lazy frames over them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use polars::error::PolarsError;
use polars::prelude::{LazyFrame, PlRefPath, ScanArgsParquet, UniqueKeepStrategy, col};

use super::{DamagedPart, FrameRows, Origin, ResultsError, part};

/// A table of an output folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Its name, which is that of its folder.
    pub name: String,
    /// Where it is: `results` or `merged`.
    pub folder: &'static str,
    /// Its files by model, in the order of their names, which is that of the steps.
    pub parts: BTreeMap<String, Vec<PathBuf>>,
    /// The metadata of its first file.
    pub origin: Origin,
}

impl Table {
    /// Its models in the order of their sizes.
    pub fn models(&self) -> Vec<&str> {
        let mut models: Vec<&str> = self.parts.keys().map(String::as_str).collect();
        models.sort_by(|a, b| crate::words::by_size(a, b));
        models
    }

    /// How many checkpoints, of all models together, it has rows of.
    ///
    /// # Errors
    /// [`ResultsError::Polars`] if the table cannot be read.
    pub fn n_checkpoints(&self) -> Result<usize, ResultsError> {
        let each = self.frame()?.select([col("model"), col("step")]).unique(None, UniqueKeepStrategy::Any);
        Ok(FrameRows::collect(self, each)?.len())
    }

    /// Training tokens per step of a model; none for a single model, or where the rows do not say.
    ///
    /// # Errors
    /// [`ResultsError::Polars`] if the model's last file cannot be read.
    pub fn tokens_per_step(&self, model: &str) -> Result<Option<f64>, ResultsError> {
        let last = self.parts.get(model).and_then(|parts| parts.last());
        let frame = self.scan(last.into_iter())?.select([col("step"), col("tokens_seen")]).tail(1);
        let rows = FrameRows::collect(self, frame)?;
        let (steps, tokens) = (rows.ints("step")?, rows.ints("tokens_seen")?);
        let pair = steps.first().copied().flatten().zip(tokens.first().copied().flatten());
        Ok(pair.filter(|(step, _)| *step > 0).map(|(step, tokens)| tokens as f64 / step as f64))
    }

    /// Training tokens per step, if all models of the table have the same number: only then can they share an axis of
    /// tokens.
    ///
    /// # Errors
    /// As [`tokens_per_step`](Self::tokens_per_step).
    pub(crate) fn common_tokens(&self) -> Result<Option<f64>, ResultsError> {
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

    /// The rows of one model, lazily; none if the table has no file of it.
    ///
    /// # Errors
    /// As [`frame`](Self::frame).
    pub(crate) fn frame_of(&self, model: &str) -> Result<Option<LazyFrame>, ResultsError> {
        self.parts.get(model).map(|parts| self.scan(parts.iter())).transpose()
    }

    fn scan<'a>(&self, paths: impl Iterator<Item = &'a PathBuf>) -> Result<LazyFrame, ResultsError> {
        // Without globbing, a folder called `a[b]` is not read as a pattern.
        let args = ScanArgsParquet { glob: false, ..ScanArgsParquet::default() };
        let paths = paths.map(|path| PlRefPath::try_from_path(path)).collect::<Result<Vec<_>, _>>();
        paths
            .and_then(|paths| LazyFrame::scan_parquet_files(paths.into(), args))
            .map_err(|source| ResultsError::Polars { table: self.name.clone(), source })
    }

    /// Turns an error of Polars into one of this table. Polars does not name the damaged files, so they are searched
    /// for.
    pub(crate) fn failed(&self) -> impl Fn(PolarsError) -> ResultsError + '_ {
        move |source| {
            let parts = self.damage();
            if parts.is_empty() {
                return ResultsError::Polars { table: self.name.clone(), source };
            }
            ResultsError::Damaged { parts }
        }
    }

    /// The parts whose rows cannot be decoded. Every row is decoded to see that.
    pub(crate) fn damage(&self) -> Vec<DamagedPart> {
        self.parts.values().flatten().filter_map(|path| part::damage(path)).collect()
    }

    /// Leaves parts out.
    pub(super) fn leave_out(&mut self, parts: &[DamagedPart]) {
        for files in self.parts.values_mut() {
            files.retain(|file| parts.iter().all(|part| part.path != *file));
        }
        self.parts.retain(|_, files| !files.is_empty());
    }
}
