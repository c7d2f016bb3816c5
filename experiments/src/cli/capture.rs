//! Activations of one forward pass → the bytes of a safetensors file. No file is touched here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::terminal::{Exit, Explained, human};
use burn::tensor::{DType, Device, Tensor};
use pythia_core::config::NeoxConfig;
use pythia_core::device::{ReadError, host_f32, host_f64};
use pythia_core::model::GptNeoX;
use pythia_core::params::HostParams;
use pythia_hooks::{Activation, ActivationCache, Axis, HookError, HookPoint, select};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, TensorView, serialize};

/// What to capture.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Hook patterns.
    pub(crate) patterns: Vec<String>,
    /// Prompts by their token ids.
    pub(crate) rows: Vec<Vec<u32>>,
    /// Keep the logits of the last position only.
    pub(crate) last_logits: bool,
    /// Where to compute.
    pub(crate) device: Device,
    /// In which numbers.
    pub(crate) dtype: DType,
}

/// Why activations could not be captured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CaptureError {
    #[error(transparent)]
    Hook(#[from] HookError),
    #[error("prompt {prompt} is empty")]
    Empty {
        /// Index of the prompt; 0 where there is none at all.
        prompt: usize,
    },
    #[error("prompt {prompt} has the id {id}, the model has the ids 0 to {}", vocab - 1)]
    NoSuchId { prompt: usize, id: u32, vocab: usize },
    #[error("prompt {prompt} has {}, which do not fit a context of {n_ctx}", human::plural(*found, "token"))]
    TooLong { prompt: usize, found: usize, n_ctx: usize },
    #[error("{name}: {source}")]
    Device { name: String, source: ReadError },
    #[error("encoding the file failed: {0}")]
    Encode(#[from] SafeTensorError),
}

impl Explained for CaptureError {
    fn exit(&self) -> Exit {
        match self {
            Self::Hook(error) => error.exit(),
            Self::Device { .. } => Exit::Resources,
            Self::Empty { .. } | Self::NoSuchId { .. } | Self::TooLong { .. } | Self::Encode(_) => Exit::BadInput,
        }
    }

    fn remedy(&self) -> Option<String> {
        if let Self::Hook(error) = self { error.remedy() } else { None }
    }
}

/// Runs the model once and gives the file's bytes: a tensor per hook, `tokens`, `lengths`, `logits`, and `provenance`
/// under the key `pythia` of the header's metadata.
///
/// Shorter prompts are filled up on the right, which nothing to the left of the filling can see. What the model made
/// of the filling is stored as 0, and its tokens as −1.
pub(crate) fn safetensors(
    config: NeoxConfig,
    params: HostParams,
    request: &Request,
    provenance: String,
) -> Result<Vec<u8>, CaptureError> {
    let points = check(&config, request)?;
    let model = GptNeoX::from_params(config, params, &request.device, request.dtype);
    let lengths: Vec<usize> = request.rows.iter().map(Vec::len).collect();
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let tokens = model.tokens(&filled(&request.rows, longest, 0));
    let mut cache = ActivationCache::of(points);
    let logits = logits(&model, tokens, &mut cache, request.last_logits.then_some(lengths.as_slice()));
    let mut tensors: BTreeMap<String, Stored> = BTreeMap::new();
    for (point, activation) in cache.finish()? {
        let name = point.to_string();
        let mut stored = Stored::of(&name, activation)?;
        let axis = point.site().axes().iter().position(|axis| matches!(axis, Axis::Pos | Axis::Query));
        stored.clear_filling(axis.expect("every activation has positions"), &lengths);
        tensors.insert(name, stored);
    }
    let mut logits = Stored::of("logits", Activation::from_tensor(logits))?;
    if !request.last_logits {
        logits.clear_filling(1, &lengths);
    }
    tensors.insert("logits".into(), logits);
    let ids: Vec<Vec<i64>> = request.rows.iter().map(|row| row.iter().map(|id| i64::from(*id)).collect()).collect();
    tensors.insert("tokens".into(), Stored::whole(&filled(&ids, longest, -1).concat(), vec![ids.len(), longest]));
    let lengths: Vec<i64> = lengths.into_iter().map(|length| length as i64).collect();
    tensors.insert("lengths".into(), Stored::whole(&lengths, vec![lengths.len()]));
    encode(&tensors, provenance)
}

/// Rows made as long as the longest of them.
fn filled<T: Copy>(rows: &[Vec<T>], longest: usize, with: T) -> Vec<Vec<T>> {
    let fill = |row: &Vec<T>| row.iter().copied().chain(std::iter::repeat(with)).take(longest).collect();
    rows.iter().map(fill).collect()
}

/// The points that the request names, if it fits a model of that configuration. It needs no weights: a misspelt name is
/// found before they are read.
pub(crate) fn check(config: &NeoxConfig, request: &Request) -> Result<BTreeSet<HookPoint>, CaptureError> {
    check_rows(config, &request.rows)?;
    let mut points = BTreeSet::new();
    for pattern in &request.patterns {
        points.extend(select(pattern, &config.model_shape())?);
    }
    Ok(points)
}

fn check_rows(config: &NeoxConfig, rows: &[Vec<u32>]) -> Result<(), CaptureError> {
    if rows.is_empty() {
        return Err(CaptureError::Empty { prompt: 0 });
    }
    for (prompt, row) in rows.iter().enumerate() {
        if row.is_empty() {
            return Err(CaptureError::Empty { prompt });
        }
        if row.len() > config.n_ctx {
            return Err(CaptureError::TooLong { prompt, found: row.len(), n_ctx: config.n_ctx });
        }
        if let Some(&id) = row.iter().find(|id| **id as usize >= config.vocab_size) {
            return Err(CaptureError::NoSuchId { prompt, id, vocab: config.vocab_size });
        }
    }
    Ok(())
}

/// The logits; with `last`, the lengths of the prompts, only those of each prompt's last token. All positions take 40 %
/// of a small model's time at Pythia's vocabulary. A hook of the final norm still sees every position, so then all are
/// computed.
fn logits(
    model: &GptNeoX,
    tokens: Tensor<2, burn::tensor::Int>,
    cache: &mut ActivationCache,
    last: Option<&[usize]>,
) -> Tensor<3> {
    use pythia_hooks::{Hooks, Site};
    let n_layers = model.config().n_layers;
    let start = model.embed(tokens, cache);
    let mut end = model.advance(start, n_layers, cache);
    let norm_wanted = [Site::FinalScale, Site::FinalNormalized].iter().any(|site| cache.wants(site.at(0)));
    if let Some(lengths) = last.filter(|_| !norm_wanted) {
        end.stream = last_positions(&end.stream, lengths);
        return model.unembed(end, cache);
    }
    let logits = model.unembed(end, cache);
    last.map_or(logits.clone(), |lengths| last_positions(&logits, lengths))
}

/// The last token's row of each prompt: `[prompt, pos, n]` → `[prompt, 1, n]`.
fn last_positions(rows: &Tensor<3>, lengths: &[usize]) -> Tensor<3> {
    let last = |(prompt, length): (usize, &usize)| rows.clone().narrow(0, prompt, 1).narrow(1, length - 1, 1);
    Tensor::cat(lengths.iter().enumerate().map(last).collect(), 0)
}

/// A tensor's bytes, little-endian, with what the header says of them.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn of(name: &str, activation: Activation) -> Result<Self, CaptureError> {
        let stored = match activation {
            Activation::Three(tensor) => Self::of_tensor(tensor),
            Activation::Four(tensor) => Self::of_tensor(tensor),
        };
        stored.map_err(|source| CaptureError::Device { name: name.to_owned(), source })
    }

    /// In float64 if the tensor is, else in float32.
    fn of_tensor<const D: usize>(tensor: Tensor<D>) -> Result<Self, ReadError> {
        let shape = tensor.dims().to_vec();
        let (dtype, bytes) = match tensor.dtype() {
            DType::F64 => (Dtype::F64, host_f64(tensor)?.into_iter().flat_map(f64::to_le_bytes).collect()),
            _ => (Dtype::F32, host_f32(tensor)?.into_iter().flat_map(f32::to_le_bytes).collect()),
        };
        Ok(Self { dtype, shape, bytes })
    }

    fn whole(numbers: &[i64], shape: Vec<usize>) -> Self {
        Self { dtype: Dtype::I64, shape, bytes: numbers.iter().flat_map(|number| number.to_le_bytes()).collect() }
    }

    /// Writes 0 behind the end of each prompt. `axis` is that of positions; prompts are the first axis.
    fn clear_filling(&mut self, axis: usize, lengths: &[usize]) {
        let longest = self.shape[axis];
        let parts: usize = self.shape[1..axis].iter().product();
        // Bytes of one position in one part, of one part, of one prompt.
        let position = self.bytes.len() / (self.shape[0] * parts * longest);
        let (part, prompt) = (position * longest, position * longest * parts);
        for (index, length) in lengths.iter().enumerate() {
            for one in 0..parts {
                let start = index * prompt + one * part;
                self.bytes[start + length * position..start + part].fill(0);
            }
        }
    }
}

