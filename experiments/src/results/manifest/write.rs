//! The manifest of a run, `state/NAME.json`: the experiment with every default filled in and every checkpoint named.

use std::path::PathBuf;

use pythia_core::suite::Step;
use serde_json::{Value, json};

use crate::config::ProbeEntry;
use crate::files::json::sorted;
use crate::files::table::TABLE_VERSION;
use crate::resolved::ResolvedExperiment;

/// Where the manifest lies, counted from the output folder.
pub(crate) fn file(resolved: &ResolvedExperiment) -> PathBuf {
    ["state", &format!("{}.json", resolved.experiment.name)].iter().collect()
}

/// The manifest: pretty JSON with a newline at its end.
pub(crate) fn text(resolved: &ResolvedExperiment) -> String {
    let experiment = &resolved.experiment;
    let probes: Vec<Value> = experiment.probes.iter().map(|entry| probe(resolved, entry)).collect();
    let models: Vec<Value> = resolved.models.iter().map(model).collect();
    let manifest = json!({
        "name": experiment.name,
        "table_version": TABLE_VERSION,
        "seed": experiment.seed,
        "prepend_bos": experiment.prepend_bos,
        "device": resolved.backend.name(),
        "dtype": experiment.machine.dtype,
        "on_bad": experiment.store.on_bad,
        "weights": experiment.machine.weights.name(),
        "models": models,
        "probes": probes,
        "notes": resolved.notes().collect::<Vec<_>>(),
    });
    format!("{:#}\n", sorted(manifest))
}

fn probe(resolved: &ResolvedExperiment, entry: &ProbeEntry) -> Value {
    // Which folders hold its tables: `pythia status` and `pythia merge` ask later what should be there.
    let tables: Vec<String> = entry.tables().map(|table| table.folder()).collect();
    let mut probe = json!({ "name": entry.name, "probe": entry.spec, "tables": tables });
    if let Some(hashes) = resolved.inputs.hashes_of(&entry.spec.files()) {
        probe["files"] = hashes;
    }
    probe
}

fn model(model: &crate::resolved::Model) -> Value {
    let steps: Vec<Option<u32>> = model.steps.iter().map(|step| step.map(Step::label)).collect();
    json!({ "model": model.label, "steps": steps, "vocabulary": model.vocabulary.size })
}
