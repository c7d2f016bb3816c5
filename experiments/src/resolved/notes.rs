//! What is passed over or cannot be read in the files of a model, so that nothing is left out in silence.

use pythia_core::store::{Checkpoints, StoreError};
use pythia_core::suite::Step;

use crate::files::table::cell_name;
use crate::terminal::human;

/// Broken checkpoints of a model that are named; a note counts the others.
const SHOWN: usize = 10;

/// A note on the keys of a model's configuration of which nothing is known, where there are any.
pub(crate) fn of_keys(label: &str, unknown_keys: &[String]) -> Option<String> {
    (!unknown_keys.is_empty()).then(|| {
        let keys = unknown_keys.join(", ");
        format!("{label}: nothing is known about these keys of its config.json, and they are not obeyed: {keys}")
    })
}

/// Notes about a model, one line each: keys of its configuration of which nothing is known, entries whose names are
/// nearly those of steps, and chosen checkpoints of a folder that cannot be read. Those fail when they run.
///
/// # Errors
/// [`StoreError`]: the model's folder cannot be listed.
pub(super) fn of(
    store: &dyn Checkpoints,
    steps: &[Option<Step>],
    unknown_keys: &[String],
) -> Result<Vec<String>, StoreError> {
    let label = store.model();
    let keys = of_keys(label, unknown_keys);
    let misnamed = store.misnamed()?.into_iter().map(|entry| format!("{label}: {entry}"));
    let mut notes: Vec<String> = keys.into_iter().chain(misnamed).collect();
    // What the cache lacks of a model of the suite is fetched.
    if store.suite_id().is_none() {
        let broken = steps.iter().filter_map(|step| Some((step, store.locate(*step).err()?)));
        let broken: Vec<String> =
            broken.map(|(step, error)| format!("{} cannot be read: {error}", cell_name(label, *step))).collect();
        let others = broken.len().saturating_sub(SHOWN);
        notes.extend(broken.into_iter().take(SHOWN));
        notes.extend(
            (others > 0).then(|| format!("{label}: also unreadable: {}", human::plural(others, "more checkpoint"))),
        );
    }
    Ok(notes)
}
