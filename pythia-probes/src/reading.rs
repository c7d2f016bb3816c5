//! Reading probes: prompts go through the model once, and a table comes out of what was read on the way. Probes that read
//! the same tokens share that pass.

use std::ops::Range;

use burn::tensor::Tensor;
use pythia_core::model::Residual;
use pythia_hooks::{HookPoint, Hooks};

use crate::attention_patterns::PatternKeeper;
use crate::error::ProbeError;
use crate::head_scores::{HeadScores, PatternReader};
use crate::induction_loss::InductionLoss;
use crate::logit_lens::StreamKeeper;
use crate::loss::{PromptLoss, per_token};
use crate::prompts::Prompts;
use crate::run::Answer;
use crate::spec::Probe;
use crate::subject::{Context, Subject};
use crate::table::Table;
use crate::token_loss::TokenLoss;

/// How many positions are unembedded at a time: enough rows for a fast matrix product, and logits that are small beside the
/// weights (50 MB for Pythia's vocabulary, where a batch of 8 × 512 tokens would need 800).
pub(crate) const POSITIONS_AT_A_TIME: usize = 256;

/// A probe that reads one pass over its prompts.
pub(crate) trait Reading: Probe {
    /// The tokens the probe runs on; equal seeds and sizes give equal prompts, whichever probe asks.
    ///
    /// # Errors
    /// [`ProbeError::VocabTooSmall`] and [`ProbeError::IdOutOfVocab`].
    fn prompts(&self, context: &Context) -> Result<Prompts, ProbeError>;

    /// What looks at the run on behalf of the probe.
    fn observer<'a>(&'a self, prompts: &Prompts, subject: &Subject) -> Observer<'a>;

    /// Whether it waits for the losses of the prompts.
    fn reads_losses(&self) -> bool {
        self.reads_logits()
    }
}

/// Probes, each with its place among all that were asked.
type Members<'a> = Vec<(usize, &'a dyn Reading)>;

/// The answers of reading probes that were checked: `(index, answer)` in no particular order. Probes with equal prompts share
/// a forward pass, which changes no bit of what they read.
pub(crate) fn read(
    probes: &[(usize, &dyn Reading)],
    subject: &Subject,
    seed: u64,
) -> Vec<(usize, Result<Answer, ProbeError>)> {
    let mut answers = Vec::with_capacity(probes.len());
    let mut groups: Vec<(Prompts, Members)> = Vec::new();
    for (index, probe) in probes {
        match probe.prompts(&subject.context(seed)) {
            Err(error) => answers.push((*index, Err(error))),
            Ok(prompts) => match groups.iter_mut().find(|(have, _)| *have == prompts) {
                Some((_, members)) => members.push((*index, *probe)),
                None => groups.push((prompts, vec![(*index, *probe)])),
            },
        }
    }
    for (prompts, members) in groups {
        let (indices, probes): (Vec<usize>, Vec<&dyn Reading>) = members.into_iter().unzip();
        let tables = pass(&probes, &prompts, subject).into_iter().map(|table| table.map(|table| vec![table]));
        answers.extend(indices.into_iter().zip(tables));
    }
    answers
}

