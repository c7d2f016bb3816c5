//! The settings of the hub's Python client, from the same variables with the same defaults and the same precedence.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::proxy::Proxies;
use super::{Endpoint, RetryPolicy, UrlError};

/// A token has about 40 characters; a file with more than this holds something else.
const MAX_TOKEN_FILE: u64 = 64 << 10;

/// An access token of the hub. It is printed as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token without surrounding white space. `None` if it is empty or has characters that a header cannot contain.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(text.to_owned()))
    }

    /// The value of the `authorization` header.
    pub(super) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The address of the hub, the cache, and how requests are sent.
///
/// ```
/// use std::path::Path;
/// use pythia_hub::{Settings, SettingsError, Token};
///
/// let vars = |name: &str| match name {
///     "HF_TOKEN" => Some("hf_secret".to_owned()),
///     "HTTPS_PROXY" => Some("http://user:secret@proxy.example:8080".to_owned()),
///     _ => None,
/// };
/// let settings = Settings::from_vars(vars, Path::new("/users/me"))?;
/// assert_eq!(settings.token, Token::new("hf_secret"));
/// // Neither the token nor the password of the proxy is printed.
/// assert!(!format!("{settings:?}").contains("secret"));
///
/// let bad = |name: &str| (name == "HF_ENDPOINT").then(|| "nowhere".to_owned());
/// assert!(matches!(Settings::from_vars(bad, Path::new("/users/me")), Err(SettingsError::Endpoint(_))));
/// # Ok::<(), SettingsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address of the hub: `HF_ENDPOINT`, or huggingface.co.
    pub endpoint: Endpoint,
    /// The access token. It is sent to the endpoint's own scheme, host and port only.
    pub token: Option<Token>,
    /// Root of the cache, the folder that holds `models--ORGANISATION--NAME`.
    pub cache: PathBuf,
    /// Whether no connection may be opened.
    pub offline: bool,
    /// Which proxy, if any, each address is reached through.
    pub proxies: Proxies,
    /// How often and how long to wait for a server.
    pub retry: RetryPolicy,
}

/// A variable that cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// `HF_ENDPOINT` is no address.
    #[error("HF_ENDPOINT: {0}")]
    Endpoint(#[from] UrlError),
    /// A variable of a proxy is not an address. Its value is not shown, because addresses of proxies can contain
    /// passwords.
    #[error("{variable} is not the address of a proxy that can be used (http:// or https://)")]
    Proxy {
        /// Name of the environment variable.
        variable: &'static str,
    },
    /// A token has characters that a header cannot contain. It is not shown.
    #[error("the token of {from} holds characters that no token has")]
    Token {
        /// Variable or file.
        from: String,
    },
    /// The file of the token exists and cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// File with the token.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl Settings {
    /// Settings with this hub and this cache, and defaults for the rest: no token, no proxy.
    pub fn new(endpoint: Endpoint, cache: PathBuf) -> Self {
        let (token, proxies, retry) = (None, Proxies::default(), RetryPolicy::default());
        Self { endpoint, token, cache, offline: false, proxies, retry }
    }

    /// From variables: `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HOME`, `HF_HUB_CACHE`, `XDG_CACHE_HOME`,
    /// `HF_HUB_OFFLINE`, `HF_HUB_DISABLE_IMPLICIT_TOKEN` and those of proxies, and the older names that the Python
    /// client still reads. `get` reads a variable, `home` is the home folder. An empty variable counts as not set.
    ///
    /// # Errors
    /// [`SettingsError`] names the variable or file.
    pub fn from_vars(get: impl Fn(&str) -> Option<String>, home: &Path) -> Result<Self, SettingsError> {
        let vars = Vars { get: &|name| get(name).filter(|value| !value.is_empty()), home };
        let endpoint = match (vars.get)("HF_ENDPOINT") {
            Some(text) => text.parse()?,
            None => Endpoint::default(),
        };
        let token = if vars.says("HF_HUB_DISABLE_IMPLICIT_TOKEN") { None } else { vars.token()? };
        let offline = vars.first(&["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]).is_some_and(|value| is_true(&value));
        let cache = vars.cache();
        let proxies = Proxies::from_vars(vars.get).map_err(|variable| SettingsError::Proxy { variable })?;
        Ok(Self { endpoint, token, cache, offline, proxies, retry: RetryPolicy::default() })
    }
}

/// The variables and the home folder.
struct Vars<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    home: &'a Path,
}

impl Vars<'_> {
    /// The value of the first of these variables that has one.
    fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| (self.get)(name))
    }

    fn says(&self, name: &str) -> bool {
        (self.get)(name).is_some_and(|value| is_true(&value))
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        (self.get)(name).map(|text| self.expanded(&text))
    }

    /// The folder of the hub's tools.
    fn hub_home(&self) -> PathBuf {
        let caches = || self.path("XDG_CACHE_HOME").unwrap_or_else(|| self.home.join(".cache"));
        self.path("HF_HOME").unwrap_or_else(|| caches().join("huggingface"))
    }

    fn cache(&self) -> PathBuf {
        let older = || self.path("HUGGINGFACE_HUB_CACHE");
        self.path("HF_HUB_CACHE").or_else(older).unwrap_or_else(|| self.hub_home().join("hub"))
    }

    fn token(&self) -> Result<Option<Token>, SettingsError> {
        for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
            if let Some(text) = (self.get)(name) {
                return token(&text, name.to_owned());
            }
        }
        let path = self.path("HF_TOKEN_PATH").unwrap_or_else(|| self.hub_home().join("token"));
        match read_token(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SettingsError::Io { path, source }),
            Ok(text) => token(&text, path.display().to_string()),
        }
    }

    /// `~` at the beginning, `$NAME` and `${NAME}`, as Python's `expanduser` and `expandvars` read them; unknown names
    /// stay as they are.
    fn expanded(&self, text: &str) -> PathBuf {
        let text = match text.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{}{rest}", self.home.display()),
            _ => text.to_owned(),
        };
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let (name, length) = variable(after);
            match (self.get)(name).filter(|_| !name.is_empty()) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&rest[before.len()..before.len() + 1 + length]),
            }
            rest = &after[length..];
        }
        PathBuf::from(out + rest)
    }
}

