//! The table of sites: the named activations of the model.

use std::fmt;

/// What an axis of an activation ranges over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axis {
    /// Prompts of the batch.
    Batch,
    /// Token positions.
    Pos,
    /// Attention heads.
    Head,
    /// Positions that attend (rows of a pattern).
    Query,
    /// Positions attended to (columns of a pattern).
    Key,
    /// The residual stream, `d_model` wide.
    Model,
    /// One head's own space, `d_head` wide.
    HeadDim,
    /// Neurons of the MLP, `d_mlp` of them.
    Mlp,
    /// A single number for each position (a layer norm's scale).
    One,
}

impl Axis {
    /// The word used for this axis in messages, configs and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Axis::Batch => "batch",
            Axis::Pos => "pos",
            Axis::Head => "head",
            Axis::Query => "query",
            Axis::Key => "key",
            Axis::Model => "d_model",
            Axis::HeadDim => "d_head",
            Axis::Mlp => "d_mlp",
            Axis::One => "1",
        }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When a site fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// In every run that gets that far.
    Always,
    /// Only when a hook wants it, because it costs memory or time to make.
    WhenWanted,
    /// Only in blocks whose MLP reads the attention's output (`use_parallel_residual = false`).
    SequentialOnly,
}

/// One row of the table: one site.
///
/// ```
/// use pythia_hooks::{Axis, Presence, SITES, Site};
///
/// let row = SITES.iter().find(|row| row.site == Site::ResidMid).expect("a row of every site");
/// assert_eq!((row.name, row.presence), ("hook_resid_mid", Presence::SequentialOnly));
/// assert_eq!(row.axes, [Axis::Batch, Axis::Pos, Axis::Model]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SiteRow {
    /// The site that the row describes.
    pub site: Site,
    /// TransformerLens 2.x name; inside a block it follows `blocks.{layer}.`.
    pub name: &'static str,
    /// Axes of the activation, outermost first.
    pub axes: &'static [Axis],
    /// When it fires.
    pub presence: Presence,
    /// Other names accepted as input: TransformerLens short forms, and the names of its bridge (3.x and 4.x) for the
    /// same tensor. A bridge name is here only if an edit there does the same, too; the others are explained by an
    /// error.
    pub aliases: &'static [&'static str],
    /// What the tensor is.
    pub doc: &'static str,
}

