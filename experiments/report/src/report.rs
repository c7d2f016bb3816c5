//! The report of a folder: a page and the files beside it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::figures::{self, Published};
use crate::kinds::main_tables;
use crate::page::{Block, Page, Section};
use crate::results::{Manifest, Results, ResultsError, Table};
use crate::summary;
use crate::words::{self, Distinct};

/// A report, in memory. Nothing is written.
#[derive(Clone, Debug)]
pub struct Report {
    /// The HTML page.
    pub page: Page,
    /// Every figure as SVG and its data as CSV, by their paths beside the page.
    pub files: Vec<(PathBuf, Vec<u8>)>,
}

/// Makes the report of a folder.
///
/// # Errors
/// [`ResultsError`] where a table cannot be read.
pub fn report(results: &Results, published: Option<&Published>) -> Result<Report, ResultsError> {
    let mut sections = figures::sections(results, published)?;
    sections.push(integrity(results)?);
    sections.push(provenance(results));
    tell_apart(&mut sections);
    let page = Page { title: title(results), lead: lead(results, &sections)?, sections };
    let files = files(&page);
    Ok(Report { page, files })
}

/// Gives a number to the later of two ids that are equal, because ids are made of names and two names may give the same
/// id.
fn tell_apart(sections: &mut [Section]) {
    let mut distinct = Distinct::default();
    for section in sections {
        section.id = distinct.word(&section.id);
        for block in &mut section.blocks {
            match block {
                Block::Figure(figure) => figure.id = distinct.word(&figure.id),
                Block::Listing(listing) => listing.id = distinct.word(&listing.id),
                _ => {}
            }
        }
    }
}

fn title(results: &Results) -> String {
    let names: Vec<&str> = results.manifests.iter().map(|manifest| manifest.name.as_str()).collect();
    match names.as_slice() {
        [] => results.root.display().to_string(),
        names => names.join(", "),
    }
}

/// What stands at the top: what was looked at, and the first finding of each kind of table.
fn lead(results: &Results, sections: &[Section]) -> Result<Vec<String>, ResultsError> {
    let (models, tables) = (results.models(), main_tables(results));
    // The checkpoints that the sweeps met, else those of the first table.
    let table = results.checkpoints.as_ref().or(tables.first().map(|(table, _)| *table));
    let checkpoints = table.map_or(Ok(0), Table::n_checkpoints)?;
    let what = match models.as_slice() {
        [] => "No results yet.".to_owned(),
        models => format!(
            "{} at {}, {} of results.",
            list(models),
            words::plural(checkpoints, "checkpoint"),
            words::plural(tables.len(), "table")
        ),
    };
    // A second table of a kind says the same of other prompts, and tables without a short answer find nothing.
    let mut kinds = BTreeSet::new();
    let found =
        tables.iter().filter(|(_, kind)| kind.is_some_and(|kind| kind.has_listing() && kinds.insert(kind.name)));
    let first: Vec<String> = found.map(|(table, _)| words::slug(&table.name)).collect();
    let findings = sections.iter().filter(|section| first.contains(&section.id)).filter_map(finding).take(FINDINGS);
    Ok([what].into_iter().chain(findings).collect())
}

/// Findings that stand at the top.
const FINDINGS: usize = 3;

/// What the first figure of a section shows.
fn finding(section: &Section) -> Option<String> {
    section.figures().next().map(|figure| figure.alt.clone())
}

fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Which checkpoints the curves run through, and what is missing.
fn integrity(results: &Results) -> Result<Section, ResultsError> {
    let listings = [
        summary::checkpoints(results)?,
        summary::bad_checkpoints(results)?,
        summary::missing(results)?,
        summary::damaged(results),
    ];
    let complete = listings[2].is_none() && results.damaged.is_empty() && !results.manifests.is_empty();
    let mut blocks: Vec<Block> = listings.into_iter().flatten().map(Block::Listing).collect();
    if complete {
        blocks.push(Block::Text("Nothing is missing: every cell of every experiment in this folder is there.".into()));
    }
    if blocks.is_empty() {
        blocks
            .push(Block::Text("The folder has neither a table of checkpoints nor a manifest of an experiment.".into()));
    }
    Ok(Section { id: "integrity".into(), title: "Checkpoints".into(), blocks })
}

