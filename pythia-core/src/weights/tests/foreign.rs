//! Whole models in other clothes, which are read, and what is no model, which is named with what helps.

use super::torch_file::{Member, Pickle};
use super::*;
use crate::content::WrongContent;

fn honest(dtype: Dtype) -> Vec<Raw> {
    let config = odd_config();
    stored_tensors(&config, &exact_params(&config), dtype)
}

fn renamed(rename: impl Fn(&str) -> String) -> Vec<Raw> {
    let rename = |tensor: Raw| Raw { name: rename(&tensor.name), ..tensor };
    honest(Dtype::F16).into_iter().map(rename).collect()
}

#[test]
fn names_that_wrappers_left_are_the_published_ones() {
    let config = odd_config();
    let expected = read_safetensors(&config, &honest(Dtype::F16)).unwrap();
    let wrappers: [&dyn Fn(&str) -> String; 6] = [
        &|name| format!("_orig_mod.{name}"),
        &|name| format!("module._orig_mod.{name}"),
        &|name| name.replace("gpt_neox.", ""),
        &|name| name.replace("gpt_neox.", "gpt_neox.gpt_neox."),
        &|name| name.replace("gpt_neox.", "model.gpt_neox.").replace("embed_out", "lm_head"),
        &|name| name.replace(".attention.", "._fsdp_wrapped_module.attention."),
    ];
    for rename in wrappers {
        let tensors = renamed(rename);
        assert!(read_safetensors(&config, &tensors).unwrap() == expected, "{}", tensors[1].name);
        assert!(read_torch(&config, &TorchFile::of(&tensors)).unwrap() == expected, "{}", tensors[1].name);
    }
    // The same tensor under two names is no choice for this program to make.
    let mut twice = honest(Dtype::F16);
    twice.push(Raw { name: format!("module.{}", twice[3].name), ..twice[3].clone() });
    assert!(matches!(read_safetensors(&config, &twice), Err(WeightError::Duplicate { .. })));
}

#[test]
fn float64_is_rounded_to_the_nearest() {
    let config = odd_config();
    let mut tensors = honest(Dtype::F64);
    let at = tensors.iter().position(|t| t.name == "gpt_neox.final_layer_norm.bias").unwrap();
    // Halfway between two singles, a third, the least double, and the largest double that rounds to a single.
    let doubles = [1.0 + 2f64.powi(-24), 1.0 / 3.0, f64::from_bits(1), 3.402_823_567_797_336_3e38];
    for (to, value) in tensors[at].bytes.as_chunks_mut::<8>().0.iter_mut().zip(doubles) {
        *to = value.to_le_bytes();
    }
    let (found, _) = read_safetensors(&config, &tensors).unwrap();
    assert_eq!(found[&Param::FinalNormBias].values[..4], [1.0, 0.333_333_34, 0.0, f32::MAX]);
    assert_eq!(found[&Param::Embed], exact_params(&config)[&Param::Embed]);
    for special in [3.402_823_567_797_337e38, -f64::MAX, f64::NAN, f64::INFINITY] {
        tensors[at].bytes[16..24].copy_from_slice(&special.to_le_bytes());
        let error = read_safetensors(&config, &tensors).unwrap_err();
        assert!(matches!(error, WeightError::NotFinite { index: 2, .. }), "{special}: {error}");
    }
}

/// A file whose tensors are parameters of a module, as `torch.save(dict(model.named_parameters()))` writes them.
fn parameters(tensors: &[Raw], begin: Pickle, end: &[u8]) -> TorchFile {
    let (mut pickle, mut members) = (begin, Vec::new());
    for (at, tensor) in tensors.iter().enumerate() {
        let of = pickle.text(&tensor.name).global("torch._utils", "_rebuild_parameter").ops(b"(");
        let of = of.tensor(tensor.dtype, &at.to_string(), &tensor.shape).ops(&[0x88]);
        pickle = of.global("collections", "OrderedDict").ops(b")RtR");
        members.push(Member::new(&format!("archive/data/{at}"), tensor.bytes.clone()));
    }
    TorchFile { pickle: pickle.ops(end).0, members }
}

