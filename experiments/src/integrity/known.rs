//! Known defects: the list that ships with the program, and a file of the user.

use std::path::PathBuf;

use pythia_core::suite::{KnownBad, ModelId, Step, suite};
use serde::Deserialize;

use super::{Status, Verdict};
use crate::terminal::exits_with;

/// Defects beyond those that ship with the program.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownDefects(Vec<KnownBad>);

/// The form of a list, for messages.
const FORM: &str =
    r#"{"known_bad": [{"models": [...], "kind": ..., "steps": [[FROM, TO], ...], "problem": ..., "source": ...}]}"#;

/// A list that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("{} is not a list of known defects ({FORM}): {source}", path.display())]
pub(crate) struct KnownDefectsError {
    pub(crate) path: PathBuf,
    pub(crate) source: serde_json::Error,
}

exits_with!(KnownDefectsError, Usage);

/// The file's form, which is that of the part of `suite.json` with the same name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    known_bad: Vec<KnownBad>,
}

impl KnownDefects {
    /// Reads a list; `path` is what messages call it.
    pub(crate) fn parse(path: PathBuf, text: &str) -> Result<Self, KnownDefectsError> {
        let list: List = serde_json::from_str(text).map_err(|source| KnownDefectsError { path, source })?;
        Ok(Self(list.known_bad))
    }

    /// The known defect of a checkpoint. `label`: the model's name in results; `id`: its name in the suite.
    pub(crate) fn verdict(&self, label: &str, id: Option<ModelId>, step: Step) -> Option<Verdict> {
        let shipped = id.and_then(|id| suite().known_bad(id, step));
        let own = || self.0.iter().find(|entry| entry.kind.is_defect() && entry.concerns_name(label, step));
        shipped.or_else(own).map(verdict)
    }
}

fn verdict(entry: &KnownBad) -> Verdict {
    let status = if entry.kind.is_absence() { Status::Missing } else { Status::KnownBad };
    Verdict::because(status, format!("{} ({})", entry.problem, entry.source))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"known_bad": [{"models": ["nano"], "kind": "wrong_weights", "steps": [[10, 20], [40, 40]],
        "problem": "copied by mistake", "source": "our log"}]}"#;

    fn verdict_of(known: &KnownDefects, label: &str, step: u32) -> Option<Status> {
        let id = label.parse().ok();
        known.verdict(label, id, Step::from_label(step)).map(|verdict| verdict.status)
    }

    #[test]
    fn a_list_adds_to_what_ships_with_the_program() {
        let known = KnownDefects::parse("list.json".into(), LIST).expect("a list");
        assert_eq!(verdict_of(&known, "nano", 15), Some(Status::KnownBad));
        assert_eq!(verdict_of(&known, "nano", 30), None);
        assert_eq!(verdict_of(&known, "other", 15), None);
        assert_eq!(verdict_of(&known, "pythia-2.8b", 1000), Some(Status::KnownBad));
        assert_eq!(verdict_of(&known, "pythia-410m-seed9", 40_000), Some(Status::Missing));
        assert_eq!(verdict_of(&known, "pythia-70m", 1), None, "equal to step 0, as expected");
        let verdict = known.verdict("nano", None, Step::from_label(40)).expect("listed");
        assert_eq!(verdict.to_string(), "copied by mistake (our log)");
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_place() {
        for text in
            ["", "[]", r#"{"known_bad": [{}]}"#, &LIST.replace("wrong_weights", "wrong"), &LIST.replace("source", "x")]
        {
            let error = KnownDefects::parse("list.json".into(), text).expect_err("no list").to_string();
            assert!(error.starts_with("list.json is not a list") && error.contains("line"), "{error}");
        }
    }
}