macro_rules! sites {
    ($( $variant:ident, $name:literal, [$($axis:ident)*], $presence:ident, [$($alias:literal)*], $doc:literal; )*) => {
        /// A named activation of a model. The rows of [`SITES`] describe each one.
        ///
        /// ```
        /// use pythia_hooks::{Axis, Site};
        ///
        /// assert_eq!(Site::Z.name(), "attn.hook_z");
        /// assert_eq!(Site::Z.axes(), [Axis::Batch, Axis::Pos, Axis::Head, Axis::HeadDim]);
        /// assert!(Site::Pattern.firing_order() < Site::Z.firing_order());
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Site { $( #[doc = $doc] $variant, )* }

        /// Every site, in firing order.
        pub const SITES: &[SiteRow] = &[ $( SiteRow {
            site: Site::$variant,
            name: $name,
            axes: &[$(Axis::$axis),*],
            presence: Presence::$presence,
            aliases: &[$($alias),*],
            doc: $doc,
        }, )* ];
    };
}

sites! {
    Embed, "hook_embed", [Batch Pos Model], Always, ["embed" "embed.hook_out"],
        "token embeddings: the residual stream before the first block";
    ResidPre, "hook_resid_pre", [Batch Pos Model], Always, ["resid_pre" "hook_in"],
        "residual stream entering the block";
    AttnIn, "hook_attn_in", [Batch Pos Head Model], WhenWanted, ["attn_in" "attn.hook_attn_in"],
        "resid_pre repeated for each head, before LN1";
    QInput, "hook_q_input", [Batch Pos Head Model], WhenWanted, ["q_input" "attn.hook_q_input"],
        "what the queries read, for each head, before LN1";
    KInput, "hook_k_input", [Batch Pos Head Model], WhenWanted, ["k_input" "attn.hook_k_input"],
        "what the keys read, for each head, before LN1";
    VInput, "hook_v_input", [Batch Pos Head Model], WhenWanted, ["v_input" "attn.hook_v_input"],
        "what the values read, for each head, before LN1";
    Ln1Scale, "ln1.hook_scale", [Batch Pos One], Always, ["scale1"],
        "LN1's divisor, sqrt(var + eps)";
    Ln1Normalized, "ln1.hook_normalized", [Batch Pos Model], Always,
        ["normalized1" "ln1.hook_out" "attn.hook_in" "attn.qkv.hook_in"],
        "LN1's result, weight and bias included: what queries, keys and values read";
    Q, "attn.hook_q", [Batch Pos Head HeadDim], Always, ["q" "query" "attn.q.hook_out"],
        "queries with bias, before rotary";
    K, "attn.hook_k", [Batch Pos Head HeadDim], Always, ["k" "key" "attn.k.hook_out"],
        "keys with bias, before rotary";
    V, "attn.hook_v", [Batch Pos Head HeadDim], Always, ["v" "value" "attn.v.hook_out"],
        "values with bias";
    RotQ, "attn.hook_rot_q", [Batch Pos Head HeadDim], Always, ["rot_q"],
        "queries after rotary";
    RotK, "attn.hook_rot_k", [Batch Pos Head HeadDim], Always, ["rot_k"],
        "keys after rotary";
    AttnScores, "attn.hook_attn_scores", [Batch Head Query Key], Always, ["attn_scores" "attn_logits"],
        "q·k / sqrt(d_head), −inf above the diagonal, before softmax";
    Pattern, "attn.hook_pattern", [Batch Head Query Key], Always, ["pattern" "attn"],
        "attention pattern: softmax of the scores over keys";
    Z, "attn.hook_z", [Batch Pos Head HeadDim], Always, ["z" "attn.o.hook_in"],
        "values weighted by the pattern";
    Result, "attn.hook_result", [Batch Pos Head Model], WhenWanted, ["result"],
        "each head's output z·W_O, without b_O";
    AttnOut, "hook_attn_out", [Batch Pos Model], Always,
        ["attn_out" "attn.hook_out" "attn.o.hook_out" "attn.hook_hidden_states"],
        "attention's output: sum of the heads' results plus b_O";
    ResidMid, "hook_resid_mid", [Batch Pos Model], SequentialOnly, ["resid_mid"],
        "residual stream between attention and MLP";
    MlpIn, "hook_mlp_in", [Batch Pos Model], WhenWanted, ["mlp_in" "ln2.hook_in"],
        "what LN2 reads: resid_pre in a parallel block, resid_mid in a sequential one";
    Ln2Scale, "ln2.hook_scale", [Batch Pos One], Always, ["scale2"],
        "LN2's divisor, sqrt(var + eps)";
    Ln2Normalized, "ln2.hook_normalized", [Batch Pos Model], Always,
        ["normalized2" "ln2.hook_out" "mlp.hook_in" "mlp.in.hook_in"],
        "LN2's result, weight and bias included: what the MLP reads";
    MlpPre, "mlp.hook_pre", [Batch Pos Mlp], Always, ["pre" "mlp_pre" "mlp.in.hook_out"],
        "neurons before GELU";
    MlpPost, "mlp.hook_post", [Batch Pos Mlp], Always, ["post" "mlp_post" "mlp.out.hook_in"],
        "neurons after GELU";
    MlpOut, "hook_mlp_out", [Batch Pos Model], Always, ["mlp_out" "mlp.hook_out" "mlp.out.hook_out"],
        "the MLP's output";
    ResidPost, "hook_resid_post", [Batch Pos Model], Always, ["resid_post" "hook_out"],
        "residual stream leaving the block";
    FinalScale, "ln_final.hook_scale", [Batch Pos One], Always, ["scale_final" "scale"],
        "the final layer norm's divisor";
    FinalNormalized, "ln_final.hook_normalized", [Batch Pos Model], Always,
        ["normalized_final" "normalized" "ln_final.hook_out" "unembed.hook_in"],
        "the final layer norm's result, weight and bias included: what the unembedding reads";
}

impl Site {
    /// This site's row of [`SITES`].
    pub const fn row(self) -> &'static SiteRow {
        &SITES[self.firing_order()]
    }

    /// The index in [`SITES`], which has the order of the forward pass within a block. To compare points of several
    /// blocks use [`HookPoint::firing_order`](crate::HookPoint::firing_order).
    pub const fn firing_order(self) -> usize {
        self as usize
    }

    /// TransformerLens 2.x name, without the `blocks.{layer}.` that block sites carry.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Axes of the activation, outermost first.
    pub const fn axes(self) -> &'static [Axis] {
        self.row().axes
    }

    /// Whether the site is outside the blocks (the embedding and the final layer norm).
    pub const fn is_global(self) -> bool {
        matches!(self, Site::Embed | Site::FinalScale | Site::FinalNormalized)
    }

    /// The dimension of `axis` in this site's activations, if it has that axis.
    pub fn dim_of(self, axis: Axis) -> Option<usize> {
        self.axes().iter().position(|&a| a == axis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_aliases_are_unambiguous() {
        let mut seen = std::collections::BTreeSet::new();
        for row in SITES {
            for name in std::iter::once(&row.name).chain(row.aliases) {
                assert!(seen.insert(*name), "{name} names two sites");
            }
        }
    }

    #[test]
    fn every_site_has_batch_first_and_rank_three_or_four() {
        for row in SITES {
            assert_eq!(row.axes[0], Axis::Batch);
            assert!(matches!(row.axes.len(), 3 | 4), "{}", row.name);
        }
    }
}