#[test]
fn parameters_are_their_tensors() {
    let (config, tensors) = (odd_config(), honest(Dtype::F16));
    let expected = read_safetensors(&config, &tensors).unwrap();
    assert!(read_torch(&config, &parameters(&tensors, Pickle::new().ops(b"}("), b"u.")).unwrap() == expected);
    let called = Pickle::new().ops(b"}").text("a").global("torch._utils", "_rebuild_parameter").ops(b"(NNNtRs.");
    let error = read_torch(&config, &TorchFile::pickled(called)).unwrap_err();
    assert!(matches!(error, WeightError::Pickle { source: PickleError::Malformed { .. }, .. }), "{error}");
}

/// What stands beside a model in training states: an optimizer's state, floats, lists, shapes, sets, numbers as keys.
fn beside(pickle: Pickle) -> Pickle {
    let pickle = pickle.text("lr").ops(b"G\x3f\x50\x62\x4d\xd2\xf1\xa9\xfc");
    let pickle = pickle.text("optimizer").ops(b"}(").text("state").ops(b"}(K\x00}(").text("step").ops(b"K\x07uu");
    let pickle = pickle.text("param_groups").ops(b"](}(").text("betas").ops(b"G\0\0\0\0\0\0\0\0G\0\0\0\0\0\0\0\0\x86");
    let pickle = pickle.text("params").ops(b"](K\x00K\x01eueu");
    let pickle = pickle.text("names").ops(b"]").text("a").ops(b"a");
    let pickle = pickle.text("sparse").global("__builtin__", "set").ops(b"]\x85R");
    pickle.text("shape").global("torch", "Size").ops(b"(K\x02K\x03t\x85R")
}

#[test]
fn the_model_of_a_training_state_is_read() {
    let (config, tensors) = (odd_config(), honest(Dtype::F16));
    let expected = read_safetensors(&config, &tensors).unwrap();
    for key in ["model", "module", "state_dict", "model_state_dict"] {
        let begin = beside(Pickle::new().ops(b"}(")).text(key).ops(b"}(");
        assert!(read_torch(&config, &parameters(&tensors, begin, b"uu.")).unwrap() == expected, "{key}");
    }
    let begin = Pickle::new().ops(b"}").text("model").ops(b"}").text("state_dict").ops(b"}(");
    assert!(read_torch(&config, &parameters(&tensors, begin, b"uss.")).unwrap() == expected);
    let two = Pickle::new().ops(b"}(").text("model").ops(b"}").text("module").ops(b"}u.");
    let error = read_torch(&config, &TorchFile::pickled(two)).unwrap_err();
    assert!(error.to_string().contains("models under \"model\" and \"module\""), "{error}");
}

#[test]
fn whole_numbers_beside_the_weights_are_buffers() {
    let config = odd_config();
    let expected = read_safetensors(&config, &honest(Dtype::F16)).unwrap();
    let mut tensors = honest(Dtype::F16);
    tensors.push(raw("gpt_neox.layers.0.attention.position_ids", Dtype::I64, &[1, 64]));
    tensors.push(raw("gpt_neox.rotary_emb.inv_freq", Dtype::F32, &[2]));
    tensors.push(raw("num_updates", Dtype::I32, &[]));
    assert!(read_safetensors(&config, &tensors).unwrap() == expected);
    // But not floats of any name, and no weights of another layer.
    for (name, dtype) in [("num_updates", Dtype::F32), ("gpt_neox.layers.7.attention.dense.weight", Dtype::I64)] {
        let mut tensors = honest(Dtype::F16);
        tensors.push(raw(name, dtype, &[3]));
        assert!(matches!(read_safetensors(&config, &tensors), Err(WeightError::Unexpected { .. })), "{name}");
    }
}

