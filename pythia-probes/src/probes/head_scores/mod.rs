//! What attention heads attend to, on random tokens that repeat or on prompts of one's own.
//!
//! Several incompatible scores share the name "induction score". All of them are given, each under its own
//! `definition`, each beside what *uniform* attention scores: the same formula on the same tokens for a head that
//! spreads its attention evenly over what it can see (1/(q+1) at query q). Uniform attention already scores about ln
//! 2 / N on the induction stripe.
//!
//! The patterns are reduced while the model runs, one layer at a time, and never kept: in float64 on the CPU, else
//! where they are.

mod detector;
mod mask;
mod on_device;
mod reader;
mod sums;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ProbeError;
use crate::families::reading::{Reader, ReadingInput, ReadingProbe, ReadingRun};
use crate::probe::Probe;
use crate::prompts::PromptSource;
use crate::subject::Context;
use crate::table::columns::{HEAD, LAYER, PROMPT_ID};
use crate::table::{ColumnSpec, TableSpec, refuse_too_many};
use detector::{Detector, Layout};
use mask::Exclude;
#[cfg(all(test, feature = "wgpu"))]
pub(crate) use on_device::tests::agree;
use reader::PatternReader;

const KIND: &str = "head_scores";

/// What a head is scored for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScoreFamily {
    /// Attention from a token to what followed its earlier occurrence (Olsson et al. 2022).
    Induction,
    /// Attention to the token before.
    PreviousToken,
    /// Attention to earlier occurrences of the same token.
    DuplicateToken,
    /// Attention to the token itself.
    CurrentToken,
    /// Attention to the first position, on which heads put what they do not attend elsewhere (an attention sink).
    BosSink,
}

impl ScoreFamily {
    /// Every family, in the order of the table.
    pub const ALL: [ScoreFamily; 5] = [
        ScoreFamily::Induction,
        ScoreFamily::PreviousToken,
        ScoreFamily::DuplicateToken,
        ScoreFamily::CurrentToken,
        ScoreFamily::BosSink,
    ];

    /// The name in the `score` column.
    pub fn name(self) -> &'static str {
        match self {
            ScoreFamily::Induction => "induction",
            ScoreFamily::PreviousToken => "previous_token",
            ScoreFamily::DuplicateToken => "duplicate_token",
            ScoreFamily::CurrentToken => "current_token",
            ScoreFamily::BosSink => "bos_sink",
        }
    }
}

/// Scores of every attention head on repeated random tokens: induction, previous token, duplicate token, current
/// token, BOS sink.
///
/// The prompts may also be texts or tokens of any lengths. Then there is a second table, `NAME_examples`, with a row
/// per prompt, and the definitions that compare repeats (`tl_stripe`, `arena_stripe`, `stripe`, `prefix_sum`,
/// `prefix_mean`) are null with the status `needs_repeats`. All others go by the tokens alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeadScores {
    /// What to score; all by default.
    pub scores: Vec<ScoreFamily>,
    /// The prompts: random tokens that repeat, `{ n = 8, half_len = 50, repeats = 2 }` by default, or
    /// `{ texts = ["…"] }`, `{ tokens = [[1, 2]] }`, `{ file = "prompts.jsonl" }` of any lengths. Every value of the
    /// main table is a mean over them.
    pub prompts: PromptSource<8, 50>,
    /// Leave attention to the first position out of the `tl_detect` definitions (TransformerLens: `exclude_bos`).
    pub exclude_bos: bool,
    /// Leave attention to the current token out of the `tl_detect` definitions (TransformerLens:
    /// `exclude_current_token`).
    pub exclude_current: bool,
}

impl Default for HeadScores {
    fn default() -> Self {
        Self {
            scores: ScoreFamily::ALL.to_vec(),
            prompts: PromptSource::default(),
            exclude_bos: false,
            exclude_current: false,
        }
    }
}

