//! What callers ask of a probe before it runs.

use std::collections::BTreeSet;
use std::path::Path;

use pythia_core::config::NeoxConfig;
use pythia_core::params::Param;

use super::ProbeSpec;
use crate::error::ProbeError;
use crate::families::ProbeFamily;
use crate::pairs::Pairs;
use crate::probe::Estimate;
use crate::subject::Context;
use crate::table::TableSpec;

/// A kind of probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeKind {
    /// Its name in an experiment file, and of its main table.
    pub name: &'static str,
    /// What it measures, in a line.
    pub doc: &'static str,
    /// The tables it can answer with, the main one first; a configuration may leave out further ones.
    pub tables: &'static [TableSpec],
}

/// A row per probe: variant, configuration, family, name, what it measures. Everything that lists probes is made from
/// here; what a new row must bring besides, the compiler asks for.
macro_rules! probes {
    ($($variant:ident($config:ty): $family:ident, $name:literal, $doc:literal;)+) => {
        /// A probe together with its configuration: the struct of a variant *is* the configuration.
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub enum ProbeSpec {
            $(#[doc = $doc] #[serde(rename = $name)] $variant($config),)+
        }

        impl ProbeSpec {
            /// Every kind of probe, in the order in which they are listed.
            pub const KINDS: &[ProbeKind] =
                &[$(ProbeKind { name: $name, doc: $doc, tables: <$config>::TABLES },)+];

            /// A small configuration of every kind, in that order.
            #[cfg(test)]
            pub(crate) fn examples() -> Vec<Self> {
                vec![$(Self::$variant(<$config>::example()),)+]
            }

            /// The configuration of the probe called `kind`, from anything serde reads; `None` if there is no such
            /// probe.
            ///
            /// Reading the kind first and then one plain struct keeps the place of an error, which tagged enums lose. A
            /// value stands for a list of one, numbers and texts for each other, and words may have any case.
            ///
            /// # Errors
            /// Those of the deserializer: an unknown field, a value of the wrong type.
            pub fn read<'de, D: serde::Deserializer<'de>>(kind: &str, from: D) -> Result<Option<Self>, D::Error> {
                use serde::Deserialize;
                let from = $crate::lenient::Lenient::new(from);
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

            /// The tables of any configuration of this kind.
            fn all_tables(&self) -> &'static [$crate::table::TableSpec] {
                match self {
                    $(Self::$variant(_) => <$config>::TABLES,)+
                }
            }

            /// How it is run.
            pub(crate) fn family(&self) -> $crate::families::ProbeFamily<'_> {
                match self {
                    $(Self::$variant(config) => $crate::families::ProbeFamily::$family(config),)+
                }
            }
        }
    };
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

    /// What the probe costs beside the weights; `None` where that is one pass over
    /// [`tokens_per_run`](Self::tokens_per_run), which it shares with other probes.
    pub fn estimate(&self, context: &Context) -> Option<Estimate> {
        self.family().probe().estimate(context)
    }

    /// What the probe costs besides that pass: what it keeps of it, and what it computes afterwards.
    pub fn extra(&self, context: &Context) -> Estimate {
        self.family().probe().extra(context)
    }

    /// The tables of this configuration, in the order in which it answers with them; never empty. The first is the
    /// main one, whose [`suffix`](TableSpec::suffix) is empty.
    pub fn tables(&self) -> &'static [TableSpec] {
        let tables = self.all_tables();
        if self.family().probe().main_table_only() { &tables[..1] } else { tables }
    }

    /// The files that the probe reads, as they are written in its configuration. Whoever runs it puts their contents
    /// into [`Subject::files`](crate::Subject::files); their content is part of what determines the answer.
    pub fn files(&self) -> Vec<&Path> {
        self.family().probe().files()
    }

    /// The pairs of prompts that the probe reads, and those of its file that were left out; `None` for a probe
    /// without pairs.
    ///
    /// # Errors
    /// What [`check`](Self::check) says of the pairs.
    pub fn pairs(&self, context: &Context) -> Option<Result<Pairs, ProbeError>> {
        self.family().probe().pair_source().map(|source| context.pairs(source))
    }

    /// The parameters that the probe reads, where it reads weights alone and is asked by
    /// [`run_on_weights`](crate::run_on_weights); `None` for one that a model is run for.
    ///
    /// # Errors
    /// What [`check`](Self::check) says of them.
    pub fn weights_only(&self, config: &NeoxConfig) -> Option<Result<BTreeSet<Param>, ProbeError>> {
        match self.family() {
            ProbeFamily::Reading(_) | ProbeFamily::Causal(_) => None,
            ProbeFamily::Weights(probe) => Some(probe.params(config)),
        }
    }

    /// The steps of the other checkpoints of the model that the probe reads, to be put into
    /// [`Subject::source_checkpoints`](crate::Subject::source_checkpoints).
    pub fn source_checkpoints(&self) -> Vec<u32> {
        self.family().probe().source_checkpoints()
    }
}

#[cfg(test)]
mod tests;
