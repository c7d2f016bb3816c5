//! The Pythia suite as types: which models exist, which checkpoints each has, how large they are, and which of the
//! published ones are known to be wrong.
//!
//! The facts stand in `suite.json` beside this crate. [`ModelId`] and [`Checkpoint`] can only be made for what is
//! listed there, so the rest of the code never meets a model or a step that does not exist.

mod facts;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

pub use facts::{Family, Fault, KnownBad, ModelInfo, Shape, Suite, suite};

/// A checkpoint's label: the N of its branch `stepN`. Whether a model has it is the model's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step(u32);

impl Step {
    /// The step with this label.
    pub fn from_label(label: u32) -> Self {
        Self(label)
    }

    /// The number in the branch's name.
    pub fn label(self) -> u32 {
        self.0
    }

    /// Tokens seen in training when each step of the label's count reads `tokens_per_step` of them.
    pub fn tokens_seen(self, tokens_per_step: u64) -> u64 {
        u64::from(self.0).saturating_mul(tokens_per_step)
    }
}

impl fmt::Display for Step {
    /// The branch's name, `stepN`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step{}", self.0)
    }
}

impl FromStr for Step {
    type Err = SuiteError;

    /// Reads `step512` or `512`; anything else (`step0512`, `+5`) is refused, so that one step has one name.
    fn from_str(text: &str) -> Result<Self, SuiteError> {
        let digits = text.strip_prefix("step").unwrap_or(text);
        let label = digits.parse().ok().filter(|label: &u32| label.to_string() == digits);
        label.map(Self).ok_or_else(|| SuiteError::NotAStep { found: text.to_owned() })
    }
}

/// One of the suite's models. Ordered as the suite lists them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(u16);

impl ModelId {
    fn from_index(at: usize) -> Self {
        Self(u16::try_from(at).expect("the suite has fewer than 65,536 models"))
    }

    /// Everything known about the model.
    pub fn info(self) -> &'static ModelInfo {
        &Suite::models()[usize::from(self.0)]
    }

    /// Name without the organisation, such as `pythia-70m-deduped`.
    pub fn name(self) -> &'static str {
        &self.info().name
    }

    /// Name with the organisation, as the public hub addresses the model.
    pub fn hub_name(self) -> String {
        format!("{}/{}", suite().organisation(), self.name())
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelId({})", self.name())
    }
}

impl FromStr for ModelId {
    type Err = SuiteError;

    /// Reads a name with or without the organisation. The names of the first release (19m … 13b) mean the `-v0`
    /// models, which is where the public hub redirects them.
    fn from_str(text: &str) -> Result<Self, SuiteError> {
        let suite = suite();
        let own = text.strip_prefix(suite.organisation()).and_then(|rest| rest.strip_prefix('/'));
        let name = own.unwrap_or(text);
        let known = |info: &&ModelInfo| info.name == name || info.old_name.as_deref() == Some(name);
        match Suite::models().iter().find(known) {
            Some(info) => Ok(info.id),
            None => {
                let nearest = pythia_hooks::nearest(name, Suite::models().iter().map(|info| info.name.as_str()));
                Err(SuiteError::UnknownModel { found: text.to_owned(), nearest })
            }
        }
    }
}

/// A model and a step that the model was published at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checkpoint {
    model: ModelId,
    step: Step,
}

impl Checkpoint {
    /// The checkpoint, if the model has one at this step.
    ///
    /// # Errors
    /// [`SuiteError::UnknownStep`] with the published steps on either side.
    pub fn new(model: ModelId, step: Step) -> Result<Self, SuiteError> {
        let grid = model.info().grid();
        let above = grid.partition_point(|&on| on < step);
        if grid.get(above) == Some(&step) {
            return Ok(Self { model, step });
        }
        let beside = grid[above.saturating_sub(1)..grid.len().min(above + 1)].to_vec();
        Err(SuiteError::UnknownStep { model, found: step, nearest: beside })
    }

    /// The model.
    pub fn model(self) -> ModelId {
        self.model
    }

    /// The step.
    pub fn step(self) -> Step {
        self.step
    }

    /// Tokens seen in training. Labels count equal batches in every model, also in the `-v0` models whose optimiser
    /// made half as many steps of twice the size.
    pub fn tokens_seen(self) -> u64 {
        self.step.tokens_seen(suite().tokens_per_step())
    }

    /// What is known to be wrong with the published files, if anything is.
    pub fn known_bad(self) -> Option<&'static KnownBad> {
        suite().known_bad(self.model, self.step)
    }
}

/// What a name or a number of the suite can be wrong about.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SuiteError {
    /// No model has this name.
    #[error("no model of the suite is called {found:?}; nearest: {}", nearest.join(", "))]
    UnknownModel {
        /// What was asked for.
        found: String,
        /// Names that exist, best first.
        nearest: Vec<String>,
    },
    /// The model was not published at this step.
    #[error("{model} has no {found}; nearest: {}", list(nearest))]
    UnknownStep {
        /// The model.
        model: ModelId,
        /// What was asked for.
        found: Step,
        /// The steps on either side.
        nearest: Vec<Step>,
    },
    /// Not the name of a step at all.
    #[error("{found:?} is not a step; write a number such as 512, or step512")]
    NotAStep {
        /// What was found.
        found: String,
    },
}

fn list(steps: &[Step]) -> String {
    steps.iter().map(Step::to_string).collect::<Vec<_>>().join(", ")
}
