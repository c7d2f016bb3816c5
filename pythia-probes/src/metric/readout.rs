//! Metrics read from rows of the last residual stream.

use burn::tensor::{Tensor, TensorData};
use pythia_core::model::GptNeoX;

use super::Metric;
use super::logits::{self, Row, divergence, floats, ints, log_sum, picked, unembed};
use crate::error::ProbeError;
use crate::rows::{ROWS_AT_A_TIME, select};

/// A prompt and the tokens that its logits are compared for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The prompt's tokens.
    pub tokens: Vec<u32>,
    /// Position whose logits are read; `loss` reads the logits of all positions.
    pub at: usize,
    /// Right answers; never empty.
    pub answers: Vec<u32>,
    /// Wrong answers.
    pub wrongs: Vec<u32>,
}

/// The metrics of a batch of prompts of one length.
#[derive(Clone, Debug)]
pub struct Readout {
    questions: Vec<Question>,
    metrics: Vec<Metric>,
    /// Ids below this are tokens.
    vocab: usize,
}

/// A row of the last residual stream: a position of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ReadRow {
    /// Index of the prompt in the batch.
    example: usize,
    position: usize,
    /// Index among the prompt's rows.
    index: usize,
}

/// The run that other runs are compared with, for `kl` and `argmax_match`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference<'a> {
    pub model: &'a GptNeoX,
    /// The rows of its last stream that the metrics read, of all prompts, `[row, d_model]`.
    pub rows: &'a Tensor<2>,
}

impl Readout {
    /// `vocab`: ids below it are tokens, those from there on are padding.
    pub fn new(questions: Vec<Question>, metrics: Vec<Metric>, vocab: usize) -> Self {
        Readout { questions, metrics, vocab }
    }

    /// Number of prompts.
    pub(crate) fn n_examples(&self) -> usize {
        self.questions.len()
    }

    /// Positions of a prompt that the metrics read, ascending.
    pub(crate) fn positions(&self, example: usize) -> Vec<usize> {
        let question = &self.questions[example];
        if !self.metrics.contains(&Metric::Loss) {
            return vec![question.at];
        }
        let mut positions: Vec<usize> = (0..question.tokens.len().saturating_sub(1)).collect();
        if !positions.contains(&question.at) {
            positions.push(question.at);
            positions.sort_unstable();
        }
        positions
    }

    /// Whether a few columns of the unembedding give everything.
    pub(crate) fn needs_few_columns(&self) -> bool {
        self.metrics.iter().all(|metric| metric.needs_few_columns())
    }

    /// The rows of a last stream `[batch, pos, d_model]` that the metrics read, of all prompts: `[row, d_model]`.
    pub(crate) fn rows(&self, stream: &Tensor<3>) -> Tensor<2> {
        let [batch, length, width] = stream.dims();
        let places = (0..self.questions.len()).flat_map(|example| self.places(example));
        let rows: Vec<usize> = places.map(|place| place.example * length + place.position).collect();
        select(&stream.clone().reshape([batch * length, width]), &rows)
    }

    /// The metrics of whole prompts: `rows` `[row, d_model]` of the stream that leaves the last block hold, for each
    /// of `examples` in turn, the rows of its [`positions`](Self::positions). Values that are undefined are NaN.
    /// `base`: the same rows of the base run, of **all** prompts, for what compares with it.
    ///
    /// # Errors
    /// [`ProbeError::Device`] if values cannot be read.
    pub(crate) fn read(
        &self,
        model: &GptNeoX,
        rows: Tensor<2>,
        examples: &[usize],
        base: &Tensor<2>,
    ) -> Result<Vec<Vec<f64>>, ProbeError> {
        self.read_against(model, rows, examples, Reference { model, rows: base })
    }

    /// As [`read`](Self::read), where the base run is one of another model.
    ///
    /// # Errors
    /// [`ProbeError::Device`] if values cannot be read.
    pub(crate) fn read_against(
        &self,
        model: &GptNeoX,
        rows: Tensor<2>,
        examples: &[usize],
        base: Reference,
    ) -> Result<Vec<Vec<f64>>, ProbeError> {
        let places: Vec<ReadRow> = examples.iter().flat_map(|&example| self.places(example)).collect();
        let offsets = self.offsets();
        let mut found = Vec::with_capacity(places.len());
        for from in (0..places.len()).step_by(ROWS_AT_A_TIME) {
            let part = &places[from..(from + ROWS_AT_A_TIME).min(places.len())];
            let rows = rows.clone().slice_dim(0, from..from + part.len());
            found.extend(if self.needs_few_columns() {
                self.few_columns(model, rows, part)?
            } else {
                let base_of = |place: &ReadRow| offsets[place.example] + place.index;
                self.all_columns(model, rows, part, base, &part.iter().map(base_of).collect::<Vec<_>>())?
            });
        }
        let base_best = self.base_best(base)?;
        let mut found = found.into_iter();
        Ok(examples.iter().map(|&example| self.score(example, &mut found, base_best.as_deref())).collect())
    }

    fn places(&self, example: usize) -> impl Iterator<Item = ReadRow> {
        let row = move |(index, position)| ReadRow { example, position, index };
        self.positions(example).into_iter().enumerate().map(row)
    }

    /// Where each prompt's rows begin among those of all prompts.
    fn offsets(&self) -> Vec<usize> {
        let mut next = 0;
        let offset = |example| {
            let offset = next;
            next += self.positions(example).len();
            offset
        };
        (0..self.questions.len()).map(offset).collect()
    }

