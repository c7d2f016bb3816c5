//! The closed list of probes, and what the outside must know of one before it runs.

use std::collections::BTreeSet;
use std::path::Path;

use pythia_core::config::NeoxConfig;
use pythia_core::params::Param;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::ProbeError;
use crate::families::causal::{self, CausalProbe};
use crate::families::reading::Reading;
use crate::families::weights::WeightProbe;
use crate::pairs::Pairs;
use crate::probes::ablation::Ablation;
use crate::probes::activation_patching::ActivationPatching;
use crate::probes::attention_patterns::AttentionPatterns;
use crate::probes::cross_checkpoint::CrossCheckpoint;
use crate::probes::head_scores::HeadScores;
use crate::probes::induction_loss::InductionLoss;
use crate::probes::interventions::InterventionRuns;
use crate::probes::logit_lens::LogitLens;
use crate::probes::path_patching::PathPatching;
use crate::probes::steering::Steering;
use crate::probes::token_loss::TokenLoss;
use crate::probes::weight_norms::WeightNorms;
use crate::subject::Context;

/// What every probe answers about itself before it runs, whichever its family.
pub(crate) trait Probe {
    /// Whether the probe needs logits, so that the model must be run to its end.
    fn reads_logits(&self) -> bool;

    /// Refuses a configuration that can have no answer.
    ///
    /// # Errors
    /// The first thing that is wrong, with the field and its value.
    fn check(&self, context: &Context) -> Result<(), ProbeError>;

    /// What one run reads: prompts, and tokens in the longest of them.
    fn tokens_per_run(&self, context: &Context) -> (usize, usize);

    /// What it costs, where that is not one pass over [`tokens_per_run`](Probe::tokens_per_run).
    fn estimate(&self, _: &Context) -> Option<Estimate> {
        None
    }

    /// What it costs besides that pass.
    fn extra(&self, _: &Context) -> Estimate {
        Estimate::default()
    }

    /// The names of its tables; the empty one is the probe's main table.
    fn tables(&self) -> &'static [&'static str] {
        &[""]
    }

    /// The files it reads.
    fn files(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// The other checkpoints it reads.
    fn source_checkpoints(&self) -> Vec<u32> {
        Vec::new()
    }
}

/// What a probe costs beside the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes at the peak.
    pub memory: u64,
}

/// How a probe is run.
#[derive(Clone, Copy)]
pub(crate) enum Family<'a> {
    /// Prompts → one pass over the model, shared with other probes → a table.
    Reading(&'a dyn Reading),
    /// Pairs of prompts → base runs, shared with other probes → intervened runs → tables.
    Causal(&'a dyn CausalProbe),
    /// Parameters, one by one and without a model → tables.
    Weights(&'a dyn WeightProbe),
}

impl<'a> Family<'a> {
    fn probe(self) -> &'a dyn Probe {
        match self {
            Family::Reading(probe) => probe,
            Family::Causal(probe) => probe,
            Family::Weights(probe) => probe,
        }
    }
}

/// A probe as a person chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeKind {
    /// Its name in an experiment file, and of its table.
    pub name: &'static str,
    /// What it measures, in a line.
    pub doc: &'static str,
}

/// A row per probe: variant, configuration, family, name, what it measures. Everything that lists probes is made from here;
/// what a new row must bring besides, the compiler asks for.
macro_rules! probes {
    ($($variant:ident($config:ty): $family:ident, $name:literal, $doc:literal;)+) => {
        /// A probe together with its configuration: the struct of a variant *is* the configuration.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub enum ProbeSpec {
            $(#[doc = $doc] #[serde(rename = $name)] $variant($config),)+
        }

        impl ProbeSpec {
            /// Every probe there is, in the order in which they are listed.
            pub const KINDS: &[ProbeKind] = &[$(ProbeKind { name: $name, doc: $doc },)+];

            /// The configuration of the probe called `kind`, from anything serde reads; `None` if there is no such probe.
            ///
            /// Reading the kind first and then one plain struct keeps the place of an error, which tagged enums lose.
            ///
            /// # Errors
            /// Those of the deserializer: an unknown field, a value of the wrong type.
            pub fn read<'de, D: Deserializer<'de>>(kind: &str, from: D) -> Result<Option<Self>, D::Error> {
                match kind {
                    $($name => <$config>::deserialize(from).map(|config| Some(Self::$variant(config))),)+
                    _ => Ok(None),
                }
            }

            /// The name of the probe, as in [`KINDS`](Self::KINDS).
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)+
                }
            }

            /// How it is run.
            pub(crate) fn family(&self) -> Family<'_> {
                match self {
                    $(Self::$variant(config) => Family::$family(config),)+
                }
            }
        }
    };
}