/// Everything that is needed to repeat the run.
fn provenance(results: &Results) -> Section {
    let mut blocks = vec![Block::Text(
        "The metadata of every Parquet file says how its table was made; `pl.read_parquet_metadata(file)` shows it. \
         Below are the metadata of the first file of each table, and the experiments with every default filled in. The \
         hash of every checkpoint's weights is in the table `checkpoints`."
            .into(),
    )];
    for (table, _) in main_tables(results) {
        const KEYS: [&str; 8] =
            ["version", "table_version", "seed", "prepend_bos", "device", "dtype", "weights", "config_hash"];
        let metadata = &table.origin.metadata;
        let pairs = KEYS.iter().filter_map(|key| Some(((*key).replace('_', " "), metadata.get(*key)?.clone())));
        let head = [("table".to_owned(), table.name.clone()), ("probe".to_owned(), table.origin.kind.clone())];
        blocks.push(Block::Pairs(head.into_iter().chain(pairs).collect()));
        blocks.push(Block::Folded {
            title: format!("Configuration of {}", table.name),
            text: format!("{:#}", table.origin.config),
        });
    }
    let fold = |manifest: &Manifest| Block::Folded {
        title: format!("Experiment {}", manifest.name),
        text: manifest.text.clone(),
    };
    blocks.extend(results.manifests.iter().map(fold));
    Section { id: "provenance".into(), title: "Provenance".into(), blocks }
}

