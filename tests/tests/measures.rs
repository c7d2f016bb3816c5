//! Head scores and losses of the probes against an independent computation in numpy, on prompts that were drawn
//! independently from the same seeds, and against TransformerLens' own detectors.

use std::collections::BTreeMap;

use burn::tensor::DType;
use pythia_core::{model::GptNeoX, weights::Profile};
use pythia_probes::{
    Column, ProbeSpec, Subject, Table,
    probes::{
        head_scores::{HeadScores, ScoreFamily},
        induction_loss::InductionLoss,
        token_loss::TokenLoss,
    },
    prompts::{PromptSource, Prompts, Repeated, Vocabulary},
    run,
};
use pythia_tests::{
    cases::{self, Case},
    paths,
    tensors::{Comparisons, Reference},
};

/// Allowed distance of a score or loss in float32, and in float64.
const SINGLE: f64 = 1e-5;
const DOUBLE: f64 = 1e-9;
/// Prompts, and random tokens in each.
const BATCH: usize = 2;
const HALF: usize = 6;

/// The committed models with the seeds their prompts were drawn from.
fn seeded() -> Vec<(Case, u64)> {
    let seed = |name: &str| match name {
        "parallel" => Some(11),
        "sequential" => Some(12),
        "tied" => Some(13),
        _ => None,
    };
    cases::committed().into_iter().filter_map(|case| seed(&case.name).map(|seed| (case, seed))).collect()
}

/// The two kinds of prompt: key of the fixtures, and whether a BOS stands in front.
const PROMPTS: [(&str, bool); 2] = [("repeated", false), ("bos_repeated", true)];

#[test]
fn prompts_are_those_that_the_seed_means() {
    for (case, seed) in seeded() {
        for (prompt, bos) in PROMPTS {
            let size = case.value("plain.logits").shape[2];
            let shape = Repeated { batch: BATCH, half_len: HALF, repeats: 2, bos };
            let prompts = Prompts::repeated(shape, Vocabulary { size, bos: 0 }, seed).expect("ids are left to draw");
            let ours: Vec<Vec<i64>> =
                prompts.rows().iter().map(|row| row.iter().map(|&id| i64::from(id)).collect()).collect();
            assert_eq!(ours, case.value(&format!("tokens.{prompt}")).tokens(), "{} {prompt}", case.name);
        }
    }
}

#[test]
fn every_definition_equals_the_plain_loops() {
    let text = std::fs::read_to_string(paths::fixtures().join("measures.json")).expect("the values are committed");
    let expected: serde_json::Value = serde_json::from_str(&text).expect("the values are JSON");
    for (case, seed) in seeded() {
        for (dtype, bound) in [(DType::F32, SINGLE), (DType::F64, DOUBLE)] {
            let model = case.model(Profile::AsPublished, dtype);
            let mut comparisons = Comparisons::default();
            for (prompt, bos) in PROMPTS {
                let expected = expected[&case.name][prompt].as_object().expect("a table");
                head_scores(&model, seed, bos, expected, bound, &mut comparisons);
                induction_loss(&model, seed, bos, &expected["loss"], bound, &mut comparisons);
                token_loss(&model, seed, bos, case.value(&format!("{prompt}.loss")), bound, &mut comparisons);
            }
            comparisons.assert_within_bounds(&format!("{} ({dtype:?})", case.name));
        }
    }
}

type Json = serde_json::Map<String, serde_json::Value>;

fn head_scores(model: &GptNeoX, seed: u64, bos: bool, expected: &Json, bound: f64, comparisons: &mut Comparisons) {
    let config = HeadScores { prompts: PromptSource::random(BATCH, HALF), ..HeadScores::default() };
    let found = by_definition(&ask(model, ProbeSpec::HeadScores(config), seed, bos), model);
    assert_eq!(found.len(), expected.len() - 1, "{:?}", found.keys());
    for (name, entry) in expected.iter().filter(|(name, _)| *name != "loss") {
        let (value, uniform) = found.get(name).unwrap_or_else(|| panic!("no score {name}"));
        let distance = (uniform - number(&entry["uniform"])).abs();
        assert!(distance < 1e-12, "{name}: uniform attention scores {uniform}, not {}", entry["uniform"]);
        let rows: Vec<Vec<f64>> = serde_json::from_value(entry["value"].clone()).expect("a matrix");
        let expected = Reference { shape: value.shape.clone(), values: rows.concat() };
        comparisons.compare("head scores", name, value, &expected, bound);
    }
}

