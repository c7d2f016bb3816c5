//! The version of the tables, and where the table of a checkpoint lies.

use std::path::PathBuf;

use pythia_core::suite::Step;

/// Version of the tables' schema and of the probes' definitions. It is raised when a column or the meaning of a value
/// changes, and with it every key changes, so that old and new results never mix in silence.
pub(crate) const TABLE_VERSION: u32 = 4;

/// Where a table goes, given its folder's name, counted from the output folder. Steps are padded with zeros, so that names sort as numbers.
pub(crate) fn file_of(folder: &str, label: &str, step: Option<Step>) -> PathBuf {
    let name = step.map_or("model.parquet".to_owned(), |step| format!("step{:06}.parquet", step.label()));
    ["results", folder, label, &name].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_sort_as_steps_do() {
        let path = file_of("p", "m", Some(Step::from_label(512)));
        assert_eq!(path, PathBuf::from("results/p/m/step000512.parquet"));
        assert_eq!(file_of("p", "m", None), PathBuf::from("results/p/m/model.parquet"));
    }
}
