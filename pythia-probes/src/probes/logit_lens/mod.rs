//! What the model would answer if it stopped after each block (nostalgebraist 2020, "interpreting GPT: the logit lens").
//!
//! The residual stream at each depth goes through the final norm, with the statistics of that depth, and the unembedding: what
//! TransformerLens 2.18 computes as `unembed(cache.accumulated_resid(layer=-1, apply_ln=True))`.

mod on_device;
mod read;

use burn::tensor::{DType, Tensor};
use pythia_core::device::{ints, is_cpu};
use pythia_core::model::Residual;
use pythia_hooks::{HookPoint, Hooks, Site};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[cfg(all(test, feature = "wgpu"))]
pub(crate) use self::on_device::tests::agree;
use self::read::{Reading as Read, read};
use crate::chosen::{Chosen, Words, refuse_too_many};
use crate::error::ProbeError;
use crate::families::reading::{Observer, Reading};
use crate::loss::POSITIONS_AT_A_TIME;
use crate::probes::spec::{Estimate, Probe};
use crate::prompts::Prompts;
use crate::subject::{Context, Subject};
use crate::table::{ColumnKind, Table, TableBuilder, TableValue, UNDEFINED, measured};

const PLACE: &str = "the logits of the lens";

/// Bytes of a row of the table, once as it is and once on its way into a file.
const BYTES_PER_ROW: u64 = 500;

/// The model's answer at every depth: the residual stream through the final norm and the unembedding (nostalgebraist 2020).
///
/// `layer` counts the blocks that were run: 0 is the embedding alone, the number of layers is the model's own output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogitLens {
    /// Prompts as text, which needs the model's tokenizer.
    pub texts: Option<Vec<String>>,
    /// Prompts by their token ids; random prompts where both are left out.
    pub tokens: Option<Vec<Vec<u32>>>,
    /// Number of random prompts; 1 where it is left out.
    pub batch: Option<usize>,
    /// Tokens in the random part that is repeated; 12 where it is left out.
    pub half_len: Option<usize>,
    /// How often the random part stands in the prompt; 2 where it is left out.
    pub repeats: Option<usize>,
    /// Whether a BOS stands before each prompt; the experiment's setting where it is left out.
    pub prepend_bos: Option<bool>,
}

impl LogitLens {
    fn chosen(&self) -> Chosen<'_> {
        Chosen {
            texts: self.texts.as_deref(),
            tokens: self.tokens.as_deref(),
            batch: self.batch,
            half_len: self.half_len,
            repeats: self.repeats,
            prepend_bos: self.prepend_bos,
        }
    }

    /// Rows of the table: a row per token and depth.
    fn rows(&self, context: &Context) -> Result<u64, ProbeError> {
        let tokens =
            self.chosen().lengths(context)?.into_iter().fold(0, |sum: u64, len| sum.saturating_add(len as u64));
        Ok(tokens.saturating_mul(context.config.n_layers as u64 + 1))
    }
}

impl Probe for LogitLens {
    fn reads_logits(&self) -> bool {
        true
    }

    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        self.rows(context).and_then(refuse_too_many)
    }

    fn tokens_per_run(&self, context: &Context) -> (usize, usize) {
        self.chosen().size(context)
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
}

impl LogitLens {
    /// Positions whose streams are kept, padding included.
    fn streams(&self, context: &Context) -> u64 {
        let (batch, len) = self.chosen().size(context);
        (batch as u64).saturating_mul(len as u64).saturating_mul(context.config.n_layers as u64 + 1)
    }
}

impl Reading for LogitLens {
    fn prompts(&self, context: &Context) -> Result<Prompts, ProbeError> {
        self.chosen().prompts(context)
    }

    fn observer<'a>(&'a self, _: &Prompts, subject: &Subject) -> Observer<'a> {
        Observer::LogitLens(StreamKeeper::new(subject.model.config().n_layers))
    }

    fn reads_losses(&self) -> bool {
        false
    }
}

