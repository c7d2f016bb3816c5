//! One block on rows: any tokens of any sequences, packed as `[row, d_model]`.
//!
//! An intervention changes some tokens of a run and leaves the others as they were. To recompute only the changed
//! ones, those of any number of runs are packed into one matrix. The large products then cost in proportion to the
//! rows, and attention looks keys and values up in tables with rows of the unchanged run and recomputed rows.

use std::cell::OnceCell;

use burn::tensor::Tensor;

use super::{
    GptNeoX,
    block::Block,
    kernels,
    linear::{Linear, product},
    rotary::RotaryTable,
    weights::{WeightRef, indices},
};

/// A block that works on rows. Heads are side by side in a row: `n_heads · d_head` numbers, head 0 first.
pub struct RowBlock<'a> {
    model: &'a GptNeoX,
    layer: usize,
    /// Taken from the model at its first use, because an unused layer need not be decoded.
    block: OnceCell<WeightRef<'a, Block>>,
}

/// Which rows of the tables a query attends to.
///
/// Query `i` is at `position[i]` of the sequence `sequence[i]`. It attends to the keys of that sequence at
/// the positions `0..=position[i]`. The key at position `s` of sequence `j` is the row `keys[j · length + s]` of the
/// table of keys, its value the row `values[j · length + s]` of the table of values.
///
/// ```
/// use burn::tensor::Device;
/// use pythia_core::model::{GptNeoX, Lookup};
///
/// let model = GptNeoX::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/parallel"), &Device::flex())?;
/// let stream = model.embed(model.tokens(&[vec![5, 8, 13, 21]]), &mut ()).stream;
/// let block = model.rows(0);
/// let rows = block.normalize(stream.reshape([4, 24]));
/// let positions = [0, 1, 2, 3];
/// let (keys, values) = (block.keys(rows.clone(), &positions), block.values(rows.clone()));
/// // The query of the last token alone.
/// let queries = block.queries(rows.slice_dim(0, 3..4), &[3]);
/// let all = positions.to_vec();
/// let (query, sequence, position) = (vec![0], vec![0], vec![3]);
/// let lookup = Lookup { queries: query, sequence, position, keys: all.clone(), values: all, length: 4 };
/// let pattern = block.pattern(queries, keys, &lookup);
/// assert_eq!(pattern.dims(), [1, 3 * 4]);
/// assert_eq!(block.mix(pattern, values, &lookup).dims(), [1, 3 * 8]);
/// # Ok::<(), pythia_core::load::LoadError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Per query: its row in the table of queries.
    pub queries: Vec<u32>,
    /// Per query: its sequence.
    pub sequence: Vec<u32>,
    /// Per query: its position.
    pub position: Vec<u32>,
    /// Per sequence and position: a row of the table of keys.
    pub keys: Vec<u32>,
    /// Per sequence and position: a row of the table of values.
    pub values: Vec<u32>,
    /// Positions of a sequence.
    pub length: usize,
}

impl GptNeoX {
    /// Block `layer`, on rows.
    pub fn rows(&self, layer: usize) -> RowBlock<'_> {
        RowBlock { model: self, layer, block: OnceCell::new() }
    }

    /// Logits of `tokens` alone, `[row, tokens]`, for rows of the stream after the last block. A logit difference
    /// needs two columns of the unembedding, not all fifty thousand.
    ///
    /// # Panics
    /// If the model was loaded without its unembedding.
    pub fn logits_of(&self, rows: Tensor<2>, tokens: &[u32]) -> Tensor<2> {
        self.project_out(self.ln_final.normalize(rows.unsqueeze()).stream.squeeze_dim(0), tokens)
    }

    /// The final norm's divisor for rows of the stream after the last block, `[row, 1]`.
    pub fn final_scale(&self, rows: Tensor<2>) -> Tensor<2> {
        self.ln_final.normalize(rows.unsqueeze()).scale.squeeze_dim(0)
    }

    /// As [`logits_of`](Self::logits_of), but with the final norm's divisor given, `[row, 1]`. Then the logits are
    /// affine in the rows: `L(x) = x·A + L(0)`. The logits of a row of zeros, `L(0)`, are the own contribution of the
    /// biases of the final norm and the unembedding. Subtract them from those of each part of the stream; then the
    /// contributions of the parts, plus `L(0)` once, add up to the logits of the whole.
    ///
    /// # Panics
    /// If the model was loaded without its unembedding.
    pub fn logits_at_scale(&self, rows: Tensor<2>, scale: Tensor<2>, tokens: &[u32]) -> Tensor<2> {
        let centred = rows.clone() - rows.mean_dim(1);
        self.project_out(centred / scale, tokens)
    }

    /// Logits of `tokens` from normalised rows, before the final norm's weight and bias.
    fn project_out(&self, normalized: Tensor<2>, tokens: &[u32]) -> Tensor<2> {
        let normed = self.ln_final.affine(normalized.unsqueeze()).squeeze_dim::<2>(0);
        let unembed = self.unembedding_of(tokens);
        let logits = product(normed, unembed.weight);
        match unembed.bias {
            Some(bias) => logits + bias.unsqueeze(),
            None => logits,
        }
    }
}

