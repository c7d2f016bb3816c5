//! Which rows and columns of a table a figure shows. The data of the figure and the Polars code below it are made from
//! the same description, so they cannot disagree.

use polars::prelude::{DataType, Expr, LazyFrame, PolarsResult, SortMultipleOptions, col};

mod filter;
pub mod quote;

pub(crate) use filter::{Filter, any_of};
use filter::{cols, list};

use crate::page::Code;
use crate::results::{FrameRows, ResultsError, Table};

/// A choice of rows and columns, sorted by the keys from the left.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pick {
    filters: Vec<Filter>,
    keys: Vec<&'static str>,
    values: Vec<&'static str>,
    aggregate: Aggregate,
}

/// How rows that agree in all keys are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    /// Not at all.
    Rows,
    /// By the largest value.
    Max,
    /// By their mean, its standard error (`NAME_se`) and the number (`n`) of what was averaged. With a `unit`, such as
    /// the prompt, the rows of each unit are averaged first: the standard error is then between prompts, which are
    /// independent, and not between the tokens of one.
    Mean { unit: Option<&'static str> },
}

impl Pick {
    /// These columns of the rows that meet every condition: `keys` tell rows apart, `values` are what was measured.
    pub(crate) fn new(keys: &[&'static str], values: &[&'static str], filters: Vec<Filter>) -> Self {
        Self { filters, keys: keys.to_vec(), values: values.to_vec(), aggregate: Aggregate::Rows }
    }

    /// Restricts the choice to one model.
    #[must_use]
    pub(crate) fn of(mut self, model: &str) -> Self {
        self.filters.insert(0, Filter::Text("model", model.to_owned()));
        self
    }

    /// Adds a condition.
    #[must_use]
    pub(crate) fn and(mut self, filter: Filter) -> Self {
        self.filters.push(filter);
        self
    }

    /// Means of the values over the rows that agree in all keys.
    #[must_use]
    pub(crate) fn mean(mut self) -> Self {
        self.aggregate = Aggregate::Mean { unit: None };
        self
    }

    /// As [`mean`](Self::mean), of the means over the rows that agree in `unit` too.
    #[must_use]
    pub(crate) fn mean_per(mut self, unit: &'static str) -> Self {
        self.aggregate = Aggregate::Mean { unit: Some(unit) };
        self
    }

    /// The largest values over the rows that agree in all keys.
    #[must_use]
    pub(crate) fn max(mut self) -> Self {
        self.aggregate = Aggregate::Max;
        self
    }