fn induction_loss(
    model: &GptNeoX,
    seed: u64,
    bos: bool,
    expected: &serde_json::Value,
    bound: f64,
    comparisons: &mut Comparisons,
) {
    let config = InductionLoss { prompts: PromptSource::random(BATCH, HALF), ..InductionLoss::default() };
    let table = ask(model, ProbeSpec::InductionLoss(config), seed, bos);
    let mut compared = 0;
    for row in 0..table.n_rows() {
        let metric = &texts(&table, "metric")[row];
        let prompt = wholes(&table, "prompt_id")[row].expect("a prompt") as usize;
        let Some(expected) = expected[prompt].get(metric) else { continue };
        let found = floats(&table, "value")[row].expect("the metric is defined");
        comparisons.compare("losses of halves", metric, &scalar(found), &scalar(number(expected)), bound);
        compared += 1;
    }
    assert_eq!(compared, 4 * BATCH);
}

fn token_loss(model: &GptNeoX, seed: u64, bos: bool, expected: &Reference, bound: f64, comparisons: &mut Comparisons) {
    let config = TokenLoss { prompts: PromptSource::random(BATCH, HALF) };
    let table = ask(model, ProbeSpec::TokenLoss(config), seed, bos);
    let values = floats(&table, "loss").iter().map(|loss| loss.expect("a finite loss")).collect();
    let found = Reference { shape: expected.shape.clone(), values };
    assert_eq!(found.values.len(), expected.values.len());
    comparisons.compare("token loss", "loss", &found, expected, bound);
}

/// The definitions that go by the tokens alone, on the same prompts given one by one among shorter ones; the others
/// are undefined and say why.
#[test]
fn definitions_without_repeats_equal_the_plain_loops_on_prompts_of_several_lengths() {
    const NEED: [&str; 5] = ["tl_stripe", "arena_stripe", "stripe", "prefix_sum", "prefix_mean"];
    let text = std::fs::read_to_string(paths::fixtures().join("measures.json")).expect("the values are committed");
    let expected: serde_json::Value = serde_json::from_str(&text).expect("the values are JSON");
    for (case, seed) in seeded() {
        let model = case.model(Profile::AsPublished, DType::F64);
        let (layers, heads) = (model.config().n_layers, model.config().n_heads);
        let mut comparisons = Comparisons::default();
        for (prompt, bos) in PROMPTS {
            let row = |row: Vec<i64>| row.into_iter().map(|id| id as u32).collect::<Vec<u32>>();
            let rows: Vec<Vec<u32>> = case.value(&format!("tokens.{prompt}")).tokens().into_iter().map(row).collect();
            let given = |rows: &[Vec<u32>]| {
                let config = HeadScores { prompts: PromptSource::tokens(rows), ..HeadScores::default() };
                let subject = Subject::new(&model, model.config().vocab_size, false, 0);
                run(&[ProbeSpec::HeadScores(config)], &subject, seed).remove(0).expect("the probe fits the model")
            };
            let found = by_definition(&given(&rows)[0], &model);
            // A BOS that is one of the given tokens is no BOS that is prepended.
            let key = |name: &str| name.replace("bos_sink", "first_token_sink").replace("arena_stripe", "tl_stripe");
            for (name, entry) in expected[&case.name][prompt].as_object().expect("a table") {
                let definition = name.split_once('.').map_or("", |(_, definition)| definition);
                if name == "loss" || NEED.contains(&definition) {
                    continue;
                }
                let rows: Vec<Vec<f64>> = serde_json::from_value(entry["value"].clone()).expect("a matrix");
                let expected = Reference { shape: vec![layers, heads], values: rows.concat() };
                comparisons.compare("given prompts", name, &found[&key(name)].0, &expected, DOUBLE);
            }
            // Each prompt scores the same alone and among others that are shorter.
            let ragged = [rows[0].clone(), rows[1][..5].to_vec(), rows[1].clone()];
            let both = given(&ragged);
            for (index, prompt) in ragged.iter().enumerate() {
                let alone = &given(std::slice::from_ref(prompt))[0];
                let own: Vec<usize> = (0..both[1].n_rows())
                    .filter(|&row| wholes(&both[1], "prompt_id")[row] == Some(index as i64))
                    .collect();
                assert_eq!(own.len(), alone.n_rows(), "{bos}");
                for (at, row) in own.into_iter().enumerate() {
                    let name = &texts(alone, "definition")[at];
                    assert_eq!(&texts(&both[1], "definition")[row], name);
                    assert_eq!(texts(&both[1], "status")[row], texts(alone, "status")[at]);
                    assert_eq!(texts(alone, "status")[at] == "needs_repeats", NEED.contains(&name.as_str()), "{name}");
                    let values =
                        ["value", "uniform"].map(|column| (floats(&both[1], column)[row], floats(alone, column)[at]));
                    for (found, expected) in values {
                        let close = match (found, expected) {
                            (Some(found), Some(expected)) => (found - expected).abs() < 1e-12,
                            (found, expected) => found == expected,
                        };
                        assert!(close, "{name} of prompt {index}: {found:?}, not {expected:?}");
                    }
                }
            }
        }
        comparisons.assert_within_bounds(&case.name);
    }
}

