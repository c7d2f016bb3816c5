//! How servers are reached: the endpoint, the token, proxies and certificates of the environment.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use pythia_files::{Environment, hub_home};

use super::certificates::Certificates;
use super::error::SettingsError;
use super::proxy::Proxies;
use crate::Endpoint;

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
    pub(crate) fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How servers are reached.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Address of the hub: `HF_ENDPOINT`, or huggingface.co.
    pub endpoint: Endpoint,
    /// The access token. It is sent to the endpoint's own scheme, host and port only.
    pub token: Option<Token>,
    /// Which proxy, if any, each address is reached through.
    pub proxies: Proxies,
    /// The authorities that vouch for servers.
    pub certificates: Certificates,
}

impl Connection {
    /// A connection without token and proxies.
    pub fn to(endpoint: Endpoint) -> Self {
        Self { endpoint, token: None, proxies: Proxies::default(), certificates: Certificates::default() }
    }

    /// From `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HUB_DISABLE_IMPLICIT_TOKEN`, the variables of [`Proxies`]
    /// and those of [`Certificates`]. A proxy and the certificates are read when an address needs them.
    ///
    /// # Errors
    /// [`SettingsError`] names the variable or file.
    pub fn of(environment: &Environment) -> Result<Self, SettingsError> {
        let endpoint = match text(environment, "HF_ENDPOINT")? {
            Some(text) => text.parse()?,
            None => Endpoint::default(),
        };
        let hidden = text(environment, "HF_HUB_DISABLE_IMPLICIT_TOKEN")?.is_some_and(|value| is_true(&value));
        let token = if hidden { None } else { token(environment)? };
        let (proxies, certificates) = (Proxies::of(environment), Certificates::of(environment));
        Ok(Self { endpoint, token, proxies, certificates })
    }
}

/// Whether the value of a switch means yes, as the Python client reads it.
pub(super) fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_ascii_uppercase().as_str())
}

fn text(environment: &Environment, variable: &'static str) -> Result<Option<String>, SettingsError> {
    let text = environment.var(variable).map(|value| value.into_string());
    text.transpose().map_err(|_| SettingsError::NotText { variable })
}

fn token(environment: &Environment) -> Result<Option<Token>, SettingsError> {
    for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
        if let Some(text) = text(environment, name)? {
            return parsed(&text, name.to_owned());
        }
    }
    let named = environment.var("HF_TOKEN_PATH").map(|value| environment.expand_known(Path::new(&value)));
    let path = named.unwrap_or_else(|| hub_home(environment).join("token"));
    match read_token(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SettingsError::Io { path, source }),
        Ok(text) => parsed(&text, path.display().to_string()),
    }
}

fn parsed(text: &str, from: String) -> Result<Option<Token>, SettingsError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn connection(vars: &[(&str, &str)], home: &Path) -> Result<Connection, SettingsError> {
        Connection::of(&Environment::of(vars.iter().copied(), home.to_str()))
    }

    #[test]
    fn the_token_comes_from_the_variable_or_the_file_and_is_never_shown() {
        let dir = TempDir::new();
        let file = dir.write("hf/token", "  hf_file\n");
        let hf_home = dir.path().join("hf");
        let hf_home = ("HF_HOME", hf_home.to_str().unwrap());
        let token = |vars: &[(&str, &str)]| connection(vars, dir.path()).unwrap().token.map(|token| token.header());
        assert_eq!(token(&[]), None);
        assert_eq!(token(&[hf_home]).as_deref(), Some("Bearer hf_file"));
        assert_eq!(token(&[("HF_TOKEN_PATH", file.to_str().unwrap())]).as_deref(), Some("Bearer hf_file"));
        assert_eq!(token(&[hf_home, ("HF_TOKEN", "hf_var")]).as_deref(), Some("Bearer hf_var"));
        assert_eq!(token(&[hf_home, ("HF_TOKEN", "hf_var"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "yes")]), None);
        let shown = format!("{:?}", connection(&[("HF_TOKEN", "hf_var")], dir.path()).unwrap());
        assert!(shown.contains("***") && !shown.contains("hf_var"), "{shown}");
        let error = connection(&[("HF_TOKEN", "two\nlines")], dir.path()).unwrap_err().to_string();
        assert!(error.contains("HF_TOKEN") && !error.contains("two"), "{error}");
    }

    #[test]
    fn the_endpoint_is_the_public_one_unless_said() {
        let endpoint = |vars: &[(&str, &str)]| connection(vars, Path::new("/h")).map(|connection| connection.endpoint);
        assert_eq!(endpoint(&[]).unwrap(), Endpoint::default());
        assert_eq!(endpoint(&[("HF_ENDPOINT", "http://127.0.0.1:1/")]).unwrap().to_string(), "http://127.0.0.1:1");
        assert!(matches!(endpoint(&[("HF_ENDPOINT", "nowhere")]), Err(SettingsError::Endpoint(_))));
    }

    #[test]
    fn every_error_names_its_variable_or_file() {
        let dir = TempDir::new();
        let folder = dir.path().join("token-is-a-folder");
        std::fs::create_dir(&folder).unwrap();
        let folder = folder.to_str().unwrap();
        for (name, value, word) in [
            ("HF_TOKEN_PATH", folder, folder),
            ("HF_ENDPOINT", "ftp://x", "HF_ENDPOINT"),
            ("HF_TOKEN", "ü", "HF_TOKEN"),
        ] {
            let error = connection(&[(name, value)], dir.path()).unwrap_err();
            assert!(error.to_string().contains(word) && error.remedy().contains(word), "{error}: {}", error.remedy());
        }
    }
}
