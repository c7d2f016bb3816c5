//! The proxies of the environment.

use std::fmt;

use super::url::{Url, harmless};

/// The proxy for each server: `HTTPS_PROXY` for https, `HTTP_PROXY` for http, `ALL_PROXY` where the other is not set,
/// none for the hosts of `NO_PROXY`. Lower-case variables take precedence. Ranges of addresses (`10.0.0.0/8`) are not
/// supported.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<ureq::Proxy>,
    https: Option<ureq::Proxy>,
    /// Hosts without a proxy, in lower case, without a leading dot or `*.`.
    direct: Vec<String>,
}

impl Proxies {
    /// The proxies that the environment's variables name; `get` reads a variable.
    ///
    /// # Errors
    /// The name of a variable that is not the address of a proxy. It is not ignored, because a direct connection may be
    /// forbidden.
    pub(super) fn from_vars(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, &'static str> {
        const ALL: [&str; 2] = ["all_proxy", "ALL_PROXY"];
        let pick = |own: [&'static str; 2]| {
            let found = own.into_iter().chain(ALL).find_map(|variable| Some((variable, get(variable)?)));
            let proxy = |(variable, text): (_, String)| proxy(&text).ok_or(variable);
            found.map(proxy).transpose()
        };
        let direct = get("no_proxy").or_else(|| get("NO_PROXY")).unwrap_or_default();
        let hosts = direct.split(',').map(host).filter(|host| !host.is_empty()).collect();
        let (http, https) = (pick(["http_proxy", "HTTP_PROXY"])?, pick(["https_proxy", "HTTPS_PROXY"])?);
        Ok(Self { http, https, direct: hosts })
    }

    /// The proxy for a server.
    pub(super) fn before(&self, url: &Url) -> Option<ureq::Proxy> {
        let (host, port) = (url.host(), url.port());
        let is_direct = |entry: &String| {
            let (name, only) = match entry.rsplit_once(':') {
                Some((name, port)) if !name.contains(':') => (name, port.parse().ok()),
                _ => (entry.as_str(), None),
            };
            let inside = host.strip_suffix(name).is_some_and(|front| front.is_empty() || front.ends_with('.'));
            name == "*" || (inside && only.is_none_or(|only: u16| only == port))
        };
        let proxy = if url.is_https() { &self.https } else { &self.http };
        proxy.clone().filter(|_| !self.direct.iter().any(is_direct))
    }
}

fn proxy(text: &str) -> Option<ureq::Proxy> {
    let proxy = ureq::Proxy::new(text.trim()).ok()?;
    matches!(proxy.protocol(), ureq::ProxyProtocol::Http | ureq::ProxyProtocol::Https).then_some(proxy)
}

/// An entry of `NO_PROXY` in the form that hosts are compared with.
fn host(entry: &str) -> String {
    let entry = entry.trim().to_ascii_lowercase();
    let entry = entry.split_once("://").map_or(entry.as_str(), |(_, host)| host);
    if entry == "*" { entry.to_owned() } else { entry.trim_start_matches('*').trim_start_matches('.').to_owned() }
}

impl fmt::Debug for Proxies {
    /// Shows no passwords of proxies.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |proxy: &Option<ureq::Proxy>| proxy.as_ref().map(|proxy| harmless(&proxy.uri().to_string()));
        let mut out = f.debug_struct("Proxies");
        out.field("http", &shown(&self.http)).field("https", &shown(&self.https)).field("direct", &self.direct).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(vars: &[(&str, &str)]) -> Result<Proxies, &'static str> {
        let get = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Proxies::from_vars(&get)
    }

    fn host_before(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.before(&Url::parse(url).unwrap()).map(|proxy| proxy.host().to_owned())
    }

    #[test]
    fn the_scheme_chooses_the_proxy() {
        let some =
            proxies(&[("HTTPS_PROXY", "http://s:1"), ("https_proxy", "http://t:1"), ("ALL_PROXY", "a:2")]).unwrap();
        assert_eq!(host_before(&some, "https://hub.example/").as_deref(), Some("t"));
        assert_eq!(host_before(&some, "http://hub.example/").as_deref(), Some("a"));
        assert_eq!(host_before(&proxies(&[]).unwrap(), "https://hub.example/"), None);
    }

    #[test]
    fn some_hosts_are_asked_directly() {
        let some =
            proxies(&[("ALL_PROXY", "http://a"), ("NO_PROXY", "localhost, .hub.example,*.x.example,127.0.0.1:8,::1")]);
        let some = some.unwrap();
        for url in [
            "http://localhost:3/",
            "https://hub.example",
            "https://cdn.hub.example",
            "http://127.0.0.1:8",
            "http://[::1]:4",
        ] {
            assert_eq!(host_before(&some, url), None, "{url}");
        }
        for url in ["https://nothub.example", "http://127.0.0.1:9", "https://x.example.evil"] {
            assert!(host_before(&some, url).is_some(), "{url}");
        }
        let none = proxies(&[("ALL_PROXY", "http://a"), ("no_proxy", "*")]).unwrap();
        assert_eq!(host_before(&none, "https://hub.example"), None);
    }

    #[test]
    fn passwords_of_proxies_are_not_shown() {
        let some = proxies(&[("ALL_PROXY", "http://user:hunter2@a:1")]).unwrap();
        assert!(!format!("{some:?}").contains("hunter2"), "{some:?}");
        let error = proxies(&[("HTTPS_PROXY", "socks5://user:hunter2@a:1")]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2") && error.to_string().contains("HTTPS_PROXY"));
    }
}
