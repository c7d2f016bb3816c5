//! The workloads that intervene. Base runs, interventions and the metric are timed together, as in the scripts that
//! they are compared with.

use pythia_core::model::GptNeoX;
use pythia_hooks::{Axis, HookPoint, Region, Site};
use pythia_probes::engine::{EngineInput, IntervenedRun, Replacement, Run, SourceActivations, cone};
use pythia_probes::metric::{Metric, Question, Readout};

use super::BenchError;

/// Memory that the activations of interventions may take.
const MEMORY: u64 = 128 << 20;

/// A set of interventions on one batch of pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchingWorkload {
    /// `resid_pre` of every layer and position patched.
    Residual,
    /// `z` of every head patched, at all positions.
    Heads,
    /// `z` of every head and position patched.
    HeadsByPosition,
    /// `z` of every head set to zero.
    Ablation,
}

impl PatchingWorkload {
    /// The activations that are edited, one after another.
    fn places(self, model: &GptNeoX, length: usize) -> Vec<(HookPoint, Region)> {
        let (layers, heads) = (0..model.config().n_layers, model.config().n_heads as i64);
        let positions = || (0..length as i64).map(|position| Region::all().along(Axis::Pos, position));
        let of_layer = |layer: usize| -> Vec<(HookPoint, Region)> {
            let head = |region: Region| (0..heads).map(move |head| region.clone().along(Axis::Head, head));
            match self {
                PatchingWorkload::Residual => positions().map(|region| (Site::ResidPre.at(layer), region)).collect(),
                PatchingWorkload::Heads | PatchingWorkload::Ablation => {
                    head(Region::all()).map(|region| (Site::Z.at(layer), region)).collect()
                }
                PatchingWorkload::HeadsByPosition => {
                    positions().flat_map(head).map(|region| (Site::Z.at(layer), region)).collect()
                }
            }
        };
        layers.flat_map(of_layer).collect()
    }
}

/// Runs a workload once; the floating-point operations of its interventions come back.
pub(crate) fn run(model: &GptNeoX, workload: PatchingWorkload, batch: usize, length: usize) -> Result<u64, BenchError> {
    let vocab = model.config().vocab_size as u32;
    let id = |row: usize, at: usize| (row * 131 + at * 7919 + 17) as u32 % vocab;
    let clean: Vec<Vec<u32>> = (0..batch).map(|row| (0..length).map(|at| id(row, at)).collect()).collect();
    let mut corrupt = clean.clone();
    for row in &mut corrupt {
        for at in [length / 5, 2 * length / 3] {
            row[at] = (row[at] + 1) % vocab;
        }
    }
    let value = if workload == PatchingWorkload::Ablation { Replacement::Zero } else { Replacement::Source(0) };
    let interventions: Vec<IntervenedRun> = workload
        .places(model, length)
        .into_iter()
        .map(|(point, region)| IntervenedRun::of(point, region, value))
        .collect();
    let question = |tokens: &Vec<u32>| Question {
        tokens: tokens.clone(),
        at: length - 1,
        answers: vec![tokens[0]],
        wrongs: vec![tokens[1]],
    };
    let readout = Readout::new(corrupt.iter().map(question).collect(), vec![Metric::LogitDiff], vocab as usize);
    let points = cone::base_points(&model.model_shape(), []);
    let sources: Vec<SourceActivations> = match workload {
        PatchingWorkload::Ablation => Vec::new(),
        PatchingWorkload::Residual => vec![source(model, clean, &points, Site::ResidPre)?],
        PatchingWorkload::Heads | PatchingWorkload::HeadsByPosition => vec![source(model, clean, &points, Site::Z)?],
    };
    let base = Run::of(model, corrupt, points)?;
    let input = EngineInput { model, base: &base, sources: &sources, readout: &readout, memory: MEMORY };
    let (scores, cost) = cone::scores(&input, &interventions)?;
    std::hint::black_box(scores);
    Ok(cost.flops)
}

fn source(
    model: &GptNeoX,
    tokens: Vec<Vec<u32>>,
    points: &[HookPoint],
    site: Site,
) -> Result<SourceActivations, BenchError> {
    let run = Run::of(model, tokens, points.iter().copied().filter(|point| point.site() == site))?;
    Ok(run.seen().clone())
}
