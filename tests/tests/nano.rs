//! The demo's promise: in nano, trained from nothing, induction heads form, and the sweep shows when.
//!
//! Slow, because it trains: `cargo test --release --workspace --test nano -- --include-ignored`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use polars::prelude::*;
use pythia_tests::{command, place, suite};

/// One row of a table: its step, the words in the columns asked for, and the numbers.
struct Row {
    step: i64,
    words: Vec<String>,
    numbers: Vec<f64>,
}

/// The rows of a probe's table, over all its parts.
fn rows(out: &Path, probe: &str, words: &[&str], numbers: &[&str]) -> Vec<Row> {
    let parts = suite::parts(&out.join("results").join(probe));
    parts.iter().flat_map(|path| rows_of(path, words, numbers)).collect()
}

fn rows_of(path: &Path, words: &[&str], numbers: &[&str]) -> Vec<Row> {
    let file = std::fs::File::open(path).expect("a part can be opened");
    let table = ParquetReader::new(file).finish().expect("a part is Parquet");
    let column = |name: &str| table.column(name).expect("the column exists").clone();
    let steps = column("step");
    let words: Vec<Column> = words.iter().map(|name| column(name)).collect();
    let numbers: Vec<Column> = numbers.iter().map(|name| column(name)).collect();
    let row = |at: usize| Row {
        step: steps.i64().expect("steps are whole numbers").get(at).expect("every row has a step"),
        words: words.iter().map(|column| column.str().expect("a text").get(at).expect("a word").to_owned()).collect(),
        numbers: numbers.iter().map(|column| column.f64().expect("numbers").get(at).expect("a number")).collect(),
    };
    (0..table.height()).map(row).collect()
}

#[test]
#[ignore = "trains for a minute or two"]
fn induction_forms_in_nano() {
    let folder = place::scratch("nano");
    command::run(&folder, &["demo"]).ok();
    let out = folder.join("out/demo");

    let scores = rows(&out, "head_scores", &["definition"], &["value", "null"]);
    let strict: Vec<&Row> = scores.iter().filter(|row| row.words[0] == "strict").collect();
    let steps: BTreeSet<i64> = strict.iter().map(|row| row.step).collect();
    assert_eq!(steps.len(), 154);
    for row in strict.iter().filter(|row| row.step == 0) {
        assert!((row.numbers[0] - row.numbers[1]).abs() < 0.02, "a head at step 0: {:?}", row.numbers);
    }
    let mut best: BTreeMap<i64, f64> = BTreeMap::new();
    for row in &strict {
        let so_far = best.entry(row.step).or_insert(0.0);
        *so_far = so_far.max(row.numbers[0]);
    }
    let curve: Vec<f64> = best.values().copied().collect();
    assert!(curve[153] >= 0.7, "the best head at the end: {}", curve[153]);
    assert!(curve[9] < 0.2, "the best head at step 256: {}", curve[9]);
    let jump = curve.windows(20).map(|window| window[19] - window[0]).fold(0.0, f64::max);
    assert!(jump > 0.35, "the largest rise over 20 checkpoints: {jump}");

    let losses = rows(&out, "induction_loss", &["metric"], &["value"]);
    let mean = |metric: &str| {
        let values: Vec<f64> =
            losses.iter().filter(|row| row.step == 1940 && row.words[0] == metric).map(|row| row.numbers[0]).collect();
        assert!(!values.is_empty(), "no {metric}");
        values.iter().sum::<f64>() / values.len() as f64
    };
    let (first, second) = (mean("loss_first_half"), mean("loss_second_half"));
    assert!(second < first / 5.0, "{second} on the repeated half, {first} on the first");
}