/// Keeps the residual stream of every depth until the model has gone through, and then reads them: an unembedding between two
/// blocks would drive the next block out of memory where weights are read layer by layer.
#[derive(Debug)]
pub(crate) struct StreamKeeper {
    n_layers: usize,
    /// Of the prompts that the model runs on, `[batch, pos, d_model]` each, the embedding first.
    streams: Vec<Tensor<3>>,
    /// By depth what it says at every token of the prompts before, in order and without the padding.
    depths: Result<Vec<Vec<Option<Read>>>, ProbeError>,
}

impl StreamKeeper {
    fn new(n_layers: usize) -> Self {
        Self { n_layers, streams: Vec::with_capacity(n_layers + 1), depths: Ok(vec![Vec::new(); n_layers + 1]) }
    }

    /// Reads the streams of the prompts `rows`, which the model has run on.
    pub fn shown(&mut self, rows: &[Vec<u32>], subject: &Subject) {
        let streams = std::mem::take(&mut self.streams);
        let depths = std::mem::replace(&mut self.depths, Ok(Vec::new()));
        self.depths = depths.and_then(|depths| with_readings(depths, streams, rows, subject));
    }

    /// Columns `prompt_id`, `layer`, `pos`, `token_id`, `token`, `top_id`, `top_token`, `top_prob`, `target_id`, `target_token`,
    /// `target_prob`, `target_rank`, `entropy`, `status`; a row per prompt, depth and position.
    ///
    /// The target is the prompt's next token; at its last position there is none. `target_rank` counts the tokens before it, so 0 is
    /// the top; `entropy` is in nats. The tokens' texts are empty where the model has no tokenizer.
    ///
    /// # Errors
    /// A depth that never reported, and what the device says.
    pub fn finish(self, prompts: &Prompts, subject: &Subject) -> Result<Table, ProbeError> {
        let depths = self.depths?;
        let mut table = header();
        let mut words = Words::new(subject.tokenizer);
        let mut start = 0;
        for (prompt, ids) in prompts.rows().iter().enumerate() {
            for (layer, readings) in depths.iter().enumerate() {
                for (pos, reading) in readings[start..][..ids.len()].iter().enumerate() {
                    row(&mut table, &mut words, [prompt, layer, pos], ids, *reading);
                }
            }
            start += ids.len();
        }
        Ok(table.build())
    }
}

impl Hooks for StreamKeeper {
    fn wants(&self, point: HookPoint) -> bool {
        match point.site() {
            Site::ResidPre => true,
            Site::ResidPost => point.layer().is_some_and(|layer| layer + 1 == self.n_layers),
            _ => false,
        }
    }

    fn edits(&self, _: HookPoint) -> bool {
        false
    }

    fn at<const D: usize>(&mut self, point: HookPoint, value: Tensor<D>) -> Tensor<D> {
        // Anything but a stream is left out, and missed in the end.
        if let (true, Ok(dims)) = (self.wants(point), <[usize; 3]>::try_from(&value.dims()[..])) {
            self.streams.push(value.clone().reshape(dims));
        }
        value
    }
}

/// Adds what every depth's stream says of the prompts `rows`.
fn with_readings(
    mut depths: Vec<Vec<Option<Read>>>,
    streams: Vec<Tensor<3>>,
    rows: &[Vec<u32>],
    subject: &Subject,
) -> Result<Vec<Vec<Option<Read>>>, ProbeError> {
    if streams.len() != depths.len() {
        return Err(ProbeError::NotFired { fired: streams.len(), expected: depths.len() });
    }
    for (depth, stream) in depths.iter_mut().zip(streams) {
        depth.extend(readings(stream, rows, subject)?);
    }
    Ok(depths)
}

