//! Against plain loops, and what must hold whatever the values.

use std::collections::BTreeMap;

use pythia_core::config::{Rotary, Variant};
use pythia_core::params::HostParams;

use super::*;
use crate::run::run_on_weights;
use crate::subject::Files;
use crate::table::{Column, Table};
use crate::{ProbeSpec, Subject};

/// Three heads of four dimensions; no extent is a multiple of the lanes of the sums.
fn config() -> NeoxConfig {
    NeoxConfig {
        n_layers: 2,
        d_model: 12,
        n_heads: 3,
        d_mlp: 21,
        vocab_size: 35,
        n_ctx: 16,
        layer_norm_eps: 1e-5,
        rotary: Rotary { ndims: 4, base: 10_000.0 },
        variant: Variant { parallel_residual: true, tied_embeddings: false, attention_bias: true },
    }
}

fn params(config: &NeoxConfig) -> HostParams {
    let tensor = |(which, param): (usize, Param)| {
        let shape = param.shape(config);
        let wave = |index: usize| ((index * 37 + which * 101) as f32 * 0.7).sin() * (1 + which) as f32;
        let values = (0..shape.iter().product()).map(wave).collect();
        (param, HostTensor { shape, values })
    };
    Param::all(config).into_iter().enumerate().map(tensor).collect()
}

fn context(config: &NeoxConfig) -> Context<'_> {
    Context { config, vocab: 30, prepend_bos: true, bos: 0, tokenizer: None, files: Files::NONE, seed: 0 }
}

fn probe(patterns: &[&str]) -> WeightNorms {
    WeightNorms { params: patterns.iter().map(ToString::to_string).collect() }
}

fn table(probe: WeightNorms, config: &NeoxConfig, params: &HostParams) -> Table {
    let subject = WeightSubject { context: context(config), param: &|param| Ok(params[&param].clone()) };
    let answers = run_on_weights(&[ProbeSpec::WeightNorms(probe)], &subject).expect("all parameters are there");
    answers.into_iter().next().expect("an answer").expect("the patterns match").remove(0)
}

/// Norm, root mean square, mean and largest magnitude of what a row is about.
type Row = [f64; 4];

/// The rows by parameter and head.
fn rows(table: &Table) -> BTreeMap<(String, Option<i64>), Row> {
    let [heads, ..] = ["head"].map(|name| table.column(name).and_then(Column::ints).expect("whole numbers"));
    let names = table.column("param").and_then(Column::text).expect("names");
    let floats =
        ["norm", "rms", "mean", "max_abs"].map(|name| table.column(name).and_then(Column::floats).expect("numbers"));
    let row = |at: usize| ((names[at].clone(), heads[at]), floats.map(|column| column[at].expect("a number")));
    (0..table.n_rows()).map(row).collect()
}

/// The straightforward way.
fn plainly(values: impl Iterator<Item = f32> + Clone) -> Row {
    let n = values.clone().count() as f64;
    let (mut squares, mut sum, mut largest) = (0.0, 0.0, 0f64);
    for value in values.map(f64::from) {
        squares += value * value;
        sum += value;
        largest = largest.max(value.abs());
    }
    [squares.sqrt(), (squares / n).sqrt(), sum / n, largest]
}

/// The values of a head: index by index, from the definition.
fn of_head(param: Param, tensor: &HostTensor, head: usize, e: usize) -> Vec<f32> {
    let columns = *tensor.shape.last().expect("a shape");
    let belongs = |index: usize| match param {
        Param::Layer(_, LayerParam::OutWeight) => index / columns / e == head,
        _ => index % columns / e == head,
    };
    tensor.values.iter().enumerate().filter(|(index, _)| belongs(*index)).map(|(_, value)| *value).collect()
}

fn close(found: Row, expected: Row) -> bool {
    found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= 1e-12 * expected.abs().max(1.0))
}

#[test]
fn rows_are_those_of_plain_loops() {
    let config = config();
    let params = params(&config);
    let rows = rows(&table(WeightNorms::default(), &config, &params));
    let mut expected = 0;
    for (param, tensor) in &params {
        let found = rows[&(param.to_string(), None)];
        assert!(close(found, plainly(tensor.values.iter().copied())), "{param}: {found:?}");
        let name = param.to_string();
        let has_heads = ["W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V"].iter().any(|end| name.ends_with(end));
        expected += 1;
        for head in (0..config.n_heads).filter(|_| has_heads) {
            let found = rows[&(name.clone(), Some(head as i64))];
            let values = of_head(*param, tensor, head, config.d_head());
            assert!(close(found, plainly(values.into_iter())), "{param} head {head}: {found:?}");
            expected += 1;
        }
    }
    assert_eq!(rows.len(), expected);
}

