//! The Pythia suite as types: its models, their sizes and checkpoints, and the known faults of published checkpoints.
//!
//! The facts are in `suite.json` of this crate. [`ModelId`] and [`Checkpoint`] can only be made for what is
//! listed there, so the rest of the code never meets a model or a step that does not exist.
//!
//! ```
//! use pythia_core::suite::{Fault, ModelFamily, ModelId, Step, SuiteError, suite};
//!
//! let model: ModelId = "pythia-2.8b".parse()?;
//! let info = model.info();
//! assert_eq!((info.family, info.shape.n_layers, info.n_checkpoints()), (ModelFamily::Standard, 32, 154));
//! assert_eq!(info.grid()[..3], [0, 1, 2].map(Step::from_label));
//!
//! // The branch step1000 has the weights of another step.
//! let fault = suite().known_bad(model, Step::from_label(1000)).expect("a known fault");
//! assert_eq!(fault.kind, Fault::WrongWeights);
//! assert!(matches!("pythia-3b".parse::<ModelId>(), Err(SuiteError::UnknownModel { .. })));
//! # Ok::<(), SuiteError>(())
//! ```

mod facts;

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

pub use facts::{Fault, KnownBad, ModelFamily, Shape, Suite, SuiteModel, suite};

/// A checkpoint's label: the N of its branch `stepN`. A model need not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step(u32);

impl Step {
    /// The step with this label, which a model need not have.
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

impl From<u32> for Step {
    /// The step with this label.
    fn from(label: u32) -> Self {
        Self::from_label(label)
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

    /// The facts about the model.
    pub fn info(self) -> &'static SuiteModel {
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
        let known = |info: &&SuiteModel| info.name == name || info.old_name.as_deref() == Some(name);
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
///
/// ```
/// use pythia_core::suite::{Checkpoint, ModelId, Step};
///
/// let model: ModelId = "pythia-70m".parse()?;
/// let last = Checkpoint::new(model, Step::from_label(143_000))?;
/// assert_eq!(last.tokens_seen(), 299_892_736_000);
/// let error = Checkpoint::new(model, Step::from_label(1500)).unwrap_err();
/// assert_eq!(error.to_string(), "pythia-70m has no step1500; nearest: step1000, step2000");
/// # Ok::<(), pythia_core::suite::SuiteError>(())
/// ```
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

    /// Model of the suite that was published at this step.
    pub fn model(self) -> ModelId {
        self.model
    }

    /// Training step, one at which the model was published.
    pub fn step(self) -> Step {
        self.step
    }

    /// Tokens seen in training. Labels count equal batches in every model, also in the `-v0` models whose optimiser
    /// made half as many steps of twice the size.
    pub fn tokens_seen(self) -> u64 {
        self.step.tokens_seen(suite().tokens_per_step())
    }

    /// The known defect of the published files.
    pub fn known_bad(self) -> Option<&'static KnownBad> {
        suite().known_bad(self.model, self.step)
    }
}

/// A name or a step that the suite does not have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SuiteError {
    /// No model has this name.
    #[error("no model of the suite is called {found:?}{}", names(nearest))]
    UnknownModel {
        /// The requested name.
        found: String,
        /// Names that exist, best first.
        nearest: Vec<String>,
    },
    /// The model was not published at this step.
    #[error("{model} has no {found}; nearest: {}", list(nearest))]
    UnknownStep {
        /// Model that was asked for.
        model: ModelId,
        /// The requested step.
        found: Step,
        /// The steps on either side.
        nearest: Vec<Step>,
    },
    /// Not the name of a step.
    #[error("{found:?} is not a step; write a number such as 512, or step512")]
    NotAStep {
        /// What was found.
        found: String,
    },
}

fn names(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; nearest: {}", nearest.join(", ")) }
}

