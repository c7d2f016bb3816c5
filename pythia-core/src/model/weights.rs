//! The weights of a model: decoded and resident, or in their files until they are used.
//!
//! The forward pass gets blocks, embeddings and the unembedding from here in the same way in both cases.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use burn::tensor::{Int, Tensor};

use super::{GptNeoX, block::Block, streamed::StreamedWeights};
use crate::device::ints;

/// The large weights: all but the final norm's.
#[derive(Clone, Debug)]
pub(super) enum Weights {
    Resident(Box<Resident>),
    Streamed(Streamed),
}

/// Weights that are all decoded.
#[derive(Clone, Debug)]
pub(super) struct Resident {
    /// `[vocab, d_model]`.
    pub embed: Tensor<2>,
    pub blocks: Vec<Block>,
    /// `None` if no logits are needed.
    pub unembed: Option<Unembed>,
}

/// Weights that are decoded part by part.
#[derive(Clone, Debug)]
pub(super) struct Streamed {
    /// Shared by all clones of the model.
    pub stream: Arc<StreamedWeights>,
    /// Blocks that replace those of the files.
    pub exchanged: BTreeMap<usize, Arc<Block>>,
}

/// The unembedding, or some of its columns.
#[derive(Clone, Debug)]
pub(super) struct Unembed {
    /// `[d_model, vocab]`.
    pub weight: Tensor<2>,
    /// `[vocab]`; only weights processed as TransformerLens does have one.
    pub bias: Option<Tensor<1>>,
}

/// A reference to a part of the weights. A streamed part stays in memory as long as this lives.
pub(super) enum WeightRef<'a, T> {
    Resident(&'a T),
    Streamed(Arc<T>),
}

impl<T> Deref for WeightRef<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            WeightRef::Resident(part) => part,
            WeightRef::Streamed(part) => part,
        }
    }
}

impl GptNeoX {
    /// The weights of one block; `layer` counts from 0.
    pub(super) fn block(&self, layer: usize) -> WeightRef<'_, Block> {
        match &self.weights {
            Weights::Resident(weights) => WeightRef::Resident(&weights.blocks[layer]),
            Weights::Streamed(weights) => match weights.exchanged.get(&layer) {
                Some(block) => WeightRef::Resident(block),
                None => WeightRef::Streamed(weights.stream.block(layer)),
            },
        }
    }

    /// This model with one block replaced.
    pub(super) fn with_block(&self, layer: usize, block: Block) -> GptNeoX {
        let mut model = self.clone();
        match &mut model.weights {
            Weights::Resident(weights) => weights.blocks[layer] = block,
            Weights::Streamed(weights) => {
                weights.exchanged.insert(layer, Arc::new(block));
            }
        }
        model
    }

    /// The embeddings of tokens, `[token, d_model]`.
    pub(super) fn embeddings(&self, tokens: Tensor<1, Int>) -> Tensor<2> {
        let rows = match &self.weights {
            Weights::Resident(weights) => weights.embed.clone().select(0, tokens),
            Weights::Streamed(weights) => weights.stream.embeddings(tokens),
        };
        rows.cast(self.dtype())
    }

    /// The weights that turn the residual stream into logits.
    ///
    /// # Panics
    /// If the model was loaded without it.
    pub(super) fn unembedding(&self) -> WeightRef<'_, Unembed> {
        assert!(self.can_unembed(), "the model was loaded without its unembedding");
        match &self.weights {
            Weights::Resident(weights) => match &weights.unembed {
                Some(unembed) => WeightRef::Resident(unembed),
                None => unreachable!("it can unembed"),
            },
            Weights::Streamed(weights) => WeightRef::Streamed(weights.stream.unembed()),
        }
    }

    /// The columns of the unembedding that belong to some tokens.
    ///
    /// # Panics
    /// If the model was loaded without it.
    pub(super) fn unembedding_of(&self, tokens: &[u32]) -> Unembed {
        if let Weights::Streamed(weights) = &self.weights
            && let Some(columns) = weights.stream.unembed_columns(tokens)
        {
            return columns;
        }
        let whole = self.unembedding();
        let columns = indices(tokens, &whole.weight);
        let bias = whole.bias.clone().map(|bias| bias.select(0, columns.clone()));
        Unembed { weight: whole.weight.clone().select(1, columns), bias }
    }

    /// Whether the model can produce logits.
    pub fn can_unembed(&self) -> bool {
        match &self.weights {
            Weights::Resident(weights) => weights.unembed.is_some(),
            Weights::Streamed(weights) => weights.stream.has_unembed(),
        }
    }
}

/// Indices as a tensor beside `like`.
pub(super) fn indices<const D: usize>(rows: &[u32], like: &Tensor<D>) -> Tensor<1, Int> {
    ints(rows.iter().map(|&row| row as usize), [rows.len()], &like.device())
}
