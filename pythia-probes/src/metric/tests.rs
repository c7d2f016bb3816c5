//! Metrics against their formulas, written out in float64 over the logits of plain forward passes.

use burn::tensor::DType;

use super::*;
use crate::engine::tests::model;

/// Tokens below this are real ones in the engine's test model, which has three rows of padding.
const VOCAB: usize = 40;

const ALL: [Metric; 10] = [
    Metric::LogitDiff,
    Metric::ProbDiff,
    Metric::LogProb,
    Metric::Prob,
    Metric::Rank,
    Metric::CrossEntropy,
    Metric::Kl,
    Metric::ArgmaxMatch,
    Metric::Accuracy,
    Metric::Loss,
];

fn logits(model: &pythia_core::model::GptNeoX, tokens: &[u32]) -> Vec<Vec<f64>> {
    let values = model.forward(model.tokens(&[tokens.to_vec()]), &mut ()).try_into_vec_as::<f64>().expect("logits");
    values.chunks(VOCAB + 3).map(<[f64]>::to_vec).collect()
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let sum: f64 = logits.iter().map(|x| x.exp()).sum();
    logits.iter().map(|x| x.exp() / sum).collect()
}

fn best(logits: &[f64]) -> usize {
    (0..VOCAB).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).expect("some tokens")
}

/// The ten metrics of one prompt, by their definitions.
fn expected(question: &Question, run: &[Vec<f64>], base: &[Vec<f64>]) -> Vec<f64> {
    let (x, p, base_p) = (&run[question.at], softmax(&run[question.at]), softmax(&base[question.at]));
    let mean = |ids: &[u32]| ids.iter().map(|id| x[*id as usize]).sum::<f64>() / ids.len() as f64;
    let mass = |ids: &[u32]| ids.iter().map(|id| p[*id as usize]).sum::<f64>();
    let top = question.answers.iter().map(|id| x[*id as usize]).fold(f64::NEG_INFINITY, f64::max);
    let kl = (0..p.len()).map(|id| base_p[id] * (base_p[id] / p[id]).ln()).sum();
    let loss = |position: usize| -softmax(&run[position])[question.tokens[position + 1] as usize].ln();
    let last = question.tokens.len() - 1;
    let truth = |yes: bool| f64::from(u8::from(yes));
    vec![
        mean(&question.answers) - mean(&question.wrongs),
        if question.wrongs.is_empty() { f64::NAN } else { mass(&question.answers) - mass(&question.wrongs) },
        mass(&question.answers).ln(),
        mass(&question.answers),
        x[..VOCAB].iter().filter(|logit| **logit > top).count() as f64,
        -mass(&question.answers).ln(),
        kl,
        truth(best(x) == best(&base[question.at])),
        truth(question.answers.contains(&(best(x) as u32))),
        (0..last).map(loss).sum::<f64>() / last as f64,
    ]
}

#[test]
fn metrics_are_what_their_definitions_say() {
    let questions = [
        Question { tokens: vec![3, 9, 27, 2, 6], at: 4, answers: vec![7], wrongs: vec![11] },
        Question { tokens: vec![1, 2, 3, 4, 5], at: 2, answers: vec![8, 30, 2], wrongs: vec![0, 39] },
        Question { tokens: vec![39, 0, 39, 0, 1], at: 3, answers: vec![5, 6], wrongs: vec![] },
    ];
    let others = [vec![3, 9, 28, 2, 6], vec![1, 2, 9, 4, 5], vec![39, 1, 39, 0, 1]];
    for (dtype, bar) in [(DType::F64, 1e-11), (DType::F32, 2e-5)] {
        let model = model(true, dtype, 5);
        let end = |rows: &[Vec<u32>]| {
            let start = model.embed(model.tokens(rows), &mut ());
            model.advance(start, model.config().n_layers, &mut ()).stream
        };
        let readout = Readout::new(questions.to_vec(), ALL.to_vec(), VOCAB);
        let tokens: Vec<Vec<u32>> = questions.iter().map(|question| question.tokens.clone()).collect();
        let (run, base) = (readout.rows(&end(&tokens)), readout.rows(&end(&others)));
        let found = readout.read(&model, run, &[0, 1, 2], &base).expect("values");
        for ((question, other), found) in questions.iter().zip(&others).zip(found) {
            let expected = expected(question, &logits(&model, &question.tokens), &logits(&model, other));
            for ((metric, found), expected) in ALL.iter().zip(found).zip(expected) {
                let both_undefined = found.is_nan() && expected.is_nan();
                assert!(
                    both_undefined || (found - expected).abs() <= bar * expected.abs().max(1.0),
                    "{metric:?}: {found}, not {expected}"
                );
            }
        }
    }
}

#[test]
fn a_logit_difference_needs_no_other_columns_and_is_the_same() {
    let model = model(false, DType::F32, 9);
    let question = Question { tokens: vec![1, 2, 3], at: 2, answers: vec![4, 8], wrongs: vec![15] };
    let end = model.advance(model.embed(model.tokens(&[vec![1, 2, 3]]), &mut ()), 3, &mut ()).stream;
    let value = |metrics: &[Metric]| {
        let readout = Readout::new(vec![question.clone()], metrics.to_vec(), VOCAB);
        let rows = readout.rows(&end);
        (readout.needs_few_columns(), readout.read(&model, rows.clone(), &[0], &rows).expect("values")[0][0])
    };
    let (few, all) = (value(&[Metric::LogitDiff]), value(&[Metric::LogitDiff, Metric::Prob]));
    assert_eq!((few.0, all.0), (true, false));
    assert!((few.1 - all.1).abs() < 1e-5, "{few:?} {all:?}");
}

#[test]
fn the_base_run_does_not_diverge_from_itself() {
    let model = model(true, DType::F32, 2);
    let question = Question { tokens: vec![5, 6], at: 1, answers: vec![1], wrongs: vec![2] };
    let readout = Readout::new(vec![question], vec![Metric::Kl, Metric::ArgmaxMatch], VOCAB);
    let rows = readout.rows(&model.advance(model.embed(model.tokens(&[vec![5, 6]]), &mut ()), 3, &mut ()).stream);
    assert_eq!(readout.read(&model, rows.clone(), &[0], &rows).expect("values"), [[0.0, 1.0]]);
}
