//! Configurations as people write them: one value for a list of one, a number for a text and a text for a number,
//! words of a closed list in any case.
//!
//! A deserializer around another one, so that no field needs to ask for it. It accepts:
//!
//! - `heads = 3` and `heads = "3"` where a list is expected. Not inside of a list, where `[1, 2]` could mean one list
//!   or two;
//! - `["3"]` where numbers are expected, and `[3]` where texts are. Not `[4.1]`: it is the same number as 4.10, and
//!   heads are written `layer.head`;
//! - `"IOI"` and `"mean-per-position"` for `ioi` and `mean_per_position`.
//!
//! Everything else goes through unchanged, with the place of its errors.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};

/// What the type that is read asked for.
#[derive(Clone, Copy)]
enum Wanted {
    /// Whatever there is.
    Any,
    /// A list; a value that is none becomes its one member.
    List,
    /// A list, and nothing else will do.
    ListOnly,
    Text,
    Number,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// A deserializer that reads what people write as what is meant.
pub(crate) struct Lenient<D> {
    from: D,
    /// Whether the value is a member of a list.
    listed: bool,
}

impl<D> Lenient<D> {
    pub(crate) fn new(from: D) -> Self {
        Lenient { from, listed: false }
    }
}

macro_rules! ask_for {
    ($wanted:expr; $($method:ident)+) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.from.deserialize_any(Reader { visitor, wanted: $wanted })
        }
    )+ };
}

macro_rules! pass_on {
    ($($method:ident)+) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.from.$method(Reader { visitor, wanted: Wanted::Any })
        }
    )+ };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Lenient<D> {
    type Error = D::Error;

    ask_for! { Wanted::Number;
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16 deserialize_u32
        deserialize_u64 deserialize_f32 deserialize_f64
    }
    ask_for! { Wanted::Text; deserialize_str deserialize_string }
    pass_on! {
        deserialize_any deserialize_bool deserialize_char deserialize_bytes deserialize_byte_buf deserialize_option
        deserialize_unit deserialize_map deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let wanted = if self.listed { Wanted::ListOnly } else { Wanted::List };
        self.from.deserialize_any(Reader { visitor, wanted })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.from.deserialize_tuple(len, Reader { visitor, wanted: Wanted::ListOnly })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.from.deserialize_tuple_struct(name, len, Reader { visitor, wanted: Wanted::ListOnly })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.from.deserialize_unit_struct(name, Reader { visitor, wanted: Wanted::Any })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.from.deserialize_newtype_struct(name, Reader { visitor, wanted: Wanted::Any })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.from.deserialize_struct(name, fields, Reader { visitor, wanted: Wanted::Any })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.from.deserialize_any(Reader { visitor, wanted: Wanted::Word(variants) })
    }
}

/// Hands on what is there, as what is wanted.
struct Reader<V> {
    visitor: V,
    wanted: Wanted,
}

macro_rules! scalars {
    ($($method:ident: $type:ty;)+) => { $(
        fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            match self.wanted {
                Wanted::List => self.visitor.visit_seq(One(Some(value.into_deserializer()))),
                Wanted::Text => self.visitor.visit_string(value.to_string()),
                _ => self.visitor.$method(value),
            }
        }
    )+ };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Reader<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    scalars! { visit_i64: i64; visit_u64: u64; }

    fn visit_bool<E: Error>(self, value: bool) -> Result<V::Value, E> {
        self.visitor.visit_bool(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        match self.wanted {
            Wanted::List => self.visitor.visit_seq(One(Some(value.into_deserializer()))),
            _ => self.visitor.visit_f64(value),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        match self.wanted {
            Wanted::List => self.visitor.visit_seq(One(Some(text.to_owned().into_deserializer()))),
            Wanted::Number => match (text.parse::<u64>(), text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(number), _, _) => self.visitor.visit_u64(number),
                (_, Ok(number), _) => self.visitor.visit_i64(number),
                (_, _, Ok(number)) if number.is_finite() => self.visitor.visit_f64(number),
                _ => Err(E::invalid_type(Unexpected::Str(text), &self.visitor)),
            },
            Wanted::Word(words) => {
                let meant = text.replace('-', "_");
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(&meant)).copied();
                self.visitor.visit_enum(word.unwrap_or(text).into_deserializer())
            }
            Wanted::Any | Wanted::ListOnly | Wanted::Text => self.visitor.visit_str(text),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Lenient::new(from))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(Lenient::new(from))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_seq(Members(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        match self.wanted {
            Wanted::List => self.visitor.visit_seq(One(Some(MapAccessDeserializer::new(map)))),
            _ => self.visitor.visit_map(Members(map)),
        }
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(data)
    }
}

/// A list of one value.
struct One<D>(Option<D>);

impl<'de, D: Deserializer<'de>> SeqAccess<'de> for One<D> {
    type Error = D::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, D::Error> {
        self.0.take().map(|from| seed.deserialize(Lenient { from, listed: true })).transpose()
    }
}

