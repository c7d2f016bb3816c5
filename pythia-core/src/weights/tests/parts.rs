//! Checkpoints that are opened and decoded part by part.

use super::*;

const PROFILES: [Profile; 2] = [Profile::AsPublished, Profile::Tl2];

fn opened(config: &NeoxConfig, files: &WeightFiles, profile: Profile) -> (StoredWeights, HostParams) {
    let wanted = Wanted { unembed: true, profile };
    let (params, hashes) = read(config, files, &wanted).unwrap();
    let (stored, same) =
        StoredCheckpoint::open(config, files).and_then(|stored| stored.streamed(&wanted, None)).unwrap();
    assert_eq!(hashes, same);
    assert_eq!(hashes, hashes_of(config, files).unwrap());
    (stored, params)
}

#[test]
fn parts_put_together_are_the_whole() {
    let dir = TempDir::new();
    for (tied, biased) in [(false, true), (true, true), (false, false)] {
        let mut config = odd_config();
        (config.variant.tied_embeddings, config.variant.attention_bias) = (tied, biased);
        let params = exact_params(&config);
        for form in [Form::Safetensors, Form::Shards, Form::Torch] {
            let files = written(&dir, &config, &params, form);
            for profile in PROFILES {
                let (stored, whole) = opened(&config, &files, profile);
                let every: Vec<u32> = (0..config.vocab_size as u32).collect();
                let mut parts = stored.final_norm().unwrap();
                parts.extend(stored.unembed().unwrap());
                parts.insert(Param::Embed, stored.embed_rows(&every).unwrap());
                (0..config.n_layers).for_each(|layer| parts.extend(stored.block(layer).unwrap()));
                assert!(parts == whole, "{form:?} {profile} tied {tied} biased {biased}");
            }
        }
    }
}

#[test]
fn rows_and_columns_come_in_the_order_asked_for() {
    let config = odd_config();
    let params = exact_params(&config);
    let dir = TempDir::new();
    let files = written(&dir, &config, &params, Form::Safetensors);
    let (stored, _) = opened(&config, &files, Profile::AsPublished);
    let ids = [96u32, 0, 5, 5, 41];
    let (d, v) = (config.d_model, config.vocab_size);
    let rows = stored.embed_rows(&ids).unwrap();
    let columns = stored.unembed_columns(&ids).unwrap().unwrap();
    assert_eq!((&rows.shape[..], &columns.shape[..]), (&[5, d][..], &[d, 5][..]));
    for (at, &id) in ids.iter().enumerate() {
        for i in 0..d {
            assert_eq!(rows.values[at * d + i], params[&Param::Embed].values[id as usize * d + i]);
            assert_eq!(columns.values[i * 5 + at], params[&Param::Unembed].values[i * v + id as usize]);
        }
    }
    let (folded, _) = opened(&config, &files, Profile::Tl2);
    assert_eq!(folded.unembed_columns(&ids).unwrap(), None, "folding mixes columns");
}

#[test]
fn an_open_checkpoint_survives_its_files() {
    let config = odd_config();
    let params = exact_params(&config);
    let dir = TempDir::new();
    let files = written(&dir, &config, &params, Form::Shards);
    let (stored, whole) = opened(&config, &files, Profile::AsPublished);
    for path in files.paths() {
        std::fs::write(path.with_extension("new"), b"something else").unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    }
    let block = stored.block(1).unwrap();
    assert!(block.iter().all(|(param, tensor)| whole[param] == *tensor) && !block.is_empty());
}

#[test]
fn what_is_wrong_is_found_when_it_is_opened_or_else_when_it_is_used() {
    let config = odd_config();
    let mut params = exact_params(&config);
    params.get_mut(&Param::Layer(1, LayerParam::MlpInWeight)).unwrap().values[77] = f32::INFINITY;
    let dir = TempDir::new();
    let files = written(&dir, &config, &params, Form::Safetensors);
    let refused =
        |error: &WeightError| matches!(error, WeightError::NotFinite { tensor, .. } if tensor.contains("h_to_4h"));
    let by_reading = read(&config, &files, &EVERYTHING).unwrap_err();
    let by_opening =
        StoredCheckpoint::open(&config, &files).and_then(|stored| stored.streamed(&EVERYTHING, None)).unwrap_err();
    assert!(refused(&by_opening), "{by_opening}");
    assert_eq!(by_opening.to_string(), by_reading.to_string());
    let elsewhere = TempDir::new();
    let known = hashes_of(&config, &written(&elsewhere, &config, &exact_params(&config), Form::Torch)).unwrap();
    let (stored, told) = StoredCheckpoint::open(&config, &files)
        .and_then(|stored| stored.streamed(&EVERYTHING, Some(known.clone())))
        .unwrap();
    assert_eq!(told, known);
    assert!(stored.block(0).is_ok() && refused(&stored.block(1).unwrap_err()));
    let longer = std::fs::read(&files.paths()[0]).unwrap();
    std::fs::write(&files.paths()[0], &longer[..longer.len() / 2]).unwrap();
    assert!(matches!(stored.block(1), Err(WeightError::Io { .. })), "a file that was cut while it was open");
}

#[test]
fn every_place_of_an_infinity_is_found_without_decoding() {
    let config = odd_config();
    let params = exact_params(&config);
    for (dtype, special) in [(Dtype::F16, 0xFC00u32), (Dtype::BF16, 0x7FC1), (Dtype::F32, 0x7F80_0001)] {
        let tensors = stored_tensors(&config, &params, dtype);
        let size = dtype.bitsize() / 8;
        for (which, tensor) in tensors.iter().enumerate() {
            let n = tensor.bytes.len() / size;
            for index in [0, n / 2, n - 1] {
                let mut bad = tensors.clone();
                bad[which].bytes[index * size..][..size].copy_from_slice(&special.to_le_bytes()[..size]);
                let dir = TempDir::new();
                let files = WeightFiles::Safetensors(vec![dir.write("m.safetensors", safetensors_bytes(&bad))]);
                let error = hashes_of(&config, &files).unwrap_err();
                let WeightError::NotFinite { tensor: name, index: at, .. } = &error else { panic!("{error}") };
                assert_eq!((name, *at), (&tensor.name, index), "{error}");
            }
        }
    }
}