/// The name of the variable at the beginning of the text behind a `$`, and its length with braces.
fn variable(text: &str) -> (&str, usize) {
    if let Some((name, _)) = text.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
        return (name, name.len() + 2);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    (&text[..end], end)
}

fn token(text: &str, from: String) -> Result<Option<Token>, SettingsError> {
    match Token::new(text) {
        None if !text.trim().is_empty() => Err(SettingsError::Token { from }),
        token => Ok(token),
    }
}

fn read_token(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_TOKEN_FILE).read_to_string(&mut text)?;
    Ok(text)
}

fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_ascii_uppercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn settings(vars: &[(&str, &str)], home: &Path) -> Result<Settings, SettingsError> {
        let get = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Settings::from_vars(get, home)
    }

    #[test]
    fn the_cache_is_where_the_python_client_has_it() {
        let home = Path::new("/h");
        let cache = |vars: &[(&str, &str)]| settings(vars, home).unwrap().cache;
        assert_eq!(cache(&[]), Path::new("/h/.cache/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/hf")]), Path::new("/h/hf/hub"));
        assert_eq!(cache(&[("HF_HOME", "/hf"), ("HUGGINGFACE_HUB_CACHE", "/old")]), Path::new("/old"));
        let both =
            [("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "$ROOT/${SUB}/$NONE"), ("ROOT", "/r"), ("SUB", "s")];
        assert_eq!(cache(&both), Path::new("/r/s/$NONE"));
        assert_eq!(cache(&[("HF_HUB_CACHE", "")]), Path::new("/h/.cache/huggingface/hub"));
    }

    #[test]
    fn the_token_comes_from_the_variable_or_the_file_and_is_never_shown() {
        let dir = TempDir::new();
        let file = dir.write("hf/token", "  hf_file\n");
        let hf_home = dir.path().join("hf");
        let hf_home = ("HF_HOME", hf_home.to_str().unwrap());
        let token = |vars: &[(&str, &str)]| settings(vars, dir.path()).unwrap().token.map(|token| token.header());
        assert_eq!(token(&[]), None);
        assert_eq!(token(&[hf_home]).as_deref(), Some("Bearer hf_file"));
        assert_eq!(token(&[("HF_TOKEN_PATH", file.to_str().unwrap())]).as_deref(), Some("Bearer hf_file"));
        assert_eq!(token(&[hf_home, ("HF_TOKEN", "hf_var")]).as_deref(), Some("Bearer hf_var"));
        assert_eq!(token(&[hf_home, ("HF_TOKEN", "hf_var"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "yes")]), None);
        let shown = format!("{:?}", settings(&[("HF_TOKEN", "hf_var")], dir.path()).unwrap());
        assert!(shown.contains("***") && !shown.contains("hf_var"), "{shown}");
        let error = settings(&[("HF_TOKEN", "two\nlines")], dir.path()).unwrap_err().to_string();
        assert!(error.contains("HF_TOKEN") && !error.contains("two"), "{error}");
    }

    #[test]
    fn offline_is_1_on_yes_or_true() {
        for (value, expected) in [("1", true), ("on", true), ("Yes", true), ("TRUE", true), ("0", false), ("2", false)]
        {
            assert_eq!(settings(&[("HF_HUB_OFFLINE", value)], Path::new("/h")).unwrap().offline, expected, "{value}");
        }
        assert!(settings(&[("TRANSFORMERS_OFFLINE", "1")], Path::new("/h")).unwrap().offline);
    }

    #[test]
    fn the_endpoint_is_the_public_one_unless_said() {
        let endpoint = |vars: &[(&str, &str)]| settings(vars, Path::new("/h")).map(|settings| settings.endpoint);
        assert_eq!(endpoint(&[]).unwrap(), Endpoint::default());
        assert_eq!(endpoint(&[("HF_ENDPOINT", "http://127.0.0.1:1/")]).unwrap().to_string(), "http://127.0.0.1:1");
        assert!(matches!(endpoint(&[("HF_ENDPOINT", "nowhere")]), Err(SettingsError::Endpoint(_))));
    }
}
