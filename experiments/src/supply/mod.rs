//! What brings checkpoints to where stores look for them.

use crate::load::Job;

/// A checkpoint whose files are here.
#[derive(Debug, Default)]
pub struct Brought {
    /// Whether the files were compared with the hashes that the hub publishes.
    pub verified: bool,
}

/// A checkpoint that cannot be brought here.
#[derive(Debug, thiserror::Error)]
pub enum SupplyError {}

impl SupplyError {
    /// What the user can do about it.
    pub fn remedy(&self) -> &'static str {
        match *self {}
    }
}

/// Brings checkpoints here.
pub trait Supply: Sync {
    /// How many checkpoints may wait before one is loaded.
    fn ahead(&self) -> usize;

    /// Whether this checkpoint comes from somewhere else.
    fn can_bring(&self, job: &Job<'_>) -> bool;

    /// Brings the files of a checkpoint here, unless they are.
    ///
    /// # Errors
    /// [`SupplyError`] says what was tried.
    fn bring(&self, job: &Job<'_>) -> Result<Brought, SupplyError>;
}

/// For checkpoints that lie on disk already.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnDisk;

impl Supply for OnDisk {
    fn ahead(&self) -> usize {
        1
    }

    fn can_bring(&self, _: &Job<'_>) -> bool {
        false
    }

    fn bring(&self, _: &Job<'_>) -> Result<Brought, SupplyError> {
        Ok(Brought::default())
    }
}
