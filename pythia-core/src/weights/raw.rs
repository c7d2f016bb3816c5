//! Weights as stored, for decoding on the device: weights of 16 bits need half the transfer, and the host only
//! copies, hashes and checks that values are finite.

use burn::tensor::{AllocationProperty, Bytes, DType, TensorData};
use rayon::prelude::*;

use super::directory::Directory;
use super::hashes::{Collector, Fingerprint};
use super::plan::Job;
use super::tensor_kind::TensorKind;
use super::{Hashes, WeightError, job};
use crate::config::NeoxConfig;
use crate::params::{F32Buffer, Layout, Param};
use crate::vectors::widest;

/// Values that one task widens: 256 kB of results.
const RUN: usize = 1 << 16;

/// The weights of one checkpoint as stored. All values are finite.
#[derive(Debug)]
pub struct RawParams {
    /// The wanted tensors, in order of their names.
    pub(crate) tensors: Vec<RawTensor>,
}

/// One stored tensor and the parameters in it.
#[derive(Debug)]
pub(crate) struct RawTensor {
    /// The parameters in it, each with its layout.
    pub targets: Vec<(Param, Layout)>,
    kind: TensorKind,
    /// The stored bytes. A buffer of floats is used for all types, because its memory is managed as that of weights.
    memory: Memory,
    /// Number of bytes. The last float may be half used.
    len: usize,
}

/// A buffer of floats, used as bytes.
#[derive(Debug)]
struct Memory(F32Buffer);

impl AsRef<[u8]> for Memory {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl AsMut<[u8]> for Memory {
    fn as_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// Copies what the jobs name, all of it in parallel.
pub(super) fn copy_all(
    jobs: Vec<Job>,
    config: &NeoxConfig,
    directory: &Directory,
) -> Result<(RawParams, Hashes), WeightError> {
    let (mut tensors, mut hashes) = (Vec::with_capacity(jobs.len()), Collector::default());
    for (name, group, done) in job::in_parallel(jobs, |job| copy(job, config, directory)) {
        let (tensor, fingerprint) = done?;
        hashes.add(name, group, &fingerprint);
        tensors.extend(tensor);
    }
    Ok((RawParams { tensors }, hashes.finish()))
}

/// Copies a wanted tensor, and computes the fingerprint of any.
fn copy(
    job: &Job,
    config: &NeoxConfig,
    directory: &Directory,
) -> Result<(Option<RawTensor>, Fingerprint), WeightError> {
    if job.targets.is_empty() {
        return Ok((None, job::fingerprint(job, config, directory)?));
    }
    let (kind, len) = (job::kind(job, directory)?, job.stored.len);
    let mut memory = Memory(F32Buffer::to_fill(len.div_ceil(size_of::<f32>())));
    let fingerprint = job::copy(job, config, directory, &mut memory.as_mut()[..len])?;
    Ok((Some(RawTensor { targets: job.targets.clone(), kind, memory, len }), fingerprint))
}

impl RawTensor {
    /// The type that the values are copied in.
    pub(crate) fn dtype(&self) -> DType {
        match self.kind {
            TensorKind::F16 => DType::F16,
            TensorKind::Bf16 => DType::BF16,
            // No device computes in float64, so it is rounded on the host.
            TensorKind::F32 | TensorKind::F64 => DType::F32,
        }
    }

    /// The stored values in a row, `[n]`, without a copy, but for float64.
    pub(crate) fn stored(mut self) -> TensorData {
        if self.kind == TensorKind::F64 {
            return self.widened();
        }
        let (dtype, size) = (self.dtype(), self.kind.size());
        // Files are little-endian.
        if cfg!(target_endian = "big") {
            self.memory.as_mut()[..self.len].chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        let bytes = bytes::Bytes::from_owner(self.memory).slice(..self.len);
        TensorData::from_bytes(Bytes::from_shared(bytes, AllocationProperty::Other), [self.len / size], dtype)
    }

    /// The same in float32, for devices that do not know the stored type.
    pub(crate) fn widened(self) -> TensorData {
        let size = self.kind.size();
        let mut values = F32Buffer::to_fill(self.len / size);
        let runs = values.par_chunks_mut(RUN).zip(self.memory.as_ref()[..self.len].par_chunks(RUN * size));
        runs.for_each(|(to, from)| {
            widest(
                #[inline(always)]
                || self.kind.widen(from, to),
            );
        });
        values.into_data(vec![self.len / size], DType::F32)
    }
}