#[test]
fn each_cause_has_its_own_remedy() {
    let config = odd_config();
    let with = |change: &dyn Fn(&mut Vec<Raw>)| {
        let mut tensors = honest(Dtype::F16);
        change(&mut tensors);
        read_safetensors(&config, &tensors).unwrap_err()
    };
    let norm = |tensors: &mut Vec<Raw>, dtype, shape: &[usize]| {
        let at = tensors.iter().position(|t| t.name == "gpt_neox.final_layer_norm.weight").unwrap();
        tensors[at] = raw("gpt_neox.final_layer_norm.weight", dtype, shape);
    };
    let no_head = |tensors: &mut Vec<Raw>| tensors.retain(|t| t.name != "embed_out.weight");
    let scb = raw("gpt_neox.layers.0.attention.dense.SCB", Dtype::F32, &[70]);
    let lora = raw("base_model.model.gpt_neox.layers.0.attention.dense.lora_A.default.weight", Dtype::F32, &[8, 70]);
    for (error, words, remedy) in [
        (with(&|t| norm(t, Dtype::F16, &[0])), "is empty, expected [70]", "zero_to_fp32.py"),
        (with(&|t| norm(t, Dtype::I8, &[70])), "holds I8: the weights are quantised", "before quantisation"),
        (with(&|t| norm(t, Dtype::F8_E4M3, &[70])), "holds F8_E4M3: the weights are quantised", "dequantize"),
        (with(&|t| norm(t, Dtype::U8, &[35])), "the weights are quantised", "dequantize"),
        (with(&|t| norm(t, Dtype::I64, &[70])), "holds I64", "save it as float32"),
        (with(&|t| norm(t, Dtype::F16, &[71])), "has shape [71]", "config.json and the weights"),
        (with(&|t| t.push(scb.clone())), "attention.dense.SCB", "before quantisation"),
        (with(&|t| t.push(lora.clone())), "LoRA adapter", "merge_and_unload"),
        (with(&no_head), "every tensor but the unembedding", "is the model tied?"),
    ] {
        let found = error.remedy().unwrap_or_default();
        assert!(error.to_string().contains(words) && found.contains(remedy), "{error}\n{found}");
    }
    let mut tied = odd_config();
    tied.variant.tied_embeddings = true;
    let mut tensors = honest(Dtype::F16);
    no_head(&mut tensors);
    assert!(read_safetensors(&tied, &tensors).is_ok());
}

#[test]
fn files_that_are_something_else_say_what_they_are() {
    let config = odd_config();
    let honest = honest(Dtype::F16);
    let (safe, torch) = (safetensors_bytes(&honest), TorchFile::of(&honest).bytes());
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 168\n".to_vec();
    let dir = TempDir::new();
    for (bytes, as_torch, expected) in [
        (pointer.clone(), false, WrongContent::LfsPointer),
        (pointer, true, WrongContent::LfsPointer),
        (b"<!DOCTYPE html><html><title>401".to_vec(), true, WrongContent::Html),
        (Vec::new(), false, WrongContent::Empty),
        (torch, false, WrongContent::Pytorch),
        (safe, true, WrongContent::Safetensors),
    ] {
        let path = dir.write("weights", bytes);
        let files = if as_torch { WeightFiles::Pytorch(vec![path]) } else { WeightFiles::Safetensors(vec![path]) };
        let error = read(&config, &files, &EVERYTHING).unwrap_err();
        assert!(matches!(error, WeightError::Content { source, .. } if source == expected), "{expected:?}: {error}");
    }
    // Old files are told from damaged ones.
    let old = dir.write("weights", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.");
    let error = read(&config, &WeightFiles::Pytorch(vec![old]), &EVERYTHING).unwrap_err();
    assert!(matches!(error, WeightError::Zip { source: ZipError::Legacy, .. }), "{error}");
    assert!(error.remedy().unwrap().contains("torch.load"));
}
