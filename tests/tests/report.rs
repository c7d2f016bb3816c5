//! `pythia summary`, `pythia query` and `pythia report` from the outside, on the results of a real sweep.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pythia_tests::{command::run, paths, suite};

/// A sweep of its own, in `out`, without a report.
fn swept(name: &str) -> PathBuf {
    let folder = suite::experiment_folder(name, 12);
    run(&folder, &["run", "experiment.toml", "--out", "out", "--no-report"]).ok();
    assert!(!folder.join("out/report.html").exists(), "told not to write a report");
    folder
}

fn figures(out: &Path) -> Vec<String> {
    let entries = fs::read_dir(out.join("figures")).expect("figures");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

#[test]
fn a_run_ends_with_a_report_that_is_the_same_whenever_it_is_made() {
    let folder = suite::experiment_folder("report-run", 12);
    let output = run(&folder, &["run", "experiment.toml", "--out", "out"]).ok();
    assert!(output.err.contains("open out/report.html in a browser"), "{}", output.err);
    let page = fs::read(folder.join("out/report.html")).expect("a page");
    let text = String::from_utf8(page.clone()).expect("UTF-8");
    assert!(text.starts_with("<!doctype html>") || text.starts_with("<!DOCTYPE html>"), "{}", &text[..80]);
    assert!(
        text.contains("default-src &#39;none&#39;") || text.contains("default-src 'none'"),
        "a strict content policy"
    );
    assert!(!text.contains("http://") || text.matches("http://").count() == text.matches("http://www.w3.org/").count());
    let names = figures(&folder.join("out"));
    assert!(names.contains(&"head-scores-tiny-emergence.svg".to_owned()), "{names:?}");
    assert_eq!(names.iter().filter(|name| name.ends_with(".svg")).count() * 2, names.len(), "data for every figure");
    // Made again, beside a figure of an earlier report and beside a file of the user.
    for name in ["gone.svg", "gone.csv", "mine.svg"] {
        fs::write(folder.join("out/figures").join(name), "<svg/>").expect("write");
    }
    let mut earlier = text.clone();
    earlier.push_str("<a href=\"figures/gone.svg\">");
    fs::write(folder.join("out/report.html"), earlier).expect("write");
    let output = run(&folder, &["report", "out"]).ok();
    assert_eq!(output.out.trim(), "out/report.html");
    assert!(fs::read(folder.join("out/report.html")).expect("a page") == page, "the same results, the same bytes");
    let mut kept = names.clone();
    kept.push("mine.svg".into());
    kept.sort();
    assert_eq!(figures(&folder.join("out")), kept, "files of the user stay");
    run(&folder, &["report", "out", "--out", "appendix/page.html"]).ok();
    assert!(fs::read(folder.join("appendix/page.html")).expect("a page") == page, "the same results, the same bytes");
    assert_eq!(figures(&folder.join("appendix")), names);
}

#[test]
fn a_summary_is_for_people_and_for_machines() {
    let folder = swept("report-summary");
    let output = run(&folder, &["summary", "out", "--top", "2"]).ok();
    assert!(
        output.out.contains("head_scores: the highest heads") && output.out.contains("checkpoints by status"),
        "{}",
        output.out
    );
    assert!(!output.out.contains("missing cells"), "{}", output.out);
    let output = run(&folder, &["summary", "out", "--top", "2", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&output.out).expect("JSON");
    let listing = |id: &str| json.as_array().expect("a list").iter().find(|listing| listing["id"] == id).cloned();
    let heads = listing("head-scores").expect("the heads");
    assert!(heads["rows"][0]["peak"].is_f64(), "{heads}");
    run(&folder, &["summary", "out", "--csv", "tables"]).ok();
    let csv = fs::read_to_string(folder.join("tables/head-scores.csv")).expect("a table");
    assert!(csv.starts_with("model,score,head,peak,last,uniform,"), "{csv}");
    // A cell that is gone is named.
    fs::remove_file(folder.join("out/results/head_scores/tiny/step000007.parquet")).expect("a part");
    let output = run(&folder, &["summary", "out"]).ok();
    let line = output.out.lines().find(|line| line.contains("missing cells")).map(str::to_owned);
    assert!(line.is_some() && output.out.contains("head_scores  tiny"), "{}", output.out);
}

#[test]
fn a_query_prints_or_writes_its_answer() {
    let folder = swept("report-query");
    let sql = "SELECT step, COUNT(*) AS n FROM head_scores WHERE score = 'induction' AND definition = 'strict' \
               GROUP BY step ORDER BY step";
    let output = run(&folder, &["query", "out", sql, "--rows", "3"]).ok();
    assert!(output.out.starts_with("3 of 12 rows\n"), "{}", output.out);
    let output = run(&folder, &["query", "out", sql, "--format", "csv"]).ok();
    assert_eq!(output.out.lines().count(), 13, "{}", output.out);
    assert!(output.out.starts_with("step,n\n0,"), "{}", output.out);
    for (name, start) in [("a.parquet", &b"PAR1"[..]), ("a.csv", b"step,n\n"), ("a.json", b"[{\"step\":0,")] {
        run(&folder, &["query", "out", sql, "--out", name]).ok();
        assert!(fs::read(folder.join(name)).expect("an answer").starts_with(start), "{name}");
    }
    let drop = run(&folder, &["query", "out", "DROP TABLE head_scores"]).refused(&["query only reads", "`DROP`"]);
    assert_eq!(drop.code, Some(2), "{drop:?}");
    run(&folder, &["query", "out", "SELECT haed FROM head_scores"]).refused(&["remedy: the columns of head_scores"]);
    let output =
        run(&folder, &["query", "out", "SELECT * FROM heads"]).refused(&["remedy: the tables are", "head_scores"]);
    assert_eq!(output.code, Some(2));
    run(&folder, &["query", "out", "SELECT 1", "--out", "a.txt"]).refused(&[".parquet, .csv or .json"]);
}

#[test]
fn merged_tables_can_replace_their_parts() {
    let folder = swept("report-merged");
    let summary = |dir: &str| run(&folder, &["summary", dir, "--json"]).ok().out;
    let whole = summary("out");
    run(&folder, &["merge", "out"]).ok();
    fs::create_dir(folder.join("taken")).expect("a folder");
    fs::rename(folder.join("out/merged"), folder.join("taken/merged")).expect("a move");
    assert_eq!(summary("taken"), whole);
    run(&folder, &["report", "taken"]).ok();
    let page = fs::read_to_string(folder.join("taken/report.html")).expect("a page");
    assert!(page.contains("tiny at 12 checkpoints, "), "{}", &page[..2000]);
    assert!(page.contains("merged/head_scores/**/*.parquet"), "the lines name the files that are there");
    let mut left: Vec<String> = fs::read_dir(folder.join("taken"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    left.sort();
    assert_eq!(left, ["figures", "merged", "report.html"], "nothing else is left");
}

#[test]
fn published_curves_are_added_and_other_files_are_refused() {
    let folder = swept("report-published");
    let csv = "model,step,num_fewshot,task,metric,value,stderr\n\
               pythia-70m,0,0,piqa,acc,0.5,0.01\n\
               pythia-70m,512,0,piqa,acc,0.6,0.01\n";
    fs::write(folder.join("evals.csv"), csv).expect("write");
    run(&folder, &["report", "out", "--with", "evals.csv"]).ok();
    let page = fs::read_to_string(folder.join("out/report.html")).expect("a page");
    assert!(page.contains("Published acc (evals.csv)"));
    fs::write(folder.join("evals.csv"), "a,b\n1,2\n").expect("write");
    let output = run(&folder, &["report", "out", "--with", "evals.csv"]).refused(&["no column `model`", "remedy:"]);
    assert_eq!(output.code, Some(3));
}

#[test]
fn damage_that_only_decoding_finds_is_named_by_every_reader() {
    let folder = swept("report-decoded");
    let part = folder.join("out/results/head_scores/tiny/step000003.parquet");
    let mut bytes = fs::read(&part).expect("a part");
    let is_page = |four: &[u8]| four == [0x28, 0xb5, 0x2f, 0xfd];
    let pages: Vec<usize> = bytes.windows(4).zip(0..).filter(|(four, _)| is_page(four)).map(|(_, at)| at).collect();
    assert!(pages.len() > 10, "every column has compressed pages");
    pages.iter().for_each(|page| bytes[page + 4..page + 8].fill(0xff));
    fs::write(&part, bytes).expect("write");
    let sql = "SELECT COUNT(model) AS n FROM head_scores WHERE layer >= 0";
    for command in [&["summary", "out"][..], &["report", "out"], &["query", "out", sql], &["merge", "out"]] {
        let output = run(&folder, command).refused(&["this part is damaged: ", "step000003.parquet: ", "remedy:"]);
        assert!(output.code == Some(3) && !output.err.contains("panicked"), "{command:?}: {}", output.err);
    }
    // The status reads no rows; it names what its layout gives away.
    assert!(!run(&folder, &["status", "out"]).ok().out.contains("damaged"));
    let cut = folder.join("out/results/head_scores/tiny/step000004.parquet");
    fs::write(&cut, b"PAR1").expect("write");
    let status = run(&folder, &["status", "out"]).ok();
    assert!(status.out.contains("warning: this part is damaged: out/results/head_scores/tiny/step000004.parquet: "));
    let page = fs::read_to_string(folder.join("out/report.html")).expect("a page");
    assert!(page.contains("damaged parts") && page.contains("head_scores/tiny/step000003.parquet"));
}

#[test]
fn damaged_files_and_other_folders_are_named() {
    let folder = swept("report-refused");
    for command in ["summary", "report"] {
        let output = run(&folder, &[command, "checkpoints-of-nobody"]).refused(&["holds no results", "remedy:"]);
        assert_eq!(output.code, Some(2), "as status and merge");
    }
    let part = folder.join("out/results/head_scores/tiny/step000000.parquet");
    let bytes = fs::read(&part).expect("a part");
    fs::write(&part, &bytes[..bytes.len() / 2]).expect("write");
    for command in [&["summary", "out"][..], &["report", "out"], &["query", "out", "SELECT * FROM head_scores"]] {
        let output = run(&folder, command).refused(&["this part is damaged: ", "step000000.parquet: ", "remedy:"]);
        assert_eq!(output.code, Some(3));
        // What can be read is shown.
        assert!(!output.out.is_empty() && !output.err.contains("panicked"), "{command:?}: {}", output.err);
    }
    fs::write(&part, bytes).expect("write");
    // A later part is named too. A sweep does not depend on whether a report can be written.
    let later = folder.join("out/results/induction_loss/tiny/step000007.parquet");
    let bytes = fs::read(&later).expect("a part");
    fs::write(&later, &bytes[..bytes.len() / 2]).expect("write");
    run(&folder, &["summary", "out"]).refused(&["this part is damaged: ", "step000007.parquet: "]);
    fs::create_dir_all(folder.join("out/results/old/nano")).expect("a folder");
    fs::rename(&later, folder.join("out/results/old/nano/step000007.parquet")).expect("a move");
    let output = run(&folder, &["run", "experiment.toml", "--out", "out"]).ok();
    assert!(
        output.err.contains("it lacks parts that other runs wrote: ") && output.err.contains("step000007.parquet"),
        "{}",
        output.err
    );
}

/// The lines of Python under the figures find the files of a table whose name has every character that means something
/// in a literal or in a pattern.
#[test]
#[ignore = "needs PYTHIA_PYTHON, a Python with Polars"]
fn the_lines_of_python_are_quoted_for_names_of_any_kind() {
    let python = std::env::var_os("PYTHIA_PYTHON").expect("set PYTHIA_PYTHON to a Python with Polars");
    let folder = swept("report-quoted");
    let results = folder.join("out/results");
    fs::rename(results.join("head_scores"), results.join("he\"ad [1]* \\x\ny?")).expect("a move");
    // What the first name would match as a pattern.
    fs::create_dir_all(results.join("he\"ad 1 \\x\nyz/tiny")).expect("a folder");
    run(&folder, &["report", "out"]).ok();
    let lines = paths::root().join("tests/report/lines.py");
    let output = Command::new(python).arg(lines).arg("out").current_dir(&folder).output().expect("runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && told.contains("gives their data"),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
