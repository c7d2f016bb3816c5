//! The wait that a server asks for.

use std::time::{Duration, SystemTime};

use chrono::DateTime;

/// The wait that an answer's headers ask for: `Retry-After` in seconds or as a date, else the end of the window that
/// the `RateLimit` header of the public hub names when nothing of it is left.
pub(super) fn asked(header: impl Fn(&str) -> Option<String>, today: SystemTime) -> Option<Duration> {
    let after = header("retry-after");
    after.and_then(|text| retry_after(text.trim(), today)).or_else(|| window_end(&header("ratelimit")?))
}

fn retry_after(text: &str, today: SystemTime) -> Option<Duration> {
    match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(date(text)?.duration_since(today).unwrap_or_default()),
    }
}

/// `"api";r=0;t=55`: nothing remains, 55 seconds to go (draft-ietf-httpapi-ratelimit-headers-09).
fn window_end(text: &str) -> Option<Duration> {
    let value = |key: &str| {
        let part = text.split([';', ',']).map(str::trim).find_map(|part| part.strip_prefix(key));
        part.and_then(|part| part.trim().strip_prefix('=')?.trim().parse::<u64>().ok())
    };
    (value("r")? == 0).then_some(Duration::from_secs(value("t")?))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the form of dates in headers (RFC 9110, section 5.6.7).
fn date(text: &str) -> Option<SystemTime> {
    DateTime::parse_from_rfc2822(text).ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn wait(pairs: &[(&str, &str)], today: u64) -> Option<u64> {
        let header = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        asked(header, UNIX_EPOCH + Duration::from_secs(today)).map(|wait| wait.as_secs())
    }

    #[test]
    fn servers_ask_in_three_ways() {
        assert_eq!(wait(&[("retry-after", "7")], 0), Some(7));
        assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], 784_111_770), Some(7));
        assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], 784_111_800), Some(0));
        assert_eq!(wait(&[("ratelimit", "\"api\";r=0;t=55")], 0), Some(55));
        assert_eq!(wait(&[("ratelimit", "\"api\";r=3;t=55")], 0), None);
        assert_eq!(wait(&[("retry-after", "soon"), ("ratelimit", "\"api\"; r=0; t=5")], 0), Some(5));
    }

    #[test]
    fn nonsense_asks_for_nothing() {
        for text in
            ["", "-1", "1e9", "Sun, 06 Nov 1994", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 00 Jan 0000 00:00:00 GMT"]
        {
            assert_eq!(wait(&[("retry-after", text)], 0), None, "{text}");
        }
    }
}
