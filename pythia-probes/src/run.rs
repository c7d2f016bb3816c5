//! Runs probes on a subject, family by family.

use std::collections::BTreeMap;

use pythia_core::weights::WeightError;

use crate::error::ProbeError;
use crate::families::weights::WeightSubject;
use crate::families::{ProbeFamily, causal, reading};
use crate::probe::Answer;
use crate::probes::ProbeSpec;
use crate::subject::Subject;

/// Asks every probe of the subject; the answers stand in the order of the probes, and depend on nothing but the
/// weights, the probe, what it reads besides, and the seed.
///
/// A probe that cannot run or fails says so in its own place and does not keep the others from answering.
pub fn run(probes: &[ProbeSpec], subject: &Subject, seed: u64) -> Vec<Result<Answer, ProbeError>> {
    let mut answers = BTreeMap::new();
    let (mut reading, mut causal) = (Vec::new(), Vec::new());
    for (index, probe) in probes.iter().enumerate() {
        match ready(probe, subject, seed) {
            Err(error) => {
                answers.insert(index, Err(error));
            }
            // A family collects its probes here and answers for all of them below, so that they can share runs.
            Ok(()) => match probe.family() {
                ProbeFamily::Reading(probe) => reading.push((index, probe)),
                ProbeFamily::Causal(probe) => causal.push((index, probe)),
                ProbeFamily::Weights(_) => {
                    drop(answers.insert(index, Err(ProbeError::WeightsAlone { probe: probe.kind() })))
                }
            },
        }
    }
    answers.extend(reading::answers(&reading, subject, seed));
    answers.extend(causal::answers(&causal, subject, seed));
    answers.into_values().collect()
}

/// Whether a probe can run on this subject.
fn ready(probe: &ProbeSpec, subject: &Subject, seed: u64) -> Result<(), ProbeError> {
    subject.check()?;
    probe.check(&subject.context(seed))?;
    if probe.reads_logits() && !subject.model.can_unembed() {
        return Err(ProbeError::NoUnembedding { probe: probe.kind() });
    }
    let missing = probe.source_checkpoints().into_iter().find(|label| subject.source_checkpoints.get(*label).is_none());
    missing.map_or(Ok(()), |label| Err(ProbeError::NoSourceCheckpoint { label }))
}

/// Asks every probe of weights alone; the answers stand in the order of the probes, and depend on nothing but the
/// weights and the probe. One that cannot run says so in its own place.
///
/// # Errors
/// A parameter that cannot be read: no answer can be trusted then.
pub fn run_on_weights(
    probes: &[ProbeSpec],
    subject: &WeightSubject,
) -> Result<Vec<Result<Answer, ProbeError>>, WeightError> {
    probes.iter().map(|probe| ask_weights(probe, subject)).collect()
}

fn ask_weights(spec: &ProbeSpec, subject: &WeightSubject) -> Result<Result<Answer, ProbeError>, WeightError> {
    let ProbeFamily::Weights(probe) = spec.family() else {
        return Ok(Err(ProbeError::NeedsModel { probe: spec.kind() }));
    };
    match spec.check(&subject.context).and_then(|()| probe.params(subject.context.config)) {
        Err(error) => Ok(Err(error)),
        Ok(params) => probe.answer(&params, subject).map(Ok),
    }
}

#[cfg(test)]
mod tests {
    use pythia_core::model::GptNeoX;
    use pythia_hooks::Site;

    use super::*;
    use crate::families::reading::ReadingRun;
    use crate::probes::head_scores::HeadScores;
    use crate::probes::induction_loss::InductionLoss;
    use crate::probes::token_loss::TokenLoss;
    use crate::prompts::PromptSource;
    use crate::table::Column;
    use crate::testing::model;

    /// 3 of its 24 embeddings are padding.
    fn subject(model: &GptNeoX) -> Subject<'_> {
        Subject::new(model, 21, true, 0)
    }

    fn heads() -> ProbeSpec {
        ProbeSpec::HeadScores(HeadScores { prompts: PromptSource::random(5, 9), ..HeadScores::default() })
    }

    fn halves() -> ProbeSpec {
        ProbeSpec::InductionLoss(InductionLoss { prompts: PromptSource::random(5, 9), ..InductionLoss::default() })
    }

    fn tokens() -> ProbeSpec {
        ProbeSpec::TokenLoss(TokenLoss { prompts: PromptSource::random(5, 9) })
    }

    #[test]
    fn sharing_a_forward_pass_changes_no_answer() {
        let model = model(true);
        let shorter =
            ProbeSpec::HeadScores(HeadScores { prompts: PromptSource::random(8, 4), ..HeadScores::default() });
        let together = run(&[heads(), shorter.clone(), halves(), tokens()], &subject(&model), 3);
        let alone = [heads(), shorter, halves(), tokens()].map(|probe| run(&[probe], &subject(&model), 3).remove(0));
        assert_eq!(together, alone);
        assert!(together.iter().all(Result::is_ok));
        assert_ne!(together[..1], run(&[heads()], &subject(&model), 4));
    }

    #[test]
    fn one_probe_that_cannot_run_leaves_the_others_alone() {
        let model = model(false);
        let long = ProbeSpec::HeadScores(HeadScores { prompts: PromptSource::random(8, 32), ..HeadScores::default() });
        let answers = run(&[long, heads(), halves()], &subject(&model), 0);
        assert_eq!(answers[0], Err(ProbeError::TooLong { field: "prompts", len: 65, n_ctx: 64 }));
        assert!(answers[1].as_ref().is_ok_and(|tables| tables[0].n_rows() > 0));
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
        let probe = ProbeSpec::TokenLoss(TokenLoss { prompts: PromptSource::tokens(rows.clone()) });
        let table = run(&[probe], &subject(&model), 0).remove(0).expect("the prompts fit").remove(0);
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
        let (subject, specs) = (subject(&model), [heads(), halves()]);
        let probes = specs.each_ref().map(|probe| match probe.family() {
            ProbeFamily::Reading(probe) => probe,
            _ => panic!("these read"),
        });
        let context = subject.context(0);
        let inputs = probes.map(|probe| probe.input(&context).expect("the probe can run"));
        let readers = [0, 1].map(|at| probes[at].reader(ReadingRun { input: &inputs[at], subject: &subject, context }));
        let points: Vec<_> = pythia_hooks::points_of(&model.model_shape())
            .into_iter()
            .filter(|point| readers.iter().any(|reader| reader.wants(*point)))
            .collect();
        assert_eq!(points, [Site::Pattern.at(0), Site::Pattern.at(1)]);
    }

    /// One test, because every process compiles the device's programs anew.
    #[cfg(feature = "wgpu")]
    #[test]
    #[ignore = "needs a GPU or a software Vulkan driver"]
    fn reading_probes_say_on_a_gpu_what_they_say_on_the_cpu() {
        let device = pythia_core::device::DeviceName::Wgpu(0).open().expect("a GPU").device;
        crate::rows::tests::agree(&device);
        crate::probes::head_scores::agree(&device);
        crate::probes::logit_lens::agree(&device);
        crate::families::reading::tests::agree(&device, 1e-5);
    }
}