fn files(page: &Page) -> Vec<(PathBuf, Vec<u8>)> {
    let both = page.figures().flat_map(|figure| {
        let path = |ending: &str| PathBuf::from(format!("figures/{}.{ending}", figure.id));
        [(path("svg"), figure.draw().svg.into_bytes()), (path("csv"), figure.csv.clone().into_bytes())]
    });
    both.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scratch, floats, head_scores, ints, part, suite_steps, texts};

    fn figures(report: &Report) -> Vec<&str> {
        let blocks = report.page.sections.iter().flat_map(|section| &section.blocks);
        blocks
            .filter_map(|block| if let Block::Figure(figure) = block { Some(figure.id.as_str()) } else { None })
            .collect()
    }

    #[test]
    fn an_empty_folder_has_a_report_that_says_so() {
        let scratch = Scratch::new("report-empty");
        let report = report(&Results::open(&scratch.0).expect("a folder"), None).expect("a report");
        assert_eq!(report.page.lead[0], "No results yet.");
        assert!(report.files.is_empty() && report.page.html().contains("No results yet."));
    }

    #[test]
    fn several_models_are_compared_and_every_figure_is_a_file() {
        let scratch = Scratch::new("report-two");
        for model in ["pythia-160m", "pythia-70m"] {
            head_scores(&scratch.0, model, (3, 4), &suite_steps());
        }
        let results = Results::open(&scratch.0).expect("results");
        let report = report(&results, None).expect("a report");
        let ids = figures(&report);
        assert_eq!(
            ids,
            [
                "head-scores-pythia-70m-emergence",
                "head-scores-pythia-70m-map",
                "head-scores-pythia-160m-emergence",
                "head-scores-pythia-160m-map",
                "across-head-scores"
            ]
        );
        assert_eq!(report.files.len(), 2 * ids.len());
        assert_eq!(report.page.lead[0], "pythia-70m and pythia-160m at 308 checkpoints, 1 table of results.");
        // The same results, the same bytes.
        let again = super::report(&results, None).expect("a report");
        assert_eq!((report.page.html(), report.files), (again.page.html(), again.files));
    }

    #[test]
    fn ten_thousand_tokens_do_not_break_it() {
        let scratch = Scratch::new("report-long");
        let n = 10_000_i64;
        let rows = n as usize;
        let hostile = |index: i64| format!("</script><img onerror=x>\u{202e}{index}");
        let own = vec![
            ints("prompt_id", vec![Some(0); rows]),
            ints("pos", (1..=n).map(Some).collect()),
            ints("token_id", (1..=n).map(Some).collect()),
            floats("loss", (1..=n).map(|pos| (pos % 7 > 0).then_some(pos as f64)).collect()),
        ];
        for step in [0, 1, 2, 4, 8, 16, 32, 64] {
            part(&scratch.0, "token_loss", "token_loss", "m", Some(step), own.clone());
        }
        let lens = vec![
            ints("prompt_id", vec![Some(0); rows]),
            ints("layer", vec![Some(0); rows]),
            ints("pos", (0..n).map(Some).collect()),
            ints("token_id", (0..n).map(Some).collect()),
            texts("token", (0..n).map(hostile).collect()),
            ints("top_id", (0..n).map(Some).collect()),
            texts("top_token", (0..n).map(hostile).collect()),
            floats("top_prob", vec![Some(0.5); rows]),
            texts("target_token", (0..n).map(hostile).collect()),
            floats("target_prob", vec![None; rows]),
        ];
        part(&scratch.0, "logit_lens", "logit_lens", "m", Some(0), lens);
        let report = report(&Results::open(&scratch.0).expect("results"), None).expect("a report");
        let html = report.page.html();
        assert!(!html.contains("<img onerror") && html.len() < 2_000_000, "{} bytes", html.len());
    }

    #[test]
    fn a_table_of_an_unknown_probe_is_named_and_not_passed_over() {
        let scratch = Scratch::new("report-unknown");
        part(&scratch.0, "ngrams", "ngram_loss", "m", Some(0), vec![floats("value", vec![Some(1.0)])]);
        let report = report(&Results::open(&scratch.0).expect("results"), None).expect("a report");
        let section = &report.page.sections[0];
        let Block::Text(text) = &section.blocks[0] else { panic!("{section:?}") };
        assert_eq!(section.title, "ngrams");
        assert!(text.contains("this version has none for the probe `ngram_loss`"), "{text}");
    }

    #[test]
    fn names_that_give_one_word_are_told_apart() {
        let scratch = Scratch::new("report-names");
        for model in ["a.b", "a-b"] {
            head_scores(&scratch.0, model, (1, 2), &suite_steps());
        }
        let report = report(&Results::open(&scratch.0).expect("results"), None).expect("a report");
        let paths: BTreeSet<&PathBuf> = report.files.iter().map(|(path, _)| path).collect();
        assert_eq!((paths.len(), report.files.len()), (10, 10));
    }

    /// Every head of the whole suite at every checkpoint: 2.8 M rows, in 2,464 files.
    #[test]
    #[ignore = "writes 2,464 files; the gate runs it"]
    fn the_whole_suite_is_summarised_and_shown_in_seconds() {
        const SHAPES: [(&str, i64, i64); 8] = [
            ("70m", 6, 8),
            ("160m", 12, 12),
            ("410m", 24, 16),
            ("1b", 16, 8),
            ("1.4b", 24, 16),
            ("2.8b", 32, 32),
            ("6.9b", 32, 32),
            ("12b", 36, 40),
        ];
        let scratch = Scratch::new("report-suite");
        for (size, layers, heads) in SHAPES {
            for model in [format!("pythia-{size}"), format!("pythia-{size}-deduped")] {
                crate::testing::noisy_scores(&scratch.0, &model, (layers, heads), &suite_steps());
            }
        }
        let clock = std::time::Instant::now();
        let results = Results::open(&scratch.0).expect("results");
        let listings = summary::summary(&results, 5).expect("a summary");
        let summarised = clock.elapsed();
        assert_eq!(listings[0].rows.len(), 16 * 2 * 5);
        let clock = std::time::Instant::now();
        let report = report(&results, None).expect("a report");
        let html = report.page.html();
        let reported = clock.elapsed();
        let peak = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = peak.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM unknown").to_owned();
        if let Some(page) = std::env::var_os("PYTHIA_SUITE_REPORT") {
            std::fs::write(page, &html).expect("a place for the page");
        }
        println!("summary {summarised:?}, report {reported:?}, page {} bytes, {peak}", html.len());
        assert!(html.len() <= 2_000_000, "{} bytes", html.len());
        // Far above what it takes on a quiet machine (seconds), far below what a mistake of order would cost.
        assert!(summarised.as_secs() < 30 && reported.as_secs() < 60, "{summarised:?} {reported:?}");
    }
}
