//! Activation patching against `transformer_lens.patching`: every function that the goldens hold, cell by cell.

use std::collections::BTreeMap;

use super::*;
use crate::engine::Engine;
use crate::pairs::PairSource;
use crate::probes::activation_patching::ActivationPatching;
use crate::subject::Files;

/// The bar: TransformerLens' own float32 noise on these models is up to 2e-5.
const TOLERANCE: f64 = 1e-4;

/// Which cells one function of TransformerLens sweeps, and the columns along which its values run.
const FUNCTIONS: [(&str, &str, &str, &str, &str); 18] = [
    ("resid_pre", "resid_pre", "each", "all", "all"),
    ("resid_mid", "resid_mid", "each", "all", "all"),
    ("attn_out", "attn_out", "each", "all", "all"),
    ("mlp_out", "mlp_out", "each", "all", "all"),
    ("attn_head_out_all_pos", "z", "all", "each", "all"),
    ("attn_head_q_all_pos", "q", "all", "each", "all"),
    ("attn_head_k_all_pos", "k", "all", "each", "all"),
    ("attn_head_v_all_pos", "v", "all", "each", "all"),
    ("attn_head_pattern_all_pos", "pattern", "all", "each", "all"),
    ("attn_head_out_by_pos", "z", "each", "each", "all"),
    ("attn_head_q_by_pos", "q", "each", "each", "all"),
    ("attn_head_k_by_pos", "k", "each", "each", "all"),
    ("attn_head_v_by_pos", "v", "each", "each", "all"),
    ("attn_head_pattern_by_pos", "pattern", "each", "each", "all"),
    ("attn_head_pattern_dest_src_pos", "pattern", "each", "each", "each"),
    // The same again, by other names of the places.
    ("resid_pre", "blocks.*.hook_resid_pre", "each", "all", "all"),
    ("attn_head_out_all_pos", "blocks.*.attn.hook_result", "all", "each", "all"),
    ("attn_head_q_by_pos", "rot_q", "each", "each", "all"),
];

/// Mean patched metric by (layer, pos, head, key).
fn patched(golden: &Golden, probe: ActivationPatching) -> BTreeMap<[Option<i64>; 4], f64> {
    let files = Files([(PathBuf::from("pairs"), golden.pairs())].into());
    let subject = Subject { files: &files, ..Subject::new(&golden.model, golden.model.config().vocab_size, false, 0) };
    let answer = run(&[ProbeSpec::ActivationPatching(probe)], &subject, 0).remove(0).expect("the probe runs");
    let ints = |name| answer[0].column(name).and_then(Column::ints).expect("whole numbers");
    let values = answer[0].column("patched").and_then(Column::floats).expect("numbers");
    let (layer, pos, head, key) = (ints("layer"), ints("pos"), ints("head"), ints("key"));
    let row = |row: usize| ([layer[row], pos[row], head[row], key[row]], values[row].expect("a value"));
    (0..answer[0].n_rows()).map(row).collect()
}

/// The cell of TransformerLens' value at `index` of an array with `dims`.
fn cell(function: &str, dims: &[usize], index: usize) -> [Option<i64>; 4] {
    let mut rest = index;
    let mut axes: Vec<i64> = dims
        .iter()
        .rev()
        .map(|size| {
            let at = rest % size;
            rest /= size;
            at as i64
        })
        .collect();
    axes.reverse();
    let order: &[usize] = match function {
        "attn_head_pattern_dest_src_pos" => &[0, 2, 1, 3],
        "attn_head_pattern_by_pos" => &[0, 2, 1],
        name if name.ends_with("all_pos") => &[0, 2],
        name if name.ends_with("by_pos") => &[0, 1, 2],
        _ => &[0, 1],
    };
    let mut cell = [None; 4];
    for (axis, place) in axes.into_iter().zip(order) {
        cell[*place] = Some(axis);
    }
    cell
}

#[test]
#[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
fn shared_patching_equals_transformer_lens() {
    let mut compared = 0;
    for golden in goldens() {
        for (function, hook, positions, heads, keys) in FUNCTIONS {
            let key = format!("patch.{function}");
            let Some((dims, expected)) = golden.values.get(&key) else { continue };
            for engine in [Engine::Cone, Engine::Naive] {
                let mut probe = ActivationPatching::new(PairSource::file("pairs".into()));
                probe.hooks = vec![hook.to_owned()];
                probe.positions = vec![positions.to_owned()];
                probe.heads = vec![heads.to_owned()];
                probe.keys = vec![keys.to_owned()];
                probe.run.engine = engine;
                let found = patched(&golden, probe);
                for (index, expected) in expected.iter().enumerate() {
                    let cell = cell(function, dims, index);
                    // Entries of a pattern after the query are zero in every run: nothing is run for them, and
                    // TransformerLens' value there is the corrupted run's.
                    let Some(found) = found.get(&cell) else {
                        assert!(cell[3] > cell[1], "{} {key} has no cell {cell:?}", golden.name);
                        continue;
                    };
                    let error = (found - expected).abs();
                    assert!(error <= TOLERANCE, "{} {key} {cell:?} {engine:?}: {found}, not {expected}", golden.name);
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 10_000, "{compared} values compared");
}
