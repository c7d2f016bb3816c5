//! A number of bytes as people write it: `16GiB`, `200GB`, `4096`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::scaled;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(u64);

/// Text that is no number of bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a number of bytes; write for example 16GiB, 200GB or 4096")]
pub struct BytesError {
    /// The text.
    pub found: String,
}

/// Decimal and binary units; the longer names first, so that `GiB` is not read as some number followed by `B`.
const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

impl Bytes {
    /// That many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&scaled::bytes(self.0))
    }
}

impl FromStr for Bytes {
    type Err = BytesError;

    fn from_str(text: &str) -> Result<Self, BytesError> {
        let wrong = || BytesError { found: text.to_owned() };
        let unit = UNITS.iter().find(|(name, _)| text.ends_with(name));
        let (digits, unit) = unit.map_or((text, 1), |(name, unit)| (&text[..text.len() - name.len()], *unit));
        let number: f64 = digits.trim_end().parse().map_err(|_| wrong())?;
        let bytes = number * unit as f64;
        // Beyond 2^53 the product is no longer exact, and no machine has as much.
        if bytes.is_finite() && (0.0..9e15).contains(&bytes) { Ok(Self(bytes as u64)) } else { Err(wrong()) }
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes such as \"16GiB\", \"200GB\" or 4096")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Bytes, E> {
                u64::try_from(number).map(Bytes).map_err(|_| E::custom(format!("{number} is less than nothing")))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Bytes, E> {
                Ok(Bytes(number))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "oneOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": r"^[0-9.]+ *(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)?$" }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        let bytes = |text: &str| text.parse::<Bytes>().map(Bytes::get);
        assert_eq!(bytes("16GiB"), Ok(16 << 30));
        assert_eq!(bytes("200GB"), Ok(200_000_000_000));
        assert_eq!(bytes("1.5 kB"), Ok(1500));
        assert_eq!((bytes("4096"), bytes("7B"), bytes("0")), (Ok(4096), Ok(7), Ok(0)));
        for text in ["", "GB", "16 gigs", "-1GB", "1e400", "NaN", "infGB", "16Gi"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
