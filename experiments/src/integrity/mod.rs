//! Whether a checkpoint is what its name says: the status in every table, and what to do about bad ones.
//!
//! Branches of the public hub have served other steps' weights. Three sources of knowledge are combined here: a list of
//! [`known`] defects, files of different steps that are equal by their published hashes ([`duplicates`]), and weights
//! that turn out to be equal while a sweep reads them ([`Seen`]).

mod continuity;
mod duplicates;
mod known;
mod row;
mod seen;

use std::fmt;

use pythia_core::suite::Step;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use continuity::{Break, breaks};
pub(crate) use duplicates::Duplicates;
pub(crate) use known::{KnownDefects, KnownDefectsError};
pub(crate) use row::{CHECKPOINTS, Row, TABLE as CHECKPOINTS_TABLE};
pub(crate) use seen::Seen;

/// What is known about a checkpoint; the column `checkpoint_status` of every table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Its files are those that the hub lists, by hash, and no other step has the same.
    Ok,
    /// It is on the list of known defects.
    KnownBad,
    /// Its weights are those of another step.
    DuplicateOf(Step),
    /// The branch holds no weights.
    Missing,
    /// It was not checked: there is no published hash.
    Unverified,
}

impl Status {
    /// Whether it should not be part of a curve.
    pub(crate) fn is_bad(self) -> bool {
        matches!(self, Self::KnownBad | Self::DuplicateOf(_) | Self::Missing)
    }

    /// As [`Status::is_bad`], of a value of the column `checkpoint_status`. A value that no status has is bad too.
    pub(crate) fn is_bad_value(value: &str) -> bool {
        [Self::Ok, Self::Unverified].iter().all(|good| good.to_string() != value)
    }
}

impl fmt::Display for Status {
    /// As in the tables: `ok`, `known_bad`, `duplicate_of:512`, `missing`, `unverified`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::KnownBad => f.write_str("known_bad"),
            Self::DuplicateOf(step) => write!(f, "duplicate_of:{}", step.label()),
            Self::Missing => f.write_str("missing"),
            Self::Unverified => f.write_str("unverified"),
        }
    }
}

/// A status and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) status: Status,
    /// The reason for people, where the status needs one.
    pub(crate) reason: Option<String>,
}

impl Verdict {
    pub(crate) fn plain(status: Status) -> Self {
        Self { status, reason: None }
    }

    pub(crate) fn because(status: Status, reason: impl Into<String>) -> Self {
        Self { status, reason: Some(reason.into()) }
    }

    /// The verdict that the weights are those of another step.
    pub(crate) fn duplicate(of: Step) -> Self {
        Self::because(Status::DuplicateOf(of), format!("its weights are those of {of}, so one of the two is wrong"))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => f.write_str(reason),
            None => self.status.fmt(f),
        }
    }
}

/// What to do with a checkpoint that is bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnBad {
    /// Run nothing and say which ones are bad.
    #[default]
    Fail,
    /// Run them like the others; `checkpoint_status` says what they are.
    Mark,
    /// Leave them out.
    Skip,
}

/// Whether two steps are equal in every model. Steps 0 and 1 are: the learning rate of the first update is 0.
pub(crate) fn are_expected_duplicates(a: Step, b: Step) -> bool {
    a.label().max(b.label()) == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_their_names() {
        let names = [Status::Ok, Status::KnownBad, Status::DuplicateOf(Step::from_label(512)), Status::Missing]
            .map(|status| (status.to_string(), status.is_bad() && Status::is_bad_value(&status.to_string())));
        let expected = [("ok", false), ("known_bad", true), ("duplicate_of:512", true), ("missing", true)];
        assert_eq!(names, expected.map(|(name, bad)| (name.to_owned(), bad)));
        assert!(!Status::Unverified.is_bad() && !Status::is_bad_value("unverified") && !Status::is_bad_value("ok"));
    }

    #[test]
    fn only_the_first_two_steps_are_expected_to_be_equal() {
        let duplicates = |a, b| are_expected_duplicates(Step::from_label(a), Step::from_label(b));
        assert!(duplicates(0, 1) && duplicates(1, 0));
        assert!(!duplicates(0, 2) && !duplicates(1, 2) && !duplicates(512, 1000));
    }
}