probes! {
    HeadScores(HeadScores): Reading, "head_scores",
        "what every attention head attends to on repeated random tokens: induction, previous, duplicate and current token, BOS sink";
    InductionLoss(InductionLoss): Reading, "induction_loss",
        "loss on both halves of repeated random tokens, accuracy on the second, in-context score";
    TokenLoss(TokenLoss): Reading, "token_loss",
        "loss of every token of every prompt";
    AttentionPatterns(AttentionPatterns): Reading, "attention_patterns",
        "attention patterns of a few chosen prompts, entry by entry";
    LogitLens(LogitLens): Reading, "logit_lens",
        "what the model would answer after each block: the stream at every depth through the final norm and the unembedding";
    ActivationPatching(ActivationPatching): Causal, "activation_patching",
        "activations of one prompt of a pair written into the run of the other, place by place";
    PathPatching(PathPatching): Causal, "path_patching",
        "what one component of the model sends to one input of another, with everything between them frozen";
    CrossCheckpoint(CrossCheckpoint): Causal, "cross_checkpoint",
        "activations and weights of another checkpoint put into this one on the same prompts, place by place";
    Ablation(Ablation): Causal, "ablation",
        "what is lost where activations are replaced by zeros, means or those of other prompts: heads, layers, sets of heads";
    Steering(Steering): Causal, "steering",
        "a multiple of a vector, of a file or a difference of means, added to a place of the stream";
    Interventions(InterventionRuns): Causal, "interventions",
        "edits of runs as the experiment file lists them: zero, scale, mean, other prompt, vector";
    WeightNorms(WeightNorms): Weights, "weight_norms",
        "size of parameters and of what each head has of them; reads weights alone, and of the files no others";
}

impl ProbeSpec {
    /// Whether the probe needs logits, so that the model must be run to its end.
    pub fn reads_logits(&self) -> bool {
        self.family().probe().reads_logits()
    }

    /// Refuses a configuration that can have no answer on such a model, or a file that was not read.
    ///
    /// # Errors
    /// The first thing that is wrong, with the field and its value.
    pub fn check(&self, context: &Context) -> Result<(), ProbeError> {
        let missing = self.files().into_iter().find(|path| context.files.get(path).is_none());
        missing.map_or(Ok(()), |path| Err(ProbeError::NoFile { path: path.to_owned() }))?;
        self.family().probe().check(context)
    }

    /// What one run reads: prompts, and tokens in the longest of them.
    pub fn tokens_per_run(&self, context: &Context) -> (usize, usize) {
        self.family().probe().tokens_per_run(context)
    }

    /// What the probe costs beside the weights; `None` where that is one pass over [`tokens_per_run`](Self::tokens_per_run),
    /// which it shares with other probes.
    pub fn estimate(&self, context: &Context) -> Option<Estimate> {
        self.family().probe().estimate(context)
    }

    /// What the probe costs besides that pass: what it keeps of it, and what it computes afterwards.
    pub fn extra(&self, context: &Context) -> Estimate {
        self.family().probe().extra(context)
    }

