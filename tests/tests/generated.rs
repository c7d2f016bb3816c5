//! Files that are generated from the code are fresh. This writes them anew:
//! `PYTHIA_REWRITE=1 cargo test --release --workspace --test generated`.

use std::fs;

use experiments::cli::columns;
use pythia_hooks::{Presence, SITES, SiteRow};
use pythia_report::kinds::{TABLE_KINDS, TableKind};
use pythia_tests::paths;

/// Compares a file with what it should be, or writes it where `PYTHIA_REWRITE` is set.
fn is_fresh(path: &str, fresh: impl FnOnce(&str) -> String) {
    let file = paths::root().join(path);
    let committed = fs::read_to_string(&file).unwrap_or_default();
    let fresh = fresh(&committed);
    if std::env::var_os("PYTHIA_REWRITE").is_some() {
        fs::write(&file, fresh).unwrap_or_else(|error| panic!("{path} cannot be written: {error}"));
    } else {
        assert!(committed == fresh, "{path} is stale: run this test once with PYTHIA_REWRITE=1");
    }
}

/// The text with another one between two lines of it.
fn between(text: &str, [from, to]: [&str; 2], new: &str) -> Option<String> {
    let (before, rest) = text.split_once(from)?;
    let (_, after) = rest.split_once(to)?;
    Some(format!("{before}{from}\n{new}{to}{after}"))
}

#[test]
fn the_readme_has_the_tables_of_hooks_and_columns() {
    // One test, because both write the same file.
    is_fresh("README.md", |readme| {
        let hooks = ["<!-- hooks: generated, do not edit -->", "<!-- end of hooks -->"];
        let columns_marks = ["<!-- columns: generated, do not edit -->", "<!-- end of columns -->"];
        let with_hooks = between(readme, hooks, &hook_table()).unwrap_or_else(|| panic!("README.md lacks {hooks:?}"));
        between(&with_hooks, columns_marks, &columns::summary())
            .unwrap_or_else(|| panic!("README.md lacks {columns_marks:?}"))
    });
}

#[test]
fn the_page_of_the_report_has_the_figures_of_each_table() {
    is_fresh("docs/report.md", |page| {
        let marks = ["<!-- figures: generated, do not edit -->", "<!-- end of figures -->"];
        let row = |kind: &TableKind| format!("| `{}` | {} |\n", kind.name, kind.figures);
        let rows: String = TABLE_KINDS.iter().map(row).collect();
        let table = format!("| table of | figures |\n|---|---|\n{rows}");
        between(page, marks, &table).unwrap_or_else(|| panic!("docs/report.md lacks {marks:?}"))
    });
}

#[test]
fn the_page_of_columns_is_fresh() {
    is_fresh("docs/columns.md", |_| columns::page());
}

#[test]
fn the_report_knows_the_columns() {
    is_fresh("experiments/report/src/columns.json", |_| columns::declaration());
}

#[test]
fn the_schema_of_experiment_files_is_fresh() {
    is_fresh("experiments/schema.json", |_| experiments::config::json_schema());
}

#[test]
fn the_reference_of_experiment_files_is_fresh() {
    is_fresh("docs/experiments.md", |_| experiments::config::reference());
}

#[test]
fn text_between_two_marks_is_replaced_and_stays_so() {
    let text = "a\n<b>\nold\n<e>\nc";
    let fresh = between(text, ["<b>", "<e>"], "new\n").expect("both lines are there");
    assert_eq!(fresh, "a\n<b>\nnew\n<e>\nc");
    assert_eq!(between(&fresh, ["<b>", "<e>"], "new\n").as_ref(), Some(&fresh));
    assert_eq!(between("no lines", ["<b>", "<e>"], ""), None);
}

fn hook_table() -> String {
    let row = |row: &SiteRow| {
        let axes: Vec<&str> = row.axes.iter().map(|axis| axis.name()).collect();
        format!("| `{}` | {} | {} | {} |\n", full_name(row), axes.join(" "), when(row), row.doc)
    };
    format!("| name | axes | when | what |\n|---|---|---|---|\n{}", SITES.iter().map(row).collect::<String>())
}

fn full_name(row: &SiteRow) -> String {
    if row.site.is_global() { row.name.to_owned() } else { format!("blocks.{{l}}.{}", row.name) }
}

fn when(row: &SiteRow) -> &'static str {
    match row.presence {
        Presence::Always => "always",
        Presence::WhenWanted => "if wanted",
        Presence::SequentialOnly => "sequential blocks",
    }
}
