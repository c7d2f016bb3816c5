//! Columns and examples of the causal probes.

use std::collections::BTreeMap;

use super::ablation::Ablation;
use super::activation_patching::ActivationPatching;
use super::cross_checkpoint::CrossCheckpoint;
use super::interventions::Interventions;
use super::path_patching::PathPatching;
use super::steering::Steering;
use crate::pairs::{PairSource, Task};
use crate::table::{ColumnSpec as C, TableSpec};

const HOOK: C = C::text("hook", "name of the hook point");
const LAYER: C = C::int("layer", "its layer, from 0");
const POS: C = C::int("pos", "position, from 0; null where it is named or all are meant");
const HEAD: C = C::int("head", "index of the head; null for all");
const KEY: C = C::int("key", "key position of a pattern; null for all");
const PART: C = C::text("part", "name of the position, `all`, or empty");
const SET: C = C::text("set", "name of the set of heads; empty for none");
const DIRECTION: C = C::text("direction", "`denoising` or `noising`");
const METRIC: C = C::text("metric", "what is read at the end of the prompts");
const N: C = C::int("n", "pairs with defined values");
const PROMPT_ID: C = C::int("prompt_id", "index of the pair, from 0");
const STATUS: C = C::text("status", "`ok`, or why a number is null");
const COEFFICIENT: C = C::float("coefficient", "", "what the vector is multiplied by");
const NORM: C = C::float("norm", "", "Euclidean length of the vector");

const PATCHED: &[C] =
    &[C::float("patched", "", "metric of the patched run"), C::float("effect", "", "share of the gap")];
const INTERVAL: &[C] = &[
    C::float("effect_low", "", "lower end of its 95 % interval"),
    C::float("effect_high", "", "upper end of its 95 % interval"),
    C::float("effect_mean", "", "mean of the pairs' own effects"),
];
const SIDES: &[C] =
    &[C::float("clean", "", "metric of the clean run"), C::float("corrupt", "", "metric of the corrupt run")];
const MODELS: &[C] =
    &[C::float("base", "", "metric of this checkpoint"), C::float("source", "", "metric of the other")];
const DELTA: &[C] = &[
    C::float("base", "", "metric of the unchanged run"),
    C::float("changed", "", "metric of the changed run"),
    C::float("delta", "", "changed minus base"),
];
const DELTA_INTERVAL: &[C] = &[
    C::float("delta_low", "", "lower end of its 95 % interval"),
    C::float("delta_high", "", "upper end of its 95 % interval"),
];
const PLACE: &[C] = &[HOOK, LAYER, POS, HEAD, KEY, PART, SET];
const EDGE: &[C] = &[
    C::text("sender", "component whose output is patched"),
    C::int("sender_layer", "its layer"),
    C::int("sender_head", "its head"),
    C::text("receiver", "component that reads it"),
    C::int("receiver_layer", "its layer"),
    C::int("receiver_head", "its head"),
    C::text("input", "which of its inputs"),
    POS,
    PART,
];
const MAIN: &str = "a row per intervention and metric";
const EACH: &str = "a row per intervention, pair and metric";

/// The two tables of a probe: what stands before the numbers, and the numbers of each.
macro_rules! tables {
    ($probe:ty, $example:expr, [$($label:expr),+], [$($main:expr),+], [$($each:expr),+]) => {
        impl $probe {
            pub(crate) const TABLES: &'static [TableSpec] = &[
                TableSpec { suffix: "", doc: MAIN, columns: &[$($label,)+ &[METRIC, N], $($main,)+ &[STATUS]] },
                TableSpec { suffix: "examples", doc: EACH, columns: &[$($label,)+ &[METRIC, PROMPT_ID], $($each,)+ &[STATUS]] },
            ];

            pub(crate) fn example() -> Self {
                $example
            }
        }
    };
}

fn pairs() -> PairSource {
    PairSource { n: 2, half_len: Some(3), ..PairSource::task(Task::Induction) }
}

tables!(ActivationPatching, Self::new(pairs()), [PLACE, &[DIRECTION]], [SIDES, PATCHED, INTERVAL], [SIDES, PATCHED]);
tables!(PathPatching, Self::new(pairs()), [EDGE, &[DIRECTION]], [SIDES, PATCHED, INTERVAL], [SIDES, PATCHED]);
tables!(
    CrossCheckpoint,
    Self::new(pairs(), 0),
    [
        &[C::int("source_step", "step of the other checkpoint"), C::text("what", "`activation` or `weights`")],
        &[HOOK, LAYER, POS, HEAD, KEY, PART]
    ],
    [MODELS, PATCHED, INTERVAL],
    [MODELS, PATCHED]
);
tables!(
    Ablation,
    Self::new(pairs()),
    [&[
        HOOK,
        LAYER,
        POS,
        HEAD,
        PART,
        SET,
        C::int("control", "index of the random set"),
        C::text("method", "what is put there")
    ]],
    [DELTA, DELTA_INTERVAL],
    [DELTA]
);
tables!(Steering, Self::new(pairs()), [&[HOOK, LAYER, POS, PART, COEFFICIENT, NORM]], [DELTA, DELTA_INTERVAL], [DELTA]);
tables!(
    Interventions,
    Self::new(pairs(), BTreeMap::new()),
    [&[C::text("run", "name of the run")]],
    [DELTA, DELTA_INTERVAL],
    [DELTA]
);