impl RowBlock<'_> {
    fn block(&self) -> &Block {
        self.block.get_or_init(|| self.model.block(self.layer))
    }

    /// The centred and scaled rows, which both norms of a parallel block share. `x`: `[row, d_model]`.
    pub fn normalize(&self, x: Tensor<2>) -> Tensor<2> {
        self.block().ln1.normalize(x.unsqueeze()).stream.squeeze_dim(0)
    }

    /// Queries after rotation, `[row, n_heads · d_head]`. `normalized`: the rows at `positions`, normalised.
    pub fn queries(&self, normalized: Tensor<2>, positions: &[u32]) -> Tensor<2> {
        self.rotate(self.project(&self.block().attention.query, normalized), positions)
    }

    /// Keys after rotation, `[row, n_heads · d_head]`.
    pub fn keys(&self, normalized: Tensor<2>, positions: &[u32]) -> Tensor<2> {
        self.rotate(self.project(&self.block().attention.key, normalized), positions)
    }

    /// Values, `[row, n_heads · d_head]`.
    pub fn values(&self, normalized: Tensor<2>) -> Tensor<2> {
        self.project(&self.block().attention.value, normalized)
    }

    fn project(&self, map: &Linear, normalized: Tensor<2>) -> Tensor<2> {
        map.forward(self.block().ln1.affine(normalized.unsqueeze()).squeeze_dim(0))
    }

    /// Turns queries or keys `[row, n_heads · d_head]` by the angles of their positions.
    pub fn rotate(&self, x: Tensor<2>, positions: &[u32]) -> Tensor<2> {
        let [rows, width] = x.dims();
        let heads = self.model.config.n_heads;
        let at = |table: &Tensor<2>| table.clone().select(0, indices(positions, table));
        let rotary = &self.model.rotary;
        let angles = RotaryTable { cos: at(&rotary.cos), sin: at(&rotary.sin), ndims: rotary.ndims };
        angles.apply(x.reshape([1, rows, heads, width / heads])).reshape([rows, width])
    }

    /// Attention patterns, `[query, n_heads · length]`, zero for the keys after the query.
    pub fn pattern(&self, queries: Tensor<2>, keys: Tensor<2>, lookup: &Lookup) -> Tensor<2> {
        kernels::lookup_pattern(queries, keys, lookup, self.model.config.n_heads)
    }

    /// Values weighted by patterns (`hook_z`), `[query, n_heads · d_head]`.
    pub fn mix(&self, pattern: Tensor<2>, values: Tensor<2>, lookup: &Lookup) -> Tensor<2> {
        kernels::lookup_mix(pattern, values, lookup, self.model.config.n_heads)
    }

    /// What attention writes to the stream, `[row, d_model]`. `z`: `[row, n_heads · d_head]`.
    pub fn attn_out(&self, z: Tensor<2>) -> Tensor<2> {
        self.block().attention.out.forward(z)
    }

    /// What each head writes, `[row, n_heads · d_model]`, without `b_O`.
    pub fn results(&self, z: Tensor<2>) -> Tensor<2> {
        let [rows, width] = z.dims();
        let heads = self.model.config.n_heads;
        let results = self.block().attention.results(z.reshape([1, rows, heads, width / heads]));
        let d_model = results.dims()[3];
        results.reshape([rows, heads * d_model])
    }

    /// What one head writes, `[row, d_model]`, without `b_O`. `z`: that head's alone, `[row, d_head]`.
    pub fn result(&self, z: Tensor<2>, head: usize) -> Tensor<2> {
        let d_head = z.dims()[1];
        product(z, self.block().attention.out.weight.clone().slice_dim(0, head * d_head..(head + 1) * d_head))
    }

    /// The MLP's neurons after the activation function (`hook_post`), `[row, d_mlp]`. `normalized`: what LN2 reads,
    /// normalised.
    pub fn neurons(&self, normalized: Tensor<2>) -> Tensor<2> {
        let input = self.block().ln2.affine(normalized.unsqueeze()).squeeze_dim(0);
        kernels::gelu(self.block().mlp.up.forward(input))
    }

    /// What the MLP writes to the stream, `[row, d_model]`. `neurons`: `[row, d_mlp]`.
    pub fn mlp_out(&self, neurons: Tensor<2>) -> Tensor<2> {
        self.block().mlp.down.forward(neurons)
    }
}
