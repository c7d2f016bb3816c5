//! Steering: a direction added to activations.

use super::{TableKind, effects};

pub(super) const KIND: TableKind =
    effects::kind("steering", "Steering", "bars beside random controls; over training; heads × layers");
