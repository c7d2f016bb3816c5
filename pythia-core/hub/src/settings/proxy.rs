//! The proxies of the environment.

use std::fmt;

use pythia_files::Environment;

use super::direct::Direct;
use super::error::SettingsError;
use crate::url::{Url, harmless};

/// The proxy for each server: `HTTPS_PROXY` for https, `HTTP_PROXY` for http, `ALL_PROXY` where the other is not set,
/// none for the servers of `NO_PROXY`. Lower-case variables take precedence. A proxy is reached by HTTP or by SOCKS;
/// with `socks5h://` and `socks://` it looks up the names of servers itself.
///
/// An entry of `NO_PROXY` is `*`, a name, which stands for the names below it too, an address, or a range of addresses
/// (`10.0.0.0/8`, `fd00::/8`), each with or without a port. Entries of other forms match nothing, as with curl.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Choice,
    https: Choice,
    direct: Direct,
}

#[derive(Clone, Default, PartialEq, Eq)]
enum Choice {
    #[default]
    None,
    Through(ureq::Proxy),
    /// A variable that is not the address of a proxy. It is not ignored, because a direct connection may be forbidden.
    Unusable(&'static str),
}

impl Proxies {
    /// The proxies that the environment's variables name.
    pub(super) fn of(environment: &Environment) -> Self {
        const ALL: [&str; 2] = ["all_proxy", "ALL_PROXY"];
        let pick = |own: [&'static str; 2]| {
            let found = own.into_iter().chain(ALL).find_map(|variable| Some((variable, environment.var(variable)?)));
            let choice = |(variable, value): (_, std::ffi::OsString)| {
                value.to_str().and_then(proxy).map_or(Choice::Unusable(variable), Choice::Through)
            };
            found.map_or(Choice::None, choice)
        };
        let direct = environment.var("no_proxy").or_else(|| environment.var("NO_PROXY")).unwrap_or_default();
        let (http, https) = (pick(["http_proxy", "HTTP_PROXY"]), pick(["https_proxy", "HTTPS_PROXY"]));
        Self { http, https, direct: Direct::parse(&direct.to_string_lossy()) }
    }

    /// The proxy for a server.
    pub(crate) fn before(&self, url: &Url) -> Result<Option<ureq::Proxy>, SettingsError> {
        match if url.is_https() { &self.https } else { &self.http } {
            Choice::None => Ok(None),
            _ if self.direct.has(url.host(), url.port()) => Ok(None),
            Choice::Through(proxy) => Ok(Some(proxy.clone())),
            Choice::Unusable(variable) => Err(SettingsError::Proxy { variable }),
        }
    }
}

fn proxy(text: &str) -> Option<ureq::Proxy> {
    let text = text.trim();
    // Desktops write `socks://` for a proxy whose version they do not tell; today's are of version 5.
    let text = text.strip_prefix("socks://").map_or(text.to_owned(), |rest| format!("socks5h://{rest}"));
    ureq::Proxy::new(&text).ok().filter(|proxy| !proxy.host().is_empty())
}

impl fmt::Debug for Choice {
    /// Shows no passwords of proxies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Through(proxy) => f.write_str(&harmless(&proxy.uri().to_string())),
            Self::Unusable(variable) => write!(f, "{variable}"),
        }
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Proxies");
        out.field("http", &self.http).field("https", &self.https).field("direct", &self.direct).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(vars: &[(&str, &str)]) -> Proxies {
        Proxies::of(&Environment::of(vars.iter().copied(), None))
    }

    fn before(proxies: &Proxies, url: &str) -> Option<String> {
        let proxy = proxies.before(&Url::parse(url).unwrap()).unwrap();
        proxy.map(|proxy| format!("{:?} {}:{}", proxy.protocol(), proxy.host(), proxy.port()))
    }

    #[test]
    fn the_scheme_chooses_the_proxy() {
        let some = proxies(&[("HTTPS_PROXY", "http://s:1"), ("https_proxy", "http://t:1"), ("ALL_PROXY", "a:2")]);
        assert_eq!(before(&some, "https://hub.example/").as_deref(), Some("Http t:1"));
        assert_eq!(before(&some, "http://hub.example/").as_deref(), Some("Http a:2"));
        assert_eq!(before(&proxies(&[]), "https://hub.example/"), None);
        for (value, expected) in [
            ("socks://127.0.0.1:1080/", "Socks5h 127.0.0.1:1080"),
            ("socks5://u:p@a", "Socks5 a:1080"),
            ("socks5h://a:9", "Socks5h a:9"),
            ("socks4a://a", "Socks4A a:1080"),
        ] {
            assert_eq!(before(&proxies(&[("ALL_PROXY", value)]), "https://hub.example").as_deref(), Some(expected));
        }
    }

    #[test]
    fn some_servers_are_asked_directly() {
        let some = proxies(&[("ALL_PROXY", "gopher://a"), ("NO_PROXY", "localhost,10.0.0.0/8")]);
        for url in ["http://localhost:3/", "http://10.9.8.7:1234"] {
            assert_eq!(before(&some, url), None, "{url}");
        }
        let error = some.before(&Url::parse("https://11.0.0.1").unwrap()).unwrap_err();
        assert!(error.to_string().starts_with("ALL_PROXY "), "{error}");
    }

    #[test]
    fn an_unusable_proxy_is_an_error_of_the_servers_behind_it_alone() {
        let some = proxies(&[("HTTP_PROXY", "://"), ("HTTPS_PROXY", "http://s:1")]);
        assert!(before(&some, "https://hub.example").is_some());
        let error = some.before(&Url::parse("http://hub.example").unwrap()).unwrap_err();
        assert!(matches!(error, SettingsError::Proxy { variable: "HTTP_PROXY" }));
    }

    #[test]
    fn passwords_of_proxies_are_not_shown() {
        let some = proxies(&[("ALL_PROXY", "http://user:hunter2@a:1")]);
        assert!(!format!("{some:?}").contains("hunter2"), "{some:?}");
        let some = proxies(&[("HTTPS_PROXY", "gopher://user:hunter2@a:1")]);
        let error = some.before(&Url::parse("https://a").unwrap()).unwrap_err();
        assert!(!format!("{error} {error:?} {some:?}").contains("hunter2"), "{error}");
        assert!(error.to_string().contains("HTTPS_PROXY") && error.remedy().contains("HTTPS_PROXY"), "{error}");
    }
}
