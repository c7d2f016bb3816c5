//! Another process that computes the same tables in the same folder: it would be work done twice.

use std::path::{Path, PathBuf};

use super::manifest::{Manifest, ManifestError};
use super::status::{Process, RECENT, StatusError, others_at_work};
use crate::terminal::{Exit, Explained, human, quote, say};

/// Why a run must not begin now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AtWorkError {
    #[error("{} computes the same cells in {} (experiment `{name}`, {})", who(process), out.display(), since(process))]
    Other {
        /// The experiment that it works on.
        name: String,
        process: Process,
        out: PathBuf,
    },
    #[error(transparent)]
    Status(#[from] StatusError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl Explained for AtWorkError {
    fn exit(&self) -> Exit {
        match self {
            Self::Other { .. } => Exit::Temporary,
            Self::Status(error) => error.exit(),
            Self::Manifest(error) => error.exit(),
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::Other { process, out, .. } => {
                let follow = format!("follow it with `pythia status {} --watch`", quote::shell(out));
                let left = human::seconds(RECENT.saturating_sub(process.silent) as f64);
                Some(match process.here {
                    true => format!("{follow}; run the same command again when it has ended"),
                    false => format!("{follow}; if it has ended, the same command works again in {left}"),
                })
            }
            Self::Status(error) => error.remedy(),
            Self::Manifest(error) => error.remedy(),
        }
    }
}

fn who(process: &Process) -> String {
    format!("process {} on {}", process.pid, process.host)
}

fn since(process: &Process) -> String {
    let began = human::seconds(process.seconds as f64);
    match process.here {
        true => format!("since {began}"),
        false => format!("since {began}, heard of {} ago", human::seconds(process.silent as f64)),
    }
}

/// Refuses to begin while another process works on cells of this manifest. `earlier`: only one that began before this
/// process did; asked once this process is in the journal, so that of two that begin at one time only one goes on.
fn check(out: &Path, manifest: &str, earlier: bool, now: u64) -> Result<(), AtWorkError> {
    let mine = Manifest::parse(Path::new("this run"), manifest)?;
    match mine.map(|mine| others_at_work(out, &mine, earlier, now)).transpose()?.flatten() {
        Some((name, process)) => Err(AtWorkError::Other { name, process, out: out.to_owned() }),
        None => Ok(()),
    }
}

/// The same, where a folder whose state cannot be read stops nothing: the run writes its own state anew.
pub(crate) fn check_known(out: &Path, manifest: &str, earlier: bool, now: u64) -> Result<(), AtWorkError> {
    match check(out, manifest, earlier, now) {
        Err(error @ (AtWorkError::Status(_) | AtWorkError::Manifest(_))) => {
            say!("note: whether another process works in {} is not known: {error}", out.display());
            Ok(())
        }
        checked => checked,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use pythia_files::host_name;

    use super::*;
    use crate::files::journal::now;
    use crate::testing::Scratch;

    fn manifest(name: &str, model: &str, steps: &str, table: &str) -> String {
        let models = format!(r#"[{{"model": "{model}", "steps": {steps}}}]"#);
        format!(r#"{{"name": "{name}", "models": {models}, "probes": [{{"name": "{table}"}}]}}"#)
    }

    fn started(host: &str, pid: u32, time: u64) -> String {
        let event = r#"{"started":{"name":"a","version":"0","experiment":"h","cells":2,"done":0}}"#;
        format!("{{\"time\":{time},\"host\":\"{host}\",\"pid\":{pid},\"event\":{event}}}\n")
    }

    /// A folder in which an experiment `a` on steps 0 and 512 of nano has this journal.
    fn folder(name: &str, journal: &str) -> Scratch {
        let scratch = Scratch::new(name);
        fs::create_dir_all(scratch.0.join("state")).expect("create");
        fs::write(scratch.0.join("state/a.json"), manifest("a", "nano", "[0, 512]", "loss")).expect("write");
        fs::write(scratch.0.join("state/journal.jsonl"), journal).expect("write");
        scratch
    }

    #[test]
    fn a_living_process_on_the_same_cells_is_waited_for() {
        let mut child = Command::new("sleep").arg("100").spawn().expect("sleep");
        let (host, now) = (host_name(), now());
        let scratch = folder("at-work", &started(&host, child.id(), now));
        let check = |manifest: String| super::check(&scratch.0, &manifest, false, now);
        let error = check(manifest("b", "nano", "[512, 1000]", "loss")).expect_err("at work");
        assert_eq!(error.exit(), Exit::Temporary);
        let words = format!("process {} on {host} computes the same cells", child.id());
        assert!(error.to_string().starts_with(&words), "{error}");
        assert!(error.remedy().is_some_and(|remedy| remedy.contains("pythia status ") && remedy.contains(" --watch")));
        // The same name would replace the manifest.
        assert!(check(manifest("a", "other", "[7]", "norms")).is_err());
        for others in [("nano", "[1000]", "loss"), ("tiny", "[512]", "loss"), ("nano", "[512]", "norms")] {
            check(manifest("b", others.0, others.1, others.2)).expect("no cell in common");
        }
        child.kill().and_then(|()| child.wait()).expect("ends");
        check(manifest("a", "nano", "[512]", "loss")).expect("it has ended");
    }

    #[test]
    fn a_process_of_another_machine_counts_while_it_is_heard_of() {
        let now = 1_000_000;
        let mine = manifest("a", "nano", "[512]", "loss");
        let check = |time: u64| {
            let scratch = folder("at-work-elsewhere", &started("elsewhere", 7, time));
            super::check(&scratch.0, &mine, false, now)
        };
        let error = check(now - 100).expect_err("heard of");
        assert!(error.to_string().contains("process 7 on elsewhere"), "{error}");
        assert!(error.remedy().is_some_and(|remedy| remedy.contains("again in 8.3 min")), "{:?}", error.remedy());
        check(now - RECENT - 1).expect("silent");
    }

    #[test]
    fn of_two_that_begin_together_the_first_in_the_journal_goes_on() {
        let now = 1_000_000;
        let (mine, me) = (manifest("a", "nano", "[512]", "loss"), started(&host_name(), std::process::id(), now));
        let other = started("elsewhere", 7, now);
        let check =
            |journal: &[&str], earlier| super::check(&folder("at-work-race", &journal.concat()).0, &mine, earlier, now);
        check(&[&me, &other], true).expect("this process was first");
        assert!(check(&[&other, &me], true).is_err());
        assert!(check(&[&me, &other], false).is_err());
        let withdrawn = other.replace(
            r#"{"started":{"name":"a","version":"0","experiment":"h","cells":2,"done":0}}"#,
            r#"{"withdrawn":{}}"#,
        );
        check(&[&other, &withdrawn, &me], true).expect("the other gave way");
    }
}
