//! Sizes of parameters: norms of weight matrices, of biases, and of what each attention head has of them.

mod select;
mod sums;

use std::collections::BTreeSet;

use pythia_core::config::NeoxConfig;
use pythia_core::params::{HostTensor, LayerParam, Param};
use pythia_core::weights::WeightError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::sums::Sums;
use crate::error::ProbeError;
use crate::families::weights::{WeightProbe, WeightSubject};
use crate::probe::{Answer, Estimate, Probe};
use crate::subject::Context;
use crate::table::columns::STATUS;
use crate::table::{ColumnSpec, TableBuilder, TableSpec, TableValue, measured};

/// The size of parameters as published: Frobenius norm, root mean square, mean and largest magnitude, also of each
/// head.
///
/// It reads weights alone; no model is run. Of checkpoints on the hub only the named tensors are fetched, if there are
/// safetensors files. A row with a head is about the head's columns of `W_Q`, `W_K`, `W_V`, its rows of `W_O`, its part
/// of `b_Q`, `b_K`, `b_V`. Embedding and unembedding count with the padding rows of the vocabulary, as other tools that
/// measure the stored tensor do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WeightNorms {
    /// Parameters by their TransformerLens names, `*` standing for any characters and negative layers counting from
    /// the end: `embed.W_E`, `blocks.*.attn.W_Q`, `blocks.-1.*`; all of them where this is left out.
    pub params: Vec<String>,
}

impl Default for WeightNorms {
    fn default() -> Self {
        Self { params: vec!["*".into()] }
    }
}

impl WeightNorms {
    pub(crate) const TABLES: &'static [TableSpec] = &[TableSpec {
        suffix: "",
        doc: "A row per parameter, and one per head where heads have parts of it",
        columns: &[&[
            ColumnSpec::text("param", "TransformerLens name of the parameter"),
            ColumnSpec::int("layer", "Index of the layer, from 0; null outside of blocks"),
            ColumnSpec::int("head", "Index of the head whose part it is; null for the whole parameter"),
            ColumnSpec::float("norm", "", "Frobenius norm: root of the sum of squares"),
            ColumnSpec::float("rms", "", "Root of the mean square"),
            ColumnSpec::float("mean", "", "Mean of the values"),
            ColumnSpec::float("max_abs", "", "Largest magnitude"),
            STATUS,
        ]],
    }];

    /// A small configuration, for tests of all probes.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self { params: vec!["blocks.*.attn.W_O".into(), "ln_final.w".into()] }
    }
}

impl Probe for WeightNorms {
    fn reads_logits(&self) -> bool {
        false
    }

    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        self.params(context.config).map(drop)
    }

    fn tokens_per_run(&self, _: &Context) -> (usize, usize) {
        (0, 0)
    }

    /// Four operations a value; one parameter at a time is in memory, decoded beside the bytes it is decoded from.
    fn estimate(&self, context: &Context) -> Option<Estimate> {
        let params = self.params(context.config).unwrap_or_default();
        let sizes = || params.iter().map(|param| param.shape(context.config).iter().product::<usize>() as u64);
        Some(Estimate { flops: 4 * sizes().sum::<u64>(), memory: (4 + 2) * sizes().max().unwrap_or(0) })
    }
}

impl WeightProbe for WeightNorms {
    fn params(&self, config: &NeoxConfig) -> Result<BTreeSet<Param>, ProbeError> {
        select::select(&self.params, config)
    }

    fn answer(&self, params: &BTreeSet<Param>, subject: &WeightSubject) -> Result<Answer, WeightError> {
        let mut table = Self::TABLES[0].builder();
        for &param in params {
            let tensor = (subject.param)(param)?;
            add_rows(&mut table, param, &tensor, subject.context.config);
        }
        Ok(vec![table.build()])
    }
}

/// The row of a whole parameter, and below it those of its heads.
fn add_rows(table: &mut TableBuilder, param: Param, tensor: &HostTensor, config: &NeoxConfig) {
    let heads = heads(param, tensor, config);
    let whole = whole(tensor);
    add_row(table, param, None, &whole);
    for (head, sums) in heads.iter().enumerate() {
        add_row(table, param, Some(head), sums);
    }
}

fn add_row(table: &mut TableBuilder, param: Param, head: Option<usize>, sums: &Sums) {
    let layer = if let Param::Layer(layer, _) = param { Some(layer) } else { None };
    let (norm, status) = measured(sums.norm());
    let place: [TableValue; 3] = [param.to_string().into(), layer.into(), head.into()];
    let values: [TableValue; 5] =
        [norm.into(), sums.rms().into(), sums.mean().into(), sums.max_abs().into(), status.into()];
    table.row(place.into_iter().chain(values));
}

/// Row by row: sums of many values lose less when they are put together from shorter ones.
fn whole(tensor: &HostTensor) -> Sums {
    let width = tensor.shape.last().copied().unwrap_or(1).max(1);
    tensor.values.chunks(width).fold(Sums::default(), |sums, row| sums.and(Sums::of(row)))
}

/// What each head has of a parameter; nothing where heads have no part of their own.
fn heads(param: Param, tensor: &HostTensor, config: &NeoxConfig) -> Vec<Sums> {
    use LayerParam::{KeyBias, KeyWeight, OutWeight, QueryBias, QueryWeight, ValueBias, ValueWeight};
    let Param::Layer(_, part) = param else { return Vec::new() };
    // Values that lie together: in a row of a query, key or value weight the columns of a head, in an output weight all
    // rows of a head.
    let piece = match part {
        QueryWeight | KeyWeight | ValueWeight | QueryBias | KeyBias | ValueBias => config.d_head(),
        OutWeight => config.d_head() * config.d_model,
        _ => return Vec::new(),
    };
    let mut heads = vec![Sums::default(); config.n_heads];
    for row in tensor.values.chunks(piece * config.n_heads) {
        heads.iter_mut().zip(row.chunks(piece)).for_each(|(sums, piece)| *sums = sums.and(Sums::of(piece)));
    }
    heads
}

#[cfg(test)]
mod tests;
