//! The settings of the hub's Python client, from the same variables with the same defaults.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{Endpoint, Patience, UrlError};

/// A secret that says who asks. Printed as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Which proxy stands before which server.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {}

/// How the hub is reached and where its files are kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The hub.
    pub endpoint: Endpoint,
    /// Who asks; sent to the endpoint's own host and port only.
    pub token: Option<Token>,
    /// Root of the cache, the folder that holds `models--ORGANISATION--NAME`.
    pub cache: PathBuf,
    /// Whether no connection may be opened.
    pub offline: bool,
    /// Which proxy stands before which server.
    pub proxies: Proxies,
    /// How long to put up with a server.
    pub patience: Patience,
}

/// Variables that cannot be followed.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// `HF_ENDPOINT` is no address.
    #[error("HF_ENDPOINT: {0}")]
    Endpoint(#[from] UrlError),
    /// A proxy's variable is no address. What it holds is not shown, since proxies' addresses carry passwords.
    #[error("{variable} is not the address of a proxy that can be used (http:// or https://)")]
    Proxy {
        /// The variable.
        variable: String,
    },
    /// A token holds characters that no header can carry. It is not shown.
    #[error("the token of {from} holds characters that no token has")]
    Token {
        /// Variable or file.
        from: String,
    },
    /// The file of the token exists and cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl Settings {
    /// The public client's defaults, with this hub and cache; no token, no proxy.
    pub fn new(endpoint: Endpoint, cache: PathBuf) -> Self {
        let (token, proxies, patience) = (None, Proxies::default(), Patience::default());
        Self { endpoint, token, cache, offline: false, proxies, patience }
    }

    /// From variables: `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HOME`, `HF_HUB_CACHE`, `XDG_CACHE_HOME`, `HF_HUB_OFFLINE`,
    /// `HF_HUB_DISABLE_IMPLICIT_TOKEN` and those of proxies. `get` reads a variable, `home` is the user's folder.
    ///
    /// # Errors
    /// [`SettingsError`] names the variable or file.
    pub fn from_vars(get: impl Fn(&str) -> Option<String>, home: &Path) -> Result<Self, SettingsError> {
        let _ = (get("HF_ENDPOINT"), home);
        todo!()
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxies")
    }
}
