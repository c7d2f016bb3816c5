//! Patching between checkpoints: activations or weights of a source checkpoint.

use super::{TableKind, effects};

pub(super) const KIND: TableKind = TableKind {
    name: "cross_checkpoint",
    title: "Patching between checkpoints",
    section: effects::section,
    listing: Some(effects::listing),
};
