//! The meaning of the instructions for a checkpoint: the globals that it may name, and the three kinds of objects in
//! it.

use std::collections::BTreeMap;

use safetensors::Dtype;

use super::{Id, Machine, PickleError, Value};

/// No tensor of this family has more axes.
const MAX_AXES: usize = 8;
/// The keys under which training states hold a model: of Megatron and fairseq, DeepSpeed, Lightning, and PyTorch's
/// tutorials.
const OF_MODELS: [&str; 5] = ["model", "module", "state_dict", "model_state_dict", "model_state"];
/// Training states hold a model at most so deep.
const MAX_DEPTH: usize = 3;
/// Storages are numbered. Tensors refer to theirs by name, so an endless name would be read once for each of them.
const MAX_KEY: usize = 64;

/// A tensor as the pickle describes it: a dense row-major window on a storage.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct PickledTensor<'a> {
    /// Type of its values.
    pub dtype: Dtype,
    /// Name of its storage inside the archive.
    pub key: &'a str,
    /// Index of its first value in the storage.
    pub first: u64,
    /// Extents, outermost first.
    pub shape: Vec<u64>,
}

/// A tensor before it is known to be dense.
#[derive(Clone, Debug)]
pub(super) struct View<'a> {
    tensor: PickledTensor<'a>,
    /// Distances between neighbours on each axis, in values.
    strides: Vec<u64>,
}

/// The globals that a checkpoint may name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    RebuildTensor,
    RebuildParameter,
    OrderedDict,
    /// `torch.Size` or `set`, called with a list of plain values that no tensor needs.
    Plain,
    Storage(Dtype),
}

impl Global {
    pub(super) fn find(module: &str, name: &str) -> Result<Self, PickleError> {
        Ok(match (module, name) {
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Self::RebuildParameter,
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch", "Size") | ("__builtin__" | "builtins", "set") => Self::Plain,
            ("torch", "HalfStorage") => Self::Storage(Dtype::F16),
            ("torch", "BFloat16Storage") => Self::Storage(Dtype::BF16),
            ("torch", "FloatStorage") => Self::Storage(Dtype::F32),
            ("torch", "DoubleStorage") => Self::Storage(Dtype::F64),
            ("torch", "CharStorage") => Self::Storage(Dtype::I8),
            ("torch", "ShortStorage") => Self::Storage(Dtype::I16),
            ("torch", "IntStorage") => Self::Storage(Dtype::I32),
            ("torch", "LongStorage") => Self::Storage(Dtype::I64),
            ("torch", "ByteStorage") => Self::Storage(Dtype::U8),
            ("torch", "BoolStorage") => Self::Storage(Dtype::BOOL),
            _ => return Err(PickleError::Global { module: module.to_owned(), name: name.to_owned() }),
        })
    }
}

impl<'a> Machine<'a> {
    /// A reference to a storage: `("storage", type, key, device, number of values)`.
    pub(super) fn persistent(&mut self) -> Result<(), PickleError> {
        let id = self.pop()?;
        let Value::Tuple(items) = self.value(id) else { return Err(self.malformed("a storage")) };
        let items: Vec<&Value<'a>> = items.iter().map(|&item| self.value(item)).collect();
        let storage = match items[..] {
            [
                Value::Text("storage"),
                &Value::Global(Global::Storage(dtype)),
                &Value::Text(key),
                Value::Text(_),
                &Value::Int(n_values),
            ] if key.len() <= MAX_KEY => Value::Storage { dtype, key, n_values: self.unsigned_from(n_values)? },
            _ => return Err(self.malformed("a storage")),
        };
        self.push(storage);
        Ok(())
    }

    fn unsigned_from(&self, number: i64) -> Result<u64, PickleError> {
        u64::try_from(number).map_err(|_| self.malformed("a number that is not negative"))
    }

