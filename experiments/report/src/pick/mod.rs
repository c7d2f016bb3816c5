//! Which rows and columns of a table a figure shows, said once: the frame behind the figure and the lines of Polars below it are
//! made of the same description.

use polars::prelude::{DataType, LazyFrame, PolarsResult, SortMultipleOptions, col};

mod filter;

pub use filter::Filter;
use filter::{cols, list, quoted};

use crate::frame::Rows;
use crate::page::Code;
use crate::results::{ResultsError, Table};

/// A choice of rows and columns, sorted by them from the left.
#[derive(Clone, Debug, PartialEq)]
pub struct Pick {
    filters: Vec<Filter>,
    mean: Option<&'static str>,
    max: Option<&'static str>,
    columns: Vec<&'static str>,
}

impl Pick {
    /// These columns of the rows that meet every condition.
    pub fn new(columns: &[&'static str], filters: Vec<Filter>) -> Self {
        Self { filters, mean: None, max: None, columns: columns.to_vec() }
    }

    /// Only those rows of the model.
    #[must_use]
    pub fn of(mut self, model: &str) -> Self {
        self.filters.insert(0, Filter::Text("model", model.to_owned()));
        self
    }

    /// One more condition.
    #[must_use]
    pub fn and(mut self, filter: Filter) -> Self {
        self.filters.push(filter);
        self
    }

    /// The mean of a column, its standard error (`NAME_se`) and the number of its defined values (`n`) over the rows that agree
    /// in all the other columns.
    #[must_use]
    pub fn mean(mut self, value: &'static str) -> Self {
        self.mean = Some(value);
        self
    }

    /// The largest value of a column over the rows that agree in all the other columns.
    #[must_use]
    pub fn max(mut self, value: &'static str) -> Self {
        self.max = Some(value);
        self
    }

    /// The rows, computed.
    ///
    /// # Errors
    /// As [`Rows::collect`].
    pub fn rows<'a>(&self, table: &'a Table) -> Result<Rows<'a>, ResultsError> {
        let only = self.filters.iter().find_map(|filter| match filter {
            Filter::Text("model", model) => Some(model),
            _ => None,
        });
        // The parts of one model are files of their own: the others need not be opened.
        let frame = match only {
            Some(model) => table.frame_of(model)?.map_or_else(|| table.frame(), Ok)?,
            None => table.frame()?,
        };
        Rows::collect(table, self.on(frame).map_err(table.failed())?)
    }

    fn on(&self, frame: LazyFrame) -> PolarsResult<LazyFrame> {
        let narrow = |frame: LazyFrame, filter: &Filter| PolarsResult::Ok(frame.filter(filter.expr()?));
        let frame = self.filters.iter().try_fold(frame, narrow)?;
        let keys = || self.keys().map(col).collect::<Vec<_>>();
        let frame = match (self.mean, self.max) {
            (None, None) => frame.select(self.columns.iter().map(|name| col(*name)).collect::<Vec<_>>()),
            (None, Some(value)) => frame.group_by(keys()).agg([col(value).max()]),
            (Some(value), _) => frame.group_by(keys()).agg([
                col(value).mean(),
                (col(value).std(1) / col(value).count().cast(DataType::Float64).sqrt()).alias(format!("{value}_se")),
                col(value).count().alias("n"),
            ]),
        };
        let keys: Vec<&str> = self.keys().collect();
        Ok(frame.sort(keys, SortMultipleOptions::default().with_maintain_order(true)))
    }

    /// The columns that rows are told apart by: all but the numbers.
    fn keys(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.columns.iter().copied().filter(|name| !VALUES.contains(name))
    }

    /// The lines of Polars that give the same rows; `glob` names the table's files.
    pub fn code(&self, table: &Table) -> Code {
        let glob = format!("{}/{}/**/*.parquet", table.shelf, table.name);
        Code { python: self.python(&glob), rust: self.rust(&glob) }
    }

    fn python(&self, glob: &str) -> String {
        let mut lines = vec!["import polars as pl".to_owned(), String::new(), "(".into()];
        lines.push(format!("    pl.scan_parquet({})", quoted(glob)));
        lines.extend(self.filters.iter().map(|filter| format!("    .filter({})", filter.python())));
        match (self.mean, self.max) {
            (None, None) => lines.push(format!("    .select({})", list(self.columns.iter().copied()))),
            (None, Some(value)) => {
                lines.push(format!("    .group_by({}).agg(pl.col(\"{value}\").max())", list(self.keys())));
            }
            (Some(value), _) => lines.extend([
                format!("    .group_by({})", list(self.keys())),
                "    .agg(".into(),
                format!("        pl.col(\"{value}\").mean(),"),
                format!(
                    "        (pl.col(\"{value}\").std() / pl.col(\"{value}\").count().sqrt()).alias(\"{value}_se\"),"
                ),
                format!("        pl.col(\"{value}\").count().alias(\"n\"),"),
                "    )".into(),
            ]),
        }
        lines.push(format!("    .sort({}, maintain_order=True)", list(self.keys())));
        lines.extend(["    .collect()".into(), ")".into()]);
        lines.join("\n")
    }

    fn rust(&self, glob: &str) -> String {
        let mut lines = vec!["use polars::prelude::*;".to_owned(), String::new()];
        lines.push(format!("LazyFrame::scan_parquet(PlRefPath::new({}), Default::default())?", quoted(glob)));
        lines.extend(self.filters.iter().map(|filter| format!("    .filter({})", filter.rust())));
        match (self.mean, self.max) {
            (None, None) => lines.push(format!("    .select([{}])", cols(self.columns.iter().copied()))),
            (None, Some(value)) => {
                lines.push(format!("    .group_by([{}]).agg([col(\"{value}\").max()])", cols(self.keys())));
            }
            (Some(value), _) => lines.extend([
                format!("    .group_by([{}])", cols(self.keys())),
                "    .agg([".into(),
                format!("        col(\"{value}\").mean(),"),
                format!(
                    "        (col(\"{value}\").std(1) / col(\"{value}\").count().cast(DataType::Float64).sqrt()).alias(\"{value}_se\"),"
                ),
                format!("        col(\"{value}\").count().alias(\"n\"),"),
                "    ])".into(),
            ]),
        }
        let order = "SortMultipleOptions::default().with_maintain_order(true)";
        lines.push(format!("    .sort([{}], {order})", list(self.keys())));
        lines.push("    .collect()?".into());
        lines.join("\n")
    }
}

