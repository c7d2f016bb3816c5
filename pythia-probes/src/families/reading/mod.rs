//! Reading probes: prompts go through the model once, and tables are made of what was read on the way. Probes that
//! read the same tokens share that pass.
//!
//! The family knows no probe. Each is a value behind [`ReadingProbe`] and gives a [`Reader`] for every pass; the
//! number of axes of what is read is erased in [`Activation`], so that both are object-safe.

use std::ops::Range;

use burn::tensor::Tensor;
use pythia_hooks::{Activation, HookPoint, Hooks};

use crate::error::ProbeError;
use crate::loss::{PromptLoss, with_losses};
use crate::metric::Question;
use crate::probe::{Answer, Probe};
use crate::prompts::Prompts;
use crate::retry_on_oom::retry_on_oom;
use crate::subject::{Context, Subject};

/// A probe that reads one pass over its prompts.
pub(crate) trait ReadingProbe: Probe {
    /// What goes through the model. Equal seeds and sizes give equal prompts, whichever probe asks.
    ///
    /// # Errors
    /// Prompts that cannot be made; [`check`](Probe::check) has found most of them.
    fn input(&self, context: &Context) -> Result<ReadingInput, ProbeError>;

    /// What looks at a pass on behalf of the probe.
    fn reader<'a>(&'a self, run: ReadingRun<'a>) -> Box<dyn Reader + 'a>;

    /// Whether its reader is given the losses of the prompts.
    fn reads_losses(&self) -> bool {
        false
    }
}

/// What a reading probe puts through the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReadingInput {
    /// The tokens of the pass. Probes that have the same share it.
    pub prompts: Prompts,
    /// The answers that each prompt is asked for, by prompt. Empty where a probe asks for none.
    pub questions: Vec<Question>,
}

impl From<Prompts> for ReadingInput {
    /// Prompts without answers.
    fn from(prompts: Prompts) -> Self {
        Self { prompts, questions: Vec::new() }
    }
}

/// The pass that a reader looks at.
#[derive(Clone, Copy)]
pub(crate) struct ReadingRun<'a> {
    /// What the probe put through the model.
    pub input: &'a ReadingInput,
    /// The model, and what it may be asked besides.
    pub subject: &'a Subject<'a>,
    /// What is known of the subject without its weights, and the seed.
    pub context: Context<'a>,
}

/// Looks at one pass over the prompts, in one or more parts, and answers in the end.
///
/// The prompts come in parts where a device cannot hold all of them at once. For each part come [`part`](Self::part),
/// [`read`](Self::read) at every wanted point, and [`part_done`](Self::part_done). After an error nothing more is read.
pub(crate) trait Reader {
    /// Whether the reader reads the activation at that point. `ln_final.*` does not fire in a pass that is shared with
    /// a probe of losses ([`reads_losses`](ReadingProbe::reads_losses)), which unembeds the last stream by itself.
    fn wants(&self, _: HookPoint) -> bool {
        false
    }

    /// These prompts go through the model next, padded on the right to the length of the longest of all prompts.
    fn part(&mut self, _: Range<usize>) {}

    /// Reads an activation of the current part; its first axis has an entry per prompt of the part.
    ///
    /// # Errors
    /// An activation of another shape than its place has, and reading from the device.
    fn read(&mut self, _: HookPoint, _: &Activation) -> Result<(), ProbeError> {
        Ok(())
    }

    /// These prompts have gone through the model.
    ///
    /// # Errors
    /// As those of [`read`](Self::read).
    fn part_done(&mut self, _: Range<usize>) -> Result<(), ProbeError> {
        Ok(())
    }

    /// The answer. `losses`: a value per prompt where [`ReadingProbe::reads_losses`] says so, else none.
    ///
    /// # Errors
    /// A place that never reported, and reading from the device.
    fn finish(self: Box<Self>, losses: &[PromptLoss]) -> Result<Answer, ProbeError>;
}

/// A probe with its place among all that were asked, and what it puts through the model.
struct Member<'a> {
    index: usize,
    probe: &'a dyn ReadingProbe,
    input: ReadingInput,
}

/// The answers of reading probes that were checked: `(index, answer)` in no particular order. Probes with equal
/// prompts share a forward pass, which changes no bit of what they read.
pub(crate) fn answers(
    probes: &[(usize, &dyn ReadingProbe)],
    subject: &Subject,
    seed: u64,
) -> Vec<(usize, Result<Answer, ProbeError>)> {
    let mut answers = Vec::with_capacity(probes.len());
    let mut groups: Vec<Vec<Member>> = Vec::new();
    for &(index, probe) in probes {
        match probe.input(&subject.context(seed)).map(|input| Member { index, probe, input }) {
            Err(error) => answers.push((index, Err(error))),
            Ok(member) => match groups.iter_mut().find(|group| group[0].input.prompts == member.input.prompts) {
                Some(group) => group.push(member),
                None => groups.push(vec![member]),
            },
        }
    }
    for group in groups {
        let indices = group.iter().map(|member| member.index);
        answers.extend(indices.zip(shared(&group, subject, seed)));
    }
    answers
}

