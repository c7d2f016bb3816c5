//! Probes that read the same tokens share one forward pass.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::Tensor;
use pythia_core::model::Residual;
use pythia_hooks::{HookPoint, Hooks};

use crate::error::ProbeError;
use crate::head_scores::PatternReader;
use crate::induction_loss::InductionLoss;
use crate::loss::{PromptLoss, per_token};
use crate::prompts::Prompts;
use crate::spec::ProbeSpec;
use crate::subject::Subject;
use crate::table::Table;
use crate::token_loss::TokenLoss;

/// How many positions are unembedded at a time: enough rows for a fast matrix product, and logits that are small beside the
/// weights (50 MB for Pythia's vocabulary, where a batch of 8 × 512 tokens would need 800).
const POSITIONS_AT_A_TIME: usize = 256;

/// Asks every probe of the subject; the answers stand in the order of the probes, and depend on nothing but the weights, the
/// probe and the seed: probes with the same prompts share a forward pass, which changes no bit of what they read.
///
/// A probe that cannot run or fails says so in its own place and does not keep the others from answering.
pub fn run(probes: &[ProbeSpec], subject: &Subject, seed: u64) -> Vec<Result<Table, ProbeError>> {
    let mut answers = BTreeMap::new();
    let mut groups: Vec<(Prompts, Vec<usize>)> = Vec::new();
    for (index, probe) in probes.iter().enumerate() {
        match prepare(probe, subject, seed) {
            Err(error) => {
                answers.insert(index, Err(error));
            }
            Ok(prompts) => match groups.iter_mut().find(|(have, _)| *have == prompts) {
                Some((_, members)) => members.push(index),
                None => groups.push((prompts, vec![index])),
            },
        }
    }
    for (prompts, members) in groups {
        let specs: Vec<&ProbeSpec> = members.iter().map(|index| &probes[*index]).collect();
        answers.extend(members.into_iter().zip(answer(&specs, &prompts, subject)));
    }
    answers.into_values().collect()
}

/// The prompts of a probe that can run on this subject.
fn prepare(probe: &ProbeSpec, subject: &Subject, seed: u64) -> Result<Prompts, ProbeError> {
    subject.check()?;
    probe.check(subject.model.config(), subject.vocab, subject.prepend_bos)?;
    if probe.reads_logits() && !subject.model.can_unembed() {
        return Err(ProbeError::NoUnembedding { probe: probe.kind() });
    }
    probe.prompts(subject.vocabulary(), subject.prepend_bos, seed)
}

/// The answers of probes that have the same prompts, from one pass over the model.
fn answer(probes: &[&ProbeSpec], prompts: &Prompts, subject: &Subject) -> Vec<Result<Table, ProbeError>> {
    let mut observers: Vec<Observer> = probes.iter().map(|probe| Observer::new(probe, prompts, subject)).collect();
    let tokens = subject.model.tokens(&prompts.padded());
    let losses = if probes.iter().any(|probe| probe.reads_logits()) {
        let start = subject.model.embed(tokens, &mut observers);
        let end = subject.model.advance(start, subject.model.config().n_layers, &mut observers);
        losses(&end, prompts, subject)
    } else {
        subject.model.observe(tokens, &mut observers);
        Ok(Vec::new())
    };
    let finish = |observer: Observer| observer.finish(prompts, losses.as_deref(), subject);
    observers.into_iter().map(finish).collect()
}

/// The losses of all prompts from the stream after the last block, a few prompts at a time: no tensor of all logits is ever
/// made.
fn losses(end: &Residual, prompts: &Prompts, subject: &Subject) -> Result<Vec<PromptLoss>, ProbeError> {
    let at_a_time = (POSITIONS_AT_A_TIME / prompts.len().max(1)).max(1);
    let mut losses = Vec::with_capacity(prompts.batch());
    for from in (0..prompts.batch()).step_by(at_a_time) {
        let rows: Range<usize> = from..(from + at_a_time).min(prompts.batch());
        let part = Residual { layer: end.layer, stream: end.stream.clone().slice([rows.clone()]) };
        let logits = subject.model.unembed(part, &mut ());
        losses.extend(per_token(logits, &prompts.rows()[rows], subject.vocab)?);
    }
    Ok(losses)
}

