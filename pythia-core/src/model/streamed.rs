//! Weights that are decoded for each use and dropped afterwards.
//!
//! The last used part, a block or the unembedding, is kept, so consecutive uses decode it once. While block l
//! computes, block l + 1 can be decoded on another thread, which needs the memory of a second block. The decoded
//! weights, and so all results, are the same bit for bit as with resident weights.
//!
//! Forward code has no `Result`. If a file has become shorter, or has a value that is not finite, the model goes on
//! with zeros and [`GptNeoX::fault`] returns the error. The results are then invalid.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use burn::tensor::{DType, Device, Int, Tensor};

use super::{
    GptNeoX,
    block::Block,
    parameters::{Source, activations_in},
    rotary::RotaryTable,
    weights::{Streamed, Unembed, Weights},
};
use crate::{
    device::host_ints,
    params::{F32Buffer, HostParams, HostTensor, Param},
    weights::{StoredWeights, WeightError},
};

/// Whether the next block is decoded while one computes.
///
/// ```
/// use std::path::Path;
/// use burn::tensor::{DType, Device};
/// use pythia_core::model::{GptNeoX, ReadAhead};
/// use pythia_core::weights::{Profile, StoredCheckpoint, Wanted, WeightFiles};
///
/// let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/parallel"));
/// let config = pythia_core::load::read_config(&folder.join("config.json"))?;
/// let files = WeightFiles::Safetensors(vec![folder.join("model.safetensors")]);
/// let wanted = Wanted { unembed: true, profile: Profile::AsPublished };
/// let (weights, _) = StoredCheckpoint::open(&config, &files)?.streamed(&wanted, None)?;
/// let model = GptNeoX::streamed(weights, &Device::flex(), DType::F32, ReadAhead::OneBlock)?;
/// let logits = model.forward(model.tokens(&[vec![5, 8, 13, 21]]), &mut ());
/// assert_eq!(logits.dims(), [1, 4, 61]);
/// assert!(model.fault().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadAhead {
    /// One block in memory, decoded when it is needed.
    Off,
    /// Two blocks in memory, the second one decoded on another thread.
    OneBlock,
}

/// A model's weights in their files.
#[derive(Debug)]
pub(super) struct StreamedWeights {
    decoder: Arc<Decoder>,
    ahead: ReadAhead,
    slots: Mutex<Slots>,
}

/// Decodes stored weights into tensors.
#[derive(Debug)]
struct Decoder {
    weights: StoredWeights,
    device: Device,
    dtype: DType,
    fault: Mutex<Option<WeightError>>,
}

/// The parts in memory.
#[derive(Debug, Default)]
struct Slots {
    held: Option<Part>,
    /// The layer of a block that is being decoded, and its thread.
    ahead: Option<(usize, JoinHandle<HostParams>)>,
}

/// A decoded part.
#[derive(Clone, Debug)]
enum Part {
    Block(usize, Arc<Block>),
    Unembed(Arc<Unembed>),
}

impl GptNeoX {
    /// A model whose weights are decoded part by part for each use: the rows of the embedding that the tokens need,
    /// and the unembedding whole or in the columns of some tokens.
    ///
    /// # Errors
    /// The final norm cannot be decoded.
    pub fn streamed(
        weights: StoredWeights,
        device: &Device,
        dtype: DType,
        ahead: ReadAhead,
    ) -> Result<Self, WeightError> {
        let config = weights.config().clone();
        let mut norm = Source { params: weights.final_norm()?, device, dtype };
        let ln_final = norm.norm(Param::FinalNormWeight, Param::FinalNormBias, config.layer_norm_eps);
        let rotary = RotaryTable::new(&config, device, dtype);
        let decoder = Arc::new(Decoder { weights, device: device.clone(), dtype, fault: Mutex::default() });
        let stream = Arc::new(StreamedWeights { decoder, ahead, slots: Mutex::default() });
        let weights = Weights::Streamed(Streamed { stream, exchanged: Default::default() });
        Ok(GptNeoX { config, weights, ln_final, rotary })
    }

    /// The first error of decoding, returned once. Results since then are invalid.
    pub fn fault(&self) -> Option<WeightError> {
        match &self.weights {
            Weights::Resident(_) => None,
            Weights::Streamed(weights) => locked(&weights.stream.decoder.fault).take(),
        }
    }
}

impl StreamedWeights {
    pub(super) fn has_unembed(&self) -> bool {
        self.decoder.weights.has_unembed()
    }

    /// A block, decoded now unless it is the one that was used last.
    pub(super) fn block(&self, layer: usize) -> Arc<Block> {
        let mut slots = locked(&self.slots);
        if let Some(Part::Block(held, block)) = &slots.held
            && *held == layer
        {
            return Arc::clone(block);
        }
        let Slots { held, ahead } = mem::take(&mut *slots);
        // Unlocked while decoding: that uses all cores, and one that waits for it may call this function.
        drop(slots);
        // Dropped before the next one is decoded, to free its memory.
        drop(held);
        let block = Arc::new(self.take(layer, ahead));
        let mut slots = locked(&self.slots);
        slots.held = Some(Part::Block(layer, Arc::clone(&block)));
        if slots.ahead.is_none() {
            slots.ahead = self.begin(layer + 1);
        }
        block
    }