/// The answers of probes that have the same prompts, from a pass in as few parts as the device can hold.
fn shared(group: &[Member], subject: &Subject, seed: u64) -> Vec<Result<Answer, ProbeError>> {
    let mut answers = Vec::new();
    let whole = retry_on_oom(&subject.model.device(), group[0].input.prompts.batch(), |parts| {
        answers.clear();
        answers = pass(group, subject, seed, parts);
        let mut errors = answers.iter().filter_map(|answer| answer.as_ref().err());
        let full = errors.find(|error| matches!(error, ProbeError::Device { .. }));
        full.map_or(Ok(()), |error| Err(error.clone()))
    });
    match whole {
        // The smallest pass was interrupted.
        Err(error) if answers.is_empty() => group.iter().map(|_| Err(error.clone())).collect(),
        // Where the smallest pass failed one probe, the others have answers all the same.
        _ => answers,
    }
}

/// The answers of probes that have the same prompts, from one pass over the model in that many parts of the prompts.
fn pass(group: &[Member], subject: &Subject, seed: u64, parts: usize) -> Vec<Result<Answer, ProbeError>> {
    let (model, prompts) = (subject.model, &group[0].input.prompts);
    let mut observers: Vec<Observer> = group.iter().map(|member| Observer::new(member, subject, seed)).collect();
    let padded = prompts.padded();
    let mut losses = Ok(Vec::new());
    for part in prompts.parts(parts) {
        observers.iter_mut().for_each(|observer| observer.reader.part(part.clone()));
        let (tokens, rows) = (model.tokens(&padded[part.clone()]), &prompts.rows()[part.clone()]);
        if group.iter().any(|member| member.probe.reads_losses()) {
            let start = model.embed(tokens, &mut observers);
            let end = model.advance(start, model.config().n_layers, &mut observers);
            losses = losses.and_then(|have| with_losses(have, &end, rows, subject));
        } else {
            model.observe(tokens, &mut observers);
        }
        observers.iter_mut().for_each(|observer| observer.look(|reader| reader.part_done(part.clone())));
    }
    let losses = losses.as_deref();
    group.iter().zip(observers).map(|(member, observer)| observer.finish(member.probe, losses)).collect()
}

/// Hands a reader what it wants, and keeps its first error: a hook cannot return one.
struct Observer<'a> {
    reader: Box<dyn Reader + 'a>,
    error: Option<ProbeError>,
}

impl<'a> Observer<'a> {
    fn new(member: &'a Member<'a>, subject: &'a Subject<'a>, seed: u64) -> Self {
        let run = ReadingRun { input: &member.input, subject, context: subject.context(seed) };
        Self { reader: member.probe.reader(run), error: None }
    }

    /// Lets the reader look at something, unless it failed before.
    fn look(&mut self, look: impl FnOnce(&mut dyn Reader) -> Result<(), ProbeError>) {
        if self.error.is_none() {
            self.error = look(&mut *self.reader).err();
        }
    }

    /// The answer. `losses`: those of all prompts, or why there are none; empty where no probe reads them.
    fn finish(
        self,
        probe: &dyn ReadingProbe,
        losses: Result<&[PromptLoss], &ProbeError>,
    ) -> Result<Answer, ProbeError> {
        self.error.map_or(Ok(()), Err)?;
        let losses = if probe.reads_losses() { losses.map_err(Clone::clone)? } else { &[] };
        self.reader.finish(losses)
    }
}

impl Hooks for Observer<'_> {
    fn wants(&self, point: HookPoint) -> bool {
        self.reader.wants(point)
    }

    fn edits(&self, _: HookPoint) -> bool {
        false
    }

    fn at<const D: usize>(&mut self, point: HookPoint, value: Tensor<D>) -> Tensor<D> {
        let activation = Activation::from_tensor(value.clone());
        self.look(|reader| reader.read(point, &activation));
        value
    }
}

/// The answer of one probe on prompts that are not its own.
#[cfg(test)]
pub(crate) fn read_alone(probe: &dyn ReadingProbe, prompts: Prompts, subject: &Subject) -> Result<Answer, ProbeError> {
    pass(&[Member { index: 0, probe, input: prompts.into() }], subject, 0, 1).remove(0)
}

#[cfg(test)]
pub(crate) mod tests;
