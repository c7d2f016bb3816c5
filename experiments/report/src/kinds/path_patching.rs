//! Path patching: what one component sends to another directly.

use super::{TableKind, effects};

pub(super) const KIND: TableKind =
    effects::kind("path_patching", "Path patching", "senders × receivers; the largest effects over training");