/// What one depth says at every token of every prompt, in order and without the padding, a few positions at a time.
fn readings(stream: Tensor<3>, prompts: &[Vec<u32>], subject: &Subject) -> Result<Vec<Option<Read>>, ProbeError> {
    let [batch, len, width] = stream.dims();
    let (device, rows) = (stream.device(), stream.reshape([batch * len, width]));
    let places = prompts.iter().enumerate().flat_map(|(prompt, ids)| {
        let next = ids.iter().skip(1).copied().map(Some).chain([None]);
        next.enumerate().map(move |(pos, next)| (prompt * len + pos, next))
    });
    let places: Vec<(usize, Option<u32>)> = places.collect();
    let mut readings = Vec::with_capacity(places.len());
    for part in places.chunks(POSITIONS_AT_A_TIME) {
        let at = ints(part.iter().map(|(at, _)| *at), [part.len()], &device);
        let stream = rows.clone().select(0, at).reshape([1, part.len(), width]);
        let logits = subject.model.unembed(Residual { layer: subject.model.config().n_layers, stream }, &mut ());
        let targets: Vec<Option<u32>> = part.iter().map(|(_, next)| *next).collect();
        let found = match is_cpu(&device) {
            true => read_all(logits, &targets, subject.vocab),
            false => on_device::read_all(logits, &targets, subject.vocab),
        };
        readings.extend(found?);
    }
    Ok(readings)
}

/// Reads logits `[1, position, V]`.
fn read_all(logits: Tensor<3>, targets: &[Option<u32>], vocab: usize) -> Result<Vec<Option<Read>>, ProbeError> {
    let width = logits.dims()[2];
    let device = |reason: String| ProbeError::Device { place: PLACE, reason };
    let data = logits.try_into_data().map_err(|error| device(error.to_string()))?;
    if data.dtype() == DType::F64 {
        let values = data.as_slice::<f64>().map_err(|error| device(error.to_string()))?;
        return Ok(values.chunks(width).zip(targets).map(|(row, target)| read(row, vocab, *target)).collect());
    }
    let data = data.convert::<f32>();
    let values = data.as_slice::<f32>().map_err(|error| device(error.to_string()))?;
    Ok(values.chunks(width).zip(targets).map(|(row, target)| read(row, vocab, *target)).collect())
}

fn header() -> TableBuilder {
    Table::builder([
        ("prompt_id", ColumnKind::Int),
        ("layer", ColumnKind::Int),
        ("pos", ColumnKind::Int),
        ("token_id", ColumnKind::Int),
        ("token", ColumnKind::Text),
        ("top_id", ColumnKind::Int),
        ("top_token", ColumnKind::Text),
        ("top_prob", ColumnKind::Float),
        ("target_id", ColumnKind::Int),
        ("target_token", ColumnKind::Text),
        ("target_prob", ColumnKind::Float),
        ("target_rank", ColumnKind::Int),
        ("entropy", ColumnKind::Float),
        ("status", ColumnKind::Text),
    ])
}

/// One row; `place` is prompt, layer and position.
fn row(table: &mut TableBuilder, words: &mut Words, place: [usize; 3], ids: &[u32], reading: Option<Read>) {
    let id = |id: Option<u32>| TableValue::Int(id.map(i64::from));
    let mut word = |id: Option<u32>| TableValue::Text(id.map(|id| words.of(id)).unwrap_or_default());
    let (own, next) = (ids.get(place[2]).copied(), ids.get(place[2] + 1).copied());
    let top = reading.map(|reading| reading.top);
    let target = reading.and_then(|reading| reading.target);
    let status = reading.map_or(UNDEFINED, |reading| measured(reading.top_prob + reading.entropy).1);
    let cells = [
        id(own),
        word(own),
        id(top),
        word(top),
        reading.map(|reading| reading.top_prob).into(),
        id(next),
        word(next),
        target.map(|target| target.prob).into(),
        target.map(|target| target.rank).into(),
        reading.map(|reading| reading.entropy).into(),
        status.into(),
    ];
    table.row(place.into_iter().map(TableValue::from).chain(cells));
}

#[cfg(test)]
mod tests;
