//! Columns of a computed frame as plain vectors, and the curves over steps in it.

use polars::error::PolarsError;
use polars::prelude::{
    Column, CsvWriter, DataFrame, DataType, IntoLazy, LazyFrame, PolarsResult, SerWriter, Series, col,
};

use super::columns::ColumnType;
use super::{ResultsError, Table, guarded};

/// A frame that was computed from a table; errors name the table.
#[derive(Clone, Debug)]
pub(crate) struct FrameRows<'a> {
    table: &'a Table,
    pub frame: DataFrame,
}

impl<'a> FrameRows<'a> {
    /// Computes a lazy frame of the table.
    ///
    /// # Errors
    /// [`ResultsError::Polars`].
    pub(crate) fn collect(table: &'a Table, frame: LazyFrame) -> Result<Self, ResultsError> {
        let frame = guarded(|| frame.collect()).unwrap_or_else(|panic| Err(PolarsError::ComputeError(panic.into())));
        Ok(Self { table, frame: frame.map_err(table.failed())? })
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.frame.height()
    }

    /// Whether there are no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the frame has a column of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.frame.column(name).is_ok()
    }

    /// The frame as CSV.
    ///
    /// # Errors
    /// [`ResultsError::Polars`].
    pub(crate) fn csv(&self) -> Result<String, ResultsError> {
        let mut bytes = Vec::new();
        CsvWriter::new(&mut bytes).finish(&mut self.frame.clone()).map_err(self.table.failed())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A column of text; a null is empty.
    ///
    /// # Errors
    /// [`ResultsError::Column`] where there is none.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, ResultsError> {
        self.text_of(&self.column(name, &DataType::String, ColumnType::Text)?)
    }

    fn text_of(&self, column: &Column) -> Result<Vec<String>, ResultsError> {
        let values = column.str().map_err(self.table.failed())?;
        Ok(values.iter().map(|value| value.unwrap_or_default().to_owned()).collect())
    }

    /// A column of any type, as text; a null is empty.
    ///
    /// # Errors
    /// [`ResultsError::Column`] where there is none.
    pub(crate) fn labels(&self, name: &str) -> Result<Vec<String>, ResultsError> {
        let missing = |_| self.missing(name, ColumnType::Text);
        let column = self.frame.column(name).map_err(missing)?.cast(&DataType::String).map_err(self.table.failed())?;
        self.text_of(&column)
    }

    /// A column of whole numbers.
    ///
    /// # Errors
    /// [`ResultsError::Column`] where there is none.
    pub(crate) fn ints(&self, name: &str) -> Result<Vec<Option<i64>>, ResultsError> {
        let column = self.column(name, &DataType::Int64, ColumnType::Int)?;
        Ok(column.i64().map_err(self.table.failed())?.iter().collect())
    }

    /// A column of numbers; values that are not finite are none.
    ///
    /// # Errors
    /// [`ResultsError::Column`] where there is none.
    pub(crate) fn floats(&self, name: &str) -> Result<Vec<Option<f64>>, ResultsError> {
        let column = self.column(name, &DataType::Float64, ColumnType::Float)?;
        finite(column.as_materialized_series()).map_err(self.table.failed())
    }

    fn column(&self, name: &str, wanted: &DataType, values: ColumnType) -> Result<Column, ResultsError> {
        let column = self.frame.column(name).map_err(|_| self.missing(name, values))?;
        // A column of nulls may have lost its type on the way; a number may have been counted in 32 bits.
        let castable =
            column.dtype() == wanted || column.dtype() == &DataType::Null || column.dtype().is_primitive_numeric();
        if !castable || (wanted == &DataType::String && column.dtype().is_primitive_numeric()) {
            return Err(self.missing(name, values));
        }
        column.cast(wanted).map_err(self.table.failed())
    }

    fn missing(&self, name: &str, wanted: ColumnType) -> ResultsError {
        ResultsError::Column { table: self.table.name.clone(), column: name.to_owned(), wanted }
    }

    /// The rows with equal `keys`, in the order of their first rows, as curves over steps.
    ///
    /// # Errors
    /// [`ResultsError::Polars`] if a column is missing or has another type.
    pub(crate) fn curves(
        &self,
        keys: &[&str],
        value: &str,
        bounds: Option<[&str; 2]>,
    ) -> Result<Curves<'a>, ResultsError> {
        let lists: Vec<&str> = ["step", value].into_iter().chain(bounds.into_iter().flatten()).collect();
        let grouped = self.frame.clone().lazy();
        let grouped = grouped.group_by_stable(keys.iter().map(|key| col(*key)).collect::<Vec<_>>());
        let grouped = grouped.agg(lists.iter().map(|name| col(*name)).collect::<Vec<_>>());
        let keys = FrameRows::collect(self.table, grouped)?;
        let points = (0..keys.len()).map(|row| keys.points(row, value, bounds)).collect::<Result<_, _>>()?;
        Ok(Curves { keys, points })
    }

    /// The points of the curve in one row of a grouped frame.
    fn points(&self, row: usize, value: &str, bounds: Option<[&str; 2]>) -> Result<Vec<CurvePoint>, ResultsError> {
        let list = |name: &str, wanted: DataType| {
            let series = self.frame.column(name)?.list()?.get_as_series(row).unwrap_or_default();
            series.cast(&wanted)
        };
        let numbers = |name: &str| -> Result<Vec<Option<f64>>, ResultsError> {
            list(name, DataType::Float64).and_then(|series| finite(&series)).map_err(self.table.failed())
        };
        let steps = list("step", DataType::Int64).map_err(self.table.failed())?;
        let steps = steps.i64().map_err(self.table.failed())?;
        let values = numbers(value)?;
        let bands = match bounds {
            None => vec![None; values.len()],
            Some([low, high]) => {
                numbers(low)?.into_iter().zip(numbers(high)?).map(|(low, high)| low.zip(high)).collect()
            }
        };
        let point = |((step, value), band)| CurvePoint { step, value, band };
        let mut points: Vec<CurvePoint> = steps.iter().zip(values).zip(bands).map(point).collect();
        points.sort_by_key(|point| point.step);
        Ok(points)
    }
}

/// The numbers of a series; values that are not finite are none.
fn finite(series: &Series) -> PolarsResult<Vec<Option<f64>>> {
    Ok(series.f64()?.iter().map(|value| value.filter(|number| number.is_finite())).collect())
}

/// Curves over steps, and the values of the columns that tell them apart.
#[derive(Clone, Debug)]
pub(crate) struct Curves<'a> {
    /// A row for each curve.
    pub keys: FrameRows<'a>,
    /// The points of each curve, in the order of steps.
    pub points: Vec<Vec<CurvePoint>>,
}

/// A point of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CurvePoint {
    /// The step; none for a single model.
    pub step: Option<i64>,
    /// The value, finite or none.
    pub value: Option<f64>,
    /// The lower and the upper bound of the value, where it has an interval.
    pub band: Option<(f64, f64)>,
}

/// The defined points of a curve.
pub(crate) fn defined(points: &[CurvePoint]) -> Vec<(i64, f64)> {
    points.iter().filter_map(|point| point.step.zip(point.value)).collect()
}

/// The largest value of a curve.
pub(crate) fn peak(points: &[CurvePoint]) -> Option<f64> {
    points.iter().filter_map(|point| point.value).max_by(f64::total_cmp)
}

/// The last value of a curve.
pub(crate) fn last(points: &[CurvePoint]) -> Option<f64> {
    points.iter().rev().find_map(|point| point.value)
}
