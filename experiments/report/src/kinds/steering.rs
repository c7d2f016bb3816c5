//! Steering: a direction added to activations.

use super::{TableKind, effects};

pub(super) const KIND: TableKind =
    TableKind { name: "steering", title: "Steering", section: effects::section, listing: Some(effects::listing) };