/// The tables of probes that have the same prompts, from one pass over the model.
fn pass(probes: &[&dyn Reading], prompts: &Prompts, subject: &Subject) -> Vec<Result<Table, ProbeError>> {
    let mut observers: Vec<Observer> = probes.iter().map(|probe| probe.observer(prompts, subject)).collect();
    let tokens = subject.model.tokens(&prompts.padded());
    let losses = if probes.iter().any(|probe| probe.reads_losses()) {
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
pub(crate) enum Observer<'a> {
    /// Reads attention patterns.
    HeadScores(PatternReader),
    /// Keeps attention patterns.
    AttentionPatterns(PatternKeeper),
    /// Keeps the stream at every depth.
    LogitLens(StreamKeeper),
    /// Waits for the losses.
    InductionLoss(&'a InductionLoss),
    /// Waits for the losses.
    TokenLoss,
}

impl Observer<'_> {
    /// The answer. `losses`: those of all prompts, or why there are none; empty where no probe reads them.
    fn finish(
        self,
        prompts: &Prompts,
        losses: Result<&[PromptLoss], &ProbeError>,
        subject: &Subject,
    ) -> Result<Table, ProbeError> {
        let losses = losses.map_err(Clone::clone);
        match self {
            Observer::HeadScores(reader) => reader.finish(subject.model.config().n_layers),
            Observer::AttentionPatterns(keeper) => keeper.finish(prompts, subject),
            Observer::LogitLens(keeper) => keeper.finish(prompts, subject),
            Observer::InductionLoss(probe) => Ok(probe.table(losses?, subject.prepend_bos)),
            Observer::TokenLoss => Ok(TokenLoss::table(prompts, losses?)),
        }
    }
}

impl Hooks for Observer<'_> {
    fn wants(&self, point: HookPoint) -> bool {
        match self {
            Observer::HeadScores(reader) => reader.wants(point),
            Observer::AttentionPatterns(keeper) => keeper.wants(point),
            Observer::LogitLens(keeper) => keeper.wants(point),
            Observer::InductionLoss(_) | Observer::TokenLoss => false,
        }
    }

    fn edits(&self, _: HookPoint) -> bool {
        false
    }

    fn at<const D: usize>(&mut self, point: HookPoint, value: Tensor<D>) -> Tensor<D> {
        match self {
            Observer::HeadScores(reader) => reader.at(point, value),
            Observer::AttentionPatterns(keeper) => keeper.at(point, value),
            Observer::LogitLens(keeper) => keeper.at(point, value),
            Observer::InductionLoss(_) | Observer::TokenLoss => value,
        }
    }
}

/// Refuses prompts longer than the model's context.
fn fits(probe: &dyn Probe, context: &Context) -> Result<(), ProbeError> {
    let ((_, len), n_ctx) = (probe.tokens_per_run(context), context.config.n_ctx);
    if len > n_ctx { Err(ProbeError::TooLong { len, n_ctx }) } else { Ok(()) }
}

impl Probe for HeadScores {
    fn reads_logits(&self) -> bool {
        false
    }

    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        self.check(context.prepend_bos)?;
        fits(self, context)
    }

    fn tokens_per_run(&self, context: &Context) -> (usize, usize) {
        (self.batch, self.layout(context.prepend_bos).len())
    }
}

impl Reading for HeadScores {
    fn prompts(&self, context: &Context) -> Result<Prompts, ProbeError> {
        Prompts::repeated(self.layout(context.prepend_bos), context.vocabulary(), context.seed)
    }

    fn observer<'a>(&'a self, prompts: &Prompts, subject: &Subject) -> Observer<'a> {
        Observer::HeadScores(PatternReader::new(self, self.layout(subject.prepend_bos), prompts))
    }
}

impl Probe for InductionLoss {
    fn reads_logits(&self) -> bool {
        true
    }

    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        self.check(context.prepend_bos)?;
        fits(self, context)
    }

    fn tokens_per_run(&self, context: &Context) -> (usize, usize) {
        (self.batch, self.layout(context.prepend_bos).len())
    }
}

impl Reading for InductionLoss {
    fn prompts(&self, context: &Context) -> Result<Prompts, ProbeError> {
        Prompts::repeated(self.layout(context.prepend_bos), context.vocabulary(), context.seed)
    }

    fn observer<'a>(&'a self, _: &Prompts, _: &Subject) -> Observer<'a> {
        Observer::InductionLoss(self)
    }
}

impl Probe for TokenLoss {
    fn reads_logits(&self) -> bool {
        true
    }

    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        self.check(context.vocab, context.prepend_bos)?;
        fits(self, context)
    }

    fn tokens_per_run(&self, context: &Context) -> (usize, usize) {
        self.size(context.prepend_bos)
    }
}

impl Reading for TokenLoss {
    fn prompts(&self, context: &Context) -> Result<Prompts, ProbeError> {
        match &self.tokens {
            Some(ids) => Prompts::given(ids, self.bos(context.prepend_bos), context.vocabulary()),
            None => Prompts::repeated(self.layout(context.prepend_bos), context.vocabulary(), context.seed),
        }
    }

    fn observer<'a>(&'a self, _: &Prompts, _: &Subject) -> Observer<'a> {
        Observer::TokenLoss
    }
}
