//! Steering: a direction added to activations.

use super::{TableKind, effects};

pub(super) const KIND: TableKind =
    effects::kind("steering", "Steering", "the effect against the coefficient at the last checkpoint; over training");
