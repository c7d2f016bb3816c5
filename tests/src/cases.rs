//! Models with their reference values.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::tensor::{DType, Int, Tensor};
use pythia_core::{
    config::NeoxConfig,
    device::ints,
    model::GptNeoX,
    store::{self, ModelRef},
    weights::{Profile, StoredCheckpoint, Wanted},
};
use pythia_hooks::{ActivationCache, HookPoint};

use crate::{
    backend, paths,
    tensors::{self, Reference},
};

/// A model on disk and what it must compute. Keys of the reference values are those of `fixtures/README.md`.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name for messages.
    pub name: String,
    /// Folder that holds the model.
    pub folder: PathBuf,
    /// Reference values by key.
    pub values: BTreeMap<String, Reference>,
    /// Whether the reference was computed in float64.
    pub double: bool,
}

/// The committed models; the two `-bin` folders are other files of the same weights.
pub fn committed() -> Vec<Case> {
    [("parallel", "parallel"), ("parallel-bin", "parallel"), ("sequential", "sequential")]
        .into_iter()
        .chain([("sequential-bin", "sequential"), ("tied", "tied")])
        .map(|(folder, reference)| Case {
            name: folder.to_owned(),
            folder: paths::fixtures().join(folder),
            values: tensors::read(&paths::fixtures().join(reference).join("reference.safetensors")),
            double: true,
        })
        .collect()
}

/// The models of the folder of goldens, under the fixtures' keys.
pub fn goldens(shared: &Path) -> Vec<Case> {
    let names = ["base", "sequential", "rotary100", "dhead80", "nobias", "tied", "oddvocab", "fp16hub", "newstyle"];
    names.iter().map(|name| golden(shared, name)).collect()
}

fn golden(shared: &Path, name: &str) -> Case {
    let folder = shared.join("goldens").join(name);
    let double = folder.join("acts.f64.safetensors").exists();
    let kind = if double { "f64" } else { "f32" };
    let mut values = BTreeMap::new();
    for part in ["acts", "analysis"] {
        for (key, tensor) in tensors::read(&folder.join(format!("{part}.{kind}.safetensors"))) {
            values.insert(fixture_key(&key), tensor);
        }
    }
    Case { name: format!("golden {name}"), folder: shared.join("models").join(name), values, double }
}

fn fixture_key(key: &str) -> String {
    let renamed = match key {
        "logits" => "plain.logits",
        "loss_per_token" => "plain.loss",
        "loss_per_token.rep" => "repeated.loss",
        "tokens.rep" => "tokens.repeated",
        "tokens.bosrep" => "tokens.bos_repeated",
        _ => key,
    };
    for (old, new) in [("acts.", "plain.acts."), ("head_detector.", "detect.")] {
        if let Some(rest) = renamed.strip_prefix(old) {
            return format!("{new}{rest}");
        }
    }
    renamed.to_owned()
}

impl Case {
    /// The model, with the weights as `profile` says.
    pub fn model(&self, profile: Profile, dtype: DType) -> GptNeoX {
        load(&self.folder, profile, dtype)
    }

    /// A reference tensor.
    pub fn value(&self, key: &str) -> &Reference {
        self.values.get(key).unwrap_or_else(|| panic!("{}: no reference value {key}", self.name))
    }

    /// Reference tensors whose key begins with `prefix`, by the rest of the key.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Reference)> {
        self.values.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value)))
    }

    /// Tokens as the model takes them, [batch, pos].
    pub fn tokens(&self, key: &str) -> Tensor<2, Int> {
        token_tensor(&self.value(key).tokens())
    }
}

/// The one model in `folder`.
pub fn load(folder: &Path, profile: Profile, dtype: DType) -> GptNeoX {
    let cache = paths::root().join("target/no-such-cache");
    let open = || -> Result<GptNeoX, Box<dyn std::error::Error>> {
        let store = store::open(&ModelRef::Folder(folder.to_path_buf()), &cache)?;
        let files = store.locate(None)?;
        let config = NeoxConfig::from_json(&std::fs::read_to_string(&files.config)?)?;
        let (params, _) = StoredCheckpoint::open(&config, &files.weights)
            .and_then(|stored| stored.params(&Wanted { unembed: true, profile }))?;
        Ok(GptNeoX::from_params(config, params, &backend::device(), dtype))
    };
    open().unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

/// Rows of token ids as a tensor.
pub fn token_tensor(rows: &[Vec<i64>]) -> Tensor<2, Int> {
    let shape = [rows.len(), rows[0].len()];
    ints(rows.concat().into_iter().map(|id| usize::try_from(id).expect("an id")), shape, &backend::device())
}

/// One run with everything in `points` kept, and the logits.
pub fn run(
    model: &GptNeoX,
    tokens: Tensor<2, Int>,
    points: Vec<HookPoint>,
) -> (Reference, BTreeMap<HookPoint, Reference>) {
    let mut cache = ActivationCache::of(points);
    let logits = model.forward(tokens, &mut cache);
    let kept = cache.finish().expect("every point of the model fires");
    (host(logits), kept.into_iter().map(|(point, activation)| (point, host_activation(activation))).collect())
}

/// A tensor on the host.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Reference {
    let shape = tensor.dims().to_vec();
    let values = tensor.into_data().convert::<f64>().try_into_vec().expect("just converted");
    Reference { shape, values }
}

/// An activation on the host.
pub fn host_activation(activation: pythia_hooks::Activation) -> Reference {
    match activation {
        pythia_hooks::Activation::Three(tensor) => host(tensor),
        pythia_hooks::Activation::Four(tensor) => host(tensor),
    }
}
