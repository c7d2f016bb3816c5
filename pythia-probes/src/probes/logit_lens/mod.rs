//! What the model would answer if it stopped after each block (nostalgebraist 2020, "interpreting GPT: the logit
//! lens").
//!
//! The residual stream at each depth goes through the final norm, with the statistics of that depth, and the
//! unembedding: what TransformerLens 2.18 computes as `unembed(cache.accumulated_resid(layer=-1, apply_ln=True))`.

mod on_device;
mod read;

use std::ops::Range;
use std::path::Path;

use burn::tensor::{DType, Tensor};
use pythia_core::device::{host_f32, host_f64, ints, is_cpu};
use pythia_core::model::Residual;
use pythia_hooks::{Activation, HookPoint, Site};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(all(test, feature = "wgpu"))]
pub(crate) use self::on_device::tests::agree;
use self::read::{Prediction, read};
use crate::error::ProbeError;
use crate::families::reading::{Reader, ReadingInput, ReadingProbe, ReadingRun};
use crate::loss::PromptLoss;
use crate::probe::{Answer, Estimate, Probe};
use crate::prompts::{PromptSource, TokenTexts};
use crate::rows::ROWS_AT_A_TIME;
use crate::subject::{Context, Subject};
use crate::table::columns::{POS, PROMPT_ID, STATUS};
use crate::table::{ColumnSpec, OK, TableBuilder, TableSpec, TableValue, UNDEFINED, refuse_too_many};

const PLACE: &str = "the logits of the lens";

/// Bytes of a row of the table, once as it is and once on its way into a file.
const BYTES_PER_ROW: u64 = 500;

/// The model's answer at every depth: the residual stream through the final norm and the unembedding (nostalgebraist
/// 2020).
///
/// `layer` counts the blocks that were run: 0 is the embedding alone, the number of layers is the model's own output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogitLens {
    /// The prompts: random tokens that repeat, `{ n = 1, half_len = 12, repeats = 2 }` by default, or one
    /// of texts, tokens and file.
    pub prompts: PromptSource<1, 12>,
}

impl LogitLens {
    pub(crate) const TABLES: &'static [TableSpec] = &[TableSpec {
        suffix: "",
        doc: "A row per prompt, depth and position",
        columns: &[&[
            PROMPT_ID,
            ColumnSpec::int(
                "layer",
                "Blocks that were run: 0 is the embedding alone, the last is the model's own output",
            ),
            POS,
            ColumnSpec::int("token_id", "Token id at `pos`"),
            ColumnSpec::text("token", "Its text; empty without a tokenizer"),
            ColumnSpec::int(
                "top_id",
                "Most likely next token, among those that are no padding; of equal ones the smallest id",
            ),
            ColumnSpec::text("top_token", "Its text; empty without a tokenizer"),
            ColumnSpec::float("top_prob", "probability", "Its probability, softmax over the whole unembedding"),
            ColumnSpec::int("target_id", "The prompt's next token; null at its last position"),
            ColumnSpec::text("target_token", "Its text; empty without a tokenizer"),
            ColumnSpec::float("target_prob", "probability", "Its probability"),
            ColumnSpec::int("target_rank", "Number of tokens that are more likely; 0 for the most likely one"),
            ColumnSpec::float("entropy", "nats", "Entropy of the distribution over the next token"),
            STATUS,
        ]],
    }];

    /// A small configuration, for tests of all probes.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self { prompts: PromptSource::tokens([vec![3, 1, 4], vec![9, 2]]) }
    }

    /// Rows of the table: a row per token and depth.
    fn rows(&self, context: &Context) -> Result<u64, ProbeError> {
        let lengths = self.prompts.lengths(context)?;
        let tokens = lengths.into_iter().fold(0, |sum: u64, len| sum.saturating_add(len as u64));
        Ok(tokens.saturating_mul(context.config.n_layers as u64 + 1))
    }

    /// Positions whose streams are kept, padding included.
    fn streams(&self, context: &Context) -> u64 {
        let (batch, len) = self.prompts.size(context);
        (batch as u64).saturating_mul(len as u64).saturating_mul(context.config.n_layers as u64 + 1)
    }
}

impl Probe for LogitLens {
    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        self.rows(context).and_then(refuse_too_many)
    }

    fn tokens_per_run(&self, context: &Context) -> (usize, usize) {
        self.prompts.size(context)
    }

    /// The pass counts one unembedding of every token, and keeps no stream.
    fn extra(&self, context: &Context) -> Estimate {
        let rows = self.rows(context).unwrap_or(0);
        let (d, vocab) = (context.config.d_model as u64, context.config.vocab_size as u64);
        let earlier = rows - rows / (context.config.n_layers as u64 + 1);
        Estimate {
            flops: earlier.saturating_mul(2 * d * vocab),
            memory: rows.saturating_mul(BYTES_PER_ROW).saturating_add(self.streams(context).saturating_mul(4 * d)),
        }
    }

    fn files(&self) -> Vec<&Path> {
        self.prompts.files()
    }
}

impl ReadingProbe for LogitLens {
    fn input(&self, context: &Context) -> Result<ReadingInput, ProbeError> {
        self.prompts.prompts(context).map(ReadingInput::from)
    }

    fn reader<'a>(&'a self, run: ReadingRun<'a>) -> Box<dyn Reader + 'a> {
        let depths = vec![Vec::new(); run.context.config.n_layers + 1];
        Box::new(StreamKeeper { run, streams: Vec::with_capacity(depths.len()), depths })
    }
}

