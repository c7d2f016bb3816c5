//! A small writer of PyTorch files, honest by default and breakable everywhere.

use safetensors::Dtype;

use super::Raw;

/// The parts of a file; `bytes` puts them together.
#[derive(Clone)]
pub(super) struct TorchFile {
    pub pickle: Vec<u8>,
    pub members: Vec<Member>,
}

/// One member, with the lies it can tell.
#[derive(Clone)]
pub(super) struct Member {
    pub name: String,
    /// Name in front of the bytes, where it differs.
    pub local_name: Option<String>,
    pub data: Vec<u8>,
    pub method: u16,
    pub flags: u16,
    /// Size in the directory, where it differs.
    pub claimed: Option<u64>,
    /// Whether sizes and offset go to the 64-bit extra field.
    pub wide: bool,
}

impl Member {
    pub(super) fn new(name: &str, data: impl Into<Vec<u8>>) -> Self {
        let name = name.to_owned();
        Self { name, local_name: None, data: data.into(), method: 0, flags: 0, claimed: None, wide: false }
    }
}

impl TorchFile {
    /// The file PyTorch would write for these tensors.
    pub(super) fn of(tensors: &[Raw]) -> Self {
        let mut pickle = Pickle::new().global("collections", "OrderedDict").ops(b")R(");
        let mut members = vec![Member::new("archive/byteorder", *b"little")];
        for (at, tensor) in tensors.iter().enumerate() {
            pickle = pickle.text(&tensor.name).tensor(tensor.dtype, &at.to_string(), &tensor.shape);
            members.push(Member::new(&format!("archive/data/{at}"), tensor.bytes.clone()));
        }
        Self { pickle: pickle.ops(b"u.").0, members }
    }

    /// A file with this pickle and nothing else.
    pub(super) fn pickled(pickle: Pickle) -> Self {
        Self { pickle: pickle.0, members: Vec::new() }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let pickle = Member::new("archive/data.pkl", self.pickle.clone());
        zip([&pickle].into_iter().chain(&self.members))
    }
}

/// A zip archive in the form PyTorch writes: with the 64-bit end record always present.
pub(super) fn zip<'a>(members: impl Iterator<Item = &'a Member>) -> Vec<u8> {
    let (mut file, mut directory, mut n) = (Vec::new(), Vec::new(), 0u64);
    for member in members {
        let at = file.len() as u64;
        let local_name = member.local_name.as_ref().unwrap_or(&member.name);
        let size = member.claimed.unwrap_or(member.data.len() as u64);
        file.extend(b"PK\x03\x04\x00\x00");
        file.extend([member.flags, member.method, 0, 0].map(u16::to_le_bytes).concat());
        file.extend([0, member.data.len() as u32, member.data.len() as u32].map(u32::to_le_bytes).concat());
        file.extend([local_name.len() as u16, 5].map(u16::to_le_bytes).concat());
        file.extend(local_name.as_bytes());
        // Padding, as PyTorch aligns its members.
        file.extend(b"FB\x01\x00Z");
        file.extend(&member.data);

        let narrow = |value: u64| if member.wide { u32::MAX } else { value as u32 };
        let extra =
            if member.wide { [&[1, 0, 24, 0][..], &wide(size), &wide(size), &wide(at)].concat() } else { vec![] };
        directory.extend(b"PK\x01\x02\x00\x00\x00\x00");
        directory.extend([member.flags, member.method, 0, 0].map(u16::to_le_bytes).concat());
        directory.extend([0, narrow(size), narrow(size)].map(u32::to_le_bytes).concat());
        directory.extend([member.name.len() as u16, extra.len() as u16, 0, 0, 0].map(u16::to_le_bytes).concat());
        directory.extend([0, narrow(at)].map(u32::to_le_bytes).concat());
        directory.extend(member.name.as_bytes());
        directory.extend(extra);
        n += 1;
    }
    end(&mut file, &directory, n);
    file
}

fn wide(value: u64) -> [u8; 8] {
    value.to_le_bytes()
}

fn end(file: &mut Vec<u8>, directory: &[u8], n: u64) {
    let offset = file.len() as u64;
    file.extend(directory);
    let end64 = file.len() as u64;
    let len = directory.len() as u64;
    file.extend(b"PK\x06\x06");
    file.extend([wide(44), [0; 8]].concat());
    file.extend([0; 4]);
    file.extend([n, n, len, offset].map(wide).concat());
    file.extend(b"PK\x06\x07\x00\x00\x00\x00");
    file.extend(wide(end64));
    file.extend(1u32.to_le_bytes());
    file.extend(b"PK\x05\x06\x00\x00\x00\x00");
    file.extend([n as u16, n as u16].map(u16::to_le_bytes).concat());
    file.extend([len as u32, offset as u32].map(u32::to_le_bytes).concat());
    file.extend([0, 0]);
}

/// A pickle in the making.
#[derive(Clone)]
pub(super) struct Pickle(pub Vec<u8>);

impl Pickle {
    pub(super) fn new() -> Self {
        Self(vec![0x80, 2])
    }

    /// Raw instructions.
    pub(super) fn ops(mut self, ops: &[u8]) -> Self {
        self.0.extend(ops);
        self
    }

    pub(super) fn global(self, module: &str, name: &str) -> Self {
        self.ops(format!("c{module}\n{name}\n").as_bytes())
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.ops(b"X").ops(&(text.len() as u32).to_le_bytes()).ops(text.as_bytes())
    }

    /// An integer in the form that fits any: eight bytes behind a length.
    pub(super) fn int(self, number: i64) -> Self {
        self.ops(&[0x8a, 8]).ops(&number.to_le_bytes())
    }

    pub(super) fn ints(self, numbers: &[i64]) -> Self {
        numbers.iter().fold(self.ops(b"("), |pickle, &number| pickle.int(number)).ops(b"t")
    }

    pub(super) fn storage(self, dtype: Dtype, key: &str, n_values: i64) -> Self {
        let kind = match dtype {
            Dtype::F16 => "HalfStorage",
            Dtype::BF16 => "BFloat16Storage",
            Dtype::F32 => "FloatStorage",
            Dtype::U8 => "ByteStorage",
            _ => "DoubleStorage",
        };
        self.ops(b"(").text("storage").global("torch", kind).text(key).text("cpu").int(n_values).ops(b"tQ")
    }

    /// A dense tensor that fills its storage.
    pub(super) fn tensor(self, dtype: Dtype, key: &str, shape: &[usize]) -> Self {
        let extents: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
        let strides: Vec<i64> = (0..extents.len()).map(|axis| extents[axis + 1..].iter().product()).collect();
        self.view(dtype, key, extents.iter().product(), 0, &extents, &strides)
    }

    /// A tensor in full detail.
    pub(super) fn view(self, dtype: Dtype, key: &str, n: i64, first: i64, shape: &[i64], strides: &[i64]) -> Self {
        let pickle = self.global("torch._utils", "_rebuild_tensor_v2").ops(b"(").storage(dtype, key, n);
        let pickle = pickle.int(first).ints(shape).ints(strides).ops(&[0x89]);
        pickle.global("collections", "OrderedDict").ops(b")RtR")
    }
}
