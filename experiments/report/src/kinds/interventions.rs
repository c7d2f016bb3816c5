//! Interventions: edits as the experiment lists them.

use super::{TableKind, effects};

pub(super) const KIND: TableKind =
    effects::kind("interventions", "Interventions", "bars beside random controls; over training; heads × layers");
