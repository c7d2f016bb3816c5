//! Activation patching: activations of one prompt put into the run of another.

use super::{TableKind, effects};

pub(super) const KIND: TableKind = effects::kind(
    "activation_patching",
    "Activation patching",
    "layers × positions or layers × heads by hook; the largest effects over training; bars",
);
