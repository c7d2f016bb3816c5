//! Agreement between containers, and with TransformerLens' own folding.

use std::fs;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use super::*;
use crate::store::{Checkpoints, FolderStore};
use crate::testing::{fixture, shared};

fn config_in(dir: &Path) -> NeoxConfig {
    NeoxConfig::from_json(&fs::read_to_string(dir.join("config.json")).unwrap()).unwrap()
}

#[test]
fn committed_containers_agree_and_are_written_as_they_were_read() {
    for [safetensors, torch] in [["parallel", "parallel-bin"], ["sequential", "sequential-bin"]] {
        let read = |name| {
            let dir = fixture(name);
            let files = FolderStore::open(&dir).unwrap().locate(None).unwrap();
            (config_in(&dir), read(&config_in(&dir), &files.weights, &EVERYTHING).unwrap().0)
        };
        let ((config, a), (same_config, b)) = (read(safetensors), read(torch));
        assert_eq!(config, same_config);
        assert!(a == b, "{safetensors}");
        assert_eq!(a.len(), Param::all(&config).len());
        let again = TempDir::new();
        let file = again.write("model.safetensors", to_safetensors(&config, &a));
        let (same, _) = super::read(&config, &WeightFiles::Safetensors(vec![file]), &EVERYTHING).unwrap();
        assert!(a == same, "{safetensors}");
    }
}

#[test]
#[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
fn shared_published_containers_agree() {
    let shared = shared();
    for model in ["tiny_parallel_d32", "tiny_rot20_d160", "tiny_sequential_d32"] {
        let dir = shared.join("data/golden").join(model);
        let config = config_in(&dir);
        let safetensors = WeightFiles::Safetensors(vec![dir.join("model.safetensors")]);
        let torch = WeightFiles::Pytorch(vec![dir.join("pytorch_model.bin")]);
        let (a, hash) = read(&config, &safetensors, &EVERYTHING).unwrap();
        let (b, same) = read(&config, &torch, &EVERYTHING).unwrap();
        assert!(a == b, "{model}");
        assert_eq!(hash, same);
        assert_eq!(a.len(), Param::all(&config).len());
    }
}

#[test]
#[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
fn shared_every_reference_model_is_read_and_written() {
    let shared = shared();
    let models = ["base", "sequential", "rotary100", "dhead80", "nobias", "tied", "oddvocab", "fp16hub", "newstyle"];
    for model in models {
        let dir = shared.join("models").join(model);
        let config = config_in(&dir);
        let files = FolderStore::open(&dir).unwrap().locate(None).unwrap();
        let (params, _) = read(&config, &files.weights, &EVERYTHING).unwrap();
        let again = TempDir::new();
        let file = again.write("model.safetensors", to_safetensors(&config, &params));
        let (same, _) = read(&config, &WeightFiles::Safetensors(vec![file]), &EVERYTHING).unwrap();
        assert!(params == same, "{model}");
    }
}

/// Folded parameters against TransformerLens' own, in f64 where the reference has them.
#[test]
#[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
fn shared_folding_agrees_with_the_reference() {
    let shared = shared();
    let models = ["base", "sequential", "rotary100", "dhead80", "nobias", "tied", "oddvocab", "fp16hub", "newstyle"];
    for model in models {
        let dir = shared.join("models").join(model);
        let config = config_in(&dir);
        let files = FolderStore::open(&dir).unwrap().locate(None).unwrap();
        let wanted = Wanted { unembed: true, profile: Profile::Tl2 };
        let (params, _) = read(&config, &files.weights, &wanted).unwrap();
        let golden = |kind: &str| fs::read(shared.join("goldens").join(model).join(format!("acts.{kind}.safetensors")));
        let bytes = golden("f64").or_else(|_| golden("f32")).unwrap();
        let golden = SafeTensors::deserialize(&bytes).unwrap();
        let mut compared = 0;
        for (param, tensor) in &params {
            let reference = golden.tensor(&format!("folded.param.{param}")).unwrap();
            let tolerance = if reference.dtype() == Dtype::F64 { 3e-7 } else { 3e-6 };
            let expected = values(&reference);
            assert_eq!(expected.len(), tensor.values.len(), "{model} {param}");
            let by_head = head_major(&config, *param, expected);
            for (at, (&found, expected)) in tensor.values.iter().zip(by_head).enumerate() {
                let error = (f64::from(found) - expected).abs() / expected.abs().max(1.0);
                assert!(error < tolerance, "{model} {param} at {at}: {found}, expected {expected}");
            }
            compared += 1;
        }
        let n_reference = golden.names().iter().filter(|name| name.starts_with("folded.param.")).count();
        assert_eq!(compared, n_reference, "{model}");
    }
}

fn values(tensor: &safetensors::tensor::TensorView) -> Vec<f64> {
    match tensor.dtype() {
        Dtype::F64 => tensor.data().as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect(),
        _ => tensor.data().as_chunks().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect(),
    }
}

/// The reference keeps heads outermost, `[h, d, e]`; here they are columns, `[d, h*e]`.
fn head_major(config: &NeoxConfig, param: Param, values: Vec<f64>) -> Vec<f64> {
    use LayerParam::{KeyWeight, QueryWeight, ValueWeight};
    let Param::Layer(_, QueryWeight | KeyWeight | ValueWeight) = param else { return values };
    let (d, e) = (config.d_model, config.d_head());
    (0..d * d).map(|at| (at / d, at % d)).map(|(i, c)| values[(c / e * d + i) * e + c % e]).collect()
}
