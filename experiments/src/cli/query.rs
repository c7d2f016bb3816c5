//! `pythia query`: SQL over the results.

use std::path::PathBuf;

use pythia_report::query::{self, Format};
use pythia_report::results::Results;

use crate::cli::failure::Failure;
use crate::cli::results_args;
use crate::files::folder::PendingFile;
use crate::terminal::exit::{self, Exit};
use crate::terminal::human;
use crate::terminal::say;

/// Ask an output folder in SQL; every table is called by its name
///
/// Polars' SQL: SELECT with WHERE, GROUP BY, HAVING, ORDER BY, JOIN, WITH and window functions. Tables are those of
/// DIR/results, and `checkpoints`.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP, allow_missing_positional = true)]
pub(crate) struct Args {
    /// The output folder of `pythia run`, or its experiment file [default: the only output folder in ./out]
    dir: Option<PathBuf>,
    /// The query
    sql: String,
    /// Write the whole answer to a file: .parquet, .csv or .json
    #[arg(long, value_name = "FILE", value_parser = output)]
    out: Option<Output>,
    /// Print the whole answer to stdout in this form
    #[arg(long, value_name = "FORM", conflicts_with = "out")]
    format: Option<Text>,
    /// Rows of the table that is printed
    #[arg(long, value_name = "N", default_value_t = 40)]
    rows: usize,
}

const LONG_HELP: &str = exit::examples!(
    "  pythia query out/demo \"SELECT layer, head, MIN(step) AS first_step FROM head_scores
    WHERE score = 'induction' AND definition = 'strict' AND value >= 0.5 GROUP BY layer, head ORDER BY first_step\"
  pythia query out/demo 'SELECT * FROM checkpoints' --out checkpoints.csv
  pythia query 'SHOW TABLES'"
);

/// Forms for stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Text {
    Csv,
    Json,
}

/// A file, with the form that its name asks for.
#[derive(Clone, Debug)]
struct Output {
    path: PathBuf,
    format: Format,
}

fn output(text: &str) -> Result<Output, String> {
    let path = PathBuf::from(text);
    let format = match path.extension().and_then(|extension| extension.to_str()) {
        Some("parquet") => Format::Parquet,
        Some("csv") => Format::Csv,
        Some("json") => Format::Json,
        _ => return Err("a name that ends in .parquet, .csv or .json is expected".into()),
    };
    Ok(Output { path, format })
}

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let mut results = Results::open(&results_args::folder(args.dir.as_deref())?)?;
    // Claimed before the work, so that a place that cannot be written fails at once.
    let claim = args.out.as_ref().map(|out| PendingFile::claim(&out.path)).transpose()?;
    let answer = results.around_damage(|results| query::query(results, &args.sql))?;
    match (&args.out, claim, args.format) {
        (Some(out), Some(claim), _) => {
            claim.write(&query::encode(&answer, out.format)?)?;
            say!("wrote {} to {}", human::plural(answer.height(), "row"), out.path.display());
        }
        (_, _, Some(form)) => {
            let format = if form == Text::Csv { Format::Csv } else { Format::Json };
            super::print(String::from_utf8_lossy(&query::encode(&answer, format)?).trim_end())?;
        }
        _ => super::print(&query::listing(&answer, args.rows).terminal())?,
    }
    complete(&results)
}

/// The end of a command that has shown what can be read: damaged parts are not in it, so it is no success.
pub(super) fn complete(results: &Results) -> Result<Exit, Failure> {
    results.damage().map_or(Ok(Exit::Ok), |damage| Err(damage.into()))
}