    /// The rows, computed.
    ///
    /// # Errors
    /// As [`FrameRows::collect`].
    pub(crate) fn rows<'a>(&self, table: &'a Table) -> Result<FrameRows<'a>, ResultsError> {
        let only = self.filters.iter().find_map(|filter| match filter {
            Filter::Text("model", model) => Some(model),
            _ => None,
        });
        // The parts of one model are files of their own: the others need not be opened.
        let frame = match only {
            Some(model) => table.frame_of(model)?.map_or_else(|| table.frame(), Ok)?,
            None => table.frame()?,
        };
        FrameRows::collect(table, self.on(frame).map_err(table.failed())?)
    }

    fn on(&self, frame: LazyFrame) -> PolarsResult<LazyFrame> {
        let narrow = |frame: LazyFrame, filter: &Filter| PolarsResult::Ok(frame.filter(filter.expr()?));
        let frame = self.filters.iter().try_fold(frame, narrow)?;
        let columns = |names: &mut dyn Iterator<Item = &'static str>| names.map(col).collect::<Vec<_>>();
        let keys = columns(&mut self.keys.iter().copied());
        let values = columns(&mut self.values.iter().copied());
        // Sums of floating-point numbers depend on their order, so groups keep that of the rows: the same results, the
        // same digits.
        let frame = match self.aggregate {
            Aggregate::Rows => frame.select([keys, values].concat()),
            Aggregate::Max => frame.group_by_stable(keys).agg(values.into_iter().map(Expr::max).collect::<Vec<_>>()),
            Aggregate::Mean { unit } => {
                let means = values.into_iter().map(Expr::mean).collect::<Vec<_>>();
                let frame = match unit {
                    Some(unit) => frame.group_by_stable([keys.clone(), vec![col(unit)]].concat()).agg(means),
                    None => frame,
                };
                frame.group_by_stable(keys).agg(self.values.iter().flat_map(|value| mean_of(value)).collect::<Vec<_>>())
            }
        };
        let keys: Vec<&str> = self.keys.clone();
        Ok(frame.sort(keys, SortMultipleOptions::default().with_maintain_order(true)))
    }

    /// The Polars code that gives the same rows.
    pub(crate) fn code(&self, table: &Table) -> Code {
        let glob = format!("{}/{}/**/*.parquet", table.folder, quote::glob(&table.name));
        Code { python: self.python(&glob), rust: self.rust(&glob) }
    }

    fn python(&self, glob: &str) -> String {
        let keys = list(self.keys.iter().copied());
        let mut lines = vec!["import polars as pl".to_owned(), String::new(), "(".into()];
        lines.push(format!("    pl.scan_parquet({})", quote::python(glob)));
        lines.extend(self.filters.iter().map(|filter| format!("    .filter({})", filter.python())));
        let each = |function: &str| {
            self.values.iter().map(|value| format!("pl.col(\"{value}\").{function}()")).collect::<Vec<_>>().join(", ")
        };
        match self.aggregate {
            Aggregate::Rows => {
                lines.push(format!("    .select({})", list(self.keys.iter().chain(&self.values).copied())))
            }
            Aggregate::Max => lines.push(format!("    .group_by({keys}, maintain_order=True).agg({})", each("max"))),
            Aggregate::Mean { unit } => {
                lines.extend(unit.map(|unit| {
                    format!("    .group_by({keys}, \"{unit}\", maintain_order=True).agg({})", each("mean"))
                }));
                lines.extend([format!("    .group_by({keys}, maintain_order=True)"), "    .agg(".into()]);
                lines.extend(self.values.iter().flat_map(|value| python_mean(value)));
                lines.push("    )".into());
            }
        }
        lines.push(format!("    .sort({keys}, maintain_order=True)"));
        lines.extend(["    .collect()".into(), ")".into()]);
        lines.join("\n")
    }

    fn rust(&self, glob: &str) -> String {
        let keys = cols(self.keys.iter().copied());
        let mut lines = vec!["use polars::prelude::*;".to_owned(), String::new()];
        lines.push(format!("LazyFrame::scan_parquet(PlRefPath::new({}), Default::default())?", quote::rust(glob)));
        lines.extend(self.filters.iter().map(|filter| format!("    .filter({})", filter.rust())));
        let each = |function: &str| {
            self.values.iter().map(|value| format!("col(\"{value}\").{function}()")).collect::<Vec<_>>().join(", ")
        };
        match self.aggregate {
            Aggregate::Rows => {
                lines.push(format!("    .select([{}])", cols(self.keys.iter().chain(&self.values).copied())))
            }
            Aggregate::Max => lines.push(format!("    .group_by_stable([{keys}]).agg([{}])", each("max"))),
            Aggregate::Mean { unit } => {
                lines.extend(
                    unit.map(|unit| format!("    .group_by_stable([{keys}, col(\"{unit}\")]).agg([{}])", each("mean"))),
                );
                lines.extend([format!("    .group_by_stable([{keys}])"), "    .agg([".into()]);
                lines.extend(self.values.iter().flat_map(|value| rust_mean(value)));
                lines.push("    ])".into());
            }
        }
        let order = "SortMultipleOptions::default().with_maintain_order(true)";
        lines.push(format!("    .sort([{}], {order})", list(self.keys.iter().copied())));
        lines.push("    .collect()?".into());
        lines.join("\n")
    }
}

/// The mean of a column, its standard error, and the number of its defined values.
fn mean_of(value: &str) -> [Expr; 3] {
    let n = || col(value).count();
    let error = col(value).std(1) / n().cast(DataType::Float64).sqrt();
    [col(value).mean(), error.alias(format!("{value}_se")), n().alias("n")]
}

fn python_mean(value: &str) -> [String; 3] {
    [
        format!("        pl.col(\"{value}\").mean(),"),
        format!("        (pl.col(\"{value}\").std() / pl.col(\"{value}\").count().sqrt()).alias(\"{value}_se\"),"),
        format!("        pl.col(\"{value}\").count().alias(\"n\"),"),
    ]
}

fn rust_mean(value: &str) -> [String; 3] {
    let error = format!("col(\"{value}\").std(1) / col(\"{value}\").count().cast(DataType::Float64).sqrt()");
    [
        format!("        col(\"{value}\").mean(),"),
        format!("        ({error}).alias(\"{value}_se\"),"),
        format!("        col(\"{value}\").count().alias(\"n\"),"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_say_what_the_frame_is() {
        let pick =
            Pick::new(&["step", "layer"], &["value"], vec![Filter::Text("score", "induction".into())]).of("na\"no");
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
        let rust = Pick::new(&["step"], &["value"], vec![Filter::Ints("step", vec![0, 512])]).mean().rust("r");
        insta::assert_snapshot!(rust, @r#"
        use polars::prelude::*;

        LazyFrame::scan_parquet(PlRefPath::new("r"), Default::default())?
            .filter(col("step").eq(lit(0)).or(col("step").eq(lit(512))))
            .group_by_stable([col("step")])
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
