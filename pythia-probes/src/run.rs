//! Asks probes of a subject, each family in its own way.

use std::collections::BTreeMap;

use crate::error::ProbeError;
use crate::families::{causal, reading};
use crate::probes::spec::{Family, ProbeSpec};
use crate::subject::Subject;
use crate::table::Table;

/// What a probe answers: its tables, in the order of [`ProbeSpec::tables`].
pub type Answer = Vec<Table>;

/// Asks every probe of the subject; the answers stand in the order of the probes, and depend on nothing but the weights, the
/// probe, what it reads besides, and the seed.
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
                Family::Reading(probe) => reading.push((index, probe)),
                Family::Causal(probe) => causal.push((index, probe)),
                Family::Weights(_) => {
                    drop(answers.insert(index, Err(ProbeError::WeightsAlone { probe: probe.kind() })))
                }
            },
        }
    }
    answers.extend(reading::read(&reading, subject, seed));
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

#[cfg(test)]
mod tests {
    use pythia_core::model::GptNeoX;
    use pythia_hooks::{HookPoint, Hooks, Site};

    use super::*;
    use crate::families::reading::Observer;
    use crate::probes::head_scores::HeadScores;
    use crate::probes::induction_loss::InductionLoss;
    use crate::probes::token_loss::TokenLoss;
    use crate::table::Column;
    use crate::testing::model;

    /// 3 of its 24 embeddings are padding.
    fn subject(model: &GptNeoX) -> Subject<'_> {
        Subject::new(model, 21, true, 0)
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
        let probe = ProbeSpec::TokenLoss(TokenLoss { tokens: Some(rows.clone()), ..TokenLoss::default() });
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
        let (subject, heads, halves) = (subject(&model), heads(), halves());
        let observers: Vec<Observer> = [&heads, &halves]
            .map(|probe| match probe.family() {
                Family::Reading(probe) => {
                    let prompts = probe.prompts(&subject.context(0)).expect("the probe can run");
                    probe.observer(&prompts, &subject)
                }
                _ => panic!("these read"),
            })
            .into();
        let wanted = |point: &HookPoint| observers.wants(*point);
        let points: Vec<HookPoint> = pythia_hooks::points_of(&model.model_shape()).into_iter().filter(wanted).collect();
        assert_eq!(points, [Site::Pattern.at(0), Site::Pattern.at(1)]);
    }
}
