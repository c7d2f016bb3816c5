use burn::tensor::Device;
use pythia_core::model::GptNeoX;
use pythia_core::params::Param;
use pythia_hooks::ActivationCache;

use super::*;
use crate::probes::token_loss::TokenLoss;
use crate::prompts::PromptKind;
use crate::testing::{config, letters, model, params};
use crate::{Column, ProbeSpec, Table, run};

fn ask(probe: &LogitLens, subject: &Subject) -> Result<Table, ProbeError> {
    run(&[ProbeSpec::LogitLens(probe.clone())], subject, 3).remove(0).map(|mut tables| tables.remove(0))
}

fn given(rows: &[&[u32]]) -> LogitLens {
    LogitLens { prompts: PromptSource::tokens(rows.iter().map(|row| row.to_vec()).collect::<Vec<_>>()) }
}

fn ints(table: &Table, name: &str) -> Vec<Option<i64>> {
    table.column(name).and_then(Column::ints).expect("whole numbers").to_vec()
}

fn floats(table: &Table, name: &str) -> Vec<Option<f64>> {
    table.column(name).and_then(Column::floats).expect("numbers").to_vec()
}

fn texts(table: &Table, name: &str) -> Vec<String> {
    table.column(name).and_then(Column::text).expect("text").to_vec()
}

/// Final norm and unembedding of one stream, in float64 and by their formulas.
fn logits_by_hand(stream: &[f32]) -> Vec<f64> {
    let (config, params) = (config(), params(true));
    let n = config.d_model;
    let values = |param: Param| params[&param].values.iter().map(|value| f64::from(*value)).collect::<Vec<f64>>();
    let (weight, bias, unembed) =
        (values(Param::FinalNormWeight), values(Param::FinalNormBias), values(Param::Unembed));
    let stream: Vec<f64> = stream.iter().map(|value| f64::from(*value)).collect();
    let mean = stream.iter().sum::<f64>() / n as f64;
    let variance = stream.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n as f64;
    let normalized =
        |at: usize| (stream[at] - mean) / (variance + config.layer_norm_eps).sqrt() * weight[at] + bias[at];
    let normalized: Vec<f64> = (0..n).map(normalized).collect();
    let logit = |token: usize| (0..n).map(|at| normalized[at] * unembed[at * config.vocab_size + token]).sum();
    (0..config.vocab_size).map(logit).collect()
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
    logits.iter().map(|logit| logit.exp() / sum).collect()
}

#[test]
fn every_depth_is_the_norm_and_the_unembedding_of_its_stream() {
    let model = model(true);
    let subject = Subject::new(&model, 21, true, 0);
    let rows: [&[u32]; 2] = [&[2, 4, 1, 1, 20], &[3]];
    let table = ask(&given(&rows), &subject).expect("the prompts fit");
    let mut at = 0;
    for (prompt, row) in rows.iter().enumerate() {
        let ids: Vec<u32> = [0].iter().chain(*row).copied().collect();
        let points = [Site::ResidPre.at(0), Site::ResidPre.at(1), Site::ResidPost.at(1)];
        let mut cache = ActivationCache::of(points);
        model.forward(model.tokens(std::slice::from_ref(&ids)), &mut cache);
        for (layer, point) in points.into_iter().enumerate() {
            let stream: Tensor<3> = cache.get(point).expect("was kept");
            let stream = stream.into_data().try_into_vec::<f32>().expect("float32");
            for (pos, id) in ids.iter().enumerate() {
                let probs = softmax(&logits_by_hand(&stream[pos * 16..][..16]));
                let place = ["prompt_id", "layer", "pos", "token_id"].map(|name| ints(&table, name)[at]);
                assert_eq!(place, [prompt, layer, pos, *id as usize].map(|value| Some(value as i64)));
                let top = (0..21).max_by(|a, b| probs[*a].total_cmp(&probs[*b])).expect("tokens");
                assert_eq!(ints(&table, "top_id")[at], Some(top as i64), "row {at}");
                let close = |name: &str, expected: Option<f64>| {
                    let found = floats(&table, name)[at];
                    let error = found.zip(expected).map_or(0.0, |(found, expected)| (found - expected).abs());
                    assert!(
                        found.is_some() == expected.is_some() && error < 1e-6,
                        "row {at} {name}: {found:?} {expected:?}"
                    );
                };
                close("top_prob", Some(probs[top]));
                close("entropy", Some(-probs.iter().map(|p| p * p.ln()).sum::<f64>()));
                let next = ids.get(pos + 1).map(|next| *next as usize);
                assert_eq!(ints(&table, "target_id")[at], next.map(|next| next as i64));
                close("target_prob", next.map(|next| probs[next]));
                let rank = next.map(|next| (0..21).filter(|id| probs[*id] > probs[next]).count() as i64);
                assert_eq!(ints(&table, "target_rank")[at], rank, "row {at}");
                at += 1;
            }
        }
    }
    assert_eq!((table.n_rows(), at), (3 * (6 + 2), 24));
    assert!(texts(&table, "status").iter().all(|status| status == "ok"));
    assert!(texts(&table, "top_token").iter().all(String::is_empty), "there is no tokenizer");
}

