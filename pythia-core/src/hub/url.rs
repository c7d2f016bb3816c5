//! Addresses.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Text that is no address of a hub.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{found:?} is not the address of a hub (http:// or https://, a host, no user and no query)")]
pub struct UrlError {
    /// What was found, cut to a readable length and without what could be a secret.
    pub found: String,
}

/// The address of a hub, `https://HOST[:PORT][/PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(String);

impl Default for Endpoint {
    /// The public hub.
    fn default() -> Self {
        Self("https://huggingface.co".to_owned())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Endpoint {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Ok(Self(text.to_owned()))
    }
}
