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
