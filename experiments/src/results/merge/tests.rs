use std::collections::BTreeMap;
use std::fs;

use arrow_select::concat::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pythia_probes::{ColumnKind as Kind, Table};

use super::*;
use crate::files::sink::Stamp;
use crate::files::table::TABLE_VERSION;
use crate::terminal::Explained;
use crate::testing::Scratch;

const STEPS: [u32; 4] = [0, 1, 512, 143_000];

/// An output folder: the table `loss` of `nano` over [`STEPS`], and `loss_examples` of the same.
struct Out(Scratch);

impl Out {
    fn new(name: &str) -> Self {
        let out = Self(Scratch::new(name));
        let manifest = format!(
            r#"{{"name":"t","models":[{{"model":"nano","steps":{STEPS:?}}}],
               "probes":[{{"name":"loss","tables":["loss","loss_examples"]}}]}}"#
        );
        out.write("state/t.json", manifest.as_bytes());
        for (table, step) in ["loss", "loss_examples"].into_iter().flat_map(|table| STEPS.map(|step| (table, step))) {
            out.write(&part_name(table, step), &part(step, 5 + step as usize % 3, &config(step)));
        }
        out
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.0.join(file)
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        fs::create_dir_all(self.path(file).parent().expect("inside")).expect("create");
        fs::write(self.path(file), bytes).expect("write");
    }

    fn merge(&self) -> Merge {
        Merge::open(self.0.0.clone(), self.path("merged"), false).expect("lists")
    }

    fn refused(&self, words: &[&str]) -> MergeError {
        let error = self.merge().run(|_| {}).expect_err("must refuse");
        for word in words {
            assert!(error.to_string().contains(word), "no {word} in: {error}");
        }
        assert!(!self.path("merged/loss/nano.parquet").exists(), "something was written");
        error
    }
}

fn part_name(table: &str, step: u32) -> String {
    format!("results/{table}/nano/step{step:06}.parquet")
}

fn config(step: u32) -> String {
    format!("{{\"probe\":{{\"batch\":8}},\"seed\":0,\"step\":{step}}}")
}

fn stamp(step: Option<u32>) -> Stamp {
    Stamp { model: "nano".into(), step: step.map(i64::from), tokens_seen: None, checkpoint_status: "ok".into() }
}

fn table(step: u32, rows: usize) -> Table {
    let mut table = Table::builder([("layer", Kind::Int), ("word", Kind::Text), ("value", Kind::Float)]);
    for row in 0..rows {
        let value = if row % 4 == 3 { None } else { Some((row as f64 + f64::from(step)).sin()) };
        table.row([(rows - row).into(), format!("w{}", row % 3).into(), value.into()]);
    }
    table.build()
}

fn part(step: u32, rows: usize, config: &str) -> Vec<u8> {
    part_of_version(&TABLE_VERSION.to_string(), step, rows, config)
}

fn part_of_version(version: &str, step: u32, rows: usize, config: &str) -> Vec<u8> {
    let hash = format!("h{step}");
    let metadata = [("config", config), ("seed", "0"), ("config_hash", &hash), ("table_version", version)];
    let metadata: BTreeMap<String, String> =
        metadata.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    sink::parquet(&stamp(Some(step)), &table(step, rows), &metadata).expect("encode")
}

/// All rows of a file.
fn read(path: &Path) -> RecordBatch {
    let file = fs::File::open(path).expect("open");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("footer").build().expect("reader");
    let batches: Vec<RecordBatch> = reader.map(|batch| batch.expect("batch")).collect();
    // Metadata of the file is not what is compared.
    let schema = Arc::new(Schema::new(batches[0].schema().fields().clone()));
    let plain =
        |batch: RecordBatch| RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()).expect("batch");
    concat_batches(&schema, &batches.into_iter().map(plain).collect::<Vec<_>>()).expect("one batch")
}

