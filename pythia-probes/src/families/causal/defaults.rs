//! The values of settings that a configuration of a causal probe leaves out.

use super::places::{ALL, EACH};
use super::{Direction, Side};
use crate::metric::Metric;

/// A function per value, because serde takes the name of a function.
macro_rules! defaults {
    ($($name:ident: $type:ty = $value:expr;)+) => {
        $(pub(crate) fn $name() -> $type {
            $value.into()
        })+
    };
}

defaults! {
    each: Vec<String> = [EACH.to_owned()];
    all: Vec<String> = [ALL.to_owned()];
    z: Vec<String> = ["z".to_owned()];
    resid_pre: Vec<String> = ["resid_pre".to_owned()];
    resid_post: Vec<String> = ["resid_post".to_owned()];
    denoising: Vec<Direction> = [Direction::Denoising];
    noising: Vec<Direction> = [Direction::Noising];
    clean: Side = Side::Clean;
    corrupt: Side = Side::Corrupt;
    logit_diff: Vec<Metric> = [Metric::LogitDiff];
    logit_diff_and_loss: Vec<Metric> = [Metric::LogitDiff, Metric::Loss];
    logit_diff_kl_and_loss: Vec<Metric> = [Metric::LogitDiff, Metric::Kl, Metric::Loss];
}
