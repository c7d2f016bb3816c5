//! Checkpoints of which only some tensors are read.

use std::collections::BTreeSet;

use super::*;

fn layer(layer: usize, part: LayerParam) -> Param {
    Param::Layer(layer, part)
}

/// The checkpoint with every byte outside of these ranges gone, its length and headers kept.
fn hollowed(dir: &TempDir, files: &WeightFiles, kept: &[(usize, std::ops::Range<u64>)]) -> WeightFiles {
    let hollow = |(at, path): (usize, &PathBuf)| {
        let whole = std::fs::read(path).unwrap();
        let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let mut hollow = vec![0xFF; whole.len()];
        hollow[..header].copy_from_slice(&whole[..header]);
        for (_, range) in kept.iter().filter(|(file, _)| *file == at) {
            let range = range.start as usize..range.end as usize;
            hollow[range.clone()].copy_from_slice(&whole[range]);
        }
        dir.write(&format!("hollow/{at}"), hollow)
    };
    WeightFiles::Safetensors(files.paths().iter().enumerate().map(hollow).collect())
}

#[test]
fn every_parameter_is_that_of_the_whole_in_every_form() {
    let dir = TempDir::new();
    for tied in [false, true] {
        let mut config = odd_config();
        config.variant.tied_embeddings = tied;
        let params = exact_params(&config);
        for form in [Form::Safetensors, Form::Shards, Form::Torch] {
            let files = written(&dir, &config, &params, form);
            let all: BTreeSet<Param> = Param::all(&config).into_iter().collect();
            let (some, hashes) = open_some(&config, &files, &all, None).unwrap();
            for param in all {
                assert!(some.param(param).unwrap() == params[&param], "{param} {form:?} tied {tied}");
            }
            let (_, whole) = read(&config, &files, &EVERYTHING).unwrap();
            assert_eq!(hashes, whole.into());
        }
    }
}

#[test]
fn bytes_that_are_not_asked_for_are_not_read() {
    let dir = TempDir::new();
    let config = odd_config();
    let params = exact_params(&config);
    let choices = [
        vec![Param::Embed],
        vec![Param::Unembed, Param::Embed],
        vec![layer(1, LayerParam::KeyWeight), layer(0, LayerParam::OutBias), Param::FinalNormBias],
    ];
    for form in [Form::Safetensors, Form::Shards] {
        let files = written(&dir, &config, &params, form);
        for only in &choices {
            let only: BTreeSet<Param> = only.iter().copied().collect();
            let kept = ranges(&config, &files, &only).unwrap();
            let n_bytes: u64 = kept.iter().map(|(_, range)| range.end - range.start).sum();
            assert_eq!(n_bytes, stored_bytes(&config, &only, 2));
            let hollow = hollowed(&dir, &files, &kept);
            assert_eq!(ranges(&config, &hollow, &only).unwrap(), kept);
            let (some, hashes) = open_some(&config, &hollow, &only, None).unwrap();
            assert!(only.iter().all(|param| some.param(*param).unwrap() == params[param]), "{form:?} {only:?}");
            assert_eq!(open_some(&config, &files, &only, None).unwrap().1, hashes);
            // What was overwritten is not finite, so that any other tensor that is read is noticed.
            assert!(matches!(hashes_of(&config, &hollow), Err(WeightError::NotFinite { .. })));
        }
    }
}

#[test]
#[should_panic(expected = "blocks.0.attn.W_Q was not opened")]
fn a_parameter_that_was_not_opened_is_not_given() {
    let (dir, config) = (TempDir::new(), odd_config());
    let files = written(&dir, &config, &exact_params(&config), Form::Safetensors);
    // It lies in the same stored tensor.
    let (some, _) = open_some(&config, &files, &[layer(0, LayerParam::KeyWeight)].into(), None).unwrap();
    let _ = some.param(layer(0, LayerParam::QueryWeight));
}

