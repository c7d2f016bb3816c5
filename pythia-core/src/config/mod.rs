//! `config.json` → [`NeoxConfig`]: one checked description of a GPT-NeoX model from any of the published forms of the
//! file.
//!
//! Three generations of `transformers` write the rotary settings under different keys. All of them are read, and a
//! file in which two of them disagree is refused. Every size is bounded, so that no product of sizes overflows and no
//! hostile file causes a huge allocation.
//!
//! No key is passed over in silence. A key is read; or it is refused, unless its value is the one that changes nothing;
//! or it is harmless for the forward pass; or it is listed in [`ConfigFile::unknown_keys`], to be shown. `keys` has the
//! lists.
//!
//! ```
//! use pythia_core::config::{ConfigError, NeoxConfig, Rotary};
//!
//! let sizes = r#"{"model_type": "gpt_neox", "hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8,
//!     "intermediate_size": 2048, "vocab_size": 50304}"#;
//! let config = NeoxConfig::from_json(sizes)?;
//! // Absent keys have the values of every Pythia model.
//! assert_eq!((config.d_head(), config.rotary), (64, Rotary { ndims: 16, base: 10_000.0 }));
//! assert!(config.variant.parallel_residual);
//! assert_eq!(config.n_params(), 70_426_624);
//!
//! let error = NeoxConfig::from_json(r#"{"model_type": "gpt2"}"#).unwrap_err();
//! assert!(matches!(error, ConfigError::Unsupported { key: "model_type", .. }));
//! # Ok::<(), ConfigError>(())
//! ```

mod error;
mod hub;
mod keys;
mod raw;

use self::hub::HubConfig;
use self::raw::RawConfig;
use crate::json;

pub use self::error::ConfigError;

/// Default epsilon of the layer norms.
const DEFAULT_LAYER_NORM_EPS: f64 = 1e-5;
/// Default longest context, which every Pythia model has.
const DEFAULT_N_CTX: u64 = 2048;

/// The shape and the variant of one GPT-NeoX model.
#[derive(Clone, Debug, PartialEq)]
pub struct NeoxConfig {
    /// Number of blocks, L.
    pub n_layers: usize,
    /// Width of the residual stream, d.
    pub d_model: usize,
    /// Attention heads per block, h; divides `d_model`.
    pub n_heads: usize,
    /// Width of the MLP, m.
    pub d_mlp: usize,
    /// Rows of the embedding, V, padding rows included.
    pub vocab_size: usize,
    /// Longest sequence the model was trained for.
    pub n_ctx: usize,
    /// Epsilon added to the variance in every layer norm.
    pub layer_norm_eps: f64,
    /// Rotary position embedding.
    pub rotary: Rotary,
    /// The switches in which members of the family differ.
    pub variant: Variant,
}

/// A `config.json` that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigFile {
    /// Shape and variant of the model that it describes.
    pub config: NeoxConfig,
    /// The keys that are neither read nor known to be harmless, sorted. What they mean is not known here, so a reader
    /// should be told of them.
    pub unknown_keys: Vec<String>,
}

impl ConfigFile {
    /// Reads the bytes of a `config.json` of any generation, as Python writes it.
    ///
    /// ```
    /// use pythia_core::config::{ConfigError, ConfigFile};
    ///
    /// let sizes = r#""model_type": "gpt_neox", "hidden_size": 512, "num_hidden_layers": 6,
    ///     "num_attention_heads": 8, "intermediate_size": 2048, "vocab_size": 50304"#;
    /// let file = ConfigFile::parse(format!("{{{sizes}, \"attention_sink\": 4, \"use_cache\": true}}").as_bytes())?;
    /// assert_eq!(file.unknown_keys, ["attention_sink"]);
    /// let refused = ConfigFile::parse(format!("{{{sizes}, \"sliding_window\": 4}}").as_bytes());
    /// assert!(matches!(refused, Err(ConfigError::Refused { key, .. }) if key == "sliding_window"));
    /// # Ok::<(), ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// [`ConfigError`] names the key, what was found and what is accepted.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        let text = json::text(bytes)?;
        let raw: RawConfig = serde_json::from_str(&text)?;
        let config = NeoxConfig::from_raw(&raw)?;
        Ok(Self { config, unknown_keys: keys::check(&serde_json::from_str(&text)?)? })
    }
}

