//! What the interventions of a probe will cost.

use std::collections::BTreeSet;

use pythia_core::config::NeoxConfig;
use pythia_hooks::{HookPoint, ModelShape, Site};

use super::paired_runs::{AT_ONCE, by_length, make_pairs};
use super::{CausalProbe, noise};
use crate::engine::{Change, Engine, F32_BYTES, IntervenedRun, Replacement, cone};
use crate::error::ProbeError;
use crate::pairs::Pair;
use crate::probe::Estimate;
use crate::rows::ROWS_AT_A_TIME;
use crate::subject::Context;

/// The estimate for a probe: both base runs with what is kept of them, and its interventions.
///
/// # Errors
/// Pairs that cannot be made, places that do not fit them.
pub(crate) fn of(probe: &dyn CausalProbe, context: &Context) -> Result<Estimate, ProbeError> {
    let (config, model_shape) = (context.config, context.config.model_shape());
    let pairs = make_pairs(probe, context)?.list;
    let points = cone::base_points(&model_shape, probe.points(&model_shape)?);
    let mut estimate = Estimate::default();
    let (mut longest, mut tokens) = (0, 0);
    let noise = probe.common().pairs.noise.as_ref();
    let noise = noise.map(|noise| noise::spans(noise, &pairs)).transpose()?;
    for indices in by_length(&pairs, AT_ONCE) {
        let noised = noise.as_ref().map(|spans| indices.iter().flat_map(|&index| spans[index].clone()).collect());
        let members = indices;
        let members: Vec<&Pair> = members.into_iter().map(|member| &pairs[member]).collect();
        let (count, length) = (members.len() as u64, members[0].clean.len());
        let differs = noised.map_or_else(
            || differences(&members),
            |noised: BTreeSet<usize>| (0..length).map(|position| noised.contains(&position)).collect(),
        );
        let interventions = probe.interventions(context, &members)?;
        let per_token = config.n_layers * per_token(config, 0);
        estimate.flops += 2 * count * length as u64 * per_token as u64;
        estimate.memory += 2 * count * kept(&model_shape, &points, length);
        for intervention in &interventions {
            let (flops, touched) = match probe.common().run.engine {
                Engine::Cone => cone(config, intervention, &differs),
                Engine::Naive => (length * per_token, 0),
            };
            estimate.flops += count * flops as u64;
            tokens += count * touched as u64;
        }
        longest = longest.max(length);
    }
    let settings = probe.common().scores();
    let active = tokens.saturating_mul(cone::token_bytes(config, longest)).min(settings.memory);
    let pass = (pairs.len().min(AT_ONCE) * longest) as u64 * cone::token_bytes(config, longest);
    let logits = if settings.metrics.iter().all(|metric| metric.needs_few_columns()) {
        0
    } else {
        5 * (ROWS_AT_A_TIME * config.vocab_size) as u64
    };
    estimate.memory += active.max(pass) + F32_BYTES * logits;
    Ok(estimate)
}

/// Bytes that the run of one prompt keeps.
fn kept(model_shape: &ModelShape, points: &[HookPoint], length: usize) -> u64 {
    let size = |site: Site| model_shape.dims(site, 1, length).into_iter().product::<usize>() as u64;
    let end = size(Site::ResidPost);
    F32_BYTES * (points.iter().map(|point| size(point.site())).sum::<u64>() + end)
}

/// Operations of a block for a token that sees `keys` others.
fn per_token(config: &NeoxConfig, keys: usize) -> usize {
    8 * config.d_model * config.d_model + 4 * config.d_model * config.d_mlp + 4 * config.d_model * keys
}

/// Per position, whether the prompts of some pair differ there.
fn differences(members: &[&Pair]) -> Vec<bool> {
    let at = |position: usize| members.iter().any(|pair| pair.clean[position] != pair.corrupt[position]);
    (0..members[0].clean.len()).map(at).collect()
}

/// Whether a source's activation can differ from the base run's at a position. Before the first attention it differs
/// only at different tokens, afterwards from the first different token on.
fn can_differ(point: HookPoint, position: usize, differs: &[bool], parallel: bool) -> bool {
    let attended = match point.site() {
        Site::Embed => false,
        Site::MlpIn | Site::MlpPre | Site::MlpPost | Site::MlpOut => !parallel,
        site => site.firing_order() >= Site::AttnScores.firing_order(),
    };
    match point.layer() {
        None | Some(0) if !attended => differs[position],
        _ => differs[..=position].contains(&true),
    }
}

