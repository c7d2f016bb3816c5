//! Sizes of memory in a configuration: `"512MiB"`, `"2GiB"`, `"1GB"`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The units, largest first; a size is written in the first one that it is a whole number of.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1000),
    ("B", 1),
];

/// The form of a size, for messages.
const EXPECTED: &str = "a size such as \"512MiB\", \"2GiB\" or \"1GB\": a whole number above 0 and a unit \
                        (B, kB, KiB, MB, MiB, GB, GiB, TB, TiB)";

/// A number of bytes, at least one. In a configuration it is a text; equal sizes are written equally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(u64);

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BytesError {
    /// It is not a whole number with a unit.
    #[error("{found:?} is not {}", EXPECTED)]
    Form {
        /// The text that was read.
        found: String,
    },
    /// The number is 0.
    #[error("{found:?} is nothing: at least 1 byte is needed")]
    Zero {
        /// The text that was read.
        found: String,
    },
    /// More bytes than 64 bits can count.
    #[error("{found:?} is more than a machine can address")]
    TooLarge {
        /// The text that was read.
        found: String,
    },
}

impl Bytes {
    /// This many bytes; `None` for 0.
    pub const fn new(bytes: u64) -> Option<Self> {
        if bytes == 0 { None } else { Some(Self(bytes)) }
    }

    /// This many MiB, for defaults.
    ///
    /// # Panics
    /// If `n` is 0.
    pub const fn mib(n: u32) -> Self {
        assert!(n > 0, "a size is at least one byte");
        Self((n as u64) << 20)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for Bytes {
    type Err = BytesError;

    /// A whole number and a unit, with or without a space between.
    fn from_str(text: &str) -> Result<Self, BytesError> {
        let found = || text.to_owned();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = unit.strip_prefix(' ').unwrap_or(unit);
        let unit = UNITS.iter().find(|(name, _)| *name == unit).filter(|_| digits > 0);
        let Some((_, unit)) = unit else { return Err(BytesError::Form { found: found() }) };
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit));
        Self::new(bytes.ok_or_else(|| BytesError::TooLarge { found: found() })?)
            .ok_or_else(|| BytesError::Zero { found: found() })
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = UNITS.into_iter().find(|(_, unit)| self.0.is_multiple_of(*unit)).unwrap_or(("B", 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a size from text. A bare number gets the message that a malformed text gets.
struct AsText;

impl Visitor<'_> for AsText {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(AsText)
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^0*[1-9][0-9]* ?(B|kB|KiB|MB|MiB|GB|GiB|TB|TiB)$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IntoDeserializer;
    use serde::de::value::Error as ValueError;

    #[test]
    fn sizes_are_read_in_every_unit_and_written_in_one_way() {
        for (text, bytes, written) in [
            ("512MiB", 512 << 20, "512MiB"),
            ("2GiB", 2 << 30, "2GiB"),
            ("1GB", 1_000_000_000, "1GB"),
            ("1024 MiB", 1 << 30, "1GiB"),
            ("0100kB", 100_000, "100kB"),
            ("1001B", 1001, "1001B"),
            ("18446744073709551615B", u64::MAX, "18446744073709551615B"),
        ] {
            let read: Bytes = text.parse().expect("a size");
            assert_eq!((read.get(), read.to_string().as_str()), (bytes, written), "{text}");
            assert_eq!(written.parse(), Ok(read));
        }
        assert_eq!(Bytes::mib(512).to_string(), "512MiB");
    }

    #[test]
    fn what_is_no_size_is_refused_with_what_is() {
        for text in ["", "MiB", "512", "512mib", "1.5GiB", "-1MB", "+1MB", "1  MB", " 1MB", "1MB ", "1²MB", "1e3B"] {
            let error = text.parse::<Bytes>().expect_err("no size");
            assert_eq!(error, BytesError::Form { found: text.into() });
            assert!(error.to_string().contains("512MiB") && error.to_string().contains("TiB"), "{error}");
        }
        assert_eq!("0MiB".parse::<Bytes>(), Err(BytesError::Zero { found: "0MiB".into() }));
        for text in ["16777216TiB", "18446744073709551616B", "99999999999999999999999kB"] {
            assert_eq!(text.parse::<Bytes>(), Err(BytesError::TooLarge { found: text.into() }));
        }
    }

    #[test]
    fn a_bare_number_is_told_what_it_lacks() {
        let text: Result<Bytes, ValueError> = Bytes::deserialize("2GiB".into_deserializer());
        assert_eq!(text, Ok(Bytes(2 << 30)));
        let number: Result<Bytes, ValueError> = Bytes::deserialize(512_u64.into_deserializer());
        let words = number.expect_err("no text").to_string();
        assert!(words.contains("integer `512`") && words.contains("512MiB"), "{words}");
    }
}
