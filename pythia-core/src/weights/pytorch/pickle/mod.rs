//! An interpreter for pickles that reads a dictionary of tensors, or a training state around one, and calls nothing.
//!
//! Python's unpickler calls whatever a file names. Here a global is a variant of [`Global`] or an error, calling one
//! is a `match`, and the values are plain data in an arena: no instruction allocates more than a few words beyond the
//! bytes it occupies, and nothing is ever nested deeper than a vector of indices.

mod error;
mod torch;

use std::collections::BTreeMap;

use safetensors::Dtype;

pub use self::error::PickleError;
use self::torch::Global;
pub(super) use self::torch::PickledTensor;

/// The suite's largest pickle has 90 kB. Each value takes at least one byte of it and a few words of memory.
const MAX_PICKLE: usize = 1 << 20;

/// The tensors that a pickle lists, in its order.
pub(super) fn read(pickle: &[u8]) -> Result<Vec<(&str, PickledTensor<'_>)>, PickleError> {
    if pickle.len() > MAX_PICKLE {
        return Err(PickleError::TooLarge { found: pickle.len(), max: MAX_PICKLE });
    }
    let mut machine = Machine::new(pickle);
    let result = machine.run()?;
    machine.tensors(result)
}

/// Index of a value in the arena. Values refer to others by index, so none is ever copied, and a pickle that nests or
/// loops costs no more than its length.
type Id = u32;

