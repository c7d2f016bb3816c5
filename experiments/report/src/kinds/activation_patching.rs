//! Activation patching: activations of one prompt put into the run of another.

use super::{TableKind, effects};

pub(super) const KIND: TableKind = TableKind {
    name: "activation_patching",
    title: "Activation patching",
    section: effects::section,
    listing: Some(effects::listing),
};
