//! The settings of the hub's Python client, from the same variables with the same defaults and the same precedence.

mod certificates;
mod connection;
mod direct;
mod error;
mod proxy;

use std::path::PathBuf;
use std::sync::Arc;

use pythia_files::{Environment, hub_cache};

use super::{Endpoint, RetryPolicy};
use connection::is_true;

pub use certificates::Certificates;
pub use connection::{Connection, Token};
pub use error::SettingsError;
pub use proxy::Proxies;

/// The cache, whether connections may be opened, and how.
///
/// The cache and `HF_HUB_OFFLINE` are read at once. Everything that only a connection needs (the endpoint, the token,
/// proxies, certificates) is read before the first one. So a proxy that cannot be used, or a token file that cannot be
/// read, stops nothing that works without a connection.
///
/// ```
/// use std::path::Path;
/// use pythia_files::Environment;
/// use pythia_hub::{Settings, SettingsError, Token};
///
/// let vars = [("HF_TOKEN", "hf_secret"), ("HTTPS_PROXY", "http://user:secret@proxy.example:8080")];
/// let settings = Settings::of(Environment::of(vars, Some("/users/me")));
/// assert_eq!(settings.cache, Path::new("/users/me/.cache/huggingface/hub"));
/// let connection = settings.connection()?;
/// assert_eq!(connection.token, Token::new("hf_secret"));
/// // Neither the token nor the password of the proxy is printed.
/// assert!(!format!("{settings:?} {connection:?}").contains("secret"));
///
/// let bad = Settings::of(Environment::of([("HF_ENDPOINT", "nowhere")], None));
/// assert!(matches!(bad.connection(), Err(SettingsError::Endpoint(_))));
/// # Ok::<(), SettingsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    /// Root of the cache, the folder that holds `models--ORGANISATION--NAME`.
    pub cache: PathBuf,
    /// Whether no connection may be opened.
    pub offline: bool,
    /// How often and how long to wait for a server.
    pub retry: RetryPolicy,
    source: Source,
}

/// Where the settings of connections come from.
#[derive(Clone, Debug)]
enum Source {
    Given(Arc<Connection>),
    Environment(Environment),
}

impl Settings {
    /// Settings with this hub and this cache, and defaults for the rest: no token, no proxy.
    pub fn new(endpoint: Endpoint, cache: PathBuf) -> Self {
        let source = Source::Given(Arc::new(Connection::to(endpoint)));
        Self { cache, offline: false, retry: RetryPolicy::default(), source }
    }

    /// The settings that an environment has: `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`, `HF_HUB_OFFLINE`, the
    /// variables of [`Connection::of`], and the older names that the Python client still reads.
    pub fn of(environment: Environment) -> Self {
        let offline = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].iter().find_map(|name| environment.var(name));
        let offline = offline.is_some_and(|value| value.to_str().is_some_and(is_true));
        let (cache, retry) = (hub_cache(&environment), RetryPolicy::default());
        Self { cache, offline, retry, source: Source::Environment(environment) }
    }

    /// The same with these settings of connections in place of the environment's.
    pub fn through(self, connection: Connection) -> Self {
        Self { source: Source::Given(Arc::new(connection)), ..self }
    }

    /// How servers are reached. Reads variables and the token's file.
    ///
    /// # Errors
    /// [`SettingsError`] names the variable or file that cannot be used.
    pub fn connection(&self) -> Result<Connection, SettingsError> {
        match &self.source {
            Source::Given(connection) => Ok(Connection::clone(connection)),
            Source::Environment(environment) => Connection::of(environment),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(vars: &[(&str, &str)]) -> Settings {
        Settings::of(Environment::of(vars.iter().copied(), Some("/h")))
    }

    #[test]
    fn offline_is_1_on_yes_or_true() {
        for (value, expected) in [("1", true), ("on", true), ("Yes", true), ("TRUE", true), ("0", false), ("2", false)]
        {
            assert_eq!(settings(&[("HF_HUB_OFFLINE", value)]).offline, expected, "{value}");
        }
        assert!(settings(&[("TRANSFORMERS_OFFLINE", "1")]).offline);
    }

    #[test]
    fn what_a_connection_needs_is_not_read_before_one() {
        let bad = [("ALL_PROXY", "gopher://a"), ("HF_ENDPOINT", "nowhere"), ("HF_TOKEN", "two\nlines")];
        let settings = settings(&[&bad[..], &[("HF_HOME", "/hf"), ("HF_HUB_OFFLINE", "1")]].concat());
        assert_eq!((settings.cache.to_str(), settings.offline), (Some("/hf/hub"), true));
        assert!(settings.connection().is_err());
    }
}
