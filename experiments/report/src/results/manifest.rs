//! The experiments that ran into a folder, as `state/NAME.json` describes them.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::ResultsError;

/// A manifest is some thousand lines at most; anything larger is not one.
const MAX_BYTES: u64 = 16 << 20;

/// The experiment that made a results folder, as its file in `state/` describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Name of the experiment.
    pub name: String,
    /// Its models with their checkpoints.
    pub models: Vec<ManifestModel>,
    /// Its probes with their tables.
    pub probes: Vec<ManifestProbe>,
    /// Whether it leaves bad checkpoints out.
    pub skips_bad: bool,
    /// The whole manifest.
    pub text: String,
}

/// A model of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestModel {
    /// What results call it.
    pub label: String,
    /// The labels of its steps; none for a single model.
    pub steps: Vec<Option<u32>>,
}

/// A probe of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestProbe {
    /// Name of the probe in the experiment.
    pub name: String,
    /// The names of its tables.
    pub tables: Vec<String>,
}

/// Every manifest of a folder, in the order of file names; none where it has no `state/`.
pub(super) fn all(root: &Path) -> Result<Vec<Manifest>, ResultsError> {
    let folder = root.join("state");
    if !super::scan::is(&folder, fs::Metadata::is_dir)? {
        return Ok(Vec::new());
    }
    let failed = |source| ResultsError::Io { path: folder.clone(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        // The timeline of the last run lies beside the manifests; no experiment can be taken for it.
        let other = path.file_name().is_some_and(|name| name == "timeline.json");
        if path.extension().is_some_and(|extension| extension == "json") && !other {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// A manifest; none for a file of another kind that somebody keeps there.
fn read(path: &Path) -> Result<Option<Manifest>, ResultsError> {
    let failed = |source| ResultsError::Io { path: path.into(), source };
    let mut text = String::new();
    fs::File::open(path).map_err(failed)?.take(MAX_BYTES).read_to_string(&mut text).map_err(failed)?;
    parse(&text).map_err(|problem| ResultsError::Manifest { path: PathBuf::from(path), problem })
}

fn parse(text: &str) -> Result<Option<Manifest>, String> {
    let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if json.get("probes").is_none() || json.get("models").is_none() {
        return Ok(None);
    }
    let name = json["name"].as_str().ok_or("it has no `name`")?.to_owned();
    let models = json["models"].as_array().ok_or("it has no `models`")?.iter().map(model).collect::<Option<_>>();
    let probes = json["probes"].as_array().ok_or("it has no `probes`")?.iter().map(probe).collect::<Option<_>>();
    Ok(Some(Manifest {
        name,
        models: models.ok_or("a model has no `model` or no `steps`")?,
        probes: probes.ok_or("a probe has no `name`")?,
        skips_bad: json["on_bad"] == "skip",
        text: text.to_owned(),
    }))
}

fn model(json: &Value) -> Option<ManifestModel> {
    let step = |step: &Value| match step {
        Value::Null => Some(None),
        number => Some(Some(u32::try_from(number.as_u64()?).ok()?)),
    };
    let steps = json["steps"].as_array()?.iter().map(step).collect::<Option<_>>()?;
    Some(ManifestModel { label: json["model"].as_str()?.to_owned(), steps })
}

fn probe(json: &Value) -> Option<ManifestProbe> {
    let name = json["name"].as_str()?.to_owned();
    let tables = json["tables"].as_array().map(|tables| tables.iter().filter_map(Value::as_str).map(str::to_owned));
    // Records of earlier versions do not list the tables; the probe's main one is called as the probe.
    Some(ManifestProbe { tables: tables.map_or_else(|| vec![name.clone()], Iterator::collect), name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_says_what_there_should_be() {
        let text = r#"{"name":"t","models":[{"model":"a","steps":[0,512]},{"model":"b","steps":[null]}],
            "probes":[{"name":"p"},{"name":"q","tables":["q","q_examples"]}],"seed":1}"#;
        let manifest = parse(text).expect("readable").expect("a manifest");
        assert_eq!(
            (manifest.name.as_str(), manifest.models[0].steps.as_slice()),
            ("t", [Some(0), Some(512)].as_slice())
        );
        assert_eq!(manifest.models[1].steps, [None]);
        assert_eq!(manifest.probes[0].tables, ["p"]);
        assert_eq!(manifest.probes[1].tables, ["q", "q_examples"]);
    }

    #[test]
    fn what_is_no_manifest_says_why() {
        for (text, problem) in [
            ("{", "EOF while parsing an object at line 1 column 1"),
            (r#"{"models":[],"probes":[]}"#, "it has no `name`"),
            (
                r#"{"name":"t","models":[{"model":"a","steps":[-1]}],"probes":[]}"#,
                "a model has no `model` or no `steps`",
            ),
            (r#"{"name":"t","models":[],"probes":[{}]}"#, "a probe has no `name`"),
        ] {
            assert_eq!(parse(text), Err(problem.to_owned()));
        }
        assert_eq!(parse(r#"{"notes":"of somebody"}"#), Ok(None));
    }
}
