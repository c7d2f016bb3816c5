//! The servers that are reached without a proxy: the entries of `NO_PROXY`.

use std::net::IpAddr;

/// The entries of `NO_PROXY`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Direct(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    servers: Servers,
    /// The one port that is meant; all where none is given.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Servers {
    All,
    /// A name in lower case, and the names below it.
    Name(String),
    /// The addresses whose first bits are those of this one.
    Range(IpAddr, u8),
}

impl Direct {
    /// Reads entries between commas or spaces. What is none matches nothing.
    pub(super) fn parse(text: &str) -> Self {
        let entries = text.split([',', ' ', '\t']).filter_map(|entry| Entry::parse(entry.trim()));
        Self(entries.collect())
    }

    /// Whether this server is reached directly. `host` is a name or an address without brackets.
    pub(super) fn has(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.0.iter().any(|entry| entry.port.is_none_or(|only| only == port) && entry.servers.have(&host))
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let text = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
        if text == "*" {
            return Some(Self { servers: Servers::All, port: None });
        }
        if let Some(range) = range(text) {
            return Some(Self { servers: range, port: None });
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (text, None),
        };
        let name = name.trim_start_matches('*').trim_matches('.');
        let named = || (!name.is_empty() && !name.contains(['/', '*', ':'])).then(|| Servers::Name(name.to_owned()));
        Some(Self { servers: range(name).or_else(named)?, port })
    }
}

/// An address, in brackets or not, or a range of addresses.
fn range(text: &str) -> Option<Servers> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(address);
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Ok(most), str::parse).ok().filter(|bits| *bits <= most)?;
    Some(Servers::Range(address, bits))
}

impl Servers {
    fn have(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Name(name) => {
                let front = host.strip_suffix(name.as_str()).filter(|_| host.parse::<IpAddr>().is_err());
                front.is_some_and(|front| front.is_empty() || front.ends_with('.'))
            }
            Self::Range(address, bits) => host.parse().is_ok_and(|host: IpAddr| is_within(host, *address, *bits)),
        }
    }
}

/// Whether the first `bits` of two addresses of one kind are equal.
fn is_within(host: IpAddr, address: IpAddr, bits: u8) -> bool {
    let differ = match (host.to_canonical(), address.to_canonical()) {
        (IpAddr::V4(host), IpAddr::V4(address)) => u128::from(host.to_bits() ^ address.to_bits()) << 96,
        (IpAddr::V6(host), IpAddr::V6(address)) => host.to_bits() ^ address.to_bits(),
        _ => return false,
    };
    differ.leading_zeros() >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_ranges_with_and_without_ports() {
        let some = "localhost, .hub.example,*.x.example,127.0.0.1:8,::1,10.0.0.0/8 fd00::/8,[fe80::1]:443,\
                    192.168.1.0/24:80,http://m.example:81,172.16.5.4/12,0.0.0.0/33,/8,[,:9";
        let some = Direct::parse(some);
        for (host, port) in [
            ("localhost", 3),
            ("hub.example", 443),
            ("CDN.hub.example", 443),
            ("hub.example.", 443),
            ("x.example", 1),
            ("127.0.0.1", 8),
            ("::1", 4),
            ("0:0:0:0:0:0:0:1", 4),
            ("10.255.0.1", 4),
            ("fdab::9", 4),
            ("fe80::1", 443),
            ("m.example", 81),
            ("172.31.255.255", 1),
            ("::ffff:10.1.1.1", 1),
        ] {
            assert!(some.has(host, port), "{host} {port}");
        }
        for (host, port) in [
            ("nothub.example", 443),
            ("127.0.0.1", 9),
            ("x.example.evil", 443),
            ("11.0.0.1", 4),
            ("fe80::1", 444),
            ("fe00::1", 443),
            ("m.example", 82),
            ("172.32.0.0", 1),
            ("1.2.3.4", 9),
            ("10.example", 1),
        ] {
            assert!(!some.has(host, port), "{host} {port}");
        }
        assert!(Direct::parse(" * ").has("hub.example", 443) && !Direct::parse("").has("hub.example", 443));
        assert!(Direct::parse("0.0.0.0/0").has("9.9.9.9", 1) && !Direct::parse("0.0.0.0/0").has("hub.example", 1));
    }
}
