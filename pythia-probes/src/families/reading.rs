//! Reading probes: prompts go through the model once, and a table comes out of what was read on the way. Probes that read
//! the same tokens share that pass.

use std::ops::Range;

use burn::tensor::Tensor;
use pythia_hooks::{HookPoint, Hooks};

use crate::error::ProbeError;
use crate::loss::{PromptLoss, with_losses};
use crate::probes::attention_patterns::PatternKeeper;
use crate::probes::head_scores::{HeadScores, PatternReader};
use crate::probes::induction_loss::InductionLoss;
use crate::probes::logit_lens::StreamKeeper;
use crate::probes::spec::Probe;
use crate::probes::token_loss::TokenLoss;
use crate::prompts::Prompts;
use crate::retry_on_oom::retry_on_oom;
use crate::run::Answer;
use crate::subject::{Context, Subject};
use crate::table::Table;

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
        let tables = shared(&probes, &prompts, subject).into_iter().map(|table| table.map(|table| vec![table]));
        answers.extend(indices.into_iter().zip(tables));
    }
    answers
}

/// The tables of probes that have the same prompts, from a pass in as few parts as the device can hold.
fn shared(probes: &[&dyn Reading], prompts: &Prompts, subject: &Subject) -> Vec<Result<Table, ProbeError>> {
    let mut tables = Vec::new();
    let whole = retry_on_oom(&subject.model.device(), prompts.batch(), |parts| {
        tables.clear();
        tables = pass(probes, prompts, subject, parts);
        let mut errors = tables.iter().filter_map(|table| table.as_ref().err());
        let full = errors.find(|error| matches!(error, ProbeError::Device { .. }));
        full.map_or(Ok(()), |error| Err(error.clone()))
    });
    match whole {
        // The smallest pass was interrupted.
        Err(error) if tables.is_empty() => probes.iter().map(|_| Err(error.clone())).collect(),
        // Where the smallest pass failed one probe, the others have answers all the same.
        _ => tables,
    }
}

/// The tables of probes that have the same prompts, from one pass over the model in that many parts of the prompts.
fn pass(probes: &[&dyn Reading], prompts: &Prompts, subject: &Subject, parts: usize) -> Vec<Result<Table, ProbeError>> {
    let mut observers: Vec<Observer> = probes.iter().map(|probe| probe.observer(prompts, subject)).collect();
    let (model, padded) = (subject.model, prompts.padded());
    let mut losses = Ok(Vec::new());
    for part in prompts.parts(parts) {
        observers.iter_mut().for_each(|observer| observer.show(part.clone()));
        let (tokens, rows) = (model.tokens(&padded[part.clone()]), &prompts.rows()[part]);
        if probes.iter().any(|probe| probe.reads_losses()) {
            let start = model.embed(tokens, &mut observers);
            let end = model.advance(start, model.config().n_layers, &mut observers);
            losses = losses.and_then(|have| with_losses(have, &end, rows, subject));
        } else {
            model.observe(tokens, &mut observers);
        }
        observers.iter_mut().for_each(|observer| observer.shown(rows, subject));
    }
    let finish = |observer: Observer| observer.finish(prompts, losses.as_deref(), subject);
    observers.into_iter().map(finish).collect()
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
    /// Tells which prompts the model runs on next.
    fn show(&mut self, prompts: Range<usize>) {
        match self {
            Observer::HeadScores(reader) => reader.show(prompts),
            Observer::AttentionPatterns(keeper) => keeper.show(prompts),
            Observer::LogitLens(_) | Observer::InductionLoss(_) | Observer::TokenLoss => {}
        }
    }

    /// Tells that the model has run on those prompts, which are `rows`.
    fn shown(&mut self, rows: &[Vec<u32>], subject: &Subject) {
        if let Observer::LogitLens(keeper) = self {
            keeper.shown(rows, subject);
        }
    }

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

#[cfg(test)]
pub(crate) mod tests {
    use burn::tensor::{DType, Device};
    use pythia_core::model::GptNeoX;

    use super::*;
    use crate::probes::attention_patterns::AttentionPatterns;
    use crate::probes::logit_lens::LogitLens;
    use crate::table::Column;
    use crate::testing::{config, params};

    /// Holds the tables of every number of parts on `device` to those of one part on the CPU.
    pub(crate) fn agree(device: &Device, tolerance: f64) {
        let rows = [vec![3, 1, 4, 1, 5], vec![9, 2], vec![6, 5, 3, 5, 8, 9, 7, 9, 3], vec![2], vec![7, 1]];
        let (batch, half_len, given) = (Some(7), Some(9), Some(rows.to_vec()));
        let heads = HeadScores { batch: 7, half_len: 9, ..HeadScores::default() };
        let halves = InductionLoss { batch: 7, half_len: 9, ..InductionLoss::default() };
        let random: [&dyn Reading; 5] = [
            &heads,
            &halves,
            &TokenLoss { batch, half_len, ..TokenLoss::default() },
            &AttentionPatterns { batch, half_len, ..AttentionPatterns::default() },
            &LogitLens { batch, half_len, ..LogitLens::default() },
        ];
        let ragged: [&dyn Reading; 3] = [
            &TokenLoss { tokens: given.clone(), ..TokenLoss::default() },
            &AttentionPatterns { tokens: given.clone(), ..AttentionPatterns::default() },
            &LogitLens { tokens: given, ..LogitLens::default() },
        ];
        let model = |device| GptNeoX::from_params(config(), params(true), device, DType::F32);
        let (host, model) = (model(&Device::flex()), model(device));
        for probes in [&random[..], &random[..1], &random[1..2], &ragged] {
            let subject = Subject::new(&host, 21, true, 0);
            let prompts = probes[0].prompts(&subject.context(3)).expect("there are ids");
            let expected = pass(probes, &prompts, &subject, 1);
            assert!(expected.iter().all(Result::is_ok), "{expected:?}");
            for parts in 1..=prompts.batch() {
                let found = pass(probes, &prompts, &Subject::new(&model, 21, true, 0), parts);
                for (found, expected) in found.iter().zip(&expected) {
                    let (Ok(found), Ok(expected)) = (found, expected) else { panic!("{found:?}, {expected:?}") };
                    same(found, expected, tolerance);
                }
            }
        }
    }

    fn same(found: &Table, expected: &Table, tolerance: f64) {
        assert_eq!(found.columns().len(), expected.columns().len());
        for ((name, found), (expected_name, expected)) in found.columns().iter().zip(expected.columns()) {
            assert_eq!((name, found.len()), (expected_name, expected.len()));
            let (Column::Float(found), Column::Float(expected)) = (found, expected) else {
                assert_eq!(found, expected, "{name}");
                continue;
            };
            for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
                let close = found.zip(*expected).is_none_or(|(found, expected)| (found - expected).abs() <= tolerance);
                assert!(found.is_some() == expected.is_some() && close, "{name} {row}: {found:?}, not {expected:?}");
            }
        }
    }

    #[test]
    fn any_number_of_parts_gives_every_bit_of_one() {
        agree(&Device::flex(), 0.0);
    }
}