fn list(steps: &[Step]) -> String {
    steps.iter().map(Step::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ModelId {
        name.parse().unwrap()
    }

    #[test]
    fn the_grids_have_their_known_lengths() {
        assert_eq!(Suite::models().len(), 91);
        let grid = id("pythia-70m").info().grid();
        assert_eq!(grid.len(), 154);
        let early: Vec<u32> = grid[..13].iter().map(|step| step.label()).collect();
        assert_eq!(early, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 2000]);
        assert_eq!(grid[153].label(), 143_000);
        let first_release = id("pythia-70m-v0").info();
        assert_eq!((first_release.n_checkpoints(), first_release.grid()[0].label()), (143, 1000));
        assert!(Suite::models().iter().all(|info| info.grid().is_sorted_by(|a, b| a < b)));
    }

    #[test]
    fn sizes_follow_from_shapes() {
        for info in Suite::models() {
            let shape = info.shape;
            let [l, d, m, v] = [shape.n_layers, shape.d_model, shape.d_mlp, shape.vocab_size].map(|n| n as u64);
            let params = l * (4 * d * d + 8 * d + 2 * d * m + m + d) + 2 * d + 2 * v * d;
            assert_eq!(params, shape.n_params, "{}", info.name);
            let weights_and_masks = 2 * params + l * 2048 * 2048;
            assert!(shape.file_bytes >= weights_and_masks && shape.file_bytes < weights_and_masks + 200_000);
            assert_eq!(shape.d_model / shape.n_heads / 4, shape.rotary_ndims);
        }
    }

    #[test]
    fn names_are_read_with_and_without_the_organisation() {
        for info in Suite::models() {
            assert_eq!(id(&info.name), info.id);
            assert_eq!(id(&info.id.hub_name()), info.id);
        }
        assert_eq!(id("pythia-125m-deduped").name(), "pythia-160m-deduped-v0");
        assert_eq!(id("EleutherAI/pythia-13b").name(), "pythia-12b-v0");
        for name in ["pythia-160m-weight-seed2", "pythia-160m-data-seed3", "pythia-intervention-6.9b-deduped"] {
            assert_eq!(id(name).name(), name);
        }
    }

    #[test]
    fn unknown_names_come_with_the_nearest() {
        let SuiteError::UnknownModel { nearest, .. } = "pythia-70m-dedup".parse::<ModelId>().unwrap_err() else {
            panic!("another error")
        };
        assert!(nearest.contains(&"pythia-70m-deduped".to_owned()), "{nearest:?}");
        assert!("Other/pythia-70m".parse::<ModelId>().is_err());
        assert!("".parse::<ModelId>().is_err());
    }

    #[test]
    fn steps_have_one_spelling() {
        assert_eq!("step512".parse(), Ok(Step::from_label(512)));
        assert_eq!("0".parse(), Ok(Step::from_label(0)));
        assert_eq!(Step::from_label(1000).to_string(), "step1000");
        for bad in ["", "step", "step-1", "+5", "step0512", "5 ", "99999999999", "main"] {
            assert_eq!(bad.parse::<Step>(), Err(SuiteError::NotAStep { found: bad.to_owned() }));
        }
    }

    #[test]
    fn checkpoints_exist_or_say_what_does() {
        let model = id("pythia-160m-v0");
        let last = Checkpoint::new(model, Step::from_label(143_000)).unwrap();
        assert_eq!(last.tokens_seen(), 299_892_736_000);
        assert_eq!(model.info().labels_per_real_step, 2);
        let error = Checkpoint::new(model, Step::from_label(1500)).unwrap_err();
        assert_eq!(error.to_string(), "pythia-160m-v0 has no step1500; nearest: step1000, step2000");
        let error = Checkpoint::new(model, Step::from_label(512)).unwrap_err();
        assert_eq!(error.to_string(), "pythia-160m-v0 has no step512; nearest: step1000");
        let error = Checkpoint::new(model, Step::from_label(144_000)).unwrap_err();
        assert_eq!(error.to_string(), "pythia-160m-v0 has no step144000; nearest: step143000");
    }

    #[test]
    fn known_bad_checkpoints_are_known() {
        let bad = |name: &str| -> Vec<u32> {
            let model = id(name);
            let grid = model.info().grid().iter();
            grid.filter(|&&step| suite().known_bad(model, step).is_some()).map(|step| step.label()).collect()
        };
        assert_eq!(bad("pythia-2.8b").len(), 86);
        assert_eq!(bad("pythia-12b"), [50_000, 58_000]);
        assert_eq!(bad("pythia-410m-seed9"), [40_000]);
        assert_eq!(bad("pythia-160m-weight-seed1"), [0]);
        let total: usize = Suite::models().iter().map(|info| bad(&info.name).len()).sum();
        assert_eq!(total, 86 + 2 + 3 + 2);
        // Harmless facts are remarks, not defects.
        let model = id("pythia-70m");
        assert!(suite().remarks(model, Step::from_label(1)).any(|entry| entry.kind == Fault::ExpectedDuplicate));
        let same = suite().known_bad(id("pythia-12b"), Step::from_label(50_000)).unwrap();
        assert_eq!((same.kind, same.kind.is_defect()), (Fault::WrongWeights, true));
        assert!(!same.source.is_empty());
    }

    #[test]
    fn branches_without_main_are_known() {
        assert!(id("pythia-70m").info().has_main && id("pythia-160m-seed1").info().has_main);
        assert!(!id("pythia-70m-seed1").info().has_main && !id("pythia-160m-data-seed1").info().has_main);
    }
}