/// Rotary position embedding: how much of each head rotates, and how fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotary {
    /// Leading dimensions of each head that rotate: `int(head_dim * rotary_pct)`, even and at least 2. `head_dim` is
    /// that of the file, or else `d_head`.
    pub ndims: usize,
    /// Base of the frequencies, `base^(-2j/ndims)`.
    pub base: f64,
}

/// The switches in which members of the GPT-NeoX family differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// Attention and MLP both read the block's input (every Pythia model) instead of one after the other.
    pub parallel_residual: bool,
    /// The unembedding is the transposed embedding and is not stored.
    pub tied_embeddings: bool,
    /// The attention projections have biases (every Pythia model).
    pub attention_bias: bool,
}

impl NeoxConfig {
    /// Width of one head, e = d / h.
    pub fn d_head(&self) -> usize {
        self.d_model / self.n_heads
    }

    /// The sizes that determine the hook points of the model and the shapes of their activations.
    pub fn model_shape(&self) -> pythia_hooks::ModelShape {
        pythia_hooks::ModelShape {
            n_layers: self.n_layers,
            n_heads: self.n_heads,
            d_model: self.d_model,
            d_head: self.d_head(),
            d_mlp: self.d_mlp,
            parallel: self.variant.parallel_residual,
        }
    }

    /// Reads a `config.json` of any generation. Keys that are neither read nor known to be harmless are passed over;
    /// [`ConfigFile::parse`] lists them.
    ///
    /// # Errors
    /// [`ConfigError`] names the key, what was found and what is accepted.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        ConfigFile::parse(text.as_bytes()).map(|file| file.config)
    }

    fn from_raw(raw: &RawConfig) -> Result<Self, ConfigError> {
        raw.check_kind()?;
        let d_model = size("hidden_size", raw.hidden_size, MAX_D_MODEL)?;
        let n_heads = size("num_attention_heads", raw.num_attention_heads, MAX_HEADS)?;
        let d_head = d_head(d_model, n_heads)?;
        let config = Self {
            n_layers: size("num_hidden_layers", raw.num_hidden_layers, MAX_LAYERS)?,
            d_model,
            n_heads,
            d_mlp: size("intermediate_size", raw.intermediate_size, MAX_D_MLP)?,
            vocab_size: size("vocab_size", raw.vocab_size, MAX_VOCAB)?,
            n_ctx: size("max_position_embeddings", raw.max_position_embeddings.or(Some(DEFAULT_N_CTX)), MAX_CTX)?,
            layer_norm_eps: raw.layer_norm_eps.unwrap_or(DEFAULT_LAYER_NORM_EPS),
            rotary: raw.rotary(d_head)?,
            variant: Variant {
                parallel_residual: raw.use_parallel_residual.unwrap_or(true),
                tied_embeddings: raw.tie_word_embeddings.unwrap_or(false),
                attention_bias: raw.attention_bias.unwrap_or(true),
            },
        };
        config.validate()?;
        Ok(config)
    }

    /// Checks the bounds that every other part of the crate relies on; [`NeoxConfig::from_json`] has done so already.
    ///
    /// # Errors
    /// The first bound that does not hold, under the key a `config.json` would use.
    pub fn validate(&self) -> Result<(), ConfigError> {
        size("num_hidden_layers", Some(self.n_layers as u64), MAX_LAYERS)?;
        size("hidden_size", Some(self.d_model as u64), MAX_D_MODEL)?;
        size("num_attention_heads", Some(self.n_heads as u64), MAX_HEADS)?;
        size("intermediate_size", Some(self.d_mlp as u64), MAX_D_MLP)?;
        size("vocab_size", Some(self.vocab_size as u64), MAX_VOCAB)?;
        size("max_position_embeddings", Some(self.n_ctx as u64), MAX_CTX)?;
        positive("layer_norm_eps", self.layer_norm_eps, 1.0)?;
        positive("rotary_emb_base", self.rotary.base, MAX_ROTARY_BASE)?;
        let (ndims, d_head) = (self.rotary.ndims, d_head(self.d_model, self.n_heads)?);
        if ndims < 2 || !ndims.is_multiple_of(2) || ndims > d_head {
            return Err(ConfigError::RotaryDims { ndims, d_head });
        }
        Ok(())
    }

    /// The configuration as the public hub's Pythia repositories write it, for models saved here (weights in f32).
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(&HubConfig::of(self))
            .expect("a plain struct of numbers and strings serialises");
        text.push('\n');
        text
    }

    /// Number of trained parameters, a tied unembedding counted once.
    pub fn n_params(&self) -> u64 {
        let [l, d, m, v] = [self.n_layers, self.d_model, self.d_mlp, self.vocab_size].map(|n| n as u64);
        let attention_biases = if self.variant.attention_bias { 4 * d } else { 0 };
        let block = 4 * d + 4 * d * d + attention_biases + 2 * d * m + m + d;
        let vocabulary = if self.variant.tied_embeddings { v * d } else { 2 * v * d };
        l * block + 2 * d + vocabulary
    }
}