const SCORE: &[ColumnSpec] = &[
    ColumnSpec::text(
        "score",
        "What the head is scored for: `induction`, `previous_token`, `duplicate_token`, `current_token`, `bos_sink` \
         (`first_token_sink` without a BOS)",
    ),
    ColumnSpec::text(
        "definition",
        "Formula of the score: `tl_stripe` (no BOS) or `arena_stripe` (with BOS), `stripe`, `tl_detect_mul`, \
         `tl_detect_abs`, `prefix_sum`, `prefix_mean`, `strict`, `mask_mean`; the `tl_detect` ones end in \
         `+exclude_bos`, `+exclude_current` or both where the probe leaves these entries out",
    ),
];

const UNIFORM: &[ColumnSpec] = &[
    ColumnSpec::float("uniform", "", "The same formula where each query attends evenly to all it can see"),
    ColumnSpec::float("value_minus_uniform", "", "`value` minus `uniform`"),
    ColumnSpec::text(
        "status",
        "`ok`, or why the value is null: `undefined` where a number could not be computed, `needs_repeats` where the \
         definition compares repeats and the prompts are given one by one",
    ),
];

impl HeadScores {
    pub(crate) const TABLES: &'static [TableSpec] = &[
        TableSpec {
            suffix: "",
            doc: "A row per head and definition of a score: means over the prompts",
            columns: &[
                &[LAYER, HEAD],
                SCORE,
                &[ColumnSpec::float("value", "", "The score, a mean over the prompts")],
                UNIFORM,
            ],
        },
        TableSpec {
            suffix: "examples",
            doc: "A row per prompt, head and definition of a score, where prompts are given one by one",
            columns: &[
                &[PROMPT_ID, LAYER, HEAD],
                SCORE,
                &[ColumnSpec::float("value", "", "The score on the prompt")],
                UNIFORM,
            ],
        },
    ];

    /// A small configuration, for tests of all probes.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self { prompts: PromptSource::random(2, 6), ..Self::default() }
    }

    /// Refuses prompts that cannot be run, and more of them than a table has rows for.
    fn check_prompts(&self, context: &Context) -> Result<(), ProbeError> {
        if self.main_table_only() {
            return self.prompts.repeats_only(KIND, context).map(|_| ());
        }
        let (prompts, shape) = (self.prompts.lengths(context)?.len(), context.config.model_shape());
        let definitions = Detector::all(self, self.layout(context.prepend_bos)).len();
        let rows = prompts as u64 * (shape.n_layers * shape.n_heads * definitions) as u64;
        refuse_too_many(rows)
    }

    /// What the definitions need to know of the prompts.
    fn layout(&self, prepend_bos: bool) -> Layout {
        match self.prompts.given_by() {
            None => self.prompts.layout(prepend_bos).into(),
            Some(_) => Layout { bos: self.prompts.bos(prepend_bos), half_len: None },
        }
    }

    /// What the `tl_detect` definitions leave out.
    fn exclude(&self) -> Exclude {
        Exclude { first: self.exclude_bos, current: self.exclude_current }
    }
}

impl Probe for HeadScores {
    fn main_table_only(&self) -> bool {
        self.prompts.given_by().is_none()
    }

    fn files(&self) -> Vec<&Path> {
        self.prompts.files()
    }

    fn reads_logits(&self) -> bool {
        false
    }

    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        self.check_prompts(context)?;
        if self.scores.is_empty() {
            return Err(ProbeError::Empty { field: "scores" });
        }
        let count = |family: &ScoreFamily| self.scores.iter().filter(|have| *have == family).count();
        let twice = ScoreFamily::ALL.into_iter().find(|family| count(family) > 1);
        twice.map_or(Ok(()), |family| Err(ProbeError::Repeated { field: "scores", name: family.name() }))
    }

    fn tokens_per_run(&self, context: &Context) -> (usize, usize) {
        self.prompts.size(context)
    }
}

impl ReadingProbe for HeadScores {
    fn input(&self, context: &Context) -> Result<ReadingInput, ProbeError> {
        self.prompts.prompts(context).map(ReadingInput::from)
    }

    fn reader<'a>(&'a self, run: ReadingRun<'a>) -> Box<dyn Reader + 'a> {
        let layout = self.layout(run.context.prepend_bos);
        Box::new(PatternReader::new(self, layout, &run.input.prompts, run.context.config.n_layers))
    }
}
