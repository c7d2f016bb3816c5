//! Path patching: what one component sends to another directly.

use super::{TableKind, effects};

pub(super) const KIND: TableKind = TableKind {
    name: "path_patching",
    title: "Path patching",
    section: effects::section,
    listing: Some(effects::listing),
};