fn encode(tensors: &BTreeMap<String, Stored>, provenance: String) -> Result<Vec<u8>, CaptureError> {
    let mut views = Vec::with_capacity(tensors.len());
    for (name, stored) in tensors {
        views.push((name, TensorView::new(stored.dtype, stored.shape.clone(), &stored.bytes)?));
    }
    // One entry only: the library keeps metadata in a map without an order, and the same request must give the same
    // bytes.
    let metadata = HashMap::from([("pythia".to_owned(), provenance)]);
    Ok(serialize(views, Some(metadata))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{config, params};
    use safetensors::SafeTensors;

    fn request(patterns: &[&str], last_logits: bool) -> Request {
        Request {
            patterns: patterns.iter().map(ToString::to_string).collect(),
            rows: vec![vec![1, 2, 3], vec![4, 5, 6]],
            last_logits,
            device: Device::flex(),
            dtype: DType::F32,
        }
    }

    fn capture(request: &Request) -> Result<Vec<u8>, CaptureError> {
        safetensors(config(), params(1), request, "{}".into())
    }

    #[test]
    fn hooks_tokens_and_logits_are_stored_under_their_names() {
        let bytes = capture(&request(&["blocks.*.attn.hook_pattern", "resid_post.-1"], false)).expect("captured");
        let file = SafeTensors::deserialize(&bytes).expect("well-formed");
        let mut names = file.names();
        names.sort_unstable();
        let patterns = ["blocks.0.attn.hook_pattern", "blocks.1.attn.hook_pattern"];
        assert_eq!(names, [patterns[0], patterns[1], "blocks.1.hook_resid_post", "lengths", "logits", "tokens"]);
        assert_eq!(file.tensor(patterns[0]).expect("there").shape(), [2, 2, 3, 3]);
        assert_eq!(file.tensor("logits").expect("there").shape(), [2, 3, 12]);
        let tokens = file.tensor("tokens").expect("there");
        assert_eq!((tokens.dtype(), tokens.shape()), (Dtype::I64, [2, 3].as_slice()));
        assert_eq!(tokens.data()[8..16], 2i64.to_le_bytes());
    }

    #[test]
    fn the_last_logits_are_the_last_of_all_logits() {
        for hooks in ["z", "ln_final.hook_scale"] {
            let (all, last) = (request(&[hooks], false), request(&[hooks], true));
            let (all, last) = (capture(&all).expect("captured"), capture(&last).expect("captured"));
            let (all, last) =
                (SafeTensors::deserialize(&all).expect("file"), SafeTensors::deserialize(&last).expect("file"));
            let (all, last) = (all.tensor("logits").expect("there"), last.tensor("logits").expect("there"));
            assert_eq!(last.shape(), [2, 1, 12]);
            let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("four bytes"));
            for (a, b) in all.data()[2 * 12 * 4..3 * 12 * 4].chunks(4).zip(last.data().chunks(4)) {
                assert!((number(a) - number(b)).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn prompts_of_other_lengths_are_as_they_are_alone() {
        let hooks = ["*pattern", "attn_scores.-1", "*hook_z", "resid_post.-1", "ln_final.hook_scale"];
        for last_logits in [false, true] {
            let of = |rows: &[&[u32]]| {
                let rows = rows.iter().map(|row| row.to_vec()).collect();
                capture(&Request { rows, ..request(&hooks, last_logits) }).expect("captured")
            };
            let (both, alone) = (of(&[&[1, 2], &[4, 5, 6]]), of(&[&[1, 2]]));
            let [both, alone] = [&both, &alone].map(|bytes| SafeTensors::deserialize(bytes).expect("file"));
            assert_eq!(both.tensor("lengths").expect("there").data(), [2_i64, 3].map(i64::to_le_bytes).concat());
            let tokens = [1_i64, 2, -1, 4, 5, 6].map(i64::to_le_bytes).concat();
            assert_eq!(both.tensor("tokens").expect("there").data(), tokens);
            for name in both.names().into_iter().filter(|name| !["tokens", "lengths"].contains(name)) {
                let axis = if name.contains("pattern") || name.contains("scores") { 2 } else { 1 };
                let (both, alone) = (both.tensor(name).expect("there"), alone.tensor(name).expect("there"));
                compare(name, axis, &both, &alone);
            }
        }
    }

    /// Compares the first prompt of a file with the same prompt alone. What lies behind its end is 0.
    fn compare(name: &str, axis: usize, both: &TensorView, alone: &TensorView) {
        let numbers = |view: &TensorView| -> Vec<f32> {
            view.data().chunks(4).map(|four| f32::from_le_bytes(four.try_into().expect("four bytes"))).collect()
        };
        let (long, short) = (both.shape().to_vec(), alone.shape().to_vec());
        let (both, alone) = (numbers(both), numbers(alone));
        for (at, &ours) in both.iter().enumerate().take(both.len() / long[0]) {
            // The index on each axis, the first of which is 0: the first prompt.
            let (mut rest, mut index) = (at, vec![0; long.len()]);
            for axis in (1..long.len()).rev() {
                (rest, index[axis]) = (rest / long[axis], rest % long[axis]);
            }
            if index[axis] >= short[axis] {
                assert_eq!(ours, 0.0, "{name} {index:?}");
            } else if index.iter().zip(&short).all(|(index, length)| index < length) {
                let there = index.iter().zip(&short).fold(0, |sum, (index, length)| sum * length + index);
                let expected = alone[there];
                assert!(ours == expected || (ours - expected).abs() < 1e-5, "{name} {index:?}: {ours} {expected}");
            }
        }
    }

    #[test]
    fn equal_requests_are_equal_bytes() {
        let request = request(&["*"], false);
        assert_eq!(capture(&request).expect("captured"), capture(&request).expect("captured"));
    }

    #[test]
    fn bad_requests_say_what_is_wrong() {
        let message = |rows: &[&[u32]], hook: &str| {
            let rows = rows.iter().map(|row| row.to_vec()).collect();
            capture(&Request { rows, ..request(&[hook], false) }).expect_err("must fail").to_string()
        };
        assert!(message(&[&[1], &[]], "z").contains("prompt 1 is empty"));
        assert!(message(&[&[12]], "z").contains("the id 12, the model has the ids 0 to 11"));
        assert!(message(&[&[1], &[1; 33]], "z").contains("prompt 1 has 33 tokens, which do not fit a context of 32"));
        assert!(message(&[], "z").contains("empty"));
        assert!(message(&[&[1]], "zz").contains("no hook point is called `zz`"));
        assert!(message(&[&[1]], "resid_mid").contains("parallel"));
    }
}
