//! The table of parameters: name and shape of every tensor of the model, and its name and layout in published files.
//!
//! Files store linear layers as `[out, in]` and fuse query, key and value head by head; the model computes with
//! `[in, out]` matrices and separate projections. [`Param::stored`] maps one to the other, for the loader and for the
//! writer.
//!
//! ```
//! use pythia_core::params::{HostTensor, LayerParam, Layout, Param, Qkv};
//!
//! # let sizes = r#"{"model_type": "gpt_neox", "hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8,
//! #     "intermediate_size": 2048, "vocab_size": 50304}"#;
//! # let config = pythia_core::config::NeoxConfig::from_json(sizes)?;
//! // W_Q of block 3 of pythia-70m: `[d_model, head · d_head]` here, a part of a fused tensor in files.
//! let query = Param::Layer(3, LayerParam::QueryWeight);
//! assert_eq!(query.shape(&config), [512, 512]);
//! let stored = query.stored(&config).expect("a stored parameter");
//! assert_eq!(stored.name, "gpt_neox.layers.3.attention.query_key_value.weight");
//! assert_eq!((stored.shape, stored.layout), (vec![1536, 512], Layout::FusedQkv(Qkv::Query)));
//!
//! let bias = HostTensor { shape: vec![512], values: vec![0.0; 512].into() };
//! assert_eq!(bias.values.len(), 512);
//! # Ok::<(), pythia_core::config::ConfigError>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;

use crate::config::NeoxConfig;
pub use crate::f32_buffer::F32Buffer;

/// One parameter of the model, in the layout the model computes with. In the shapes below `d` is `d_model`, `h` the
/// number of heads, `e` is `d_head`, `m` is `d_mlp`, and `V` the size of the vocabulary.
///
/// ```
/// use pythia_core::params::{LayerParam, Param};
///
/// assert_eq!(Param::Layer(3, LayerParam::QueryWeight).to_string(), "blocks.3.attn.W_Q");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Param {
    /// Embedding, `[V, d]`.
    Embed,
    /// A parameter of the block with this index.
    Layer(usize, LayerParam),
    /// Weight of the final layer norm, `[d]`.
    FinalNormWeight,
    /// Bias of the final layer norm, `[d]`.
    FinalNormBias,
    /// Unembedding, `[d, V]`.
    Unembed,
    /// Bias of the unembedding, `[V]`; only folded weights have one.
    UnembedBias,
}

/// A parameter inside one block, with the letters of [`Param`] in its shape. Head-major columns hold one head after
/// another: column `head * e + j` is dimension `j` of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LayerParam {
    /// Weight of the norm before attention, `[d]`.
    Ln1Weight,
    /// Bias of the norm before attention, `[d]`.
    Ln1Bias,
    /// Weight of the norm before the MLP, `[d]`.
    Ln2Weight,
    /// Bias of the norm before the MLP, `[d]`.
    Ln2Bias,
    /// Query projection, `[d, h*e]`, columns head-major.
    QueryWeight,
    /// Query bias, `[h*e]`.
    QueryBias,
    /// Key projection, `[d, h*e]`, columns head-major.
    KeyWeight,
    /// Key bias, `[h*e]`.
    KeyBias,
    /// Value projection, `[d, h*e]`, columns head-major.
    ValueWeight,
    /// Value bias, `[h*e]`.
    ValueBias,
    /// Output projection of attention, `[h*e, d]`, rows head-major.
    OutWeight,
    /// Output bias of attention, `[d]`.
    OutBias,
    /// First matrix of the MLP, `[d, m]`.
    MlpInWeight,
    /// First bias of the MLP, `[m]`.
    MlpInBias,
    /// Second matrix of the MLP, `[m, d]`.
    MlpOutWeight,
    /// Second bias of the MLP, `[d]`.
    MlpOutBias,
}

/// The parameters of one model on the host.
pub type HostParams = BTreeMap<Param, HostTensor>;

/// A dense row-major tensor of 32-bit floats on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Values, row-major; as many as the product of `shape`.
    pub values: F32Buffer,
}

/// A part of the fused attention projection, in the order of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qkv {
    /// Queries.
    Query,
    /// Keys.
    Key,
    /// Values.
    Value,
}

/// The layout of a stored tensor, from which the parameter is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Same shape, same order.
    AsIs,
    /// Stored `[out, in]`, used `[in, out]`.
    Transposed,
    /// Rows `head * 3e + part * e + j` of the fused projection; a matrix is transposed as well, a bias is not.
    FusedQkv(Qkv),
}