#[test]
fn a_merged_table_is_the_union_of_its_parts_in_order() {
    let out = Out::new("merge-union");
    let mut said = Vec::new();
    let merged = out.merge().run(|one| said.push(one.clone())).expect("merges");
    assert_eq!(said, merged);
    let names: Vec<(&str, usize)> = merged.iter().map(|one| (one.table.as_str(), one.parts)).collect();
    assert_eq!(names, [("loss", 4), ("loss_examples", 4)]);
    let parts: Vec<RecordBatch> = STEPS.iter().map(|step| read(&out.path(&part_name("loss", *step)))).collect();
    let union = concat_batches(&parts[0].schema(), &parts).expect("one batch");
    let found = read(&out.path("merged/loss/nano.parquet"));
    assert_eq!((found.clone(), found.num_rows() as u64), (union, merged[0].rows));
    let metadata = sink::metadata(&out.path("merged/loss/nano.parquet")).expect("reads").expect("is there");
    assert_eq!((metadata["seed"].as_str(), metadata["config"].as_str()), ("0", r#"{"probe":{"batch":8},"seed":0}"#));
    assert!(
        metadata["parts"].contains(r#""512":{"config":{"step":512},"config_hash":"h512"}"#),
        "{}",
        metadata["parts"]
    );
    assert!(!metadata.contains_key("config_hash"));
    // Nothing but tables is left behind.
    let mut left: Vec<_> =
        fs::read_dir(out.path("merged")).expect("list").map(|entry| entry.expect("entry").file_name()).collect();
    left.sort();
    assert_eq!(left, ["loss", "loss_examples"]);
}

#[test]
fn merging_again_gives_the_same_bytes_and_new_parts_are_taken_up() {
    let out = Out::new("merge-again");
    let merged = || {
        out.merge().run(|_| {}).expect("merges");
        fs::read(out.path("merged/loss/nano.parquet")).expect("read")
    };
    let first = merged();
    assert_eq!(first, merged());
    out.write(&part_name("loss", 1000), &part(1000, 3, &config(1000)));
    assert_ne!(first, merged());
    fs::remove_file(out.path(&part_name("loss", 1000))).expect("remove");
    assert_eq!(first, merged());
}

#[test]
fn large_tables_have_row_groups_of_one_size() {
    let out = Out::new("merge-groups");
    let rows = ROWS_PER_GROUP / 2 + 77;
    for step in STEPS {
        out.write(&part_name("loss", step), &part(step, rows, &config(step)));
    }
    out.merge().run(|_| {}).expect("merges");
    let path = out.path("merged/loss/nano.parquet");
    let file = fs::File::open(&path).expect("open");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("footer");
    let groups: Vec<i64> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups, [ROWS_PER_GROUP as i64, ROWS_PER_GROUP as i64, 4 * 77]);
    let parts: Vec<RecordBatch> = STEPS.iter().map(|step| read(&out.path(&part_name("loss", *step)))).collect();
    assert_eq!(read(&path), concat_batches(&parts[0].schema(), &parts).expect("one batch"));
}

#[test]
fn holes_are_listed_and_merged_only_when_that_is_asked_for() {
    let out = Out::new("merge-missing_parts");
    fs::remove_file(out.path(&part_name("loss_examples", 512))).expect("remove");
    let error = out.refused(&["missing 1 of 8 parts", "loss_examples: nano step512"]);
    assert_eq!(error.exit(), crate::terminal::exit::Exit::CellsFailed);
    let merge = Merge { allow_missing: true, ..out.merge() };
    assert_eq!(merge.run(|_| {}).expect("merges").iter().map(|one| one.parts).collect::<Vec<_>>(), [4, 3]);
    // A long list is cut.
    fs::remove_dir_all(out.path("results/loss")).expect("remove");
    let many: Vec<String> = (0..40).map(|at| format!("loss: nano step{at}")).collect();
    let text =
        MergeError::MissingParts(MissingParts { missing: many, expected: 41, ..MissingParts::default() }).to_string();
    assert_eq!((text.lines().count(), text.lines().last()), (12, Some("  and 30 more")));
    // Without a manifest nobody knows what should be there; a manifest of the first versions has one table a probe.
    fs::write(
        out.path("state/t.json"),
        r#"{"name":"t","models":[{"model":"nano","steps":[0]}],"probes":[{"name":"loss"}]}"#,
    )
    .expect("write");
    assert_eq!(out.merge().missing_parts.missing, ["loss: nano step0"]);
    fs::remove_dir_all(out.path("state")).expect("remove");
    assert_eq!(out.merge().missing_parts, MissingParts::default());
    assert_eq!(out.merge().run(|_| {}).expect("merges").len(), 1);
}

#[test]
fn bad_checkpoints_that_were_left_out_are_no_holes() {
    let out = Out::new("merge-left-out");
    let row = |status: &str| {
        let stamp = Stamp { checkpoint_status: status.into(), ..stamp(Some(512)) };
        sink::encode(&stamp, 1, Vec::new(), &BTreeMap::new()).expect("a row")
    };
    let manifest = fs::read_to_string(out.path("state/t.json")).expect("read");
    let skips = manifest.replacen('{', "{\"on_bad\":\"skip\",", 1);
    ["loss", "loss_examples"]
        .iter()
        .for_each(|table| fs::remove_file(out.path(&part_name(table, 512))).expect("remove"));
    let missing = |manifest: &str, status: &str| {
        out.write("state/t.json", manifest.as_bytes());
        out.write("results/checkpoints/nano/step000512.parquet", &row(status));
        let missing_parts = out.merge().missing_parts;
        (missing_parts.missing.len(), missing_parts.left_out)
    };
    assert_eq!(missing(&skips, "duplicate_of:1"), (0, 1));
    assert_eq!(out.merge().run(|_| {}).expect("merges").len(), 3);
    // One that should have run is a hole, and so is one that was begun.
    assert_eq!(missing(&manifest, "duplicate_of:1"), (2, 0));
    assert_eq!(missing(&skips, "ok"), (2, 0));
    out.write(&part_name("loss", 512), &part(512, 3, &config(512)));
    assert_eq!(missing(&skips, "duplicate_of:1"), (1, 0));
}

#[test]
fn parts_that_do_not_belong_together_are_refused_with_their_names() {
    let out = Out::new("merge-mixed");
    let name = part_name("loss", 512);
    out.write(&name, &part(512, 3, &config(512).replace("\"batch\":8", "\"batch\":9")));
    out.refused(&["step000000.parquet", "step000512.parquet", "probe.batch is 8 there and 9 here"]);
    // The checkpoint's own settings may differ.
    out.write(&name, &part(512, 3, &config(512).replace("\"seed\"", "\"known_bad\":\"why\",\"seed\"")));
    out.merge().run(|_| {}).expect("merges");
    fs::remove_dir_all(out.path("merged")).expect("remove");
    let mut other = Table::builder([("layer", Kind::Int), ("word", Kind::Text)]);
    other.row([1_usize.into(), "x".into()]);
    let version = ("table_version".to_owned(), TABLE_VERSION.to_string());
    let metadata = BTreeMap::from([("config".to_owned(), config(512)), version]);
    let bytes = |stamp: &Stamp, table: &Table| sink::parquet(stamp, table, &metadata).expect("encode");
    out.write(&name, &bytes(&stamp(Some(512)), &other.build()));
    out.refused(&["step000000.parquet", "step000512.parquet", "word Utf8, value Float64"]);
    out.write(&name, &bytes(&stamp(Some(1)), &table(1, 3)));
    out.refused(&["step000512.parquet has rows of step 1, not 512"]);
    out.write(&name, &part(512, 3, &config(512))[..99]);
    out.refused(&["step000512.parquet"]);
    out.write(&name, &part(512, 3, &config(512)));
    out.write("results/loss/nano/model.parquet", &bytes(&stamp(None), &table(1, 3)));
    out.refused(&["model.parquet has results of a model without steps"]);
    fs::rename(out.path("results/loss/nano/model.parquet"), out.path("results/loss/nano/copy.parquet"))
        .expect("rename");
    out.refused(&["copy.parquet is not a part of a table"]);
}

#[test]
fn parts_and_merged_tables_of_other_versions_are_refused() {
    let out = Out::new("merge-versions");
    let old = |step| part_of_version("3", step, 3, &config(step));
    // One among others, then the first, which is found before anything else is.
    out.write(&part_name("loss_examples", 512), &old(512));
    out.refused(&["loss_examples/nano/step000512.parquet", "table `loss_examples` is of version 3 there"]);
    out.write(&part_name("loss", 0), &old(0));
    let error = out.refused(&["loss/nano/step000000.parquet", "table `loss` is of version 3 there"]);
    assert_eq!(error.exit(), crate::terminal::exit::Exit::BadInput);
    let out = Out::new("merge-old-merged");
    out.write("merged/loss/nano.parquet", &old(0));
    out.merge().run(|_| {}).expect("what is replaced may be old");
    fs::remove_file(out.path("merged/loss/nano.parquet")).expect("remove");
    out.write("merged/gone/nano.parquet", &old(0));
    out.refused(&["merged/gone/nano.parquet", "table `gone` is of version 3 there", "would not replace it"]);
}

#[test]
fn a_single_model_is_merged_alone() {
    let out = Out(Scratch::new("merge-single"));
    let bytes = sink::parquet(&stamp(None), &table(0, 4), &BTreeMap::new()).expect("encode");
    out.write("results/loss/one/model.parquet", &bytes);
    out.merge().run(|_| {}).expect("merges");
    assert_eq!(read(&out.path("merged/loss/one.parquet")), read(&out.path("results/loss/one/model.parquet")));
}
