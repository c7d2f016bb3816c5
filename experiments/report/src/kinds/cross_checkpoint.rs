//! Patching between checkpoints: activations or weights of a source checkpoint.

use super::{TableKind, effects};

pub(super) const KIND: TableKind =
    effects::kind("cross_checkpoint", "Patching between checkpoints", "source step × step");
