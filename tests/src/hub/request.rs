//! Requests of clients.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

const MAX_LINE: usize = 64 << 10;

/// A request as received.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET` or `HEAD`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers by their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Whether it came to the second server.
    pub at_cdn: bool,
}

impl Seen {
    /// The next request on a connection; `None` at its end.
    pub(super) fn read(from: &mut impl BufRead, at_cdn: bool) -> io::Result<Option<Self>> {
        let first = line(from)?;
        let mut words = first.split(' ').map(str::to_owned);
        let (Some(method), Some(path)) = (words.next().filter(|word| !word.is_empty()), words.next()) else {
            return Ok(None);
        };
        let mut headers = BTreeMap::new();
        loop {
            let text = line(from)?;
            let Some((name, value)) = text.split_once(':') else { break };
            headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
        Ok(Some(Self { method, path, headers, at_cdn }))
    }

    /// The range that the request asks for of a file of `size` bytes; the end is exclusive.
    pub(super) fn range(&self, size: u64) -> Option<(u64, u64)> {
        let (from, to) = self.headers.get("range")?.strip_prefix("bytes=")?.split_once('-')?;
        let end = to.parse::<u64>().map_or(size, |last| (last + 1).min(size));
        Some((from.parse().ok()?, end))
    }
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    io::Read::take(from, MAX_LINE as u64).read_until(b'\n', &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
