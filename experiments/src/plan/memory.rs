//! The residency of weights while cells compute, and the peak memory of the process.
//!
//! All of it is arithmetic on the model's shape: the same experiment on the same machine is planned in the same way.
//! The choice changes no bit of a result.

use std::collections::BTreeMap;

use pythia_core::config::NeoxConfig;
use pythia_core::params::Param;

use crate::checkpoint::residency::Residency;
use crate::config::Precision;
use crate::plan::cost::ProbeCost;
use crate::resolved::weight_scope::stored_width;
use crate::terminal::limits::MemoryBound;

/// Bytes of a 32-bit float.
const F32: u64 = 4;

/// Bytes of code, tables of libraries, stacks, and rounding of the allocator. Measured.
const BASE: u64 = 40 << 20;

/// Bytes of a stored tensor that are mapped at a time.
const WINDOW: u64 = 32 << 20;

/// Resources of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resources {
    /// Memory that the process may take; `None` if unknown.
    pub(crate) memory: Option<MemoryBound>,
    /// Tensors that are decoded at the same time.
    pub(crate) cores: usize,
}

/// Bytes held during and after loading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LoadBytes {
    /// Bytes at the peak: decoded values, and the pages of the file that they are decoded from.
    peak: u64,
    /// Bytes at the end.
    kept: u64,
}

/// The weights of one checkpoint in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WeightBytes {
    all: LoadBytes,
    block: LoadBytes,
    unembed: LoadBytes,
    /// Bytes held while files are hashed.
    fingerprints: u64,
}

impl WeightBytes {
    /// The weights of a checkpoint whose files have `bytes`; `logits` says whether its unembedding is read.
    pub(crate) fn of(config: &NeoxConfig, logits: bool, bytes: Option<u64>, dtype: Precision, cores: usize) -> Self {
        let stored = stored_width(config, bytes);
        let wanted = |param: &Param| logits || *param != Param::Unembed;
        let load = |which: &dyn Fn(&Param) -> bool| load(config, which, stored, dtype, cores);
        WeightBytes {
            all: load(&wanted),
            block: load(&|param| matches!(param, Param::Layer(0, _))),
            unembed: if logits { load(&|param| *param == Param::Unembed) } else { LoadBytes::default() },
            fingerprints: mapped(sizes(config, &|_| true).iter().take(cores.max(1)), stored),
        }
    }

    /// Bytes that they take while another checkpoint computes.
    pub(crate) fn idle(&self, residency: Residency) -> u64 {
        match residency {
            Residency::ResidentAhead | Residency::Resident => self.all.kept,
            Residency::StreamedAhead => (2 * self.block.kept).max(self.unembed.kept),
            Residency::Streamed => self.block.kept.max(self.unembed.kept),
        }
    }

    /// Bytes that they take while they are read for the first time.
    pub(crate) fn loading(&self, residency: Residency) -> u64 {
        match residency {
            Residency::ResidentAhead | Residency::Resident => self.all.peak,
            Residency::StreamedAhead | Residency::Streamed => self.fingerprints,
        }
    }

    /// Bytes at the peak of a computation on them, its activations included.
    fn computing(&self, residency: Residency, work: &ProbeCost) -> u64 {
        // A block is decoded beside the activations of the block before, which the allocator has not given back yet.
        let stages = |other_block: u64| {
            let blocks = other_block + self.block.peak + work.blocks;
            let unembed = (self.unembed.peak + work.blocks).max(self.unembed.kept + work.logits + work.carried);
            blocks.max(unembed)
        };
        match residency {
            Residency::ResidentAhead | Residency::Resident => {
                self.all.kept + work.blocks.max(work.logits + work.carried)
            }
            Residency::StreamedAhead => stages(self.block.kept),
            Residency::Streamed => stages(0),
        }
    }
}

/// What a cell needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Demand {
    /// Its own weights.
    pub(crate) weights: WeightBytes,
    /// The cost of its probes.
    pub(crate) work: ProbeCost,
    /// Weights of the source checkpoints.
    pub(crate) sources: Vec<WeightBytes>,
}