    /// A call of one of the callables on the list.
    pub(super) fn call(&mut self) -> Result<(), PickleError> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let Value::Tuple(arguments) = self.value(arguments) else { return Err(self.malformed("arguments")) };
        let result = match (self.value(callable), &arguments[..]) {
            (Value::Global(Global::OrderedDict), []) => Value::Dict(Vec::new()),
            (Value::Global(Global::RebuildTensor), &[storage, first, shape, strides, _, _]) => {
                self.rebuild(storage, first, shape, strides)?
            }
            // A parameter is its tensor; whether it is trained, and its hooks, do not matter.
            (Value::Global(Global::RebuildParameter), &[tensor, _, _] | &[tensor, _, _, _]) => {
                match self.value(tensor) {
                    Value::Tensor(view) => Value::Tensor(view.clone()),
                    _ => return Err(self.malformed("a parameter's tensor")),
                }
            }
            (Value::Global(Global::Plain), &[_]) => Value::Plain,
            _ => return Err(self.malformed("a call that a checkpoint makes")),
        };
        self.push(result);
        Ok(())
    }

    fn rebuild(&self, storage: Id, first: Id, shape: Id, strides: Id) -> Result<Value<'a>, PickleError> {
        let (&Value::Storage { dtype, key, n_values }, &Value::Int(first)) = (self.value(storage), self.value(first))
        else {
            return Err(self.malformed("a storage and an offset"));
        };
        let first = self.unsigned_from(first)?;
        let (shape, strides) = (self.extents(shape)?, self.extents(strides)?);
        let end = shape.iter().try_fold(1u64, |n, &extent| n.checked_mul(extent)).and_then(|n| n.checked_add(first));
        if shape.len() != strides.len() || end.is_none_or(|end| end > n_values) {
            return Err(self.malformed("a tensor within its storage"));
        }
        Ok(Value::Tensor(Box::new(View { tensor: PickledTensor { dtype, key, first, shape }, strides })))
    }

    fn extents(&self, id: Id) -> Result<Vec<u64>, PickleError> {
        let Value::Tuple(items) = self.value(id) else { return Err(self.malformed("a shape")) };
        if items.len() > MAX_AXES {
            return Err(self.malformed("a shape of at most 8 axes"));
        }
        let extent = |&item: &Id| match *self.value(item) {
            Value::Int(extent) => self.unsigned_from(extent),
            _ => Err(self.malformed("a shape")),
        };
        items.iter().map(extent).collect()
    }

    /// Attributes set on a dictionary (PyTorch's version numbers): dropped.
    pub(super) fn build(&mut self) -> Result<(), PickleError> {
        self.pop()?;
        let target = self.pop()?;
        self.stack.push(target);
        if matches!(self.value(target), Value::Dict(_)) { Ok(()) } else { Err(self.malformed("a dictionary")) }
    }

    /// The dictionary that holds the tensors: the result itself, or in a training state what it has under one of the
    /// usual keys.
    fn dictionary(&self, result: Id) -> Result<&[(Id, Id)], PickleError> {
        let mut at = result;
        for _ in 0..=MAX_DEPTH {
            let Value::Dict(entries) = self.value(at) else { return Err(PickleError::NotTensors { key: None }) };
            let inner = entries.iter().filter_map(|&(key, value)| match (self.value(key), self.value(value)) {
                (&Value::Text(key), Value::Dict(_)) if OF_MODELS.contains(&key) => Some((key, value)),
                _ => None,
            });
            match inner.collect::<Vec<_>>()[..] {
                [] => return Ok(entries),
                [(_, value)] => at = value,
                [(first, _), (second, _), ..] => {
                    return Err(PickleError::SeveralModels { first: first.to_owned(), second: second.to_owned() });
                }
            }
        }
        Err(PickleError::NotTensors { key: None })
    }

    /// The result, checked to hold a flat dictionary of dense tensors.
    pub(super) fn tensors(&self, result: Id) -> Result<Vec<(&'a str, PickledTensor<'a>)>, PickleError> {
        let entries = self.dictionary(result)?;
        let mut tensors: BTreeMap<&'a str, PickledTensor<'a>> = BTreeMap::new();
        for &(key, value) in entries {
            let &Value::Text(name) = self.value(key) else { return Err(PickleError::NotTensors { key: None }) };
            let Value::Tensor(view) = self.value(value) else {
                return Err(PickleError::NotTensors { key: Some(name.to_owned()) });
            };
            let View { tensor, strides } = &**view;
            if !is_dense(&tensor.shape, strides) {
                let (shape, strides) = (tensor.shape.clone(), strides.clone());
                return Err(PickleError::Strided { tensor: name.to_owned(), shape, strides });
            }
            if tensors.insert(name, tensor.clone()).is_some() {
                return Err(PickleError::Duplicate { tensor: name.to_owned() });
            }
        }
        Ok(tensors.into_iter().collect())
    }
}

/// Whether values are row-major without gaps. The stride of an axis of extent 1 does not matter.
fn is_dense(shape: &[u64], strides: &[u64]) -> bool {
    let mut expected = 1u64;
    shape.iter().zip(strides).rev().all(|(&extent, &stride)| {
        let dense = extent == 1 || stride == expected;
        expected = expected.saturating_mul(extent);
        dense
    })
}
