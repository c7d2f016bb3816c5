//! The facts about the suite, from `suite.json`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::{ModelId, Step};

/// How a model was trained, relative to the standard run of its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelFamily {
    /// Trained on the Pile.
    Standard,
    /// Trained on the deduplicated Pile.
    Deduped,
    /// First release, on the Pile.
    V0,
    /// First release, on the deduplicated Pile.
    V0Deduped,
    /// Another seed for initialisation and data order.
    Seed,
    /// Another seed for the data order alone.
    DataSeed,
    /// Another seed for the initialisation alone.
    WeightSeed,
    /// The last part of training repeated with masculine pronouns replaced by feminine ones.
    Intervention,
}

/// The shape of the models of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Shape {
    /// Blocks.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Heads per block.
    pub n_heads: usize,
    /// Width of the MLP.
    pub d_mlp: usize,
    /// Rows of the embedding, padding included.
    pub vocab_size: usize,
    /// Rotating dimensions of each head.
    pub rotary_ndims: usize,
    /// Trained parameters.
    pub n_params: u64,
    /// Expected bytes of the published weights of one checkpoint, all shards together.
    pub file_bytes: u64,
}

/// One model of the suite.
#[derive(Clone, Debug)]
pub struct SuiteModel {
    /// Its id.
    pub id: ModelId,
    /// Name without the organisation.
    pub name: String,
    /// Its size as in the name, such as `1.4b`.
    pub size: String,
    /// How it was trained.
    pub family: ModelFamily,
    /// Its shape.
    pub shape: Shape,
    /// Whether the branch `main` has weights. Other models need a step.
    pub has_main: bool,
    /// Its name before the suite was renamed, where that differs.
    pub old_name: Option<String>,
    /// Whether the public hub is known to have it.
    pub confirmed: bool,
    /// Labels per step of the optimiser: 2 in three sizes of the first release, else 1.
    pub labels_per_real_step: u32,
    grid: &'static [Step],
}

impl SuiteModel {
    /// Published steps, ascending.
    pub fn grid(&self) -> &'static [Step] {
        self.grid
    }

    /// Number of published checkpoints.
    pub fn n_checkpoints(&self) -> usize {
        self.grid.len()
    }
}

/// The kind of a fault of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The branch serves the weights of another step.
    WrongWeights,
    /// The branch holds no weights.
    Missing,
    /// The weights are of another run than the later steps.
    BrokenLineage,
    /// Equal to another step for a known reason; nothing is wrong.
    ExpectedDuplicate,
    /// Reported as wrong, contradicted by other evidence.
    Disputed,
    /// Right, but not independent of another model.
    NotIndependent,
}

impl Fault {
    /// Whether results of this checkpoint are wrong or missing.
    pub fn is_defect(self) -> bool {
        matches!(self, Self::WrongWeights | Self::Missing | Self::BrokenLineage)
    }

    /// Whether there are no weights to load.
    pub fn is_absence(self) -> bool {
        self == Self::Missing
    }
}

/// A known fault of published checkpoints.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownBad {
    /// Names of the affected models; empty for all.
    models: Vec<String>,
    /// The kind of the fault.
    pub kind: Fault,
    /// Affected labels, as inclusive ranges.
    steps: Vec<(u32, u32)>,
    /// A sentence about what is wrong.
    pub problem: String,
    /// The source of the finding.
    pub source: String,
}

impl KnownBad {
    /// Whether this checkpoint is affected.
    pub fn concerns(&self, model: ModelId, step: Step) -> bool {
        self.concerns_name(model.name(), step)
    }

    /// Whether this step of the model of that name is affected, also if the suite does not have the model.
    pub fn concerns_name(&self, model: &str, step: Step) -> bool {
        let model = self.models.is_empty() || self.models.iter().any(|name| name == model);
        model && self.steps.iter().any(|&(from, to)| (from..=to).contains(&step.label()))
    }
}

