//! Head scores and losses against an independent computation in numpy, and against TransformerLens' own detectors.

use std::collections::BTreeMap;

use burn::tensor::DType;
use pythia_core::weights::Profile;
use pythia_probes::{
    Column, ProbeSpec, Subject, Table,
    head_scores::{HeadScores, PatternReader},
    prompts::{Prompts, Repeated, Vocabulary},
    run,
    token_loss::TokenLoss,
};
use pythia_tests::{
    cases::{self, Case},
    place,
    tensors::{Ledger, Reference},
};

/// Allowed distance of a score in float32, and in float64.
const SINGLE: f64 = 1e-5;
const DOUBLE: f64 = 1e-10;

/// Values of one table, `[layer][head]` in one row after the other, by "score.definition".
type Scores = BTreeMap<String, (Reference, f64)>;

#[test]
fn every_definition_equals_the_plain_loops() {
    let text = std::fs::read_to_string(place::fixtures().join("measures.json")).expect("the values are committed");
    let expected: serde_json::Value = serde_json::from_str(&text).expect("the values are JSON");
    for case in cases::committed().iter().filter(|case| !case.name.ends_with("-bin")) {
        for (dtype, bound) in [(DType::F32, SINGLE), (DType::F64, DOUBLE)] {
            let mut ledger = Ledger::default();
            for prompt in ["repeated", "bos_repeated"] {
                let found = scores(case, prompt, usize::MAX, HeadScores::default(), dtype);
                let table = expected[&case.name][prompt].as_object().expect("a table");
                assert_eq!(found.len(), table.len() - 1, "{}: {:?}", case.name, found.keys());
                for (name, entry) in table.iter().filter(|(name, _)| *name != "loss") {
                    let (value, null) = &found[name];
                    let same = (null - entry["null"].as_f64().expect("a number")).abs();
                    assert!(same < 1e-12, "{} {prompt} {name}: null is {null}", case.name);
                    ledger.compare("scores", name, value, &matrix(&entry["value"]), bound);
                }
                losses(case, prompt, &table["loss"], dtype, bound, &mut ledger);
            }
            ledger.settle(&format!("{} ({dtype:?})", case.name));
        }
    }
}

#[test]
fn detectors_equal_transformer_lens_under_every_option() {
    for case in cases::committed().iter().filter(|case| !case.name.ends_with("-bin")) {
        let mut ledger = Ledger::default();
        for (bos, current) in [(false, false), (true, false), (false, true), (true, true)] {
            let config = HeadScores { exclude_bos: bos, exclude_current: current, ..HeadScores::default() };
            let found = scores(case, "bos_repeated", 1, config, DType::F32);
            let suffix = [(bos, "+exclude_bos"), (current, "+exclude_current")];
            let suffix: String = suffix.iter().filter(|(on, _)| *on).map(|(_, text)| *text).collect();
            for score in ["induction", "previous_token", "duplicate_token"] {
                // TransformerLens rounds `abs` to three decimals.
                for (measure, bound) in [("mul", SINGLE), ("abs", SINGLE + 5e-4)] {
                    let key = format!("detect.{score}_head.{measure}.bos{}.cur{}", u8::from(bos), u8::from(current));
                    let (value, _) = &found[&format!("{score}.tl_detect_{measure}{suffix}")];
                    ledger.compare(measure, &key, value, case.value(&key), bound);
                }
            }
        }
        ledger.settle(&case.name);
    }
}

/// Head scores on the first `rows` prompts of a reference batch.
fn scores(case: &Case, prompt: &str, rows: usize, config: HeadScores, dtype: DType) -> Scores {
    let model = case.model(Profile::AsPublished, dtype);
    let rows: Vec<Vec<u32>> = ids(case, prompt).into_iter().take(rows).collect();
    let (batch, length) = (rows.len(), rows[0].len());
    let layout = Repeated { batch, half_len: length / 2, repeats: 2, bos: length % 2 == 1 };
    let vocabulary = Vocabulary { size: model.config().vocab_size, bos: 0 };
    let prompts = Prompts::given(&rows, false, vocabulary).expect("ids within the vocabulary");
    let mut reader = PatternReader::new(&config, layout, &prompts);
    model.observe(model.tokens(&rows), &mut reader);
    let table = reader.finish(model.config().n_layers).expect("every layer was seen");
    by_definition(&table, model.config().n_layers, model.config().n_heads)
}

fn ids(case: &Case, prompt: &str) -> Vec<Vec<u32>> {
    let rows = case.value(&format!("tokens.{prompt}")).tokens();
    rows.iter().map(|row| row.iter().map(|&id| id as u32).collect()).collect()
}

fn by_definition(table: &Table, layers: usize, heads: usize) -> Scores {
    let text = |name| table.column(name).and_then(Column::text).expect("a column of words");
    let numbers = |name| table.column(name).and_then(Column::floats).expect("a column of numbers");
    let whole = |name| table.column(name).and_then(Column::ints).expect("a column of whole numbers");
    let mut out = Scores::new();
    for row in 0..table.n_rows() {
        let name = format!("{}.{}", text("score")[row], text("definition")[row]);
        let value = numbers("value")[row].expect("no score is undefined here");
        let null = numbers("null")[row].expect("no null is undefined here");
        let entry = out.entry(name).or_insert_with(|| {
            (Reference { shape: vec![layers, heads], values: vec![f64::NAN; layers * heads] }, null)
        });
        let (layer, head) = (whole("layer")[row].expect("a layer"), whole("head")[row].expect("a head"));
        entry.0.values[layer as usize * heads + head as usize] = value;
        assert_eq!(entry.1, null);
    }
    out
}

/// The token loss of each prompt, as a table and as means over the two copies.
fn losses(case: &Case, prompt: &str, means: &serde_json::Value, dtype: DType, bound: f64, ledger: &mut Ledger) {
    let model = case.model(Profile::AsPublished, dtype);
    let rows = ids(case, prompt);
    let length = rows[0].len();
    let vocab = model.config().vocab_size;
    let subject = Subject { model: &model, vocab, prepend_bos: false, bos: 0 };
    let probe = ProbeSpec::TokenLoss(TokenLoss { tokens: Some(rows), ..TokenLoss::default() });
    let table = run(&[probe], &subject, 0).remove(0).expect("the prompts fit");
    let found = table.column("loss").and_then(Column::floats).expect("a column of numbers");
    let values: Vec<f64> = found.iter().map(|loss| loss.expect("a finite loss")).collect();
    let found = Reference { shape: vec![values.len() / (length - 1), length - 1], values };
    ledger.compare("token loss", prompt, &found, case.value(&format!("{prompt}.loss")), bound);
    let half = length / 2;
    let ends = found.values.chunks(length - 1).flat_map(|row| &row[row.len() - half..]);
    let second = Reference { shape: vec![], values: vec![ends.sum::<f64>() / (2 * half) as f64] };
    let expected = means["second_half"].as_f64().expect("a number");
    ledger.compare("mean loss", "second_half", &second, &Reference { shape: vec![], values: vec![expected] }, bound);
}

fn matrix(value: &serde_json::Value) -> Reference {
    let rows: Vec<Vec<f64>> = serde_json::from_value(value.clone()).expect("a matrix");
    Reference { shape: vec![rows.len(), rows[0].len()], values: rows.concat() }
}