/// Columns that are measured: rows are not sorted by them.
const VALUES: &[&str] = &[
    "value",
    "null",
    "loss",
    "effect",
    "effect_low",
    "effect_high",
    "delta",
    "delta_low",
    "delta_high",
    "base",
    "changed",
    "clean",
    "corrupt",
    "patched",
    "n",
    "norm",
    "rms",
    "weight",
    "top_token",
    "top_prob",
    "token",
    "target_token",
    "target_prob",
    "query_token",
    "key_token",
    "stderr",
    "entropy",
    "target_rank",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_say_what_the_frame_is() {
        let pick = Pick::new(&["step", "layer", "value"], vec![Filter::Text("score", "induction".into())]).of("na\"no");
        let python = pick.python("results/t/**/*.parquet");
        insta::assert_snapshot!(python, @r#"
        import polars as pl

        (
            pl.scan_parquet("results/t/**/*.parquet")
            .filter(pl.col("model") == "na\"no")
            .filter(pl.col("score") == "induction")
            .select("step", "layer", "value")
            .sort("step", "layer", maintain_order=True)
            .collect()
        )
        "#);
        let rust = Pick::new(&["step", "value"], vec![Filter::Ints("step", vec![0, 512])]).mean("value").rust("r");
        insta::assert_snapshot!(rust, @r#"
        use polars::prelude::*;

        LazyFrame::scan_parquet(PlRefPath::new("r"), Default::default())?
            .filter(col("step").eq(lit(0)).or(col("step").eq(lit(512))))
            .group_by([col("step")])
            .agg([
                col("value").mean(),
                (col("value").std(1) / col("value").count().cast(DataType::Float64).sqrt()).alias("value_se"),
                col("value").count().alias("n"),
            ])
            .sort(["step"], SortMultipleOptions::default().with_maintain_order(true))
            .collect()?
        "#);
    }
}