/// The whole suite.
#[derive(Debug)]
pub struct Suite {
    sources: Vec<String>,
    organisation: String,
    tokens_per_step: u64,
    tokenizer_ids: usize,
    n_ctx: usize,
    models: Vec<SuiteModel>,
    known_bad: Vec<KnownBad>,
}

/// The suite, read once from the facts compiled into this crate.
pub fn suite() -> &'static Suite {
    static SUITE: OnceLock<Suite> = OnceLock::new();
    SUITE.get_or_init(|| {
        let raw: RawSuite = serde_json::from_str(include_str!("../../suite.json")).expect("suite.json is tested");
        raw.assemble()
    })
}

impl Suite {
    /// Every model, in the suite's order.
    pub fn models() -> &'static [SuiteModel] {
        &suite().models
    }

    /// Where the facts come from.
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// The organisation that publishes the suite.
    pub fn organisation(&self) -> &str {
        &self.organisation
    }

    /// Tokens per step of a label: 1024 sequences of 2048.
    pub fn tokens_per_step(&self) -> u64 {
        self.tokens_per_step
    }

    /// Number of ids of the tokenizer. The rows of the embedding from there on are padding.
    pub fn tokenizer_ids(&self) -> usize {
        self.tokenizer_ids
    }

    /// Longest context of every model.
    pub fn n_ctx(&self) -> usize {
        self.n_ctx
    }

    /// The known defect of a published checkpoint. Models and steps without a defect may still have remarks.
    pub fn known_bad(&self, model: ModelId, step: Step) -> Option<&KnownBad> {
        self.remarks(model, step).find(|entry| entry.kind.is_defect())
    }

    /// Everything known about a published checkpoint, also harmless facts.
    pub(crate) fn remarks(&self, model: ModelId, step: Step) -> impl Iterator<Item = &KnownBad> {
        self.known_bad.iter().filter(move |entry| entry.concerns(model, step))
    }
}

/// The form of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSuite {
    sources: Vec<String>,
    organisation: String,
    tokens_per_step: u64,
    tokenizer_ids: usize,
    n_ctx: usize,
    grids: BTreeMap<String, RawGrid>,
    sizes: BTreeMap<String, Shape>,
    models: Vec<RawModel>,
    known_bad: Vec<KnownBad>,
}

/// A few early steps, then evenly spaced ones.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGrid {
    early: Vec<u32>,
    first: u32,
    last: u32,
    every: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    name: String,
    size: String,
    family: ModelFamily,
    grid: String,
    #[serde(default = "yes")]
    main: bool,
    old_name: Option<String>,
    #[serde(default = "one")]
    labels_per_real_step: u32,
    /// Whether it could not be confirmed that the public hub has it.
    #[serde(default)]
    unconfirmed: bool,
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

impl RawSuite {
    fn assemble(self) -> Suite {
        // The suite exists as long as the program, so its few grids are leaked and every model borrows one.
        let grids: BTreeMap<String, &'static [Step]> =
            self.grids.into_iter().map(|(name, grid)| (name, &*grid.steps().leak())).collect();
        let models = self.models.into_iter().enumerate();
        let models = models.map(|(at, raw)| SuiteModel {
            id: ModelId::from_index(at),
            shape: self.sizes[&raw.size],
            grid: grids[&raw.grid],
            name: raw.name,
            size: raw.size,
            family: raw.family,
            has_main: raw.main,
            confirmed: !raw.unconfirmed,
            old_name: raw.old_name,
            labels_per_real_step: raw.labels_per_real_step,
        });
        Suite {
            sources: self.sources,
            organisation: self.organisation,
            tokens_per_step: self.tokens_per_step,
            tokenizer_ids: self.tokenizer_ids,
            n_ctx: self.n_ctx,
            models: models.collect(),
            known_bad: self.known_bad,
        }
    }
}

impl RawGrid {
    fn steps(&self) -> Vec<Step> {
        let even = (self.first..=self.last).step_by(self.every);
        self.early.iter().copied().chain(even).map(Step::from_label).collect()
    }
}
