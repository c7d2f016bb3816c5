//! One `[[probe]]`: the probe, the folders of its tables, and the places of its settings in the texts.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use pythia_probes::{ProbeError, ProbeSpec, TableSpec};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use crate::integrity::CHECKPOINTS;

#[derive(Clone, Debug)]
pub(crate) struct ProbeEntry {
    pub(crate) name: String,
    /// The probe with its configuration.
    pub(crate) spec: ProbeSpec,
    /// The place of its name, or else of its kind, in the texts.
    pub(crate) at: Range<usize>,
    /// The places of its settings.
    pub(crate) settings: Settings,
}

/// One table of a probe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableOf<'a> {
    pub(crate) probe: &'a ProbeEntry,
    /// Its place among the tables that the probe answers with.
    pub(crate) index: usize,
    /// Its name; empty for the table that is called as the probe itself.
    pub(crate) name: &'static str,
}

impl ProbeEntry {
    /// The tables that the probe answers with.
    pub(crate) fn tables(&self) -> impl Iterator<Item = TableOf<'_>> {
        self.spec.tables().iter().enumerate().map(|(index, table)| TableOf { probe: self, index, name: table.suffix })
    }

    /// The span of the setting that an error is about; that of the probe's name or kind if the setting is not written.
    pub(crate) fn place_of(&self, error: &ProbeError) -> Range<usize> {
        error.field().and_then(|field| self.settings.key(field)).unwrap_or_else(|| self.at.clone())
    }

    /// Where a file is named.
    pub(crate) fn place_of_file(&self, path: &Path) -> Range<usize> {
        path.to_str().and_then(|text| self.settings.text(text)).unwrap_or_else(|| self.at.clone())
    }
}

impl TableOf<'_> {
    /// The folder of its results.
    pub(crate) fn folder(&self) -> String {
        folder(&self.probe.name, self.name)
    }
}

fn folder(probe: &str, table: &str) -> String {
    if table.is_empty() { probe.to_owned() } else { format!("{probe}_{table}") }
}

/// The folders of the probes so far, with the probe each belongs to.
#[derive(Debug)]
pub(super) struct Folders(BTreeMap<String, String>);

impl Folders {
    /// Only the folder of every sweep's own table is taken.
    pub(super) fn new() -> Self {
        Self(BTreeMap::from([(CHECKPOINTS.to_owned(), "the table of checkpoints".to_owned())]))
    }

    /// Takes the folders of a probe's tables.
    ///
    /// # Errors
    /// The first of them that another probe has.
    pub(super) fn claim(&mut self, probe: &str, tables: &[TableSpec]) -> Result<(), Problem> {
        for table in tables {
            let folder = table.name(probe);
            match self.0.insert(folder.clone(), probe.to_owned()) {
                None => {}
                Some(other) if other == probe => return Err(Problem::DuplicateProbe { name: other }),
                Some(other) => return Err(Problem::SharedFolder { probe: probe.to_owned(), other, folder }),
            }
        }
        Ok(())
    }
}

/// The places of a probe's settings in the texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings {
    /// Keys by their dotted path; entries of a list are counted from 0.
    keys: BTreeMap<String, Range<usize>>,
    /// Values that are text, by that text.
    texts: BTreeMap<String, Range<usize>>,
}

impl Settings {
    /// Those of a table.
    pub(super) fn of(table: &DeTable<'_>) -> Self {
        let mut settings = Self::default();
        settings.note_table("", table);
        settings
    }

    /// The key of that dotted path, or the nearest one that it lies under.
    pub(crate) fn key(&self, path: &str) -> Option<Range<usize>> {
        let mut paths = std::iter::successors(Some(path), |path| Some(path.rsplit_once('.')?.0));
        paths.find_map(|path| self.keys.get(path).cloned())
    }

    /// The first value that is this text.
    pub(crate) fn text(&self, text: &str) -> Option<Range<usize>> {
        self.texts.get(text).cloned()
    }

    fn note_table(&mut self, above: &str, table: &DeTable<'_>) {
        for (key, value) in table.iter() {
            let path = if above.is_empty() { key.get_ref().to_string() } else { format!("{above}.{}", key.get_ref()) };
            self.note_value(&path, value);
            self.keys.insert(path, key.span());
        }
    }

    fn note_value(&mut self, path: &str, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::String(text) => {
                self.texts.entry(text.to_string()).or_insert_with(|| value.span());
            }
            DeValue::Table(table) => self.note_table(path, table),
            DeValue::Array(items) => {
                items.iter().enumerate().for_each(|(index, item)| self.note_item(path, index, item))
            }
            _ => {}
        }
    }

    /// Only entries that are tables get a path: a list may hold a million numbers.
    fn note_item(&mut self, path: &str, index: usize, item: &Spanned<DeValue<'_>>) {
        match item.get_ref() {
            DeValue::Table(table) => {
                let path = format!("{path}.{index}");
                self.note_table(&path, table);
                self.keys.insert(path, item.span());
            }
            _ => self.note_value(path, item),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_know_their_places() {
        let text = "batch = 3\npairs = { n = 0, file = 'a.jsonl' }\n[[edit]]\nhook = 'x'\n[[edit]]\nhook = 'y'\n";
        let settings = Settings::of(DeTable::parse(text).expect("TOML").get_ref());
        let shown = |place: Option<Range<usize>>| place.map(|place| text[place].to_owned());
        assert_eq!(shown(settings.key("batch")).as_deref(), Some("batch"));
        assert_eq!(settings.key("pairs.n"), Some(20..21));
        // What the file leaves out is shown at the key it would lie under.
        assert_eq!(shown(settings.key("pairs.seed")).as_deref(), Some("pairs"));
        assert_eq!(settings.key("edit.1.hook").map(|place| place.start), text.rfind("hook"));
        assert!(shown(settings.key("edit.1.region")).is_some_and(|shown| shown.contains("edit")));
        assert_eq!(shown(settings.text("a.jsonl")).as_deref(), Some("'a.jsonl'"));
        assert_eq!((settings.key("half_len"), settings.text("b.jsonl")), (None, None));
    }

    #[test]
    fn no_two_probes_write_to_one_folder() {
        let claim = |probes: &[(&str, &[TableSpec])]| {
            let mut folders = Folders::new();
            let claimed: Result<Vec<()>, Problem> =
                probes.iter().map(|(name, tables)| folders.claim(name, tables)).collect();
            claimed.err().map(|problem| problem.to_string())
        };
        let [one, two] = ["", "examples"].map(|suffix| TableSpec { suffix, doc: "", columns: &[] });
        let (one, two): (&[TableSpec], &[TableSpec]) = (&[one], &[one, two]);
        assert_eq!(claim(&[("x", two), ("y", two), ("examples", one), ("x_y", one)]), None);
        assert_eq!(claim(&[("x", one), ("x", two)]).as_deref(), Some("two probes are called `x`"));
        let words = "probes `x_examples` and `x` would both write to `x_examples`";
        assert_eq!(claim(&[("x", two), ("x_examples", one)]).as_deref(), Some(words));
        let words = "probes `x` and `x_examples` would both write to `x_examples`";
        assert_eq!(claim(&[("x_examples", one), ("x", two)]).as_deref(), Some(words));
    }
}
