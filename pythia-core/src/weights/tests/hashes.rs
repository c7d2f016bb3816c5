//! Fingerprints by group, and the embedding's norm.

use super::*;

/// The fingerprint of a tensor, spelt out from its definition.
fn tensor_digest(raw: &Raw) -> blake3::Hash {
    let mut bytes = Vec::new();
    for part in [raw.name.as_bytes(), raw.dtype.to_string().as_bytes()] {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part);
    }
    bytes.extend((raw.shape.len() as u64).to_le_bytes());
    raw.shape.iter().for_each(|&extent| bytes.extend((extent as u64).to_le_bytes()));
    bytes.extend(blake3::hash(&raw.bytes).as_bytes());
    blake3::hash(&bytes)
}

fn of_those(tensors: &[Raw], which: impl Fn(&str) -> bool) -> String {
    let digests = tensors.iter().filter(|raw| which(&raw.name)).map(tensor_digest);
    blake3::hash(&digests.flat_map(|digest| *digest.as_bytes()).collect::<Vec<_>>()).to_hex().to_string()
}

#[test]
fn fingerprints_are_those_of_the_definition() {
    let config = odd_config();
    let params = exact_params(&config);
    let tensors = stored_tensors(&config, &params, Dtype::F16);
    let (_, hashes) = read_safetensors(&config, &tensors).unwrap();
    let found: BTreeMap<String, String> =
        hashes.groups.iter().map(|(group, hash)| (group.to_string(), hash.to_string())).collect();
    let expected = [
        ("blocks.0", "gpt_neox.layers.0."),
        ("blocks.1", "gpt_neox.layers.1."),
        ("embed", "gpt_neox.embed_in"),
        ("final_norm", "gpt_neox.final_layer_norm."),
        ("unembed", "embed_out."),
    ];
    let of = |(group, prefix): (&str, &str)| (group.to_owned(), of_those(&tensors, |name| name.starts_with(prefix)));
    assert_eq!(found, expected.map(of).into());
    assert_eq!(hashes.content.to_string(), of_those(&tensors, |_| true));
    let squares: f64 = params[&Param::Embed].values.iter().map(|&value| f64::from(value).powi(2)).sum();
    // Multiples of 1/16: any order of summation is exact.
    assert_eq!(hashes.embed_norm, squares.sqrt());
}

#[test]
fn a_change_shows_in_its_own_group_alone() {
    let config = odd_config();
    let tensors = stored_tensors(&config, &exact_params(&config), Dtype::F16);
    let (_, before) = read_safetensors(&config, &tensors).unwrap();
    for (prefix, group) in [
        ("gpt_neox.layers.1.mlp", Group::Block(1)),
        ("gpt_neox.final_layer_norm", Group::FinalNorm),
        ("embed_out", Group::Unembed),
        ("gpt_neox.embed_in", Group::Embed),
    ] {
        let mut changed = tensors.clone();
        changed.iter_mut().find(|raw| raw.name.starts_with(prefix)).unwrap().bytes[0] ^= 1;
        let (_, after) = read_safetensors(&config, &changed).unwrap();
        let differing: Vec<Group> = before
            .groups
            .iter()
            .filter(|(group, hash)| after.groups[group] != **hash)
            .map(|(group, _)| *group)
            .collect();
        assert_eq!(differing, [group]);
        assert_ne!(after.content, before.content);
        assert_eq!(after.embed_norm == before.embed_norm, group != Group::Embed);
    }
}

#[test]
fn hashes_do_not_depend_on_what_is_wanted_or_how_it_is_prepared() {
    let mut config = odd_config();
    // Several runs of the loop that sums squares, and a rest.
    config.vocab_size = 2001;
    for tied in [false, true] {
        config.variant.tied_embeddings = tied;
        let tensors = stored_tensors(&config, &exact_params(&config), Dtype::BF16);
        let dir = TempDir::new();
        let files = WeightFiles::Safetensors(vec![dir.write("model.safetensors", safetensors_bytes(&tensors))]);
        let hashes = |unembed, profile| read(&config, &files, &Wanted { unembed, profile }).unwrap().1;
        let plain = hashes(true, Profile::AsPublished);
        assert_eq!(plain.groups.contains_key(&Group::Unembed), !tied);
        assert_eq!(plain, hashes(false, Profile::AsPublished));
        assert_eq!(plain, hashes(true, Profile::Tl2));
    }
}
