//! Tables as probes declare them.

use super::{ColumnKind, Table, TableBuilder};

/// One column as a probe declares it: what a reader must know before looking at a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Its name in the file.
    pub name: &'static str,
    /// The kind of its values.
    pub kind: ColumnKind,
    /// The unit of its values (`nats`, `tokens`, …); empty where they have none.
    pub unit: &'static str,
    /// What a value says, in a line.
    pub doc: &'static str,
}

impl ColumnSpec {
    /// A column of text.
    pub const fn text(name: &'static str, doc: &'static str) -> Self {
        Self { name, kind: ColumnKind::Text, unit: "", doc }
    }

    /// A column of whole numbers: indices, ids, counts.
    pub const fn int(name: &'static str, doc: &'static str) -> Self {
        Self { name, kind: ColumnKind::Int, unit: "", doc }
    }

    /// A column of numbers, with their unit.
    pub const fn float(name: &'static str, unit: &'static str, doc: &'static str) -> Self {
        Self { name, kind: ColumnKind::Float, unit, doc }
    }
}

/// Columns that many tables have.
pub(crate) mod columns {
    use super::ColumnSpec;

    pub(crate) const PROMPT_ID: ColumnSpec = ColumnSpec::int("prompt_id", "Index of the prompt, from 0");
    pub(crate) const LAYER: ColumnSpec = ColumnSpec::int("layer", "Index of the layer, from 0");
    pub(crate) const HEAD: ColumnSpec = ColumnSpec::int("head", "Index of the attention head in its layer, from 0");
    pub(crate) const POS: ColumnSpec = ColumnSpec::int("pos", "Position in the prompt, from 0, the BOS included");
    pub(crate) const STATUS: ColumnSpec =
        ColumnSpec::text("status", "`ok`, or `undefined` where a number could not be computed and is null");
}

/// One table as a probe declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// What follows the probe's name in the table's name: nothing for the main table, `examples` for `NAME_examples`.
    pub suffix: &'static str,
    /// What a row is, in a line.
    pub doc: &'static str,
    /// The columns in order, in groups that several tables can share.
    pub columns: &'static [&'static [ColumnSpec]],
}

impl TableSpec {
    /// The columns in order.
    pub fn columns(&self) -> impl Iterator<Item = &'static ColumnSpec> {
        self.columns.iter().copied().flatten()
    }

    /// The table's name where the probe is called `probe`.
    pub fn name(&self, probe: &str) -> String {
        if self.suffix.is_empty() { probe.to_owned() } else { format!("{probe}_{}", self.suffix) }
    }

    /// An empty table with these columns, to be filled row by row.
    pub fn builder(&self) -> TableBuilder {
        Table::builder(self.columns().map(|column| (column.name, column.kind)))
    }
}