const SUPPORTED_ACT: &str = "gelu";
const SUPPORTED_BOS: &str = "0";
const SUPPORTED_MODEL_TYPE: &str = "gpt_neox";
const SUPPORTED_ROPE: &str = "default";
// The maxima leave an order of magnitude above the largest model of the family; their products stay below 2^40.
const MAX_LAYERS: u64 = 1 << 10;
const MAX_D_MODEL: u64 = 1 << 16;
const MAX_HEADS: u64 = 1 << 10;
const MAX_D_MLP: u64 = 1 << 18;
const MAX_VOCAB: u64 = 1 << 21;
const MAX_CTX: u64 = 1 << 20;
const MAX_ROTARY_BASE: f64 = 1e12;

/// A required whole number between 1 and `max`.
fn size(key: &'static str, found: Option<u64>, max: u64) -> Result<usize, ConfigError> {
    let found = found.ok_or(ConfigError::Missing { key })?;
    if found == 0 || found > max {
        return Err(ConfigError::OutOfRange { key, found, min: 1, max });
    }
    Ok(found as usize)
}

/// Width of one head, where the heads share the model's width evenly.
fn d_head(d_model: usize, n_heads: usize) -> Result<usize, ConfigError> {
    if d_model.is_multiple_of(n_heads) {
        Ok(d_model / n_heads)
    } else {
        Err(ConfigError::HeadsDoNotDivide { d_model, n_heads })
    }
}

