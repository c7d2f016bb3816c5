//! Conditions on rows: as an expression, and as the code in Python and in Rust that a figure shows.

use super::quote;
use polars::prelude::{Expr, PolarsResult, RankMethod, RankOptions, col, lit};

/// A condition on rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Filter {
    /// The column has this text.
    Text(&'static str, String),
    /// The column has this whole number.
    Int(&'static str, i64),
    /// The column has one of these whole numbers.
    Ints(&'static str, Vec<i64>),
    /// The column is null.
    Null(&'static str),
    /// The rows, of those that agree in the columns `by`, whose absolute value is at least `least` at one step: the
    /// curves with the largest values at the end.
    End { by: Vec<&'static str>, value: &'static str, step: i64, least: f64 },
    /// The column has one of these texts.
    Texts(&'static str, Vec<String>),
    /// The `most` curves with the highest peaks within each group; those that tie with the last are included. A curve
    /// is the rows that agree in `within` and `by`.
    Top { within: &'static str, by: &'static [&'static str], value: &'static str, most: u32 },
    /// The rows, of those that agree in the columns `by`, whose largest value is at least `least`: the curves with the
    /// highest peaks.
    Peak { by: &'static [&'static str], value: &'static str, least: f64 },
}

impl Filter {
    /// As an expression.
    pub(super) fn expr(&self) -> PolarsResult<Expr> {
        Ok(match self {
            Self::Text(name, text) => col(*name).eq(lit(text.as_str())),
            Self::Int(name, number) => col(*name).eq(lit(*number)),
            Self::Ints(name, numbers) => {
                let any = numbers.iter().map(|number| col(*name).eq(lit(*number))).reduce(Expr::or);
                any.unwrap_or_else(|| lit(false))
            }
            Self::Null(name) => col(*name).is_null(),
            Self::End { by, value, step, least } => {
                let end = col(*value).filter(col("step").eq(lit(*step))).abs().max();
                end.over(by.iter().map(|name| col(*name)).collect::<Vec<_>>())?.gt_eq(lit(*least))
            }
            Self::Texts(name, texts) => {
                let any = texts.iter().map(|text| col(*name).eq(lit(text.as_str()))).reduce(Expr::or);
                any.unwrap_or_else(|| lit(false))
            }
            Self::Top { within, by, value, most } => {
                let curve: Vec<Expr> = [within].into_iter().chain(*by).map(|name| col(*name)).collect();
                let options = RankOptions { method: RankMethod::Dense, descending: true };
                col(*value).max().over(curve)?.rank(options, None).over([col(*within)])?.lt_eq(lit(*most))
            }
            Self::Peak { by, value, least } => {
                col(*value).max().over(by.iter().map(|name| col(*name)).collect::<Vec<_>>())?.gt_eq(lit(*least))
            }
        })
    }

    /// As a line of Python.
    pub(super) fn python(&self) -> String {
        match self {
            Self::Text(name, text) => format!("pl.col(\"{name}\") == {}", quote::python(text)),
            Self::Int(name, number) => format!("pl.col(\"{name}\") == {number}"),
            Self::Ints(name, numbers) => format!("pl.col(\"{name}\").is_in({numbers:?})"),
            Self::Null(name) => format!("pl.col(\"{name}\").is_null()"),
            Self::End { by, value, step, least } => {
                let end = format!("pl.col(\"{value}\").filter(pl.col(\"step\") == {step}).abs().max()");
                format!("{end}.over({}) >= {least:?}", list(by.iter().copied()))
            }
            Self::Texts(name, texts) => {
                format!("pl.col(\"{name}\").is_in([{}])", list(texts.iter().map(String::as_str)))
            }
            Self::Top { within, by, value, most } => {
                let curve = list([*within].into_iter().chain(by.iter().copied()));
                let rank = "rank(\"dense\", descending=True)";
                format!("pl.col(\"{value}\").max().over({curve}).{rank}.over(\"{within}\") <= {most}")
            }
            Self::Peak { by, value, least } => {
                format!("pl.col(\"{value}\").max().over({}) >= {least:?}", list(by.iter().copied()))
            }
        }
    }

    /// As a line of Rust.
    pub(super) fn rust(&self) -> String {
        match self {
            Self::Text(name, text) => format!("col(\"{name}\").eq(lit({}))", quote::rust(text)),
            Self::Int(name, number) => format!("col(\"{name}\").eq(lit({number}))"),
            Self::Ints(name, numbers) => any_of(name, numbers.iter().map(ToString::to_string)),
            Self::Null(name) => format!("col(\"{name}\").is_null()"),
            Self::End { by, value, step, least } => {
                let end = format!("col(\"{value}\").filter(col(\"step\").eq(lit({step}))).abs().max()");
                format!("{end}.over([{}])?.gt_eq(lit({least:?}))", cols(by.iter().copied()))
            }
            Self::Texts(name, texts) => any_of(name, texts.iter().map(|text| quote::rust(text))),
            Self::Top { within, by, value, most } => {
                let curve = cols([*within].into_iter().chain(by.iter().copied()));
                let rank = "rank(RankOptions { method: RankMethod::Dense, descending: true }, None)";
                format!("col(\"{value}\").max().over([{curve}])?.{rank}.over([col(\"{within}\")])?.lt_eq(lit({most}))")
            }
            Self::Peak { by, value, least } => {
                format!("col(\"{value}\").max().over([{}])?.gt_eq(lit({least:?}))", cols(by.iter().copied()))
            }
        }
    }
}

/// Whether a column has one of these literals, in Rust.
pub(crate) fn any_of(name: &str, literals: impl Iterator<Item = String>) -> String {
    let each: Vec<String> = literals.map(|literal| format!("col(\"{name}\").eq(lit({literal}))")).collect();
    each.join(".or(") + &")".repeat(each.len().saturating_sub(1))
}

/// Names as literals of Python, with commas.
pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(quote::python).collect::<Vec<_>>().join(", ")
}

/// Names as columns in Rust, with commas.
pub(super) fn cols<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("col(\"{name}\")")).collect::<Vec<_>>().join(", ")
}
