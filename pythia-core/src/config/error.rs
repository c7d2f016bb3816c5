//! Why a configuration is refused.

use thiserror::Error;

use crate::content::WrongContent;

/// Why a `config.json` does not describe a model that can be run here.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text is not JSON of the expected kinds.
    #[error("not a readable config.json: {0}")]
    Json(#[from] serde_json::Error),
    /// The file is something else than JSON.
    #[error("not a readable config.json: {0}")]
    Content(#[from] WrongContent),
    /// The file is far larger than any that describes a model.
    #[error("it has more than {max} bytes")]
    TooLarge {
        /// The most that is read.
        max: u64,
    },
    /// A size that has no default is absent.
    #[error("`{key}` is missing, and it has no default")]
    Missing {
        /// The key as the file would spell it.
        key: &'static str,
    },
    /// A whole number is outside what any model of this family has.
    #[error("`{key}` is {found}, expected {min} to {max}")]
    OutOfRange {
        /// The key as the file spells it.
        key: &'static str,
        /// What the file says.
        found: u64,
        /// Smallest accepted value.
        min: u64,
        /// Largest accepted value.
        max: u64,
    },
    /// A real number is outside its sensible range.
    #[error("`{key}` is {found}, expected a number above 0 and at most {max}")]
    NotPositive {
        /// The key as the file spells it.
        key: &'static str,
        /// What the file says.
        found: f64,
        /// Largest accepted value.
        max: f64,
    },
    /// The width cannot be split evenly over the heads.
    #[error("`hidden_size` {d_model} is not a multiple of `num_attention_heads` {n_heads}")]
    HeadsDoNotDivide {
        /// `hidden_size`.
        d_model: usize,
        /// `num_attention_heads`.
        n_heads: usize,
    },
    /// The rotating part of a head is empty, odd or larger than the head.
    #[error("rotary covers {ndims} of {d_head} dimensions of a head; it must be an even number from 2 to {d_head}")]
    RotaryDims {
        /// Rotating dimensions that follow from the file.
        ndims: usize,
        /// Dimensions of one head.
        d_head: usize,
    },
    /// Two keys for the same setting disagree.
    #[error("`{first_key}` says {first} but `{second_key}` says {second}")]
    Conflict {
        /// The key that was read first.
        first_key: &'static str,
        /// Its value.
        first: f64,
        /// The key that disagrees with it.
        second_key: &'static str,
        /// Its value.
        second: f64,
    },
    /// A feature that would change the computation and is not implemented.
    #[error(
        "`{key}` is {}; only {supported:?} is supported",
        found.as_ref().map_or_else(|| "missing".to_owned(), |found| format!("{found:?}"))
    )]
    Unsupported {
        /// The key as the file spells it.
        key: &'static str,
        /// What the file says; `None` if the key is absent.
        found: Option<String>,
        /// The one accepted value.
        supported: &'static str,
    },
    /// A key that other software computes with and this program does not.
    #[error(
        "`{key}` is {found}, which would change what the model computes, and is not supported; expected {expected}"
    )]
    Refused {
        /// The key as the file spells it; one of an object inside as `rope_scaling.factor`.
        key: String,
        /// What the file says.
        found: String,
        /// The values that change nothing.
        expected: &'static str,
    },
}