#[derive(Clone, Debug)]
enum Value<'a> {
    None,
    /// A truth value or a float, which no tensor needs.
    Plain,
    /// A list, whose items no tensor needs.
    List,
    Int(i64),
    Text(&'a str),
    Global(Global),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Storage {
        dtype: Dtype,
        key: &'a str,
        n_values: u64,
    },
    Tensor(Box<torch::View<'a>>),
}

struct Machine<'a> {
    pickle: &'a [u8],
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at which marks were set.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn new(pickle: &'a [u8]) -> Self {
        Self { pickle, at: 0, values: vec![], stack: vec![], marks: vec![], memo: BTreeMap::new() }
    }

    /// Runs to the end and gives the result.
    fn run(&mut self) -> Result<Id, PickleError> {
        loop {
            let offset = self.at;
            match self.byte()? {
                b'.' => return self.pop(),
                opcode => self.step(opcode, offset)?,
            }
        }
    }

    fn step(&mut self, opcode: u8, offset: usize) -> Result<(), PickleError> {
        match opcode {
            // Protocol and frames have no meaning here.
            0x80 => self.take(1).map(drop)?,
            0x95 => self.take(8).map(drop)?,
            b'N' => self.push(Value::None),
            0x88 | 0x89 => self.push(Value::Plain),
            b'G' => {
                self.take(8)?;
                self.push(Value::Plain);
            }
            b']' => self.push(Value::List),
            b'a' | b'e' => self.append(opcode)?,
            b'K' | b'M' | b'J' | 0x8a => {
                let number = self.number(opcode)?;
                self.push(Value::Int(number));
            }
            b'X' | 0x8c => {
                let text = self.text(opcode)?;
                self.push(Value::Text(text));
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memo(opcode)?,
            b'(' => self.marks.push(self.stack.len()),
            b')' | b't' | 0x85..=0x87 => self.tuple(opcode)?,
            b'}' => self.push(Value::Dict(Vec::new())),
            b's' | b'u' => self.set_items(opcode)?,
            b'c' | b'i' | 0x93 => self.global(opcode, offset)?,
            b'Q' => self.persistent()?,
            b'R' => self.call()?,
            b'b' => self.build()?,
            _ => return Err(PickleError::Opcode { opcode, offset }),
        }
        Ok(())
    }

    fn malformed(&self, expected: &'static str) -> PickleError {
        PickleError::Malformed { offset: self.at, expected }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], PickleError> {
        let end = self.at.checked_add(len).ok_or(PickleError::Truncated)?;
        let bytes = self.pickle.get(self.at..end).ok_or(PickleError::Truncated)?;
        self.at = end;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, PickleError> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// A little-endian number of up to eight bytes.
    fn unsigned(&mut self, len: usize) -> Result<u64, PickleError> {
        Ok(self.take(len)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn number(&mut self, opcode: u8) -> Result<i64, PickleError> {
        let (len, signed) = match opcode {
            b'K' => (1, false),
            b'M' => (2, false),
            b'J' => (4, true),
            _ => (usize::from(self.byte()?), true),
        };
        if len > 8 {
            return Err(self.malformed("an integer of at most 64 bits"));
        }
        let number = self.unsigned(len)?;
        if !signed || len == 0 {
            return Ok(number as i64);
        }
        let shift = 64 - 8 * len as u32;
        Ok((number << shift) as i64 >> shift)
    }

    fn text(&mut self, opcode: u8) -> Result<&'a str, PickleError> {
        let len = self.unsigned(if opcode == b'X' { 4 } else { 1 })?;
        let bytes = self.take(len as usize)?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("UTF-8"))
    }

    fn line(&mut self) -> Result<&'a str, PickleError> {
        let rest = &self.pickle[self.at..];
        let len = rest.iter().position(|&byte| byte == b'\n').ok_or(PickleError::Truncated)?;
        let line = self.take(len + 1)?;
        std::str::from_utf8(&line[..len]).map_err(|_| self.malformed("UTF-8"))
    }

    fn value(&self, id: Id) -> &Value<'a> {
        &self.values[id as usize]
    }

    fn push(&mut self, value: Value<'a>) {
        self.values.push(value);
        // The pickle's length bounds the number of values.
        self.stack.push((self.values.len() - 1) as Id);
    }

    /// Takes the top of the stack, but nothing from below a mark.
    fn pop(&mut self) -> Result<Id, PickleError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.malformed("a value on the stack"));
        }
        self.stack.pop().ok_or(PickleError::Truncated)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, PickleError> {
        let mark = self.marks.pop().ok_or_else(|| self.malformed("a mark"))?;
        Ok(self.stack.split_off(mark))
    }

    fn memo(&mut self, opcode: u8) -> Result<(), PickleError> {
        let slot = match opcode {
            b'q' | b'h' => self.unsigned(1)? as u32,
            b'r' | b'j' => self.unsigned(4)? as u32,
            _ => self.memo.len() as u32,
        };
        if matches!(opcode, b'h' | b'j') {
            let id = *self.memo.get(&slot).ok_or_else(|| self.malformed("a remembered value"))?;
            self.stack.push(id);
        } else {
            let top = self.pop()?;
            self.stack.push(top);
            self.memo.insert(slot, top);
        }
        Ok(())
    }

    fn tuple(&mut self, opcode: u8) -> Result<(), PickleError> {
        let items = match opcode {
            b')' => Vec::new(),
            b't' => self.pop_to_mark()?,
            _ => {
                let mut items: Vec<Id> = (0..opcode - 0x84).map(|_| self.pop()).collect::<Result<_, _>>()?;
                items.reverse();
                items
            }
        };
        self.push(Value::Tuple(items));
        Ok(())
    }

    fn set_items(&mut self, opcode: u8) -> Result<(), PickleError> {
        let items = if opcode == b'u' {
            self.pop_to_mark()?
        } else {
            let value = self.pop()?;
            vec![self.pop()?, value]
        };
        let dict = self.pop()?;
        self.stack.push(dict);
        let (pairs, rest) = items.as_chunks::<2>();
        match &mut self.values[dict as usize] {
            Value::Dict(entries) if rest.is_empty() => entries.extend(pairs.iter().map(|&[key, value]| (key, value))),
            _ => return Err(self.malformed("a dictionary and pairs")),
        }
        Ok(())
    }

    /// Items of a list are dropped.
    fn append(&mut self, opcode: u8) -> Result<(), PickleError> {
        if opcode == b'e' {
            self.pop_to_mark()?;
        } else {
            self.pop()?;
        }
        let list = self.pop()?;
        self.stack.push(list);
        if matches!(self.value(list), Value::List) { Ok(()) } else { Err(self.malformed("a list")) }
    }

    fn global(&mut self, opcode: u8, offset: usize) -> Result<(), PickleError> {
        let (module, name) = if opcode == 0x93 {
            let (name, module) = (self.pop()?, self.pop()?);
            match (self.value(module), self.value(name)) {
                (&Value::Text(module), &Value::Text(name)) => (module, name),
                _ => return Err(self.malformed("the name of a global")),
            }
        } else {
            (self.line()?, self.line()?)
        };
        let global = Global::find(module, name)?;
        if opcode == b'i' {
            // The old instruction that names and calls a global at once is refused even for globals on the list.
            return Err(PickleError::Opcode { opcode, offset });
        }
        self.push(Value::Global(global));
        Ok(())
    }
}