/// What looks at the run on behalf of a probe, and answers for it in the end.
#[derive(Debug)]
enum Observer<'a> {
    /// Reads attention patterns.
    HeadScores(PatternReader),
    /// Waits for the losses.
    InductionLoss(&'a InductionLoss),
    /// Waits for the losses.
    TokenLoss,
}

impl<'a> Observer<'a> {
    fn new(probe: &'a ProbeSpec, prompts: &Prompts, subject: &Subject) -> Self {
        match probe {
            ProbeSpec::HeadScores(probe) => {
                Observer::HeadScores(PatternReader::new(probe, probe.layout(subject.prepend_bos), prompts))
            }
            ProbeSpec::InductionLoss(probe) => Observer::InductionLoss(probe),
            ProbeSpec::TokenLoss(_) => Observer::TokenLoss,
        }
    }

    /// The answer. `losses`: those of all prompts, or why there are none; empty where no probe reads logits.
    fn finish(
        self,
        prompts: &Prompts,
        losses: Result<&[PromptLoss], &ProbeError>,
        subject: &Subject,
    ) -> Result<Table, ProbeError> {
        let losses = losses.map_err(Clone::clone);
        match self {
            Observer::HeadScores(reader) => reader.finish(subject.model.config().n_layers),
            Observer::InductionLoss(probe) => Ok(probe.table(losses?, subject.prepend_bos)),
            Observer::TokenLoss => Ok(TokenLoss::table(prompts, losses?)),
        }
    }
}