/// A real number above 0, at most `max`. NaN fails both comparisons.
fn positive(key: &'static str, found: f64, max: f64) -> Result<f64, ConfigError> {
    if found > 0.0 && found <= max { Ok(found) } else { Err(ConfigError::NotPositive { key, found, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: &str = r#""model_type": "gpt_neox", "hidden_size": 160, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 640, "vocab_size": 512"#;

    fn parse(extra: &str) -> Result<NeoxConfig, ConfigError> {
        NeoxConfig::from_json(&format!("{{{SIZES}{extra}}}"))
    }

    fn message(extra: &str) -> String {
        parse(extra).unwrap_err().to_string()
    }

    #[test]
    fn silence_means_the_defaults() {
        let config = parse("").unwrap();
        assert_eq!(config.rotary, Rotary { ndims: 20, base: 10_000.0 });
        assert_eq!(config.d_head(), 80);
        assert_eq!((config.n_ctx, config.layer_norm_eps), (2048, 1e-5));
        let variant = Variant { parallel_residual: true, tied_embeddings: false, attention_bias: true };
        assert_eq!(config.variant, variant);
    }

    #[test]
    fn every_dialect_of_rotary_settings_says_the_same() {
        let dialects = [
            r#", "rotary_pct": 0.5, "rotary_emb_base": 25000"#,
            r#", "partial_rotary_factor": 0.5, "rope_theta": 25000.0, "rope_scaling": null"#,
            r#", "rope_parameters": {"partial_rotary_factor": 0.5, "rope_theta": 25000.0, "rope_type": "default"}"#,
            r#", "rope_scaling": {"partial_rotary_factor": 0.5, "rope_theta": 25000.0, "type": "default"}"#,
            r#", "rotary_pct": 0.5, "rope_theta": 25000, "rotary_emb_base": 25000.0, "dtype": "float16", "x": [1]"#,
            r#", "rotary_pct": 0.25, "head_dim": 160, "rotary_emb_base": 25000"#,
        ];
        for dialect in dialects {
            assert_eq!(parse(dialect).unwrap().rotary, Rotary { ndims: 40, base: 25_000.0 }, "{dialect}");
        }
    }

    #[test]
    fn dialects_that_disagree_are_refused() {
        let message = message(r#", "rotary_pct": 0.25, "rope_parameters": {"partial_rotary_factor": 0.5}"#);
        assert_eq!(message, "`rope_parameters.partial_rotary_factor` says 0.5 but `rotary_pct` says 0.25");
    }

    #[test]
    fn what_is_not_implemented_is_refused() {
        for (extra, key) in [
            (r#", "hidden_act": "gelu_new""#, "hidden_act"),
            (r#", "rope_parameters": {"rope_type": "yarn"}"#, "rope_type"),
            (r#", "rope_scaling": {"type": "linear", "factor": 2.0}"#, "rope_scaling.type"),
        ] {
            assert!(message(extra).contains(key), "{}", message(extra));
        }
        let other = NeoxConfig::from_json(r#"{"model_type": "gpt2"}"#).unwrap_err();
        assert!(matches!(other, ConfigError::Unsupported { key: "model_type", .. }));
        let bos = NeoxConfig::from_json(r#"{"model_type": "gpt_neox", "bos_token_id": 1}"#).unwrap_err();
        assert_eq!(bos.to_string(), "`bos_token_id` is \"1\"; only \"0\" is supported");
        assert!(matches!(NeoxConfig::from_json("{}"), Err(ConfigError::Unsupported { found: None, .. })));
    }

    #[test]
    fn absurd_numbers_are_refused() {
        let with = |key: &str, value: &str| {
            let old = SIZES.split(',').find(|part| part.contains(key)).unwrap();
            let text = format!("{{{}}}", SIZES.replace(old.trim(), &format!("\"{key}\": {value}")));
            NeoxConfig::from_json(&text)
        };
        for key in ["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"] {
            for value in ["0", "4611686018427387904"] {
                let error = with(key, value).unwrap_err();
                assert!(matches!(error, ConfigError::OutOfRange { key: found, .. } if found == key), "{error}");
            }
            for value in ["-1", "1.5", "1e30", "\"8\""] {
                assert!(matches!(with(key, value), Err(ConfigError::Json(_))), "{key} {value}");
            }
            assert!(matches!(with(key, "null"), Err(ConfigError::Missing { key: found }) if found == key));
        }
        assert!(matches!(with("num_attention_heads", "3"), Err(ConfigError::HeadsDoNotDivide { .. })));
        for extra in [
            r#", "layer_norm_eps": 0"#,
            r#", "layer_norm_eps": -1e-5"#,
            r#", "rotary_pct": 0"#,
            r#", "rotary_pct": 1.01"#,
            r#", "rope_theta": -1"#,
        ] {
            assert!(matches!(parse(extra), Err(ConfigError::NotPositive { .. })), "{extra}");
        }
        // 13 of 80 dimensions, and 0 of 80.
        for pct in ["0.17", "0.001"] {
            assert!(matches!(parse(&format!(", \"rotary_pct\": {pct}")), Err(ConfigError::RotaryDims { .. })));
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut config = parse("").unwrap();
        config.variant = Variant { parallel_residual: false, tied_embeddings: true, attention_bias: false };
        config.layer_norm_eps = 3e-6;
        for n_heads in [1, 2, 4, 5, 8, 16] {
            config.n_heads = n_heads;
            for ndims in (2..=config.d_head()).step_by(2) {
                config.rotary = Rotary { ndims, base: 12_345.0 };
                assert_eq!(NeoxConfig::from_json(&config.to_json()).unwrap(), config);
            }
        }
    }

    #[test]
    fn generations_of_the_library_say_the_same() {
        let read = |name: &str| {
            let path = crate::testing::fixture(name).join("config.json");
            NeoxConfig::from_json(&std::fs::read_to_string(path).unwrap()).unwrap()
        };
        assert_eq!(read("parallel"), read("parallel-bin"));
        assert_eq!(read("sequential"), read("sequential-bin"));
        assert!(read("parallel").variant.parallel_residual && !read("sequential").variant.parallel_residual);
        assert!(read("tied").variant.tied_embeddings && !read("tied").variant.attention_bias);
    }

    #[test]
    #[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
    fn shared_published_configurations_are_read() {
        let shared = crate::testing::shared();
        let read = |path: &str| NeoxConfig::from_json(&std::fs::read_to_string(shared.join(path)).unwrap()).unwrap();
        for model in ["tiny_parallel_d32", "tiny_rot20_d160", "tiny_sequential_d32"] {
            let dir = format!("data/golden/{model}");
            assert_eq!(read(&format!("{dir}/config.json")), read(&format!("{dir}/config_tf5.json")));
        }
        assert_eq!(read("models/newstyle/config.json").rotary, Rotary { ndims: 8, base: 25_000.0 });
        assert!(!read("models/sequential/config.json").variant.parallel_residual);
        assert!(read("models/tied/config.json").variant.tied_embeddings);
        assert!(!read("models/nobias/config.json").variant.attention_bias);
    }
}
