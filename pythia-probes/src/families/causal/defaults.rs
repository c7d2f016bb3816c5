//! The values of settings that a configuration of a causal probe leaves out.

use super::places::{ALL, EACH};
use super::{Direction, Side};
use crate::metric::Metric;

/// Places one after another.
pub(crate) fn each() -> Vec<String> {
    vec![EACH.to_owned()]
}

/// Places all together.
pub(crate) fn all() -> Vec<String> {
    vec![ALL.to_owned()]
}

/// The output of heads.
pub(crate) fn z() -> Vec<String> {
    vec!["z".to_owned()]
}

/// The residual stream before blocks.
pub(crate) fn resid_pre() -> Vec<String> {
    vec!["resid_pre".to_owned()]
}

/// The residual stream after blocks.
pub(crate) fn resid_post() -> Vec<String> {
    vec!["resid_post".to_owned()]
}

pub(crate) fn denoising() -> Vec<Direction> {
    vec![Direction::Denoising]
}

pub(crate) fn noising() -> Vec<Direction> {
    vec![Direction::Noising]
}

pub(crate) fn clean() -> Side {
    Side::Clean
}

pub(crate) fn corrupt() -> Side {
    Side::Corrupt
}

pub(crate) fn logit_diff() -> Vec<Metric> {
    vec![Metric::LogitDiff]
}

pub(crate) fn logit_diff_and_loss() -> Vec<Metric> {
    vec![Metric::LogitDiff, Metric::Loss]
}

pub(crate) fn logit_diff_kl_and_loss() -> Vec<Metric> {
    vec![Metric::LogitDiff, Metric::Kl, Metric::Loss]
}