#[test]
fn hashes_of_whole_groups_are_those_of_the_checkpoint_and_single_tensors_have_their_own() {
    let (dir, config) = (TempDir::new(), odd_config());
    let files = written(&dir, &config, &exact_params(&config), Form::Shards);
    let whole = hashes_of(&config, &files).unwrap();
    let only: BTreeSet<Param> = [Param::Embed, layer(1, LayerParam::ValueBias)].into();
    let (_, hashes) = open_some(&config, &files, &only, None).unwrap();
    assert_eq!((hashes.content, hashes.embed_norm), (None, Some(whole.embed_norm)));
    assert_eq!(hashes.groups, [(Group::Embed, whole.groups[&Group::Embed])].into());
    let name = "gpt_neox.layers.1.attention.query_key_value.bias";
    let expected =
        format!("{{\"embed\":\"{}\",\"{name}\":\"{}\"}}", whole.groups[&Group::Embed], whole.tensors[name].1);
    assert_eq!(hashes.to_string(), expected);
    // Taken out of the whole they are the same, and nothing is read for it.
    let known = PartHashes::from(whole.clone());
    assert_eq!(known.of(&config, &only), hashes);
    assert_eq!(open_some(&config, &files, &only, Some(&known)).unwrap().1, hashes);
    assert_eq!(known.of(&config, &Param::all(&config).into_iter().collect()), known);
    let block = (0..2)
        .flat_map(|at| LayerParam::ALL.map(|part| layer(at, part)))
        .filter(|param| *param < layer(1, LayerParam::Ln1Weight));
    assert_eq!(known.of(&config, &block.collect()).groups, [(Group::Block(0), whole.groups[&Group::Block(0)])].into());
}

#[test]
fn headers_are_checked_whole_and_values_where_they_are_read() {
    let (dir, config) = (TempDir::new(), odd_config());
    let mut params = exact_params(&config);
    params.get_mut(&Param::Embed).unwrap().values[5] = f32::NAN;
    let files = written(&dir, &config, &params, Form::Safetensors);
    assert!(matches!(open_some(&config, &files, &[Param::Embed].into(), None), Err(WeightError::NotFinite { .. })));
    assert!(open_some(&config, &files, &[Param::Unembed].into(), None).is_ok());
    let mut tensors = stored_tensors(&config, &params, Dtype::F16);
    tensors.retain(|raw| raw.name != "gpt_neox.final_layer_norm.bias");
    let files = WeightFiles::Safetensors(vec![dir.write("less.safetensors", safetensors_bytes(&tensors))]);
    for found in [
        open_some(&config, &files, &[Param::Unembed].into(), None).err(),
        ranges(&config, &files, &[Param::Unembed].into()).err(),
    ] {
        assert!(matches!(found, Some(WeightError::Missing { .. })), "{found:?}");
    }
}

#[test]
fn the_copy_in_a_tied_file_is_read_and_compared_where_the_embedding_is() {
    let (dir, mut config) = (TempDir::new(), odd_config());
    let params = exact_params(&config);
    let tensors = stored_tensors(&config, &params, Dtype::F16);
    config.variant.tied_embeddings = true;
    let files = WeightFiles::Safetensors(vec![dir.write("tied.safetensors", safetensors_bytes(&tensors))]);
    for only in [Param::Embed, Param::Unembed] {
        assert_eq!(ranges(&config, &files, &[only].into()).unwrap().len(), 2);
        let refused = open_some(&config, &files, &[only].into(), None);
        assert!(matches!(refused, Err(WeightError::TiedDiffers { .. })), "{refused:?}");
    }
    assert!(open_some(&config, &files, &[Param::FinalNormBias].into(), None).is_ok());
}

fn open_some(
    config: &NeoxConfig,
    files: &WeightFiles,
    only: &BTreeSet<Param>,
    known: Option<&PartHashes>,
) -> Result<(SomeWeights, PartHashes), WeightError> {
    StoredCheckpoint::open(config, files)?.some(only, known)
}

fn ranges(
    config: &NeoxConfig,
    files: &WeightFiles,
    only: &BTreeSet<Param>,
) -> Result<Vec<(usize, std::ops::Range<u64>)>, WeightError> {
    StoredCheckpoint::open(config, files)?.ranges(only)
}
