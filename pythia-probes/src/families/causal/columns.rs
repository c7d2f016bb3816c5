//! The columns of causal probes' tables, in groups that several tables share.

use crate::table::ColumnSpec;

/// The hook and its layer.
pub(crate) const HOOK: &[ColumnSpec] = &[
    ColumnSpec::text("hook", "Hook that is edited, by its name in TransformerLens; the first one where several are"),
    ColumnSpec::int("layer", "Layer of the hook; null for hook_embed"),
];

pub(crate) const POS: &[ColumnSpec] = &[ColumnSpec::int(
    "pos",
    "Position that is edited, from 0, the BOS included, also where it has a name; of a pattern the query's; null where \
     it is not one number for all pairs of the row",
)];

pub(crate) const HEAD: &[ColumnSpec] = &[ColumnSpec::int("head", "Head that is edited; null where it is not one head")];

pub(crate) const KEY: &[ColumnSpec] =
    &[ColumnSpec::int("key", "Position of the key, where one entry of a pattern is edited; else null")];

pub(crate) const POSITION_NAME: &[ColumnSpec] = &[ColumnSpec::text(
    "position_name",
    "Name of the position that is edited (end, -1); empty where it is given by its number or all are edited",
)];

pub(crate) const SET: &[ColumnSpec] =
    &[ColumnSpec::text("set", "Name of the set of heads that is edited; empty where it is not a named set")];

pub(crate) const WINDOW: &[ColumnSpec] = &[ColumnSpec::int(
    "window",
    "Neighbouring layers that are patched together, centred on the hook's and cut at the model's ends; 1 is that layer",
)];

pub(crate) const DIRECTION: &[ColumnSpec] = &[ColumnSpec::text(
    "direction",
    "denoising (clean activations in the corrupt run) or noising (the other way round)",
)];

pub(crate) const METRIC: &[ColumnSpec] = &[ColumnSpec::text("metric", "Metric that the values are of")];

pub(crate) const N: &[ColumnSpec] =
    &[ColumnSpec::int("n", "Number of pairs with defined values; the means are over these")];

pub(crate) const PROMPT_ID: &[ColumnSpec] =
    &[ColumnSpec::int("prompt_id", "Index of the pair among those used, from 0")];

pub(crate) const STATUS: &[ColumnSpec] = &[ColumnSpec::text(
    "status",
    "`ok`; `no_change` where the intervention changed nothing that metrics read, bit for bit; `undefined` where a \
     number could not be computed and is null",
)];

/// The two runs of a pair's prompts.
pub(crate) const CLEAN_CORRUPT: &[ColumnSpec] = &[
    ColumnSpec::float("clean", "metric", "The metric of the run on the clean prompt"),
    ColumnSpec::float(
        "corrupt",
        "metric",
        "The metric of the run on the corrupt prompt, or on the clean one with noise",
    ),
];

/// The runs of two checkpoints on one prompt.
pub(crate) const BASE_SOURCE: &[ColumnSpec] = &[
    ColumnSpec::float("base", "metric", "The metric of this checkpoint"),
    ColumnSpec::float("source", "metric", "The metric of the source checkpoint"),
];

/// The effect on one pair.
pub(crate) const EFFECT: &[ColumnSpec] = &[
    ColumnSpec::float("patched", "metric", "The metric of the patched run"),
    ColumnSpec::float(
        "effect",
        "",
        "(patched − base) / (source − base): base is the run that is patched, source the run that is taken from; null \
         where the two do not differ",
    ),
];

/// The effect over pairs.
pub(crate) const MEAN_EFFECT: &[ColumnSpec] = &[
    ColumnSpec::float("patched", "metric", "The metric of the patched run"),
    ColumnSpec::float(
        "effect",
        "",
        "(patched − base) / (source − base) of the means over pairs: base is the run that is patched, source the run \
         that is taken from; null where the two do not differ",
    ),
    ColumnSpec::float("effect_low", "", "Lower end of the effect's 95 % bootstrap interval over pairs"),
    ColumnSpec::float("effect_high", "", "Upper end of the effect's 95 % bootstrap interval over pairs"),
    ColumnSpec::float("effect_mean", "", "Mean over pairs of each pair's own effect"),
];

/// What an intervention changes in one pair's run.
pub(crate) const DELTA: &[ColumnSpec] = &[
    ColumnSpec::float("base", "metric", "The metric of the run without the intervention"),
    ColumnSpec::float("changed", "metric", "The metric of the run with the intervention"),
    ColumnSpec::float("delta", "metric", "changed − base"),
];

/// What an intervention changes over pairs.
pub(crate) const MEAN_DELTA: &[ColumnSpec] = &[
    ColumnSpec::float("base", "metric", "The mean metric of the runs without the intervention"),
    ColumnSpec::float("changed", "metric", "The mean metric of the runs with the intervention"),
    ColumnSpec::float("delta", "metric", "changed − base"),
    ColumnSpec::float("delta_low", "metric", "Lower end of the delta's 95 % bootstrap interval over pairs"),
    ColumnSpec::float("delta_high", "metric", "Upper end of the delta's 95 % bootstrap interval over pairs"),
];