/// The stored tensor that contains a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Name of the tensor in the file.
    pub name: String,
    /// Its shape in the file.
    pub shape: Vec<usize>,
    /// Its layout.
    pub layout: Layout,
}

impl LayerParam {
    /// Every parameter of a block, in the order of the forward pass.
    pub const ALL: [LayerParam; 16] = [
        LayerParam::Ln1Weight,
        LayerParam::Ln1Bias,
        LayerParam::Ln2Weight,
        LayerParam::Ln2Bias,
        LayerParam::QueryWeight,
        LayerParam::QueryBias,
        LayerParam::KeyWeight,
        LayerParam::KeyBias,
        LayerParam::ValueWeight,
        LayerParam::ValueBias,
        LayerParam::OutWeight,
        LayerParam::OutBias,
        LayerParam::MlpInWeight,
        LayerParam::MlpInBias,
        LayerParam::MlpOutWeight,
        LayerParam::MlpOutBias,
    ];

    /// Whether `attention_bias = false` leaves this one out.
    pub(crate) fn is_attention_bias(self) -> bool {
        matches!(self, Self::QueryBias | Self::KeyBias | Self::ValueBias | Self::OutBias)
    }

    /// Name within a block as TransformerLens spells it, name within a block as files spell it, and the layout.
    fn row(self) -> (&'static str, &'static str, Layout) {
        use Layout::{AsIs, FusedQkv, Transposed};
        match self {
            Self::Ln1Weight => ("ln1.w", "input_layernorm.weight", AsIs),
            Self::Ln1Bias => ("ln1.b", "input_layernorm.bias", AsIs),
            Self::Ln2Weight => ("ln2.w", "post_attention_layernorm.weight", AsIs),
            Self::Ln2Bias => ("ln2.b", "post_attention_layernorm.bias", AsIs),
            Self::QueryWeight => ("attn.W_Q", "attention.query_key_value.weight", FusedQkv(Qkv::Query)),
            Self::QueryBias => ("attn.b_Q", "attention.query_key_value.bias", FusedQkv(Qkv::Query)),
            Self::KeyWeight => ("attn.W_K", "attention.query_key_value.weight", FusedQkv(Qkv::Key)),
            Self::KeyBias => ("attn.b_K", "attention.query_key_value.bias", FusedQkv(Qkv::Key)),
            Self::ValueWeight => ("attn.W_V", "attention.query_key_value.weight", FusedQkv(Qkv::Value)),
            Self::ValueBias => ("attn.b_V", "attention.query_key_value.bias", FusedQkv(Qkv::Value)),
            Self::OutWeight => ("attn.W_O", "attention.dense.weight", Transposed),
            Self::OutBias => ("attn.b_O", "attention.dense.bias", AsIs),
            Self::MlpInWeight => ("mlp.W_in", "mlp.dense_h_to_4h.weight", Transposed),
            Self::MlpInBias => ("mlp.b_in", "mlp.dense_h_to_4h.bias", AsIs),
            Self::MlpOutWeight => ("mlp.W_out", "mlp.dense_4h_to_h.weight", Transposed),
            Self::MlpOutBias => ("mlp.b_out", "mlp.dense_4h_to_h.bias", AsIs),
        }
    }

    fn shape(self, config: &NeoxConfig) -> Vec<usize> {
        let (d, m) = (config.d_model, config.d_mlp);
        match self {
            Self::QueryWeight | Self::KeyWeight | Self::ValueWeight | Self::OutWeight => vec![d, d],
            Self::MlpInWeight => vec![d, m],
            Self::MlpOutWeight => vec![m, d],
            Self::MlpInBias => vec![m],
            _ => vec![d],
        }
    }
}

impl Param {
    /// Every parameter of a model with published weights, in order: no [`Param::UnembedBias`], no attention biases
    /// where the configuration has none, and [`Param::Unembed`] also where it is tied (then a transposed copy of
    /// [`Param::Embed`]).
    pub fn all(config: &NeoxConfig) -> Vec<Param> {
        let blocks = (0..config.n_layers).flat_map(|layer| {
            LayerParam::ALL
                .into_iter()
                .filter(|part| config.variant.attention_bias || !part.is_attention_bias())
                .map(move |part| Param::Layer(layer, part))
        });
        let tail = [Param::FinalNormWeight, Param::FinalNormBias, Param::Unembed];
        [Param::Embed].into_iter().chain(blocks).chain(tail).collect()
    }

    /// Shape in the layout the model computes with.
    pub fn shape(self, config: &NeoxConfig) -> Vec<usize> {
        let (d, v) = (config.d_model, config.vocab_size);
        match self {
            Self::Embed => vec![v, d],
            Self::Layer(_, part) => part.shape(config),
            Self::FinalNormWeight | Self::FinalNormBias => vec![d],
            Self::Unembed => vec![d, v],
            Self::UnembedBias => vec![v],
        }
    }

