//! The structures of a Parquet file, in Thrift's compact form, without their meaning.
//!
//! The libraries that decode tables reserve memory for as many elements as a list says it has. Here a list cannot be
//! longer than the bytes that follow, so what passes this reader is safe to hand on.

/// How deep structures may be nested; those of Parquet are far shallower.
const DEEPEST: usize = 24;

/// A value of the compact form, as far as the layout of a file needs it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Thrift {
    /// A whole number of any width, or a boolean.
    Int(i64),
    /// The length of a text or of bytes.
    Bytes(usize),
    List(Vec<Thrift>),
    /// Fields by their numbers.
    Struct(Vec<(i16, Thrift)>),
    /// What no structure of Parquet that is read here holds.
    Other,
}

/// Why bytes are no structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ThriftError {
    /// The bytes end in the middle; more of them may help.
    #[error("it ends in the middle of a structure")]
    Short,
    #[error("it has a structure that is not one of Parquet")]
    Malformed,
}

use ThriftError::{Malformed, Short};

impl Thrift {
    /// The structure at the beginning of the bytes, and how many bytes it takes.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), ThriftError> {
        let mut reader = Reader { bytes, at: 0 };
        let structure = reader.structure(0)?;
        Ok((structure, reader.at))
    }

    /// A field of a structure.
    pub(super) fn field(&self, number: i16) -> Option<&Self> {
        let Self::Struct(fields) = self else { return None };
        fields.iter().find(|(at, _)| *at == number).map(|(_, value)| value)
    }

    /// A field that is a whole number.
    pub(super) fn int(&self, number: i16) -> Option<i64> {
        if let Some(Self::Int(value)) = self.field(number) { Some(*value) } else { None }
    }

    /// A field that is a list.
    pub(super) fn list(&self, number: i16) -> Option<&[Self]> {
        if let Some(Self::List(values)) = self.field(number) { Some(values) } else { None }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, ThriftError> {
        let byte = *self.bytes.get(self.at).ok_or(Short)?;
        self.at += 1;
        Ok(byte)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), ThriftError> {
        self.at = self.at.checked_add(bytes).filter(|at| *at <= self.bytes.len()).ok_or(Short)?;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, ThriftError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn zigzag(&mut self) -> Result<i64, ThriftError> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn structure(&mut self, depth: usize) -> Result<Thrift, ThriftError> {
        let (mut fields, mut last) = (Vec::new(), 0_i16);
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(Thrift::Struct(fields));
            }
            let number = match head >> 4 {
                0 => i16::try_from(self.zigzag()?).map_err(|_| Malformed)?,
                step => last.checked_add(i16::from(step)).ok_or(Malformed)?,
            };
            // Fields are written in ascending order. Of two with one number, readers differ in which they believe.
            if number <= last {
                return Err(Malformed);
            }
            last = number;
            // A boolean field has its value in its type.
            let value = match head & 0x0f {
                kind @ (1 | 2) => Thrift::Int(i64::from(kind == 1)),
                kind => self.value(kind, depth)?,
            };
            fields.push((number, value));
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<Thrift, ThriftError> {
        if depth > DEEPEST {
            return Err(Malformed);
        }
        match kind {
            1..=3 => self.byte().map(|byte| Thrift::Int(i64::from(byte))),
            4..=6 => self.zigzag().map(Thrift::Int),
            7 => self.skip(8).map(|()| Thrift::Other),
            8 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                self.skip(length).map(|()| Thrift::Bytes(length))
            }
            9 | 10 => self.list(depth),
            11 => self.map(depth),
            12 => self.structure(depth + 1),
            _ => Err(Malformed),
        }
    }

    /// A list; every element takes a byte at least.
    fn list(&mut self, depth: usize) -> Result<Thrift, ThriftError> {
        let head = self.byte()?;
        let length = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        if length > (self.bytes.len() - self.at) as u64 {
            return Err(Short);
        }
        (0..length).map(|_| self.value(head & 0x0f, depth + 1)).collect::<Result<_, _>>().map(Thrift::List)
    }

    fn map(&mut self, depth: usize) -> Result<Thrift, ThriftError> {
        let length = self.varint()?;
        if length > (self.bytes.len() - self.at) as u64 {
            return Err(Short);
        }
        if length > 0 {
            let kinds = self.byte()?;
            for _ in 0..length {
                self.value(kinds >> 4, depth + 1)?;
                self.value(kinds & 0x0f, depth + 1)?;
            }
        }
        Ok(Thrift::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_numbers() {
        // 1: i32 3, 4: "ab", 5: true, 20 (by its own number): [i64 -1, i64 2], 21: {1: 0}, the end.
        let bytes = [0x15, 6, 0x38, 2, b'a', b'b', 0x11, 0x09, 40, 0x26, 1, 4, 0x1c, 0x15, 0, 0, 0];
        let (value, length) = Thrift::read(&bytes).expect("a structure");
        assert_eq!((value.int(1), value.int(5), length), (Some(3), Some(1), bytes.len()));
        assert_eq!(value.field(4), Some(&Thrift::Bytes(2)));
        assert_eq!(value.list(20), Some(&[Thrift::Int(-1), Thrift::Int(2)][..]));
        assert_eq!(value.field(21).and_then(|inner| inner.int(1)), Some(0));
        for end in 0..bytes.len() {
            assert_eq!(Thrift::read(&bytes[..end]), Err(Short), "{end}");
        }
    }

    #[test]
    fn a_list_is_no_longer_than_its_bytes_and_nesting_ends() {
        // A list of 2^32 structures in eight bytes.
        assert_eq!(Thrift::read(&[0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]), Err(Short));
        assert_eq!(Thrift::read(&[0x1c; 10_000]), Err(Malformed));
        assert_eq!(Thrift::read(&[0x1e]), Err(Malformed));
        assert_eq!(Thrift::read(&[0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), Err(Malformed));
    }
}