impl Hooks for Observer<'_> {
    fn wants(&self, point: HookPoint) -> bool {
        match self {
            Observer::HeadScores(reader) => reader.wants(point),
            Observer::InductionLoss(_) | Observer::TokenLoss => false,
        }
    }

    fn edits(&self, _: HookPoint) -> bool {
        false
    }

    fn at<const D: usize>(&mut self, point: HookPoint, value: Tensor<D>) -> Tensor<D> {
        match self {
            Observer::HeadScores(reader) => reader.at(point, value),
            Observer::InductionLoss(_) | Observer::TokenLoss => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};
    use pythia_core::config::{NeoxConfig, Rotary, Variant};
    use pythia_core::model::GptNeoX;
    use pythia_core::params::{HostParams, HostTensor, Param};
    use pythia_hooks::Site;

    use super::*;
    use crate::head_scores::HeadScores;
    use crate::table::Column;

    /// A small model whose weights follow a fixed pattern; 3 of its 24 embeddings are padding.
    fn model(unembed: bool) -> GptNeoX {
        let config = NeoxConfig {
            n_layers: 2,
            d_model: 16,
            n_heads: 2,
            d_mlp: 32,
            vocab_size: 24,
            n_ctx: 64,
            layer_norm_eps: 1e-5,
            rotary: Rotary { ndims: 4, base: 10_000.0 },
            variant: Variant { parallel_residual: true, tied_embeddings: false, attention_bias: true },
        };
        let mut params = HostParams::new();
        for (which, param) in Param::all(&config).into_iter().enumerate() {
            let shape = param.shape(&config);
            let wave = |index: usize| ((index * 37 + which * 101) as f32 * 0.7).sin();
            let values = (0..shape.iter().product()).map(wave).collect();
            if unembed || param != Param::Unembed {
                params.insert(param, HostTensor { shape, values });
            }
        }
        GptNeoX::from_params(config, params, &Device::flex(), DType::F32)
    }

    fn subject(model: &GptNeoX) -> Subject<'_> {
        Subject { model, vocab: 21, prepend_bos: true, bos: 0 }
    }

    fn heads() -> ProbeSpec {
        ProbeSpec::HeadScores(HeadScores { batch: 5, half_len: 9, ..HeadScores::default() })
    }

    fn halves() -> ProbeSpec {
        ProbeSpec::InductionLoss(InductionLoss { batch: 5, half_len: 9, ..InductionLoss::default() })
    }

    fn tokens() -> ProbeSpec {
        ProbeSpec::TokenLoss(TokenLoss { batch: Some(5), half_len: Some(9), ..TokenLoss::default() })
    }

    #[test]
    fn sharing_a_forward_pass_changes_no_answer() {
        let model = model(true);
        let shorter = ProbeSpec::HeadScores(HeadScores { half_len: 4, ..HeadScores::default() });
        let together = run(&[heads(), shorter.clone(), halves(), tokens()], &subject(&model), 3);
        let alone = [heads(), shorter, halves(), tokens()].map(|probe| run(&[probe], &subject(&model), 3).remove(0));
        assert_eq!(together, alone);
        assert!(together.iter().all(Result::is_ok));
        assert_ne!(together[..1], run(&[heads()], &subject(&model), 4));
    }

    #[test]
    fn one_probe_that_cannot_run_leaves_the_others_alone() {
        let model = model(false);
        let long = ProbeSpec::HeadScores(HeadScores { half_len: 32, ..HeadScores::default() });
        let answers = run(&[long, heads(), halves()], &subject(&model), 0);
        assert_eq!(answers[0], Err(ProbeError::TooLong { len: 65, n_ctx: 64 }));
        assert!(answers[1].as_ref().is_ok_and(|table| table.n_rows() > 0));
        assert_eq!(answers[2], Err(ProbeError::NoUnembedding { probe: "induction_loss" }));
        let padded = Subject { vocab: 25, ..subject(&model) };
        assert_eq!(run(&[heads()], &padded, 0), [Err(ProbeError::VocabTooLarge { vocab: 25, rows: 24 })]);
        let foreign = Subject { bos: 24, ..subject(&model) };
        assert_eq!(run(&[heads()], &foreign, 0), [Err(ProbeError::NoSuchBos { bos: 24, rows: 24 })]);
    }

    #[test]
    fn losses_are_those_of_the_full_forward_pass_however_the_prompts_are_padded() {
        let model = model(true);
        let rows = vec![vec![3, 1, 4, 1, 5], vec![9, 2], vec![6, 5, 3, 5, 8, 9, 7, 9, 3]];
        let probe = ProbeSpec::TokenLoss(TokenLoss { tokens: Some(rows.clone()), ..TokenLoss::default() });
        let table = run(&[probe], &subject(&model), 0).remove(0).expect("the prompts fit");
        let found = table.column("loss").and_then(Column::floats).expect("numbers");
        let mut expected = Vec::new();
        for row in &rows {
            let row: Vec<u32> = [0].into_iter().chain(row.iter().copied()).collect();
            let logits = model.forward(model.tokens(std::slice::from_ref(&row)), &mut ());
            let logits = logits.into_data().try_into_vec::<f32>().expect("float32 logits");
            for (place, right) in row.iter().skip(1).enumerate() {
                let at = &logits[place * 24..][..24];
                let sum: f64 = at.iter().map(|logit| f64::from(*logit).exp()).sum();
                expected.push(sum.ln() - f64::from(at[*right as usize]));
            }
        }
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.is_some_and(|found| (found - expected).abs() < 1e-5), "{found:?} {expected}");
        }
    }

    #[test]
    fn nothing_but_the_pattern_is_wanted() {
        let model = model(true);
        let (subject, heads, halves) = (subject(&model), heads(), halves());
        let prompts = prepare(&heads, &subject, 0).expect("the probe can run");
        let observers = vec![Observer::new(&heads, &prompts, &subject), Observer::new(&halves, &prompts, &subject)];
        let wanted = |point: &HookPoint| observers.wants(*point);
        let points: Vec<HookPoint> = pythia_hooks::points_of(&model.anatomy()).into_iter().filter(wanted).collect();
        assert_eq!(points, [Site::Pattern.at(0), Site::Pattern.at(1)]);
    }
}
