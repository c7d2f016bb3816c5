//! The keys of `config.json` that are not read: those that are refused, and those that are harmless.

use serde_json::{Map, Value};

use super::ConfigError;

/// Keys that [`RawConfig`](super::raw::RawConfig) reads.
const READ: [&str; 20] = [
    "model_type",
    "hidden_act",
    "bos_token_id",
    "hidden_size",
    "head_dim",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
    "layer_norm_eps",
    "use_parallel_residual",
    "tie_word_embeddings",
    "attention_bias",
    "rotary_pct",
    "rotary_emb_base",
    "partial_rotary_factor",
    "rope_theta",
    "rope_parameters",
    "rope_scaling",
];

/// The objects that describe rotary embeddings, and the keys that are read in them.
const ROPE: [&str; 2] = ["rope_parameters", "rope_scaling"];
const READ_OF_ROPE: [&str; 4] = ["rope_theta", "partial_rotary_factor", "rope_type", "type"];

/// The values of a refused key that change nothing, besides `null`.
#[derive(Clone, Copy)]
pub(super) enum Accepted {
    /// `false`.
    False,
    /// `true`.
    True,
    /// An object or a list without entries.
    Nothing,
    /// A list of `"full_attention"`.
    FullAttention,
}

impl Accepted {
    fn accepts(self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Null) => true,
            (Self::False, value) => *value == Value::Bool(false),
            (Self::True, value) => *value == Value::Bool(true),
            (Self::Nothing, Value::Object(map)) => map.is_empty(),
            (Self::Nothing, Value::Array(list)) => list.is_empty(),
            (Self::FullAttention, Value::Array(list)) => list.iter().all(|layer| layer == "full_attention"),
            (Self::Nothing | Self::FullAttention, _) => false,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::False => "false",
            Self::True => "true",
            Self::Nothing => "null",
            Self::FullAttention => "\"full_attention\" for every layer",
        }
    }
}

/// Keys that change what a model computes, in some version of some software, and that are not implemented here. Each
/// has the values that are accepted.
pub(super) const REFUSED: &[(&str, Accepted)] = &[
    ("add_cross_attention", Accepted::False),
    ("attn_logit_softcapping", Accepted::Nothing),
    ("final_logit_softcapping", Accepted::Nothing),
    ("is_causal", Accepted::True),
    ("is_encoder_decoder", Accepted::False),
    ("layer_types", Accepted::FullAttention),
    ("pruned_heads", Accepted::Nothing),
    ("quantization_config", Accepted::Nothing),
    ("sliding_window", Accepted::Nothing),
    ("use_bidirectional_attention", Accepted::False),
    ("use_sliding_window", Accepted::False),
];

/// Keys without influence on the forward pass of a trained model: regularisation of training, precision that the files
/// themselves have, settings of generation, ids and labels, and records of how the file came to be.
pub(super) const HARMLESS: &[&str] = &[
    // Only active while training.
    "attention_dropout",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "embedding_dropout",
    "gradient_checkpointing",
    "hidden_dropout",
    "hidden_dropout_prob",
    "initializer_range",
    // The way in which the same numbers are computed, and which outputs are returned.
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_attn_implementation_internal",
    "attn_implementation",
    "chunk_size_feed_forward",
    "is_decoder",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "torchscript",
    "use_bfloat16",
    "use_cache",
    // The type in which weights are stored; the files say it themselves.
    "dtype",
    "torch_dtype",
    // Settings of generation.
    "bad_words_ids",
    "begin_suppress_tokens",
    "diversity_penalty",
    "do_sample",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_scores",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict_in_generate",
    "suppress_tokens",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    // Ids and labels.
    "decoder_start_token_id",
    "eos_token_id",
    "id2label",
    "label2id",
    "num_labels",
    "pad_token_id",
    "prefix",
    "problem_type",
    "sep_token_id",
    "task_specific_params",
    "tokenizer_class",
    // Records.
    "_commit_hash",
    "_name_or_path",
    "architectures",
    "cross_attention_hidden_size",
    "finetuning_task",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "transformers_version",
];

/// Refuses keys that would change the computation, and lists those of which nothing is known, sorted.
pub(super) fn check(file: &Map<String, Value>) -> Result<Vec<String>, ConfigError> {
    for (key, accepted) in REFUSED {
        if let Some(value) = file.get(*key).filter(|value| !accepted.accepts(value)) {
            return Err(refused((*key).to_owned(), value, accepted.words()));
        }
    }
    for object in ROPE {
        check_rope(object, file.get(object))?;
    }
    let known =
        |key: &str| READ.contains(&key) || HARMLESS.contains(&key) || REFUSED.iter().any(|(name, _)| *name == key);
    let mut unknown: Vec<String> = file.keys().filter(|key| !known(key)).cloned().collect();
    unknown.sort();
    Ok(unknown)
}

