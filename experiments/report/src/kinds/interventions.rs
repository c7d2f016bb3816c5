//! Interventions: edits as the experiment lists them.

use super::{TableKind, effects};

pub(super) const KIND: TableKind = TableKind {
    name: "interventions",
    title: "Interventions",
    section: effects::section,
    listing: Some(effects::listing),
};
