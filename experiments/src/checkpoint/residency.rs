//! Where the weights of a checkpoint are while it computes.

use std::fmt;

use pythia_core::model::ReadAhead;

/// Where the weights of a checkpoint are, and what is read ahead; from the quickest to the smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Residency {
    /// Decoded, and the next checkpoint is decoded while one computes.
    ResidentAhead,
    /// Decoded, one checkpoint at a time.
    Resident,
    /// In their files, decoded layer by layer; the next layer is decoded while one computes.
    StreamedAhead,
    /// In their files, decoded layer by layer.
    Streamed,
}

impl Residency {
    /// All of them, the most wanted first.
    pub(crate) const ALL: [Residency; 4] = [Self::ResidentAhead, Self::Resident, Self::StreamedAhead, Self::Streamed];

    /// Whether the next checkpoint is loaded while one computes.
    pub(crate) fn loads_ahead(self) -> bool {
        self == Self::ResidentAhead
    }

    /// How layers are read where weights stay in their files; `None` where they do not.
    pub(crate) fn streamed(self) -> Option<ReadAhead> {
        match self {
            Self::ResidentAhead | Self::Resident => None,
            Self::StreamedAhead => Some(ReadAhead::OneBlock),
            Self::Streamed => Some(ReadAhead::Off),
        }
    }
}

impl fmt::Display for Residency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResidentAhead => "resident, one ahead",
            Self::Resident => "resident",
            Self::StreamedAhead => "streamed, one layer ahead",
            Self::Streamed => "streamed",
        })
    }
}