    /// The stored tensor that contains this parameter; `None` for parameters that no published file has (the
    /// unembedding's bias, and the unembedding of a tied model).
    pub fn stored(self, config: &NeoxConfig) -> Option<Stored> {
        let (name, layout) = match self {
            Self::Embed => (EMBED.to_owned(), Layout::AsIs),
            Self::Layer(layer, part) => {
                let (_, suffix, layout) = part.row();
                (format!("{LAYERS}{layer}.{suffix}"), layout)
            }
            Self::FinalNormWeight => ("gpt_neox.final_layer_norm.weight".to_owned(), Layout::AsIs),
            Self::FinalNormBias => ("gpt_neox.final_layer_norm.bias".to_owned(), Layout::AsIs),
            Self::Unembed if !config.variant.tied_embeddings => (UNEMBED.to_owned(), Layout::Transposed),
            Self::Unembed | Self::UnembedBias => return None,
        };
        let mut shape = self.shape(config);
        match layout {
            Layout::AsIs => {}
            Layout::Transposed => shape.reverse(),
            Layout::FusedQkv(_) => {
                shape.reverse();
                shape[0] *= 3;
            }
        }
        Some(Stored { name, shape, layout })
    }
}

/// Name of the stored embedding.
pub(crate) const EMBED: &str = "gpt_neox.embed_in.weight";
/// Name of the stored unembedding.
pub(crate) const UNEMBED: &str = "embed_out.weight";
/// Another name of the stored unembedding, in newer files.
pub(crate) const UNEMBED_ALIAS: &str = "lm_head.weight";
/// The prefix of the names of all tensors of blocks.
pub(crate) const LAYERS: &str = "gpt_neox.layers.";

impl fmt::Display for Param {
    /// The name TransformerLens gives the parameter, such as `blocks.0.attn.W_Q`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embed => f.write_str("embed.W_E"),
            Self::Layer(layer, part) => write!(f, "blocks.{layer}.{}", part.row().0),
            Self::FinalNormWeight => f.write_str("ln_final.w"),
            Self::FinalNormBias => f.write_str("ln_final.b"),
            Self::Unembed => f.write_str("unembed.W_U"),
            Self::UnembedBias => f.write_str("unembed.b_U"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::odd_config;

    #[test]
    fn the_table_has_every_parameter_once() {
        let config = odd_config();
        let all = Param::all(&config);
        assert_eq!(all.len(), 4 + 16 * config.n_layers);
        let distinct: std::collections::BTreeSet<String> = all.iter().map(Param::to_string).collect();
        assert_eq!(distinct.len(), all.len());
        let n: usize = all.iter().map(|param| param.shape(&config).iter().product::<usize>()).sum();
        assert_eq!(n as u64, config.n_params());
    }

    #[test]
    fn variants_leave_parameters_out() {
        let mut config = odd_config();
        config.variant.attention_bias = false;
        config.variant.tied_embeddings = true;
        let all = Param::all(&config);
        assert_eq!(all.len(), 4 + 12 * config.n_layers);
        assert!(all.contains(&Param::Unembed) && !all.contains(&Param::UnembedBias));
        assert_eq!(Param::Unembed.stored(&config), None);
        let stored: u64 = all
            .iter()
            .filter(|&&param| param != Param::Unembed)
            .map(|param| param.shape(&config).iter().product::<usize>() as u64)
            .sum();
        assert_eq!(stored, config.n_params());
    }

    #[test]
    fn stored_names_and_shapes_are_the_published_ones() {
        let config = odd_config();
        let query = Param::Layer(1, LayerParam::QueryWeight).stored(&config).unwrap();
        assert_eq!(query.name, "gpt_neox.layers.1.attention.query_key_value.weight");
        assert_eq!(query.shape, [210, 70]);
        assert_eq!(Param::Layer(0, LayerParam::KeyBias).stored(&config).unwrap().shape, [210]);
        assert_eq!(Param::Layer(0, LayerParam::MlpInWeight).stored(&config).unwrap().shape, [131, 70]);
        assert_eq!(Param::Layer(0, LayerParam::MlpOutWeight).stored(&config).unwrap().shape, [70, 131]);
        assert_eq!(Param::Unembed.stored(&config).unwrap().shape, [97, 70]);
        assert_eq!(Param::Layer(0, LayerParam::QueryWeight).to_string(), "blocks.0.attn.W_Q");
    }
}