#[test]
fn detectors_equal_transformer_lens_under_every_option() {
    for (case, seed) in seeded() {
        let model = case.model(Profile::AsPublished, DType::F32);
        let mut comparisons = Comparisons::default();
        for (exclude_bos, exclude_current) in [(false, false), (true, false), (false, true), (true, true)] {
            // The reference saw the first prompt alone.
            let scores = vec![ScoreFamily::Induction, ScoreFamily::PreviousToken, ScoreFamily::DuplicateToken];
            let sizes = HeadScores { prompts: PromptSource::random(1, HALF), ..HeadScores::default() };
            let config = HeadScores { scores, exclude_bos, exclude_current, ..sizes };
            let found = by_definition(&ask(&model, ProbeSpec::HeadScores(config), seed, true), &model);
            let parts = [(exclude_bos, "+exclude_bos"), (exclude_current, "+exclude_current")];
            let suffix: String = parts.iter().filter(|(on, _)| *on).map(|(_, text)| *text).collect();
            let options = format!("bos{}.cur{}", u8::from(exclude_bos), u8::from(exclude_current));
            for score in ["induction", "previous_token", "duplicate_token"] {
                // TransformerLens rounds `abs` to three decimals.
                for (measure, bound) in [("mul", SINGLE), ("abs", SINGLE + 5e-4)] {
                    let key = format!("detect.{score}_head.{measure}.{options}");
                    let (value, _) = &found[&format!("{score}.tl_detect_{measure}{suffix}")];
                    comparisons.compare(measure, &key, value, case.value(&key), bound);
                }
            }
        }
        comparisons.assert_within_bounds(&case.name);
    }
}

fn ask(model: &GptNeoX, probe: ProbeSpec, seed: u64, prepend_bos: bool) -> Table {
    let subject = Subject::new(model, model.config().vocab_size, prepend_bos, 0);
    run(&[probe], &subject, seed).remove(0).expect("the probe fits the model").remove(0)
}

/// Values `[layer, head]` and that of uniform attention, by "score.definition".
fn by_definition(table: &Table, model: &GptNeoX) -> BTreeMap<String, (Reference, f64)> {
    let (layers, heads) = (model.config().n_layers, model.config().n_heads);
    let empty = || Reference { shape: vec![layers, heads], values: vec![f64::NAN; layers * heads] };
    let mut out = BTreeMap::new();
    for row in 0..table.n_rows() {
        if texts(table, "status")[row] == "needs_repeats" {
            continue;
        }
        let name = format!("{}.{}", texts(table, "score")[row], texts(table, "definition")[row]);
        let value = floats(table, "value")[row].expect("no score is undefined here");
        let uniform = floats(table, "uniform")[row].expect("nor that of uniform attention");
        let gap = floats(table, "value_minus_uniform")[row].expect("nor their difference");
        assert_eq!(gap, value - uniform);
        let (layer, head) = (wholes(table, "layer")[row], wholes(table, "head")[row]);
        let at = layer.expect("a layer") as usize * heads + head.expect("a head") as usize;
        let entry = out.entry(name).or_insert_with(|| (empty(), uniform));
        assert!(entry.0.values[at].is_nan(), "one row for each head");
        entry.0.values[at] = value;
        assert_eq!(entry.1, uniform);
    }
    out
}

fn texts<'a>(table: &'a Table, name: &str) -> &'a [String] {
    table.column(name).and_then(Column::text).expect("a column of words")
}

fn wholes<'a>(table: &'a Table, name: &str) -> &'a [Option<i64>] {
    table.column(name).and_then(Column::ints).expect("a column of whole numbers")
}

fn floats<'a>(table: &'a Table, name: &str) -> &'a [Option<f64>] {
    table.column(name).and_then(Column::floats).expect("a column of numbers")
}

fn number(value: &serde_json::Value) -> f64 {
    value.as_f64().expect("a number")
}

fn scalar(value: f64) -> Reference {
    Reference { shape: vec![], values: vec![value] }
}
