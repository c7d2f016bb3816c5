//! Addresses of the hub and of the servers that it redirects to, and the part of an address that messages may show.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longer addresses are refused. A signed address of a content network has about 1,500 bytes.
const MAX_URL: usize = 16 << 10;

/// A text that is not the address of a hub.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{found:?} is not the address of a hub (http:// or https://, a host, no user and no query)")]
pub struct UrlError {
    /// The text up to its query, cut to a readable length, without user and password.
    pub found: String,
}

/// The address of a hub, `https://HOST[:PORT][/PATH]`.
///
/// ```
/// use pythia_hub::Endpoint;
///
/// let mirror: Endpoint = "https://hub.example:8443/models/".parse()?;
/// assert_eq!(mirror.to_string(), "https://hub.example:8443/models");
/// assert!("https://user:secret@hub.example".parse::<Endpoint>().is_err());
/// # Ok::<(), pythia_hub::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// The address of a path on the hub. `path` begins with `/` and has no query.
    pub(super) fn url(&self, path: &str) -> Url {
        let mut url = self.0.0.clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        Url(url)
    }

    /// Whether requests to this address may carry the token: scheme, host and port are the hub's own.
    pub(super) fn is_home_of(&self, url: &Url) -> bool {
        self.0.0.origin() == url.0.origin()
    }
}

impl Default for Endpoint {
    /// The public hub.
    fn default() -> Self {
        Self(Url::parse("https://huggingface.co").expect("a constant address"))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.full().trim_end_matches('/'))
    }
}

impl FromStr for Endpoint {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let url = Url::parse(text.trim()).filter(|url| url.0.query().is_none());
        url.map(Self).ok_or_else(|| UrlError { found: harmless(text) })
    }
}

/// An absolute http or https address without user, password and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url(url::Url);

impl Url {
    /// Reads an absolute address. `None` for any other scheme, for users and passwords, and for a missing host.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::resolve(text, None)
    }

    /// The address that a `Location` header in an answer from this address refers to.
    pub(super) fn join(&self, location: &str) -> Option<Self> {
        Self::resolve(location.trim(), Some(&self.0))
    }

    fn resolve(text: &str, base: Option<&url::Url>) -> Option<Self> {
        // Browsers take the first part of the path for a missing host. Here it is an error.
        let no_host = text.split(['?', '#']).next().is_some_and(|address| address.contains(":///"));
        if text.len() > MAX_URL || no_host {
            return None;
        }
        let mut url = url::Url::options().base_url(base).parse(text).ok()?;
        url.set_fragment(None);
        let is_plain = url.has_host() && url.username().is_empty() && url.password().is_none();
        (is_plain && matches!(url.scheme(), "http" | "https")).then_some(Self(url))
    }

    /// The same address with another query.
    pub(super) fn with_query(&self, query: &str) -> Self {
        let mut url = self.0.clone();
        url.set_query(Some(query));
        Self(url)
    }

    pub(super) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Host without port, without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default().trim_matches(['[', ']'])
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }

    /// The whole address, for requests. Its query can hold a signature, so messages show [`Url::shown`].
    pub(super) fn full(&self) -> &str {
        self.0.as_str()
    }

    /// The address without query, for messages.
    pub(super) fn shown(&self) -> String {
        harmless(self.full())
    }
}

/// An address for messages, which may be malformed: without query, user and password, cut to a readable length.
pub(super) fn harmless(text: &str) -> String {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let cut = |text: &str| -> String { text.chars().take(200).collect() };
    match path.split_once("://") {
        // Whatever comes before an @ may be a password, also where the address is malformed.
        Some((scheme, rest)) => cut(&format!("{scheme}://{}", after_user(rest))),
        None => cut(after_user(path)),
    }
}

fn after_user(text: &str) -> &str {
    text.rsplit('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn what_is_no_hub_is_refused_without_showing_secrets() {
        for text in
            ["", "hub.example", "ftp://a", "https://", "https://u:hunter2@a", "https://a?hunter2", "http://a:70000"]
        {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let endpoint: Endpoint = "https://Hub.Example:8443/mirror/".parse().unwrap();
        assert_eq!(endpoint.to_string(), "https://hub.example:8443/mirror");
        assert_eq!(endpoint.url("/api/x y").full(), "https://hub.example:8443/mirror/api/x%20y");
        assert_eq!(Endpoint::default().url("/a").full(), "https://huggingface.co/a");
    }

    #[test]
    fn redirects_lead_where_browsers_go() {
        let here = url("https://a.example/x/y?q=1");
        for (location, there) in [
            ("https://b.example/z?sig=[1]", "https://b.example/z?sig=[1]"),
            ("//b.example/z", "https://b.example/z"),
            ("/z w", "https://a.example/z%20w"),
            ("z", "https://a.example/x/z"),
            ("?n=2#top", "https://a.example/x/y?n=2"),
        ] {
            assert_eq!(here.join(location).unwrap().full(), there, "{location}");
        }
        for location in ["ftp://b/", "https://u@b/", "https:///x", "file:///etc/passwd", &"x".repeat(20_000)] {
            assert!(here.join(location).is_none(), "{location:.40}");
        }
    }

    #[test]
    fn the_token_is_for_the_endpoint_alone() {
        let home: Endpoint = "https://hub.example".parse().unwrap();
        for text in ["https://hub.example/a", "https://HUB.example:443/a?b"] {
            assert!(home.is_home_of(&url(text)), "{text}");
        }
        for text in [
            "http://hub.example/a",
            "https://hub.example:8443/",
            "https://hub.example.evil/",
            "https://cdn.hub.example",
        ] {
            assert!(!home.is_home_of(&url(text)), "{text}");
        }
    }

    #[test]
    fn messages_show_no_query_and_no_user() {
        assert_eq!(url("https://a.example/x?X-Signature=hunter2").shown(), "https://a.example/x");
        for text in ["https://u:hunter2@a/x", "u:hunter2@a", "a?hunter2", "https://u:hunter2/b@a/x"] {
            assert!(!harmless(text).contains("hunter2"), "{text}");
        }
        assert!(url("http://[::1]:80/").host() == "::1" && url("http://[::1]/").port() == 80);
    }
}