    /// Ids whose logits are picked at a place.
    fn picks(&self, place: &ReadRow) -> Vec<u32> {
        let question = &self.questions[place.example];
        let next = question.tokens.get(place.position + 1).filter(|_| self.metrics.contains(&Metric::Loss));
        let answers = question.answers.iter().chain(&question.wrongs).filter(|_| place.position == question.at);
        answers.chain(next).copied().collect()
    }

    fn few_columns(&self, model: &GptNeoX, rows: Tensor<2>, places: &[ReadRow]) -> Result<Vec<Row>, ProbeError> {
        let mut columns: Vec<u32> = places.iter().flat_map(|place| self.picks(place)).collect();
        columns.sort_unstable();
        columns.dedup();
        let logits = floats(model.logits_of(rows, &columns))?;
        let column = |id: u32| columns.binary_search(&id).unwrap_or_else(|_| unreachable!("every pick has a column"));
        let at = |row: usize, id: u32| logits[row * columns.len() + column(id)];
        let picked = |(row, place): (usize, &ReadRow)| self.picks(place).into_iter().map(|id| at(row, id)).collect();
        let row = |place| Row { picked: picked(place), ..Row::default() };
        Ok(places.iter().enumerate().map(row).collect())
    }

    fn all_columns(
        &self,
        model: &GptNeoX,
        rows: Tensor<2>,
        places: &[ReadRow],
        base: Reference,
        base_rows: &[usize],
    ) -> Result<Vec<Row>, ProbeError> {
        let logits = unembed(model, rows);
        let [count, width] = logits.dims();
        let picks: Vec<Vec<u32>> = places.iter().map(|place| self.picks(place)).collect();
        let picked = picked(&logits, &picks)?;
        let log_sum = floats(log_sum(&logits))?;
        let real = if width > self.vocab { logits.clone().slice([0..count, 0..self.vocab]) } else { logits.clone() };
        let rank =
            if self.metrics.contains(&Metric::Rank) { self.ranks(&real, places, &picked)? } else { vec![0.0; count] };
        let best = if self.asks_for_best() { ints(real.argmax(1))? } else { vec![0; count] };
        let kl = if self.metrics.contains(&Metric::Kl) {
            divergence(&logits, &log_sum, base, base_rows)?
        } else {
            vec![0.0; count]
        };
        let rows = picked.into_iter().zip(log_sum).zip(rank).zip(best).zip(kl);
        Ok(rows.map(|((((picked, log_sum), rank), best), kl)| Row { picked, log_sum, rank, best, kl }).collect())
    }

    fn asks_for_best(&self) -> bool {
        self.metrics.iter().any(|metric| matches!(metric, Metric::Accuracy | Metric::ArgmaxMatch))
    }

    /// Per row, how many real tokens have a larger logit than the best right answer.
    fn ranks(&self, real: &Tensor<2>, places: &[ReadRow], picked: &[Vec<f64>]) -> Result<Vec<f64>, ProbeError> {
        let best = |(place, picked): (&ReadRow, &Vec<f64>)| {
            let question = &self.questions[place.example];
            let answers = if place.position == question.at { question.answers.len() } else { 0 };
            picked[..answers].iter().copied().fold(f64::NEG_INFINITY, f64::max)
        };
        let bars: Vec<f64> = places.iter().zip(picked).map(best).collect();
        let count = bars.len();
        let bars = Tensor::<2>::from_data(TensorData::new(bars, [count, 1]), (&real.device(), real.dtype()));
        let larger = real.clone().greater(bars.expand(real.dims())).int().sum_dim(1);
        Ok(ints(larger)?.into_iter().map(|count| count as f64).collect())
    }

    /// The base run's most likely token at each prompt's answer, where a metric compares with it.
    fn base_best(&self, base: Reference) -> Result<Option<Vec<i64>>, ProbeError> {
        if !self.metrics.contains(&Metric::ArgmaxMatch) {
            return Ok(None);
        }
        let at = |(example, offset): (usize, usize)| {
            let answer = self.places(example).find(|place| place.position == self.questions[example].at);
            offset + answer.unwrap_or_else(|| unreachable!("the answer's position is read")).index
        };
        let rows: Vec<usize> = self.offsets().into_iter().enumerate().map(at).collect();
        let mut best = Vec::with_capacity(rows.len());
        for part in rows.chunks(ROWS_AT_A_TIME) {
            let logits = unembed(base.model, select(base.rows, part));
            let [count, width] = logits.dims();
            best.extend(ints(logits.slice([0..count, 0..self.vocab.min(width)]).argmax(1))?);
        }
        Ok(Some(best))
    }

    /// The values of one prompt from its rows.
    fn score(&self, example: usize, rows: &mut impl Iterator<Item = Row>, base_best: Option<&[i64]>) -> Vec<f64> {
        let question = &self.questions[example];
        let (mut answer, mut losses) = (Row::default(), Vec::new());
        for position in self.positions(example) {
            let row = rows.next().unwrap_or_default();
            if position + 1 < question.tokens.len() && self.metrics.contains(&Metric::Loss) {
                losses.push(row.log_sum - row.picked.last().copied().unwrap_or(f64::NAN));
            }
            if position == question.at {
                answer = row;
            }
        }
        let loss = losses.iter().sum::<f64>() / losses.len() as f64;
        let base_best = base_best.map(|best| best[example]);
        self.metrics.iter().map(|&metric| logits::value(metric, question, &answer, loss, base_best)).collect()
    }
}
