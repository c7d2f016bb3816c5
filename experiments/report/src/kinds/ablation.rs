//! Ablation: activations replaced, beside random controls.

use super::{TableKind, effects};

pub(super) const KIND: TableKind =
    effects::kind("ablation", "Ablation", "bars beside random controls; over training; heads × layers");
