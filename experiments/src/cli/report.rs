//! `pythia report`: one HTML page that shows everything, and its figures as files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pythia_report::figures::Published;
use pythia_report::report::{self, Report};
use pythia_report::results::{Results, ResultsError};
use pythia_report::words::plural;

use crate::cli::error::CommandError;
use crate::cli::failure::Failure;
use crate::cli::results_args::ResultsArgs;
use crate::config::read_text;
use crate::files::folder::{Folder, FolderError, PendingFile};
use crate::terminal::exit::{self, Exit};
use crate::terminal::say;

/// Write report.html, one self-contained page, and every figure as SVG with its data as CSV
///
/// The page needs no network and no program but a browser; it works from disk, on paper and without its script. Under
/// each figure are the lines of Polars that make its data. `pythia run` writes the page at its end.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    results: ResultsArgs,
    /// Where the page goes; figures/ lies beside it [default: DIR/report.html]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Add published evaluations: a CSV with the columns model, step, task, metric, value. They share a figure with
    /// your own curves of the same table and metric
    #[arg(long, value_name = "CSV")]
    with: Option<PathBuf>,
}

const LONG_HELP: &str = exit::examples!(
    "  pythia report out/demo
  pythia report out/demo --with evals.csv
  pythia report out/demo --out appendix/report.html"
);

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let dir = args.results.folder()?;
    let published = args.with.as_deref().map(published).transpose()?;
    let (page, damage) = match &args.out {
        None => write(&dir, published.as_ref())?,
        Some(out) => {
            let (report, damage) = draw(&dir, published.as_ref())?;
            write_beside(&report, out)?;
            (out.clone(), damage)
        }
    };
    super::print(&page.display().to_string())?;
    // The page names damaged parts and shows the others; that is no success.
    damage.map_or(Ok(Exit::Ok), |damage| Err(damage.into()))
}

fn published(path: &Path) -> Result<Published, Failure> {
    let text = read_text(path)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Published::parse(&name, &text).map_err(|problem| CommandError::Published { path: path.into(), problem })?)
}

/// Writes the report of an output folder into it, and returns the path of the page, and the damaged parts that it
/// lacks.
pub(crate) fn write(dir: &Path, published: Option<&Published>) -> Result<(PathBuf, Option<ResultsError>), Failure> {
    let (report, damage) = draw(dir, published)?;
    let earlier = figures_of(&dir.join("report.html"));
    let folder = Folder::of_files(dir)?;
    for (path, bytes) in &report.files {
        folder.write(path, bytes)?;
    }
    forget(dir, &earlier, &report)?;
    folder.write(Path::new("report.html"), report.page.html().as_bytes())?;
    folder.tidy();
    Ok((dir.join("report.html"), damage))
}

/// Reads a folder and draws everything. A line is printed first: the results of a whole suite take some seconds.
fn draw(dir: &Path, published: Option<&Published>) -> Result<(Report, Option<ResultsError>), Failure> {
    let mut results = Results::open(dir)?;
    let (tables, models) = (results.main_tables().len(), results.models().len());
    say!("drawing {}, {} ...", plural(tables, "table"), plural(models, "model"));
    let report = results.around_damage(|results| report::report(results, published))?;
    Ok((report, results.damage()))
}

fn write_beside(report: &Report, page: &Path) -> Result<(), FolderError> {
    let folder = page.parent().unwrap_or(Path::new(""));
    for (path, bytes) in &report.files {
        PendingFile::claim(&folder.join(path))?.write(bytes)?;
    }
    PendingFile::claim(page)?.write(report.page.html().as_bytes())
}

/// A page is some megabytes at most.
const MAX_PAGE: u64 = 64 << 20;

/// The figures that the page of an earlier report links to; none where there is no such page.
fn figures_of(page: &Path) -> BTreeSet<String> {
    let mut text = String::new();
    let read = File::open(page).and_then(|file| file.take(MAX_PAGE).read_to_string(&mut text));
    let words = text.split("href=\"figures/").skip(1).filter_map(|rest| rest.split(".svg\"").next());
    let clean = |word: &&str| {
        word.len() < 200 && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if read.is_ok() { words.filter(clean).map(str::to_owned).collect() } else { BTreeSet::new() }
}

/// Removes the figures of an earlier report that this one does not have: their results are gone. Files that no report
/// wrote are not touched, nor is a folder that is a link to another place.
fn forget(dir: &Path, earlier: &BTreeSet<String>, report: &Report) -> Result<(), FolderError> {
    let folder = dir.join("figures");
    if folder.is_symlink() {
        return Ok(());
    }
    let files = earlier.iter().flat_map(|word| ["svg", "csv"].map(|ending| format!("figures/{word}.{ending}")));
    for file in files.filter(|file| !report.files.iter().any(|(path, _)| path == Path::new(file))) {
        let path = dir.join(file);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(FolderError { what: "remove", path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    #[test]
    fn figures_are_those_that_a_page_links_to() {
        let scratch = Scratch::new("figures-of");
        let page = scratch.0.join("report.html");
        assert!(figures_of(&page).is_empty());
        fs::write(&page, "<a href=\"figures/a-1.svg\">SVG</a> <a href=\"figures/../../b.svg\"> href=\"figures/c.svg\"")
            .expect("write");
        assert_eq!(figures_of(&page).into_iter().collect::<Vec<_>>(), ["a-1", "c"]);
    }
}
