//! Published evaluations as rows of a CSV file.

use std::io::Cursor;

use polars::prelude::{CsvReadOptions, DataFrame, DataType, SerReader};

/// Why a file of published curves cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// It is not a CSV file.
    #[error("it is not a CSV file: {problem}")]
    Csv {
        /// What Polars said.
        problem: String,
    },
    /// Its columns are separated by another character than a comma.
    #[error("its columns are separated by {separator:?}: save it with commas")]
    Separator {
        /// What stands between the names of the first line.
        separator: char,
    },
    /// A column is missing.
    #[error(
        "it has no column `{column}` (model, step, task, metric, value are needed; stderr and num_fewshot are used)"
    )]
    Column {
        /// Name of the missing column.
        column: &'static str,
    },
    /// No row has both a step and a value.
    #[error("no row has both a step of at least 0 and a value; rows without a step are only drawn beside such rows")]
    Empty,
}

/// One published number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PublishedScore {
    pub model: String,
    /// The step; none for a model without checkpoints, such as OPT.
    pub step: Option<i64>,
    pub shots: Option<i64>,
    pub task: String,
    pub metric: String,
    pub value: f64,
    pub error: Option<f64>,
}

/// The rows of a file.
///
/// # Errors
/// [`PublishedError`] with what is wrong.
pub(super) fn parse(text: &str) -> Result<Vec<PublishedScore>, PublishedError> {
    let names = text.lines().next().unwrap_or_default();
    if let Some(separator) = [';', '\t', '|'].into_iter().find(|&separator| names.split(separator).count() > 2)
        && !names.contains(',')
    {
        return Err(PublishedError::Separator { separator });
    }
    let options = CsvReadOptions::default().with_infer_schema_length(None);
    let frame = options.into_reader_with_file_handle(Cursor::new(text.as_bytes())).finish();
    let rows = rows(&frame.map_err(|error| PublishedError::Csv { problem: error.to_string() })?)?;
    if rows.iter().any(|row| row.step.is_some()) { Ok(rows) } else { Err(PublishedError::Empty) }
}

/// The rows with a value, in the order of the file. A step of −1, or none, is that of a model without checkpoints.
fn rows(frame: &DataFrame) -> Result<Vec<PublishedScore>, PublishedError> {
    let column = |name: &'static str, wanted: DataType| {
        let column = frame.column(name).map_err(|_| PublishedError::Column { column: name })?;
        column.cast(&wanted).map_err(|error| PublishedError::Csv { problem: error.to_string() })
    };
    let texts = |name: &'static str| -> Result<Vec<String>, PublishedError> {
        let column = column(name, DataType::String)?;
        let values = column.str().map_err(|_| PublishedError::Column { column: name })?;
        Ok(values.iter().map(|value| value.unwrap_or_default().to_owned()).collect())
    };
    let numbers = |name: &'static str| -> Result<Vec<Option<f64>>, PublishedError> {
        let column = column(name, DataType::Float64)?;
        let values = column.f64().map_err(|_| PublishedError::Column { column: name })?;
        Ok(values.iter().map(|value| value.filter(|number| number.is_finite())).collect())
    };
    let optional = |name: &'static str| match frame.column(name) {
        Ok(_) => numbers(name),
        Err(_) => Ok(vec![None; frame.height()]),
    };
    let (models, tasks, metrics) = (texts("model")?, texts("task")?, texts("metric")?);
    let (steps, values) = (numbers("step")?, numbers("value")?);
    let (shots, errors) = (optional("num_fewshot")?, optional("stderr")?);
    let row = |row: usize| {
        let (model, task, metric) = (models[row].clone(), tasks[row].clone(), metrics[row].clone());
        let step = steps[row].filter(|step| *step >= 0.0);
        let shots = shots[row].map(|shots| shots as i64);
        Some(PublishedScore {
            model,
            step: step.map(|step| step as i64),
            shots,
            task,
            metric,
            value: values[row]?,
            error: errors[row],
        })
    };
    Ok((0..frame.height()).filter_map(row).collect())
}
