//! Files that are broken, or that mean harm: each is refused with an error that says what is wrong.

use super::torch_file::{Member, Pickle, zip};
use super::*;

fn read_bytes(torch: bool, bytes: &[u8]) -> Result<(HostParams, Hashes), WeightError> {
    let dir = TempDir::new();
    let file = dir.write("weights", bytes);
    let files = if torch { WeightFiles::Pytorch(vec![file]) } else { WeightFiles::Safetensors(vec![file]) };
    read(&odd_config(), &files, &EVERYTHING)
}

fn honest() -> Vec<Raw> {
    let config = odd_config();
    stored_tensors(&config, &exact_params(&config), Dtype::F16)
}

fn refused(pickle: Pickle) -> PickleError {
    match read_torch(&odd_config(), &TorchFile::pickled(pickle)) {
        Err(WeightError::Pickle { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

fn zip_refused(bytes: &[u8]) -> ZipError {
    match read_bytes(true, bytes) {
        Err(WeightError::Zip { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let tensors = honest();
    let whole = [safetensors_bytes(&tensors), TorchFile::of(&tensors).bytes()];
    for (torch, bytes) in [false, true].into_iter().zip(whole) {
        assert!(read_bytes(torch, &bytes).is_ok());
        let n = bytes.len();
        for len in (0..200).chain((200..n).step_by(n / 97)).chain(n - 100..n) {
            assert!(read_bytes(torch, &bytes[..len]).is_err(), "torch {torch}: {len} of {n} bytes");
        }
    }
}

/// Whatever a flipped byte does, it never panics, and what is still read has the right shapes.
#[test]
fn flipped_bytes_never_panic() {
    let tensors = honest();
    for (torch, mut bytes) in [(false, safetensors_bytes(&tensors)), (true, TorchFile::of(&tensors).bytes())] {
        let n = bytes.len();
        let places = (0..4000.min(n)).chain(n.saturating_sub(4000)..n);
        for (round, at) in places.step_by(23).enumerate() {
            let kept = bytes[at];
            bytes[at] ^= [0x01, 0x80, 0xFF, 0x20][round % 4];
            if let Ok((params, _)) = read_bytes(torch, &bytes) {
                let config = odd_config();
                assert!(params.iter().all(|(param, tensor)| tensor.shape == param.shape(&config)));
            }
            bytes[at] = kept;
        }
    }
}

#[test]
fn absent_files_and_folders_are_named() {
    let config = odd_config();
    let none = read(&config, &WeightFiles::Safetensors(vec![]), &EVERYTHING);
    assert!(matches!(none, Err(WeightError::NoFiles)));
    let dir = TempDir::new();
    for path in [dir.path().join("absent.bin"), dir.path().to_owned()] {
        let error = read(&config, &WeightFiles::Pytorch(vec![path.clone()]), &EVERYTHING).unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
}

#[test]
fn tensors_that_do_not_belong_are_named() {
    let config = odd_config();
    let tensors = honest();
    let find = |name: &str| tensors.iter().position(|t| t.name == name).unwrap();

    let mut unexpected = tensors.clone();
    unexpected.push(raw("gpt_neox.layers.2.mlp.dense_h_to_4h.bias", Dtype::F16, &[131]));
    let error = read_safetensors(&config, &unexpected).unwrap_err().to_string();
    assert!(error.contains("gpt_neox.layers.2.mlp.dense_h_to_4h.bias [131]"), "{error}");

    let mut missing = tensors.clone();
    missing.remove(find("gpt_neox.final_layer_norm.bias"));
    let error = read_safetensors(&config, &missing).unwrap_err().to_string();
    assert!(error.contains("gpt_neox.final_layer_norm.bias [70] is missing; the files have 27"), "{error}");

    let mut misshapen = tensors.clone();
    misshapen[find("embed_out.weight")].shape.reverse();
    let error = read_safetensors(&config, &misshapen).unwrap_err().to_string();
    assert!(error.contains("embed_out.weight") && error.contains("[70, 97], expected [97, 70]"), "{error}");

    let mut mistyped = tensors.clone();
    mistyped[find("embed_out.weight")] = raw("embed_out.weight", Dtype::I64, &[97, 70]);
    let error = read_safetensors(&config, &mistyped).unwrap_err().to_string();
    assert!(
        error.contains("embed_out.weight") && error.contains("holds I64, expected F16, BF16, F32 or F64"),
        "{error}"
    );

    let mut twice = tensors.clone();
    twice.push(raw("lm_head.weight", Dtype::F16, &[97, 70]));
    let error = read_safetensors(&config, &twice).unwrap_err();
    assert!(matches!(&error, WeightError::Duplicate { tensor, .. } if tensor == "embed_out.weight"), "{error}");
}

fn safetensors_with(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(vec![0; data]);
    bytes
}

#[test]
fn safetensors_headers_cannot_lie() {
    let huge = "4611686018427387904";
    let headers = [
        // Overlapping, leaving a hole, reaching beyond the end, running backwards, overflowing.
        [
            r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"#,
            r#""b":{"dtype":"F16","shape":[2],"data_offsets":[2,6]}}"#,
        ]
        .concat(),
        r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[4,8]}}"#.to_owned(),
        r#"{"a":{"dtype":"F16","shape":[20],"data_offsets":[0,40]}}"#.to_owned(),
        r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[8,4]}}"#.to_owned(),
        format!(r#"{{"a":{{"dtype":"F16","shape":[{huge},{huge}],"data_offsets":[0,8]}}}}"#),
        format!(r#"{{"a":{{"dtype":"F16","shape":[{huge}],"data_offsets":[0,{huge}]}}}}"#),
        r#"{"a":{"dtype":"F17","shape":[4],"data_offsets":[0,8]}}"#.to_owned(),
        r#"{"a":{"dtype":"F16","shape":[-4],"data_offsets":[0,8]}}"#.to_owned(),
        "[".repeat(100_000),
        String::new(),
    ];
    for header in headers {
        let error = read_bytes(false, &safetensors_with(&header, 8)).unwrap_err();
        assert!(matches!(error, WeightError::Safetensors { .. }), "{header:.80}: {error}");
    }
    for length in [9 << 20, 1 << 62, u64::MAX] {
        let mut bytes = safetensors_with("{}", 8);
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        assert!(matches!(read_bytes(false, &bytes), Err(WeightError::Safetensors { .. })));
    }
}

#[test]
fn a_pickle_that_wants_to_run_something_is_refused_by_name() {
    let name = |module: &str, name: &str| PickleError::Global { module: module.to_owned(), name: name.to_owned() };
    let shell = Pickle::new().global("os", "system").ops(b"(").text("touch /tmp/owned").ops(b"tR.");
    assert_eq!(refused(shell), name("os", "system"));
    let stacked = Pickle::new().text("builtins").text("eval").ops(&[0x93]).ops(b"(").text("1").ops(b"tR.");
    assert_eq!(refused(stacked), name("builtins", "eval"));
    assert_eq!(refused(Pickle::new().ops(b"(X\x01\x00\x00\x00aios\nsystem\n.")), name("os", "system"));
    for (module, global) in [
        ("torch", "ComplexFloatStorage"),
        ("torch._utils", "_rebuild_qtensor"),
        ("builtins", "list"),
        ("torch.storage", "_load_from_bytes"),
        ("numpy.core.multiarray", "scalar"),
        ("collections", "OrderedDict.__class__"),
        ("collections\0", "OrderedDict"),
    ] {
        assert_eq!(refused(Pickle::new().global(module, global).ops(b".")), name(module, global));
    }
    // Nor is a forbidden global hidden in a part of the pickle that nothing uses.
    let hidden = Pickle::new().ops(b"}").text("_metadata").global("posix", "system").ops(b"sb.");
    assert_eq!(refused(hidden), name("posix", "system"));
}

#[test]
fn instructions_without_use_for_a_checkpoint_are_refused() {
    // OBJ, NEWOBJ, NEWOBJ_EX, EXT1, INST of an allowed global, DUP, POP, LIST, STRING, NEXT_BUFFER.
    for ops in
        [&b"o"[..], b"\x81", b"\x92", b"\x82\x01", b"icollections\nOrderedDict\n", b"2", b"0", b"l", b"S", b"\x97"]
    {
        let error = refused(Pickle::new().ops(ops).ops(b"."));
        assert_eq!(error, PickleError::Opcode { opcode: ops[0], offset: 2 });
    }
}

#[test]
fn malformed_pickles_are_refused() {
    let broken: [&[u8]; 21] = [
        b"",
        b".",
        b"(.",
        b"t.",
        b"R.",
        b"Q.",
        b"u.",
        b"s.",
        b"b.",
        b"a.",
        b"]a.",
        b"}K\x01a.",
        b"e.",
        b"G\0\0.",
        b"h\x05.",
        b"q\x05.",
        b"\x94.",
        b"X\xff\xff\xff\xffabc",
        b"X\x01\x00\x00\x00\xff.",
        b"\x8a\x09123456789.",
        b"cno line end",
    ];
    for ops in broken {
        let error = refused(Pickle::new().ops(ops));
        assert!(matches!(error, PickleError::Truncated | PickleError::Malformed { .. }), "{ops:?}: {error}");
    }
    // Well formed, but not a dictionary of tensors.
    for ops in [&b"N."[..], b"K\x01.", b")."] {
        assert_eq!(refused(Pickle::new().ops(ops)), PickleError::NotTensors { key: None });
    }
    let nested = Pickle::new().ops(b"}").text("weights").ops(b"}s.");
    assert_eq!(refused(nested), PickleError::NotTensors { key: Some("weights".to_owned()) });
    // A callable that is on the list, called in a way it never is.
    let called = Pickle::new().global("collections", "OrderedDict").ops(b"(K\x01tR.");
    assert!(matches!(refused(called), PickleError::Malformed { .. }));
}

#[test]
fn bombs_stay_small() {
    // A tuple of a tuple of a tuple …, and one doubled twenty thousand times over by way of the memo.
    let deep = Pickle::new().ops(b")").ops(&b"\x85".repeat(900_000)).ops(b".");
    assert_eq!(refused(deep), PickleError::NotTensors { key: None });
    let doubled = b"q\x00h\x00\x86".repeat(20_000);
    assert_eq!(refused(Pickle::new().ops(b")").ops(&doubled).ops(b".")), PickleError::NotTensors { key: None });
    // A dictionary that holds itself.
    let own = Pickle::new().ops(b"}q\x00").text("self").ops(b"h\x00s.");
    assert_eq!(refused(own), PickleError::NotTensors { key: Some("self".to_owned()) });
    let own = Pickle::new().ops(b"}q\x00").text("model").ops(b"h\x00s.");
    assert_eq!(refused(own), PickleError::NotTensors { key: None });
    // One endless storage name that every tensor would copy.
    let long = "9".repeat(100_000);
    assert!(matches!(refused(Pickle::new().storage(Dtype::F16, &long, 1).ops(b".")), PickleError::Malformed { .. }));
    let large = Pickle::new().ops(&b"N".repeat(2 << 20)).ops(b".");
    assert!(matches!(refused(large), PickleError::TooLarge { .. }));
    // A far slot of the memo costs one entry, not an array up to it.
    let far = Pickle::new().ops(b")r\xff\xff\xff\xff.");
    assert_eq!(refused(far), PickleError::NotTensors { key: None });
}

#[test]
fn tensors_cannot_reach_beyond_their_storage() {
    let one = |pickle: Pickle, bytes: usize| {
        let pickle = Pickle(pickle.ops(b"s.").0);
        let members = vec![Member::new("archive/data/0", vec![0; bytes])];
        match read_torch(&odd_config(), &TorchFile { pickle: pickle.0, members }) {
            Err(WeightError::Pickle { source, .. }) => source,
            other => panic!("{other:?}"),
        }
    };
    let start = || Pickle::new().ops(b"}").text("a");
    let huge = 1 << 62;
    let f16 = Dtype::F16;
    // Beyond what the pickle says the storage has.
    for (n, first, shape, strides) in [
        (4, 0, vec![5], vec![1]),
        (4, 1, vec![4], vec![1]),
        (4, -1, vec![4], vec![1]),
        (4, 0, vec![-4], vec![1]),
        (-4, 0, vec![4], vec![1]),
        (4, 0, vec![4], vec![1, 1]),
        (4, 0, vec![huge, 4], vec![4, 1]),
        (huge, huge, vec![huge, huge], vec![4, 1]),
        (4, 0, vec![1; 9], vec![1; 9]),
    ] {
        let error = one(start().view(f16, "0", n, first, &shape, &strides), 8);
        assert!(matches!(error, PickleError::Malformed { .. }), "{shape:?}: {error}");
    }
    // Beyond what the archive has, whatever the pickle says.
    let error = one(start().view(f16, "0", huge, 0, &[huge], &[1]), 8);
    assert!(matches!(error, PickleError::OutsideStorage { bytes: 8, .. }), "{error}");
    let error = one(start().view(f16, "0", 5, 0, &[5], &[1]), 8);
    assert!(matches!(error, PickleError::OutsideStorage { bytes: 8, .. }), "{error}");
    let error = one(start().view(f16, "1", 4, 0, &[4], &[1]), 8);
    assert!(matches!(error, PickleError::NoStorage { .. }), "{error}");
    let error = one(start().view(f16, "../data.pkl", 4, 0, &[4], &[1]), 8);
    assert!(matches!(error, PickleError::NoStorage { .. }), "{error}");
    // Transposed, and broadcast with stride 0.
    for strides in [[1, 2], [0, 1]] {
        let error = one(start().view(f16, "0", 4, 0, &[2, 2], &strides), 8);
        assert!(matches!(error, PickleError::Strided { .. }), "{error}");
    }
}

#[test]
fn one_tensor_may_be_a_window_on_a_shared_storage() {
    let config = odd_config();
    let params = exact_params(&config);
    let mut tensors = stored_tensors(&config, &params, Dtype::F16);
    let expected = read_safetensors(&config, &tensors).unwrap();
    // The last tensor's bytes move behind the first's, into one storage.
    let last = tensors.pop().unwrap();
    let n_first = tensors[0].bytes.len() / 2;
    let mut file = TorchFile::of(&tensors);
    file.members[1].data.extend(&last.bytes);
    let shape: Vec<i64> = last.shape.iter().map(|&n| n as i64).collect();
    let strides = if shape.len() == 2 { vec![shape[1], 1] } else { vec![1] };
    let n = (n_first + last.bytes.len() / 2) as i64;
    file.pickle.truncate(file.pickle.len() - 2);
    let view = Pickle(file.pickle).text(&last.name).view(Dtype::F16, "0", n, n_first as i64, &shape, &strides);
    file.pickle = view.ops(b"u").ops(b"}").text("_metadata").ops(b"}sb.").0;
    let found = read_torch(&config, &file).unwrap();
    assert!(found == expected);
}

#[test]
fn archives_cannot_lie() {
    let file = TorchFile::of(&honest());
    let changed = |change: &dyn Fn(&mut TorchFile)| {
        let mut file = file.clone();
        change(&mut file);
        file.bytes()
    };
    let last = file.members.len() - 1;
    let wide = changed(&|f| f.members.iter_mut().for_each(|m| m.wide = true));
    assert!(read_bytes(true, &wide).is_ok());

    let error = zip_refused(&changed(&|f| f.members[last].method = 8));
    assert!(matches!(error, ZipError::NotPlain { .. }), "{error}");
    let error = zip_refused(&changed(&|f| f.members[last].flags = 1));
    assert!(matches!(error, ZipError::NotPlain { .. }), "{error}");
    let error = zip_refused(&changed(&|f| f.members[last].local_name = Some("archive/data/x".to_owned())));
    assert!(matches!(error, ZipError::TwoNames { .. }), "{error}");
    for claimed in [1 << 40, u64::MAX - 3, 1 << 62] {
        let error = zip_refused(&changed(&|f| {
            f.members[last].wide = true;
            f.members[last].claimed = Some(claimed);
        }));
        assert!(matches!(error, ZipError::Record { record: "member", .. }), "{error}");
    }
    let error = zip_refused(&changed(&|f| f.members.push(Member::new("archive/data.pkl", *b"."))));
    assert!(matches!(error, ZipError::Duplicate { .. }), "{error}");
    let error = zip_refused(&changed(&|f| f.members.push(Member::new("other/data.pkl", *b"."))));
    assert_eq!(error, ZipError::NoPickle);
    let error = zip_refused(&changed(&|f| f.members[0].data = b"big".to_vec()));
    assert_eq!(error, ZipError::BigEndian);
    assert_eq!(zip_refused(&zip([].into_iter())), ZipError::NoPickle);
    for bytes in [&b"x"[..], b"PK\x05\x06"] {
        assert_eq!(zip_refused(bytes), ZipError::NoEnd);
    }
}

#[test]
fn end_records_cannot_lie() {
    let honest = TorchFile::of(&honest()).bytes();
    let n = honest.len();
    // Number of entries, size and offset of the directory in the 64-bit end record; the place of that record.
    let end64 = n - 22 - 20 - 56;
    for field in [end64 + 32, end64 + 40, end64 + 48, n - 22 - 20 + 8] {
        for value in [u64::MAX, 1 << 62, n as u64, n as u64 - 1, 1] {
            let mut bytes = honest.clone();
            bytes[field..field + 8].copy_from_slice(&value.to_le_bytes());
            assert!(read_bytes(true, &bytes).is_err(), "{field}: {value}");
        }
    }
    // Bytes behind the end, and a comment that is not there.
    assert_eq!(zip_refused(&[&honest[..], b"x"].concat()), ZipError::NoEnd);
    let mut commented = honest.clone();
    commented[n - 2] = 1;
    assert_eq!(zip_refused(&commented), ZipError::NoEnd);
}
