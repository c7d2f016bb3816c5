//! The version of the tables, and the names of a checkpoint: in messages, and of its files.

use std::path::PathBuf;

use pythia_core::suite::Step;

/// Version of the tables' schema and of the probes' definitions. It is raised when a column or the meaning of a value
/// changes, and with it every key changes, so that old and new results never mix in silence.
pub(crate) const TABLE_VERSION: u32 = 4;

/// The path of a table below the output folder. Steps are padded with zeros, so that names sort as numbers.
pub(crate) fn file_of(folder: &str, label: &str, step: Option<Step>) -> PathBuf {
    let name = step.map_or("model.parquet".to_owned(), |step| format!("step{:06}.parquet", step.label()));
    ["results", folder, label, &name].iter().collect()
}

/// The step in the name of a table's file; `None` for that of a single model, and for other names.
pub(crate) fn step_of(name: &str) -> Option<Step> {
    name.strip_prefix("step")?.strip_suffix(".parquet")?.parse().ok().map(Step::from_label)
}

/// A checkpoint for messages and the journal: `pythia-70m step512`, or the label of a single model.
pub(crate) fn cell_name(label: &str, step: Option<Step>) -> String {
    step.map_or(label.to_owned(), |step| format!("{label} {step}"))
}

/// The characters of [`is_folder_name`] in words.
pub(crate) const IN_FOLDER_NAMES: &str = "A-Z, a-z, 0-9, `_`, `-` and, but not first, `.`";

/// Whether a name can be that of a folder of results: it must not lead out of the folder that it lies in.
pub(crate) fn is_folder_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(allowed)
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

    #[test]
    fn the_rule_in_words_is_the_rule() {
        let ranges = |c: char| c.is_ascii_uppercase() || c.is_ascii_lowercase() || c.is_ascii_digit();
        for c in (0..256).filter_map(char::from_u32) {
            let said = ranges(c) || IN_FOLDER_NAMES.contains(&format!("`{c}`"));
            assert_eq!(is_folder_name(&format!("a{c}")), said, "{c:?}");
        }
        assert!(!is_folder_name(".a") && !is_folder_name("") && IN_FOLDER_NAMES.ends_with("but not first, `.`"));
    }
}