/// The members of a list or the values of a map.
struct Members<A>(A);

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Members<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.0.next_element_seed(Seed { seed, listed: true })
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Members<A> {
    type Error = A::Error;

    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.0.next_value_seed(Seed { seed, listed: false })
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

struct Seed<T> {
    seed: T,
    listed: bool,
}

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Seed<T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T::Value, D::Error> {
        self.seed.deserialize(Lenient { from, listed: self.listed })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::ProbeSpec;

    fn read(kind: &str, config: Value) -> Result<ProbeSpec, String> {
        let read: Result<_, serde_json::Error> = ProbeSpec::read(kind, config);
        read.map(|probe| probe.expect("a kind")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_meant_alike_is_read_alike() {
        let pairs = json!({ "task": "ioi", "n": 4 });
        for (kind, strict, written) in [
            (
                "activation_patching",
                json!({
                    "pairs": pairs, "hooks": ["z"], "heads": ["0"], "positions": ["-1"], "directions": ["noising"]
                }),
                vec![
                    json!({ "pairs": pairs, "hooks": "z", "heads": 0, "positions": -1, "directions": "Noising" }),
                    json!({
                        "pairs": pairs, "hooks": ["z"], "heads": [0], "positions": [-1], "directions": ["NOISING"]
                    }),
                    json!({
                        "pairs": { "task": "IOI", "n": "4" },
                        "hooks": "z", "heads": "0", "positions": "-1", "directions": ["noising"]
                    }),
                ],
            ),
            (
                "ablation",
                json!({ "pairs": pairs, "sets": { "a": ["0.1"] }, "controls": 3, "methods": ["mean_per_position"] }),
                vec![
                    json!({ "pairs": pairs, "sets": { "a": "0.1" }, "controls": "3", "methods": "mean-per-position" }),
                ],
            ),
            (
                "steering",
                json!({ "pairs": pairs, "coefficients": [1.5], "from": "3", "side": "clean" }),
                vec![
                    json!({ "pairs": pairs, "coefficients": 1.5, "from": 3, "side": "Clean" }),
                    json!({ "pairs": pairs, "coefficients": ["1.5"], "from": "3", "side": "clean" }),
                ],
            ),
            (
                "interventions",
                json!({ "pairs": pairs, "runs": { "a": [{ "hook": "z.1", "heads": [2], "edit": "zero" }] } }),
                vec![
                    json!({ "pairs": pairs, "runs": { "a": { "hook": "z.1", "heads": "2", "edit": "Zero" } } }),
                    json!({ "pairs": pairs, "runs": { "a": [{ "hook": "z.1", "heads": 2, "edit": "zero" }] } }),
                ],
            ),
            ("token_loss", json!({ "prompts": { "texts": ["a b"] } }), vec![json!({ "prompts": { "texts": "a b" } })]),
            (
                "token_loss",
                json!({ "prompts": { "n": 2, "half_len": 6 } }),
                vec![json!({ "prompts": { "n": "2", "half_len": "6" } })],
            ),
        ] {
            let expected = read(kind, strict).expect("the strict form");
            for written in written {
                assert_eq!(read(kind, written.clone()), Ok(expected.clone()), "{written}");
            }
        }
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        let pairs = json!({ "task": "ioi" });
        for (kind, config, reason) in [
            ("token_loss", json!({ "prompts": { "tokens": [1, 2] } }), "integer `1`, expected a sequence"),
            ("ablation", json!({ "pairs": pairs, "sets": { "a": [4.1] } }), "floating point `4.1`, expected a string"),
            ("ablation", json!({ "pairs": pairs, "sets": { "a": 4.1 } }), "floating point `4.1`, expected a string"),
            ("ablation", json!({ "pairs": pairs, "controls": "many" }), "string \"many\", expected usize"),
            ("ablation", json!({ "pairs": pairs, "controls": "-1" }), "integer `-1`, expected usize"),
            ("ablation", json!({ "pairs": pairs, "controls": "1.5" }), "floating point `1.5`, expected usize"),
            ("ablation", json!({ "pairs": pairs, "controls": [1] }), "sequence, expected usize"),
            ("ablation", json!({ "pairs": pairs, "methods": "medium" }), "unknown variant `medium`"),
            ("ablation", json!({ "pairs": pairs, "methods": 3 }), "integer `3`"),
            ("ablation", json!({ "pairs": pairs, "hooks": true }), "boolean `true`, expected a sequence"),
            ("ablation", json!({ "pairs": pairs, "hooks": null }), "null, expected a sequence"),
            ("steering", json!({ "pairs": pairs, "coefficients": "nan" }), "string \"nan\", expected f64"),
            ("token_loss", json!({ "prompts": [{ "n": 1 }] }), "expected a table"),
        ] {
            let error = read(kind, config.clone()).expect_err("refused");
            assert!(error.contains(reason), "{config}: {error}");
        }
    }
}