impl Demand {
    /// Bytes of the process at the peak. `follows`: another checkpoint has computed before, and the allocator has not
    /// yet given back its activations. `next`: the weights of the checkpoint that comes after it, if one does.
    pub(crate) fn peak(&self, residency: Residency, follows: bool, next: Option<&WeightBytes>) -> u64 {
        let sources: u64 = self.sources.iter().map(|source| source.idle(residency)).sum();
        let ahead = next.filter(|_| residency.loads_ahead()).map_or(0, |next| next.loading(residency));
        let computing = self.weights.computing(residency, &self.work) + ahead;
        let left = if follows { self.work.blocks } else { 0 };
        BASE + sources + computing.max(self.weights.loading(residency) + left)
    }
}

/// The first residency whose peak fits, and the smallest where none does.
pub(crate) fn choose(resources: &Resources, peak: impl Fn(Residency) -> u64) -> Residency {
    let fits = |residency: &Residency| resources.memory.as_ref().is_none_or(|bound| peak(*residency) <= bound.bytes);
    Residency::ALL.into_iter().find(fits).unwrap_or(Residency::Streamed)
}

/// Bytes of decoding some parameters: the largest stored tensors first, as many at a time as there are cores.
fn load(config: &NeoxConfig, which: &dyn Fn(&Param) -> bool, stored: u64, dtype: Precision, cores: usize) -> LoadBytes {
    let sizes = sizes(config, which);
    let (mut done, mut peak) = (0, 0);
    for at in 0..sizes.len() {
        let under_way = || sizes[at..].iter().take(cores.max(1));
        peak = peak.max(F32 * (done + under_way().sum::<u64>()) + mapped(under_way(), stored));
        done += sizes[at];
    }
    let kept = Param::all(config).iter().filter(|param| which(param)).map(|param| bytes_of(config, param, dtype)).sum();
    LoadBytes { peak: peak.max(kept), kept }
}

/// Bytes of a parameter once it is decoded: of a half type are the matrices that take part in products, but not the
/// unembedding.
fn bytes_of(config: &NeoxConfig, param: &Param, dtype: Precision) -> u64 {
    let shape = param.shape(config);
    let narrow = matches!(dtype, Precision::F16 | Precision::Bf16) && shape.len() == 2 && *param != Param::Unembed;
    shape.iter().product::<usize>() as u64 * if narrow { 2 } else { width(dtype) }
}

/// Bytes of the file that are mapped while some tensors are read side by side.
fn mapped<'a>(sizes: impl Iterator<Item = &'a u64>, stored: u64) -> u64 {
    sizes.map(|size| (stored * size).min(WINDOW)).sum()
}

/// Values of the stored tensors that make up some parameters, largest first.
fn sizes(config: &NeoxConfig, which: &dyn Fn(&Param) -> bool) -> Vec<u64> {
    let mut tensors: BTreeMap<String, u64> = BTreeMap::new();
    for param in Param::all(config).into_iter().filter(|param| which(param)) {
        // A tied unembedding has no tensor of its own; its copy is decoded beside the embedding.
        let name = param.stored(config).map_or_else(String::new, |stored| stored.name);
        *tensors.entry(name).or_default() += param.shape(config).iter().product::<usize>() as u64;
    }
    let mut sizes: Vec<u64> = tensors.into_values().collect();
    sizes.sort_unstable_by_key(|&size| std::cmp::Reverse(size));
    sizes
}