    /// The block that was decoded ahead if it is this one, else one that is decoded now.
    fn take(&self, layer: usize, ahead: Option<(usize, JoinHandle<HostParams>)>) -> Block {
        // The thread is joined in any case, because memory is planned for two blocks. If it panicked, the block is
        // decoded again.
        let ahead = ahead.map(|(of, thread)| (of, thread.join()));
        let params = match ahead {
            Some((of, Ok(params))) if of == layer => params,
            _ => self.decoder.params(layer),
        };
        // Copied to the device by this thread, because a GPU keeps memory for every thread that has used it.
        self.decoder.source(params).block(layer, self.decoder.weights.config())
    }

    /// Prepares the next block while this one computes: decodes it, or lets the system read it from the disk.
    fn begin(&self, layer: usize) -> Option<(usize, JoinHandle<HostParams>)> {
        if layer >= self.decoder.weights.config().n_layers {
            return None;
        }
        match self.ahead {
            ReadAhead::Off => {
                self.decoder.weights.expect_block(layer);
                None
            }
            ReadAhead::OneBlock => {
                let decoder = Arc::clone(&self.decoder);
                Some((layer, thread::spawn(move || decoder.params(layer))))
            }
        }
    }

    /// The unembedding, decoded now unless it was used last.
    pub(super) fn unembed(&self) -> Arc<Unembed> {
        let mut slots = locked(&self.slots);
        if let Some(Part::Unembed(unembed)) = &slots.held {
            return Arc::clone(unembed);
        }
        let before = mem::take(&mut *slots);
        drop(slots);
        if let Some((_, thread)) = before.ahead {
            let _ = thread.join();
        }
        drop(before.held);
        let unembed = Arc::new(self.decoder.unembed());
        locked(&self.slots).held = Some(Part::Unembed(Arc::clone(&unembed)));
        unembed
    }

    /// The columns of some tokens; `None` if they cannot be decoded without the others. Uses the whole unembedding if
    /// it is in memory.
    pub(super) fn unembed_columns(&self, tokens: &[u32]) -> Option<Unembed> {
        if matches!(locked(&self.slots).held, Some(Part::Unembed(_))) {
            return None;
        }
        let decoder = &self.decoder;
        let columns = decoder.weights.unembed_columns(tokens).transpose()?;
        let zeros = || zeros(vec![decoder.weights.config().d_model, tokens.len()]);
        let columns = columns.unwrap_or_else(|error| decoder.failed(error, zeros));
        Some(Unembed { weight: decoder.tensor(columns, activations_in(decoder.dtype)), bias: None })
    }

    /// The embeddings of tokens, `[token, d_model]`.
    pub(super) fn embeddings(&self, tokens: Tensor<1, Int>) -> Tensor<2> {
        // Reading back fails only if the device is lost, and then the program cannot continue.
        let ids = host_ints(tokens).expect("the device answers");
        let ids: Vec<u32> = ids.into_iter().map(|id| u32::try_from(id).expect("a token id")).collect();
        let decoder = &self.decoder;
        let zeros = || zeros(vec![ids.len(), decoder.weights.config().d_model]);
        let rows = decoder.weights.embed_rows(&ids).unwrap_or_else(|error| decoder.failed(error, zeros));
        decoder.tensor(rows, decoder.dtype)
    }
}

impl Drop for StreamedWeights {
    fn drop(&mut self) {
        // An unused block takes up memory until its thread has ended.
        let slots = self.slots.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, thread)) = slots.ahead.take() {
            let _ = thread.join();
        }
    }
}

impl Decoder {
    /// The parameters of a block, decoded.
    fn params(&self, layer: usize) -> HostParams {
        let which = |param| matches!(param, Param::Layer(at, _) if at == layer);
        self.weights.block(layer).unwrap_or_else(|error| self.failed(error, || self.zeros_of(which)))
    }

    fn unembed(&self) -> Unembed {
        let zeros = || self.zeros_of(|param| param == Param::Unembed);
        let mut source = self.source(self.weights.unembed().unwrap_or_else(|error| self.failed(error, zeros)));
        Unembed { weight: source.need(Param::Unembed), bias: source.take(Param::UnembedBias) }
    }

    fn source(&self, params: HostParams) -> Source<'_> {
        Source { params, device: &self.device, dtype: self.dtype }
    }

    fn tensor(&self, host: HostTensor, dtype: DType) -> Tensor<2> {
        Tensor::from_data(host.values.into_data(host.shape, dtype), (&self.device, dtype))
    }

    /// Records the first error, and returns a replacement of the same shape.
    fn failed<T>(&self, error: WeightError, instead: impl Fn() -> T) -> T {
        locked(&self.fault).get_or_insert(error);
        instead()
    }

    fn zeros_of(&self, which: impl Fn(Param) -> bool) -> HostParams {
        let config = self.weights.config();
        let all = Param::all(config).into_iter().filter(|&param| which(param));
        all.map(|param| (param, zeros(param.shape(config)))).collect()
    }
}

fn zeros(shape: Vec<usize>) -> HostTensor {
    HostTensor { values: F32Buffer::zeroed(shape.iter().product()), shape }
}

/// Locks a mutex, also after a panic of another thread: the content of these is always valid.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