/// Everything in these objects changes the rotation, so what is not read is refused.
fn check_rope(object: &str, value: Option<&Value>) -> Result<(), ConfigError> {
    let Some(Value::Object(rope)) = value else { return Ok(()) };
    let neutral = |key: &str, value: &Value| value.is_null() || (key == "factor" && value.as_f64() == Some(1.0));
    // The length of context before an extension; without an extension it says nothing.
    let known = |key: &str| READ_OF_ROPE.contains(&key) || key == "original_max_position_embeddings";
    match rope.iter().find(|(key, value)| !known(key) && !neutral(key, value)) {
        Some((key, value)) => Err(refused(format!("{object}.{key}"), value, "null")),
        None => Ok(()),
    }
}

/// Characters of a value that an error shows.
const SHOWN: usize = 80;

fn refused(key: String, value: &Value, expected: &'static str) -> ConfigError {
    let text = value.to_string();
    let found = match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    };
    ConfigError::Refused { key, found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigFile, NeoxConfig};
    use crate::testing::{fixture, odd_config};

    fn parse(extra: &str) -> Result<ConfigFile, ConfigError> {
        let sizes = odd_config().to_json();
        ConfigFile::parse(format!("{}, {extra}}}", sizes.trim_end().trim_end_matches('}')).as_bytes())
    }

    #[test]
    fn the_documentation_names_every_key() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/models.md");
        let page = std::fs::read_to_string(page).unwrap();
        let refused = REFUSED.iter().map(|(key, _)| key);
        for key in READ.iter().chain(HARMLESS).chain(refused) {
            assert!(page.contains(&format!("`{key}`")), "docs/models.md lacks {key}");
        }
    }

    #[test]
    fn no_key_is_in_two_lists() {
        let mut all: Vec<&str> = READ.iter().chain(HARMLESS).copied().collect();
        all.extend(REFUSED.iter().map(|(key, _)| *key));
        let n = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), n);
    }

    #[test]
    fn keys_that_are_listed_as_read_are_read() {
        for key in READ {
            // No key that is read can be an empty list.
            let Err(error) = NeoxConfig::from_json(&format!(r#"{{"{key}": []}}"#)) else { panic!("{key} is not read") };
            assert!(matches!(error, ConfigError::Json(_)) || ROPE.contains(&key), "{key}: {error}");
        }
    }

    #[test]
    fn what_would_change_the_computation_is_refused_by_name() {
        for (extra, key) in [
            (r#""sliding_window": 4096"#, "sliding_window"),
            (r#""quantization_config": {"load_in_4bit": true}"#, "quantization_config"),
            (r#""pruned_heads": {"0": [1]}"#, "pruned_heads"),
            (r#""layer_types": ["full_attention", "sliding_attention"]"#, "layer_types"),
            (r#""is_causal": false"#, "is_causal"),
            (r#""is_encoder_decoder": true"#, "is_encoder_decoder"),
            (r#""rope_scaling": {"factor": 2.0}"#, "rope_scaling.factor"),
            (r#""rope_parameters": {"full_attention": {"rope_theta": 1e4}}"#, "rope_parameters.full_attention"),
            (r#""rope_scaling": {"type": "default", "mrope_section": [1]}"#, "rope_scaling.mrope_section"),
        ] {
            let error = parse(extra).unwrap_err();
            assert!(matches!(&error, ConfigError::Refused { key: found, .. } if found == key), "{extra}: {error}");
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn values_that_change_nothing_are_accepted() {
        for extra in [
            r#""sliding_window": null, "pruned_heads": {}, "quantization_config": null, "is_causal": true"#,
            r#""layer_types": ["full_attention", "full_attention"], "is_encoder_decoder": false"#,
            r#""rope_scaling": {"rope_type": "default", "factor": 1.0, "original_max_position_embeddings": 64}"#,
            r#""initializer_rangs": 1"#,
        ] {
            assert_eq!(parse(extra).unwrap().config, odd_config(), "{extra}");
        }
    }

    #[test]
    fn unknown_keys_are_listed_and_harmless_ones_are_not() {
        let file = parse(r#""zeta": 1, "attention_dropout": 0.1, "alpha_scale": [NaN], "top_p": 1.0"#).unwrap();
        assert_eq!(file.unknown_keys, ["alpha_scale", "zeta"]);
        for name in ["parallel", "parallel-bin", "sequential", "tied"] {
            let bytes = std::fs::read(fixture(name).join("config.json")).unwrap();
            assert_eq!(ConfigFile::parse(&bytes).unwrap().unknown_keys, [""; 0], "{name}");
        }
    }

    #[test]
    fn python_s_words_are_accepted_in_keys_that_nobody_reads() {
        let text = parse(r#""initializer_range": NaN, "temperature": -Infinity"#).unwrap();
        assert_eq!((text.config, text.unknown_keys.len()), (odd_config(), 0));
        for read in [r#""rope_theta": Infinity"#, r#""rotary_pct": NaN"#, r#""head_dim": NaN"#] {
            assert!(matches!(parse(read), Err(ConfigError::Json(_))), "{read}");
        }
        let marked = ["\u{feff}", &odd_config().to_json()].concat();
        assert_eq!(ConfigFile::parse(marked.as_bytes()).unwrap().config, odd_config());
    }
}