/// Operations of an intervention on one prompt, of which the last token is read, and the tokens that it can change.
/// `differs`: per position, whether the tokens of source and base run differ.
///
/// Within the layer that is touched first, what lies after the touched place is recomputed for the touched positions,
/// and attention's output for all from the first of them on where keys or values change. In the next layer the
/// streams that changed are recomputed, from there on all from the first position on; in the last layer, keys and
/// values of all of them and the rest for the last position.
fn cone(config: &NeoxConfig, intervention: &IntervenedRun, differs: &[bool]) -> (usize, usize) {
    let (length, parallel) = (differs.len(), config.variant.parallel_residual);
    let Some(first) = intervention.changes.iter().map(|change| change.point).min() else { return (0, 0) };
    let touched = |change: &Change| {
        let (point, known) = (change.point, !matches!(change.replacement, Replacement::Source(_)));
        let changes = move |position: &usize| known || can_differ(point, *position, differs, parallel);
        positions(point, &change.region, length).into_iter().filter(changes)
    };
    let positions: Vec<usize> = intervention.changes.iter().flat_map(touched).collect();
    let Some(&from) = positions.iter().min() else { return (0, 0) };
    let (d, m) = (config.d_model, config.d_mlp);
    let (after, mut dirty) = (length - from, positions.len().min(length - from));
    let (layer, last) = (first.layer().unwrap_or(0), config.n_layers - 1);
    let enters = matches!(first.site(), Site::Embed | Site::ResidPre);
    let keys_change = matches!(first.site(), Site::K | Site::V | Site::RotK);
    if layer == last && !enters && !keys_change && !positions.contains(&(length - 1)) {
        return (0, after);
    }
    if keys_change {
        dirty = after;
    }
    let (mut flops, next) = match first.site() {
        _ if enters => (0, layer),
        Site::AttnOut | Site::MlpOut | Site::ResidMid | Site::ResidPost => (0, layer + 1),
        Site::MlpPost => (dirty * 2 * d * m, layer + 1),
        _ => (if layer == last { 2 * d * d } else { dirty * 2 * d * d }, layer + 1),
    };
    let mut end_differs = keys_change || positions.contains(&(length - 1));
    for layer in next..config.n_layers {
        let at_end = if end_differs { 2 * d * d + 4 * d * m } else { 0 };
        let rest = match layer == last {
            true => 2 * d * d + at_end,
            false => dirty * (2 * d * d + 4 * d * m) + after * 2 * d * d,
        };
        flops += dirty * 4 * d * d + rest + 4 * d * length * if layer == last { 1 } else { after };
        (dirty, end_differs) = (after, true);
    }
    (flops, after)
}

fn positions(point: HookPoint, region: &pythia_hooks::Region, length: usize) -> Vec<usize> {
    let axis = super::places::position_axis(point);
    let span = region.spans().find(|(narrowed, _)| *narrowed == axis);
    span.and_then(|(_, span)| span.resolve(length).ok()).unwrap_or_else(|| (0..length).collect())
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;
    use pythia_hooks::{Axis, Region};

    use super::*;
    use crate::engine::{EngineInput, Run, tests::model};
    use crate::metric::{Metric, Question, Readout};

    /// The operations that the engine counts, against those estimated.
    #[test]
    fn estimates_are_near_what_is_done() {
        let model = model(true, DType::F32, 1);
        let (clean, mut corrupt): (Vec<u32>, Vec<u32>) = ((0..12).collect(), (0..12).collect());
        corrupt[4] = 30;
        let question = Question { tokens: corrupt.clone(), at: 11, answers: vec![1], wrongs: vec![2] };
        let readout = Readout::new(vec![question], vec![Metric::LogitDiff], 40);
        for (site, most) in [(Site::ResidPre, 1.15), (Site::Z, 1.15), (Site::MlpOut, 1.15), (Site::V, 1.3)] {
            let points = cone::base_points(&model.model_shape(), []);
            let source = Run::of(&model, vec![clean.clone()], [0, 1, 2].map(|layer| site.at(layer))).expect("points");
            let base = Run::of(&model, vec![corrupt.clone()], points).expect("points");
            let sources = [source.seen().clone()];
            let input =
                EngineInput { model: &model, base: &base, sources: &sources, readout: &readout, memory: 1 << 30 };
            let intervention = |layer, position: i64| {
                IntervenedRun::of(site.at(layer), Region::all().along(Axis::Pos, position), Replacement::Source(0))
            };
            let interventions: Vec<IntervenedRun> =
                (0..3).flat_map(|layer| (0..12).map(move |position| intervention(layer, position))).collect();
            let done = cone::scores(&input, &interventions).expect("scores").1.flops as f64;
            let differs: Vec<bool> = (0..12).map(|position| position == 4).collect();
            let estimated: usize =
                interventions.iter().map(|intervention| cone(model.config(), intervention, &differs).0).sum();
            let ratio = estimated as f64 / done;
            assert!((1.0 / most..most).contains(&ratio), "{site:?}: {estimated} estimated, {done} done");
        }
    }
}