#[test]
fn the_squares_of_heads_add_up_and_scaling_scales() {
    let config = config();
    let params = params(&config);
    let all = rows(&table(WeightNorms::default(), &config, &params));
    for ((name, _), row) in all.iter().filter(|((_, head), _)| head.is_none()) {
        let heads: Vec<&Row> = (0..3).filter_map(|head| all.get(&(name.clone(), Some(head)))).collect();
        if heads.is_empty() {
            continue;
        }
        let squares: f64 = heads.iter().map(|head| head[0] * head[0]).sum();
        assert!((squares.sqrt() - row[0]).abs() <= 1e-12 * row[0], "{name}");
        assert_eq!(heads.iter().map(|head| head[3]).fold(0.0, f64::max), row[3], "{name}");
    }
    let mut doubled = params.clone();
    doubled.values_mut().for_each(|tensor| tensor.values.iter_mut().for_each(|value| *value *= -2.0));
    let doubled = rows(&table(WeightNorms::default(), &config, &doubled));
    // Powers of two are exact.
    assert!(all.iter().all(|(key, [a, b, c, d])| doubled[key] == [2.0 * a, 2.0 * b, -2.0 * c, 2.0 * d]));
}

#[test]
fn patterns_choose_in_the_order_of_the_model_and_nothing_else_is_read() {
    let config = config();
    let params = params(&config);
    let read = |patterns: &[&str]| -> Vec<String> {
        let asked = std::cell::RefCell::new(Vec::new());
        let param = |param: Param| {
            asked.borrow_mut().push(param.to_string());
            Ok(params[&param].clone())
        };
        let subject = WeightSubject { context: context(&config), param: &param };
        run_on_weights(&[ProbeSpec::WeightNorms(probe(patterns))], &subject).expect("there").remove(0).expect("right");
        asked.into_inner()
    };
    assert_eq!(read(&["unembed.W_U", "embed.W_E", "embed.*"]), ["embed.W_E", "unembed.W_U"]);
    assert_eq!(read(&["blocks.*.attn.W_Q"]), ["blocks.0.attn.W_Q", "blocks.1.attn.W_Q"]);
    assert_eq!(read(&["blocks.-1.mlp.b_*"]), ["blocks.1.mlp.b_in", "blocks.1.mlp.b_out"]);
    assert_eq!(read(&["*"]).len(), Param::all(&config).len());
    assert_eq!(ProbeSpec::WeightNorms(probe(&["*_E"])).weights_only(&config), Some(Ok([Param::Embed].into())));
}

#[test]
fn layers_are_null_outside_of_blocks() {
    let config = config();
    let table = table(probe(&["ln_final.w", "blocks.1.ln1.w"]), &config, &params(&config));
    assert_eq!(table.column("layer").and_then(Column::ints), Some(&[Some(1), None][..]));
    assert_eq!(table.column("head").and_then(Column::ints), Some(&[None, None][..]));
    assert_eq!(table.column("status").and_then(Column::text).map(|s| s.join(" ")), Some("ok ok".into()));
}

#[test]
fn a_pattern_that_matches_nothing_is_refused_with_what_was_meant() {
    let config = config();
    let message = |pattern: &str| {
        let error = probe(&["embed.W_E", pattern]).check(&context(&config)).expect_err("no such parameter");
        assert_eq!(error.field(), Some("params"));
        error.to_string()
    };
    assert!(message("blocks.*.attn.W_q").contains("`blocks.*.attn.W_Q`"), "{}", message("blocks.*.attn.W_q"));
    assert!(message("embed.WE").contains("`embed.W_E`"));
    for absent in ["blocks.2.ln1.w", "blocks.-3.ln1.w", "", "hook_z"] {
        assert!(message(absent).contains(&format!("`{absent}`")));
    }
    assert_eq!(probe(&[]).check(&context(&config)), Err(ProbeError::Empty { field: "params" }));
}

#[test]
fn a_model_is_not_asked() {
    use burn::tensor::{DType, Device};
    let config = config();
    let model = pythia_core::model::GptNeoX::from_params(config.clone(), params(&config), &Device::flex(), DType::F32);
    let answers = crate::run(&[ProbeSpec::WeightNorms(WeightNorms::default())], &Subject::new(&model, 30, true, 0), 0);
    assert_eq!(answers, [Err(ProbeError::WeightsAlone { probe: "weight_norms" })]);
    let subject = WeightSubject { context: context(&config), param: &|param| Ok(params(&config)[&param].clone()) };
    let other = ProbeSpec::TokenLoss(crate::probes::token_loss::TokenLoss::default());
    assert_eq!(other.weights_only(&config), None);
    assert_eq!(
        run_on_weights(&[other], &subject).expect("nothing is read"),
        [Err(ProbeError::NeedsModel { probe: "token_loss" })]
    );
}