/// The rows of one layer.
fn of_layer(table: &Table, layer: i64, column: &str) -> Vec<Option<f64>> {
    let rows = ints(table, "layer").into_iter().zip(floats(table, column));
    rows.filter(|(at, _)| *at == Some(layer)).map(|(_, value)| value).collect()
}

#[test]
fn the_last_layer_is_the_models_own_output() {
    let model = model(true);
    let subject = Subject::new(&model, 21, true, 0);
    let probe = LogitLens { prompts: PromptSource::random(7, 20) };
    let losses = TokenLoss { prompts: PromptSource::random(7, 20) };
    let specs = [ProbeSpec::LogitLens(probe.clone()), ProbeSpec::TokenLoss(losses)];
    // They have equal prompts, so they share a pass. There are 287 positions, more than are unembedded at a time.
    let mut tables = run(&specs, &subject, 3).into_iter().map(|answer| answer.expect("they can run").remove(0));
    let (lens, losses) = (tables.next().expect("a table"), tables.next().expect("a table"));
    assert_eq!(lens, ask(&probe, &subject).expect("alone it says the same"));
    let found: Vec<f64> = of_layer(&lens, 2, "target_prob").into_iter().flatten().collect();
    let expected: Vec<f64> = floats(&losses, "loss").into_iter().flatten().map(|loss| (-loss).exp()).collect();
    assert_eq!((found.len(), expected.len(), of_layer(&lens, 2, "target_prob").len()), (280, 280, 287));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found / expected - 1.0).abs() < 1e-5, "{found}, not {expected}");
    }
    // Earlier layers say something else.
    let earlier: Vec<f64> = of_layer(&lens, 1, "target_prob").into_iter().flatten().collect();
    assert!(earlier.iter().zip(&found).filter(|(a, b)| (*a - *b).abs() > 1e-3).count() > 100);
}

#[test]
fn tokens_have_their_texts_and_the_last_position_no_target() {
    let (model, tokenizer) = (model(true), letters());
    let plain = Subject::new(&model, 6, true, 0);
    let probe = LogitLens { prompts: PromptSource::texts(["cab".into()]) };
    assert_eq!(ask(&probe, &plain), Err(ProbeError::NeedsTokenizer { field: "prompts.texts" }));
    let table = ask(&probe, &Subject { tokenizer: Some(&tokenizer), ..plain }).expect("all letters are known");
    assert_eq!(texts(&table, "token")[..4], ["<", "c", "a", "b"]);
    assert_eq!(texts(&table, "target_token")[..4], ["c", "a", "b", ""]);
    assert_eq!(ints(&table, "target_id")[..4], [Some(3), Some(1), Some(2), None]);
    assert_eq!((floats(&table, "target_prob")[3], ints(&table, "target_rank")[3]), (None, None));
    assert!(floats(&table, "target_prob")[..3].iter().all(Option::is_some));
    for (id, text) in ints(&table, "top_id").into_iter().zip(texts(&table, "top_token")) {
        let id = u32::try_from(id.expect("finite")).expect("an id");
        assert_eq!(tokenizer.token_text(id).expect("among the first six"), text);
    }
}

#[test]
fn an_overflow_is_undefined_where_it_happens() {
    let mut params = params(true);
    // The embedding of token 5.
    params.get_mut(&Param::Embed).expect("an embedding").values[5 * 16] = f32::INFINITY;
    let model = GptNeoX::from_params(config(), params, &Device::flex(), DType::F32);
    let table = ask(&given(&[&[4, 5]]), &Subject::new(&model, 21, true, 0)).expect("it runs");
    let status = texts(&table, "status");
    assert_eq!(status[..3], ["ok", "ok", "undefined"]);
    for name in ["top_prob", "entropy"] {
        assert_eq!(
            floats(&table, name).iter().map(Option::is_none).collect::<Vec<_>>(),
            status.iter().map(|word| word != "ok").collect::<Vec<_>>()
        );
    }
    assert_eq!((ints(&table, "top_id")[2], ints(&table, "token_id")[2]), (None, Some(5)));
}

#[test]
fn what_it_costs_is_counted_and_what_cannot_run_refused() {
    let model = model(true);
    let context = Subject::new(&model, 21, true, 0).context(0);
    let probe = given(&[&[1, 2, 3], &[1]]);
    // Prompts of 4 and 2 tokens at 3 depths; 4 rows of streams are kept for each of the two.
    let expected = Estimate { flops: 2 * 6 * 2 * 16 * 24, memory: 18 * 500 + 3 * 8 * 4 * 16 };
    assert_eq!(probe.extra(&context), expected);
    let many = LogitLens { prompts: PromptKind::Random { n: 65_536, half_len: 63, repeats: 1 }.into() };
    assert_eq!(many.check(&context), Ok(()));
    let deep = pythia_core::config::NeoxConfig { n_layers: 4, ..config() };
    let error = ProbeError::TooManyRows { rows: 65_536 * 64 * 5, most: 16_000_000 };
    assert_eq!(many.check(&Context { config: &deep, ..context }), Err(error));
    let half = crate::testing::model(false);
    let refused = ask(&probe, &Subject::new(&half, 21, true, 0));
    assert_eq!(refused, Err(ProbeError::NoUnembedding { probe: "logit_lens" }));
}
