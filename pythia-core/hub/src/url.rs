//! Addresses: of the hub, of where it redirects to, and what of them may be shown.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longer addresses are refused; a signed one of a content network has about 1,500 bytes.
const MAX_URL: usize = 16 << 10;

/// Text that is no address of a hub.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{found:?} is not the address of a hub (http:// or https://, a host, no user and no query)")]
pub struct UrlError {
    /// What was found up to its query, cut to a readable length, without user and password.
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
    /// The address of something on the hub; `path` begins with `/`.
    pub(super) fn url(&self, path: &str) -> Url {
        let rest = format!("{}{}", self.0.rest.trim_end_matches('/'), clean(path));
        Url { rest, ..self.0.clone() }
    }

    /// Whether the token may go there.
    pub(super) fn is_home_of(&self, url: &Url) -> bool {
        self.0.origin() == url.origin()
    }
}

impl Default for Endpoint {
    /// The public hub.
    fn default() -> Self {
        Self(Url { https: true, authority: "huggingface.co".to_owned(), rest: String::new() })
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
        let url = Url::parse(text.trim()).filter(|url| !url.rest.contains('?'));
        url.map(Self).ok_or_else(|| UrlError { found: harmless(text) })
    }
}

/// An address that can be asked: scheme, host and port, and the rest with nothing in it that a request line cannot
/// carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    https: bool,
    /// Host, and port where it is given; lower case.
    authority: String,
    /// Path and query; empty or begins with `/`.
    rest: String,
}

impl Url {
    /// Reads an absolute address; `None` for any other scheme, for users and passwords, and for hosts that are none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, after) = text.split_once("://").filter(|_| text.len() <= MAX_URL)?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let (authority, rest) = after.split_at(end);
        let slash = if rest.is_empty() || rest.starts_with('/') { "" } else { "/" };
        let rest = format!("{slash}{}", clean(rest));
        is_authority(authority).then(|| Self { https, authority: authority.to_ascii_lowercase(), rest })
    }

    /// Where a `Location` leads that was found here.
    pub(super) fn join(&self, location: &str) -> Option<Self> {
        let location = location.trim();
        let scheme = if self.https { "https" } else { "http" };
        match location {
            _ if location.len() > MAX_URL => None,
            _ if location.starts_with("//") => Self::parse(&format!("{scheme}:{location}")),
            _ if location.starts_with('/') => Some(Self { rest: clean(location), ..self.clone() }),
            _ if location.starts_with('?') => Some(self.with_query(&location[1..])),
            _ if location.contains("://") => Self::parse(location),
            _ => Some(Self { rest: format!("{}{}", self.folder(), clean(location)), ..self.clone() }),
        }
    }

    /// The same address with another query.
    pub(super) fn with_query(&self, query: &str) -> Self {
        let path = self.rest.split('?').next().unwrap_or_default();
        Self { rest: format!("{path}?{}", clean(query)), ..self.clone() }
    }

    /// Path up to the last `/`, that included.
    fn folder(&self) -> &str {
        let path = self.rest.split('?').next().unwrap_or_default();
        path.rfind('/').map_or("/", |at| &path[..=at])
    }

    pub(super) fn is_https(&self) -> bool {
        self.https
    }

    /// Host without port, without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        split_port(&self.authority).0.trim_matches(['[', ']'])
    }

    pub(super) fn port(&self) -> u16 {
        let usual = if self.https { 443 } else { 80 };
        split_port(&self.authority).1.and_then(|port| port.parse().ok()).unwrap_or(usual)
    }

    fn origin(&self) -> (bool, &str, u16) {
        (self.https, self.host(), self.port())
    }

    /// The whole address, for asking. Its query can hold a signature, so it is not for messages.
    pub(super) fn full(&self) -> String {
        let slash = if self.rest.is_empty() { "/" } else { "" };
        format!("{}://{}{slash}{}", if self.https { "https" } else { "http" }, self.authority, self.rest)
    }

    /// The address without query, for messages.
    pub(super) fn shown(&self) -> String {
        harmless(&self.full())
    }
}

/// An address of any kind for messages: without query, user and password, cut to a readable length.
pub(super) fn harmless(text: &str) -> String {
    let path = text.split(['?', '#']).next().unwrap_or_default();
    let cut = |text: &str| -> String { text.chars().take(200).collect() };
    match path.split_once("://") {
        // Whatever stands before an @ may be a password, also where the address is malformed.
        Some((scheme, rest)) => cut(&format!("{scheme}://{}", after_user(rest))),
        None => cut(after_user(path)),
    }
}

fn after_user(text: &str) -> &str {
    text.rsplit('@').next().unwrap_or_default()
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    let host_end = authority.rfind(']').map_or(0, |at| at + 1);
    match authority[host_end..].find(':') {
        Some(at) => (&authority[..host_end + at], Some(&authority[host_end + at + 1..])),
        None => (authority, None),
    }
}

/// A host name or address, with a port or without.
fn is_authority(text: &str) -> bool {
    let (host, port) = split_port(text);
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let is_host = match inner {
        Some(v6) => !v6.is_empty() && v6.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.')),
        None => !host.is_empty() && host.chars().all(plain),
    };
    is_host && port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

/// Path and query as a request line can carry them: what RFC 3986 does not know is written as `%XX`, a fragment is cut
/// off.
fn clean(text: &str) -> String {
    let text = text.split('#').next().unwrap_or_default();
    let known = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&b);
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if known(byte) { out.push(byte as char) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out
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
    fn the_token_stays_at_home() {
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