    /// The names of the probe's tables, in the order in which it answers with them; never empty, each once. The empty name
    /// is that of the table which is called as the probe itself.
    pub fn tables(&self) -> &'static [&'static str] {
        self.family().probe().tables()
    }

    /// The files that the probe reads, as they are written in its configuration. Whoever runs it puts their contents into
    /// [`Subject::files`](crate::Subject::files); their content is part of what determines the answer.
    pub fn files(&self) -> Vec<&Path> {
        self.family().probe().files()
    }

    /// The pairs of prompts that the probe reads, and those of its file that were left out; `None` for a probe without pairs.
    ///
    /// # Errors
    /// What [`check`](Self::check) says of the pairs.
    pub fn pairs(&self, context: &Context) -> Option<Result<Pairs, ProbeError>> {
        match self.family() {
            Family::Reading(_) | Family::Weights(_) => None,
            Family::Causal(probe) => Some(causal::paired_runs::make_pairs(probe, context)),
        }
    }

    /// The parameters that the probe reads, where it reads weights alone and is asked by [`run_on_weights`](crate::run_on_weights);
    /// `None` for one that a model is run for.
    ///
    /// # Errors
    /// What [`check`](Self::check) says of them.
    pub fn weights_only(&self, config: &NeoxConfig) -> Option<Result<BTreeSet<Param>, ProbeError>> {
        match self.family() {
            Family::Reading(_) | Family::Causal(_) => None,
            Family::Weights(probe) => Some(probe.params(config)),
        }
    }

    /// The labels of the other checkpoints of the model that the probe reads, to be put into
    /// [`Subject::source_checkpoints`](crate::Subject::source_checkpoints).
    pub fn source_checkpoints(&self) -> Vec<u32> {
        self.family().probe().source_checkpoints()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::Files;

    fn specs() -> [ProbeSpec; 3] {
        [
            ProbeSpec::HeadScores(HeadScores::default()),
            ProbeSpec::InductionLoss(InductionLoss::default()),
            ProbeSpec::TokenLoss(TokenLoss::default()),
        ]
    }

    #[test]
    fn the_list_of_kinds_is_complete_and_in_order() {
        let kinds: Vec<&str> = ProbeSpec::KINDS.iter().map(|kind| kind.name).collect();
        assert_eq!(kinds[..3], specs().map(|spec| spec.kind()));
        let mut different = kinds.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), kinds.len());
        // Every kind has a configuration, which says so where a field is unknown.
        for kind in kinds {
            let error =
                ProbeSpec::read(kind, serde_json::json!({ "no_such_field": 1 })).map_err(|error| error.to_string());
            assert!(error.is_err_and(|error| error.contains("no_such_field")), "{kind}");
        }
    }

    #[test]
    fn a_configuration_is_read_by_the_name_of_its_probe() {
        use serde::de::value::{Error, MapDeserializer};
        let read = |kind: &str, field: &'static str| -> Result<Option<ProbeSpec>, Error> {
            ProbeSpec::read(kind, MapDeserializer::new([(field, 4_u32)].into_iter()))
        };
        let expected = HeadScores { batch: 4, ..HeadScores::default() };
        assert_eq!(read("head_scores", "batch"), Ok(Some(ProbeSpec::HeadScores(expected))));
        assert_eq!(read("head_score", "batch"), Ok(None));
        let error = read("induction_loss", "repeats").map_err(|error| error.to_string());
        assert!(error.is_err_and(|error| error.contains("unknown field `repeats`") && error.contains("half_len")));
    }

    #[test]
    fn probes_of_the_same_size_have_the_same_prompts() {
        let config = config(200);
        let context = context(&config);
        let [first, second, third] = specs().map(|spec| match spec.family() {
            Family::Reading(probe) => probe.prompts(&context).expect("there are ids"),
            _ => panic!("these three read"),
        });
        assert_eq!(first, second);
        assert_eq!(first, third);
        assert_eq!(specs().map(|spec| spec.tokens_per_run(&context)), [(8, 101); 3]);
        assert_eq!((first.batch(), first.len()), (8, 101));
    }

    #[test]
    fn what_can_have_no_answer_is_refused_with_its_datum() {
        let check = |spec: HeadScores, n_ctx| ProbeSpec::HeadScores(spec).check(&context(&config(n_ctx)));
        assert_eq!(check(HeadScores::default(), 101), Ok(()));
        assert_eq!(check(HeadScores::default(), 100), Err(ProbeError::TooLong { len: 101, n_ctx: 100 }));
        let once = HeadScores { repeats: 1, ..HeadScores::default() };
        assert_eq!(check(once, 200), Err(ProbeError::TooSmall { field: "repeats", value: 1, least: 2 }));
        let none = HeadScores { scores: Vec::new(), ..HeadScores::default() };
        assert_eq!(check(none, 200), Err(ProbeError::Empty { field: "scores" }));
    }

    #[test]
    fn a_name_in_the_table_of_probes_is_the_name_everywhere() {
        use serde::de::value::{Error, MapDeserializer};
        for spec in specs() {
            let none = MapDeserializer::<_, Error>::new(std::iter::empty::<(&str, u32)>());
            assert_eq!(ProbeSpec::read(spec.kind(), none), Ok(Some(spec.clone())), "{}", spec.kind());
            assert_eq!((spec.tables(), spec.files().len(), spec.source_checkpoints().len()), (&[""][..], 0, 0));
        }
    }

    fn context(config: &NeoxConfig) -> Context<'_> {
        Context { config, vocab: 64, prepend_bos: true, bos: 0, tokenizer: None, files: Files::NONE, seed: 3 }
    }

    fn config(n_ctx: usize) -> NeoxConfig {
        use pythia_core::config::{Rotary, Variant};
        NeoxConfig {
            n_layers: 1,
            d_model: 8,
            n_heads: 2,
            d_mlp: 16,
            vocab_size: 64,
            n_ctx,
            layer_norm_eps: 1e-5,
            rotary: Rotary { ndims: 2, base: 10_000.0 },
            variant: Variant { parallel_residual: true, tied_embeddings: false, attention_bias: true },
        }
    }
}