/// Bytes of an activation in that precision: half types are for weights alone.
pub(crate) fn width(dtype: Precision) -> u64 {
    match dtype {
        Precision::F32 | Precision::F16 | Precision::Bf16 => 4,
        Precision::F64 => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::limits::MemoryLimit;
    use crate::testing;

    const CORES: usize = 2;

    fn resources(memory: Option<u64>) -> Resources {
        Resources { memory: memory.map(|bytes| MemoryBound { bytes, by: MemoryLimit::Free }), cores: CORES }
    }

    fn demand(logits: bool) -> Demand {
        let mut config = testing::config();
        (config.n_layers, config.d_model, config.d_mlp, config.vocab_size) = (10, 256, 1024, 2000);
        let bytes = Some(2 * config.n_params());
        let weights = WeightBytes::of(&config, logits, bytes, Precision::F32, CORES);
        let work = ProbeCost { flops: 1, blocks: 1000, logits: if logits { 500 } else { 0 }, carried: 10 };
        Demand { weights, work, sources: Vec::new() }
    }

    #[test]
    fn weights_are_counted_to_the_byte() {
        let Demand { weights, .. } = demand(true);
        let (d, m, v) = (256, 1024, 2000);
        let block = 4 * (4 * d * d + 2 * d * m + m + 9 * d);
        assert_eq!(weights.block.kept, block);
        assert_eq!(weights.unembed, LoadBytes { kept: 4 * d * v, peak: 6 * d * v });
        assert_eq!(weights.all.kept, 10 * block + 4 * (2 * d * v + 2 * d));
        // The last two under way are small, the first two are embedding and unembedding with their bytes in float16.
        assert!(weights.all.peak > weights.all.kept && weights.all.peak < weights.all.kept + 4 * d * v);
        assert_eq!(demand(false).weights.all.kept, weights.all.kept - 4 * d * v);
        let config = testing::config();
        let wide = WeightBytes::of(&config, true, Some(4 * config.n_params()), Precision::F64, CORES);
        let narrow = WeightBytes::of(&config, true, None, Precision::F32, CORES);
        assert_eq!(wide.all.kept, 2 * narrow.all.kept);
        let half = WeightBytes::of(&config, true, None, Precision::F16, CORES);
        let matrices = Param::all(&config).into_iter().filter(|param| *param != Param::Unembed);
        let matrices = matrices.map(|param| param.shape(&config)).filter(|shape| shape.len() == 2);
        let values: usize = matrices.map(|shape| shape.iter().product::<usize>()).sum();
        assert_eq!(half.all.kept, narrow.all.kept - 2 * values as u64);
        assert_eq!(wide.fingerprints, 2 * narrow.fingerprints);
    }

    #[test]
    fn a_peak_is_made_of_what_is_held() {
        let demand = demand(true);
        let WeightBytes { all, block, unembed, .. } = demand.weights;
        let alone = |residency| demand.peak(residency, false, None) - BASE;
        assert_eq!(alone(Residency::ResidentAhead), alone(Residency::Resident));
        assert_eq!(alone(Residency::Resident), all.peak.max(all.kept + 1000));
        assert_eq!(alone(Residency::Streamed), (block.peak + 1000).max(unembed.peak + 1000));
        assert_eq!(alone(Residency::StreamedAhead), (block.kept + block.peak + 1000).max(unembed.peak + 1000));
        let ahead = demand.peak(Residency::ResidentAhead, false, Some(&demand.weights)) - BASE;
        assert_eq!(ahead, all.kept + 1000 + all.peak);
        assert_eq!(demand.peak(Residency::Resident, false, Some(&demand.weights)) - BASE, alone(Residency::Resident));
        let after = demand.peak(Residency::Streamed, true, None) - BASE;
        assert_eq!(after, alone(Residency::Streamed).max(demand.weights.fingerprints + 1000));
        let sources = Demand { sources: vec![demand.weights, demand.weights], ..demand.clone() };
        assert_eq!(
            sources.peak(Residency::Resident, false, None),
            demand.peak(Residency::Resident, false, None) + 2 * all.kept
        );
        let part = block.kept.max(unembed.kept);
        assert_eq!(
            sources.peak(Residency::Streamed, false, None),
            demand.peak(Residency::Streamed, false, None) + 2 * part
        );
    }

    #[test]
    fn the_quickest_that_fits_is_chosen() {
        let demand = demand(false);
        let peak = |residency| demand.peak(residency, false, Some(&demand.weights));
        let peaks = Residency::ALL.map(peak);
        assert!(peaks.is_sorted_by(|a, b| a > b), "{peaks:?}");
        for (residency, least) in Residency::ALL.into_iter().zip(peaks) {
            let chosen = |memory| choose(&resources(Some(memory)), peak);
            assert_eq!(chosen(least), residency);
            assert_ne!(chosen(least - 1), residency.min(Residency::StreamedAhead));
        }
        assert_eq!(choose(&resources(None), peak), Residency::ResidentAhead);
        assert_eq!(choose(&resources(Some(0)), peak), Residency::Streamed);
    }
}
