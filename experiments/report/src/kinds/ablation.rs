//! Ablation: activations replaced, beside random controls.

use super::{TableKind, effects};

pub(super) const KIND: TableKind =
    TableKind { name: "ablation", title: "Ablation", section: effects::section, listing: Some(effects::listing) };
