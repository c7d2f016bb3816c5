//! `pythia migrate`: an experiment file in its old spelling → today's.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::error::{CommandError, read_file};
use crate::cli::failure::Failure;
use crate::config::{self, Migrated};
use crate::files::folder::PendingFile;
use crate::terminal::exit::{self, Exit};
use crate::terminal::say;

/// Print an experiment file with its old keys in today's spelling, or rewrite it
///
/// Comments, order and layout stay. Changes are listed on stderr. --write replaces the file instead of printing it. A
/// file without old keys is printed byte for byte. Values given with --set are not rewritten.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    /// The experiment file
    file: PathBuf,
    /// Replace the file, whole or not at all; no copy of the old text is kept
    #[arg(long, conflicts_with = "check")]
    write: bool,
    /// Print and write nothing, and exit with 2 where the file has old keys
    #[arg(long)]
    check: bool,
}

const LONG_HELP: &str = exit::examples!(
    "  pythia migrate old.toml > new.toml
  for file in experiments/*.toml; do pythia migrate --write \"$file\"; done"
);

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let file = &args.file;
    let text = read_file(file)?;
    let migrated = config::migrate(&file.display().to_string(), &text)?;
    for change in &migrated.changes {
        say!("{}:{}: `{}` is `{}` now", file.display(), change.line, change.old, change.new);
    }
    let is_new = migrated.changes.is_empty();
    if args.check {
        Ok(if is_new { Exit::Ok } else { Exit::Usage })
    } else if args.write {
        if is_new { Ok(Exit::Ok) } else { replace(file, &migrated) }
    } else {
        super::print_bytes(migrated.text.as_bytes()).map(|()| Exit::Ok)
    }
}

/// Replaces the file, keeping its permissions. If it is a link, the file that the link leads to is replaced.
fn replace(file: &Path, migrated: &Migrated) -> Result<Exit, Failure> {
    let unreadable = |source| CommandError::Read { path: file.to_owned(), source };
    let target = fs::canonicalize(file).map_err(unreadable)?;
    let permissions = fs::metadata(&target).map_err(unreadable)?.permissions();
    PendingFile::claim(&target)?.write(migrated.text.as_bytes())?;
    // The new text is in place; on a file system without permissions there are none to keep.
    let _ = fs::set_permissions(&target, permissions);
    Ok(Exit::Ok)
}