/// Keeps the residual stream of every depth and unembeds them after the last block. An unembedding between two blocks
/// would evict the next block from memory where weights are read layer by layer.
struct StreamKeeper<'a> {
    run: ReadingRun<'a>,
    /// Of the prompts that the model runs on, `[batch, pos, d_model]` each, the embedding first.
    streams: Vec<Tensor<3>>,
    /// By depth, the predictions at every token of the earlier parts, in order and without the padding.
    depths: Vec<Vec<Option<Prediction>>>,
}

impl Reader for StreamKeeper<'_> {
    fn wants(&self, point: HookPoint) -> bool {
        match point.site() {
            Site::ResidPre => true,
            Site::ResidPost => point.layer().is_some_and(|layer| layer + 2 == self.depths.len()),
            _ => false,
        }
    }

    /// Keeps a stream. Any other activation is ignored, and [`part_done`](Self::part_done) reports it as missing.
    fn read(&mut self, _: HookPoint, stream: &Activation) -> Result<(), ProbeError> {
        self.streams.extend(stream.clone().into_tensor());
        Ok(())
    }

    /// Reads the streams of the prompts that the model has run on.
    fn part_done(&mut self, prompts: Range<usize>) -> Result<(), ProbeError> {
        let streams = std::mem::take(&mut self.streams);
        if streams.len() != self.depths.len() {
            return Err(ProbeError::NotFired { fired: streams.len(), expected: self.depths.len() });
        }
        let rows = &self.run.input.prompts.rows()[prompts];
        for (depth, stream) in self.depths.iter_mut().zip(streams) {
            depth.extend(predictions(stream, rows, self.run.subject)?);
        }
        Ok(())
    }

    fn finish(self: Box<Self>, _: &[PromptLoss]) -> Result<Answer, ProbeError> {
        let mut table = LogitLens::TABLES[0].builder();
        let mut words = TokenTexts::new(self.run.context.tokenizer);
        let mut start = 0;
        for (prompt, ids) in self.run.input.prompts.rows().iter().enumerate() {
            for (layer, predictions) in self.depths.iter().enumerate() {
                for (pos, prediction) in predictions[start..][..ids.len()].iter().enumerate() {
                    row(&mut table, &mut words, [prompt, layer, pos], ids, *prediction);
                }
            }
            start += ids.len();
        }
        Ok(vec![table.build()])
    }
}

/// The predictions of one depth at every token of every prompt, in order and without the padding. A few positions are
/// unembedded at a time.
fn predictions(
    stream: Tensor<3>,
    prompts: &[Vec<u32>],
    subject: &Subject,
) -> Result<Vec<Option<Prediction>>, ProbeError> {
    let [batch, len, width] = stream.dims();
    let (device, rows) = (stream.device(), stream.reshape([batch * len, width]));
    let places = prompts.iter().enumerate().flat_map(|(prompt, ids)| {
        let next = ids.iter().skip(1).copied().map(Some).chain([None]);
        next.enumerate().map(move |(pos, next)| (prompt * len + pos, next))
    });
    let places: Vec<(usize, Option<u32>)> = places.collect();
    let mut predictions = Vec::with_capacity(places.len());
    for part in places.chunks(ROWS_AT_A_TIME) {
        let at = ints(part.iter().map(|(at, _)| *at), [part.len()], &device);
        let stream = rows.clone().select(0, at).reshape([1, part.len(), width]);
        let logits = subject.model.unembed(Residual { layer: subject.model.config().n_layers, stream }, &mut ());
        let targets: Vec<Option<u32>> = part.iter().map(|(_, next)| *next).collect();
        let found = match is_cpu(&device) {
            true => read_all(logits, &targets, subject.vocab),
            false => on_device::read_all(logits, &targets, subject.vocab),
        };
        predictions.extend(found?);
    }
    Ok(predictions)
}

/// Reads logits `[1, position, V]`.
fn read_all(logits: Tensor<3>, targets: &[Option<u32>], vocab: usize) -> Result<Vec<Option<Prediction>>, ProbeError> {
    let width = logits.dims()[2];
    let device = ProbeError::device(PLACE);
    if logits.dtype() == DType::F64 {
        let values = host_f64(logits).map_err(device)?;
        return Ok(values.chunks(width).zip(targets).map(|(row, target)| read(row, vocab, *target)).collect());
    }
    let values = host_f32(logits).map_err(device)?;
    Ok(values.chunks(width).zip(targets).map(|(row, target)| read(row, vocab, *target)).collect())
}

/// One row; `place` is prompt, layer and position.
fn row(table: &mut TableBuilder, words: &mut TokenTexts, place: [usize; 3], ids: &[u32], found: Option<Prediction>) {
    let id = |id: Option<u32>| TableValue::Int(id.map(i64::from));
    let mut word = |id: Option<u32>| TableValue::Text(id.map(|id| words.of(id)).unwrap_or_default());
    let (own, next) = (ids.get(place[2]).copied(), ids.get(place[2] + 1).copied());
    let top = found.map(|found| found.top);
    let target = found.and_then(|found| found.target);
    let status = if found.is_some() { OK } else { UNDEFINED };
    let cells = [
        id(own),
        word(own),
        id(top),
        word(top),
        found.map(|found| found.top_prob).into(),
        id(next),
        word(next),
        target.map(|target| target.prob).into(),
        target.map(|target| target.rank).into(),
        found.map(|found| found.entropy).into(),
        status.into(),
    ];
    table.row(place.into_iter().map(TableValue::from).chain(cells));
}

#[cfg(test)]
mod tests;
