use burn::tensor::DType;

use super::*;
use crate::engine::Engine;
use crate::pairs::{Noise, PairError, Task};
use crate::probes::ProbeSpec;
use crate::table::Table;
use crate::testing::causal::{Fixture, assert_close, floats, ints, names, texts};

const LENGTHS: [usize; 5] = [6, 8, 6, 5, 8];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// What the check of a changed probe says, on the given fixture.
fn told(fixture: &Fixture, change: impl Fn(&mut ActivationPatching)) -> Result<(), ProbeError> {
    let mut probe = ActivationPatching::new(Fixture::source());
    change(&mut probe);
    ProbeSpec::ActivationPatching(probe).check(&fixture.subject().context(0))
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_runs() {
    let fixture = Fixture::new(true, DType::F32, &[5, 6]);
    let refused = |field: &str, reason: &str, change: &dyn Fn(&mut ActivationPatching)| {
        let error = told(&fixture, change).expect_err("refused");
        assert!(error.field() == Some(field) && error.to_string().contains(reason), "{error}");
    };
    refused("hooks", "hooks is empty", &|probe| probe.hooks.clear());
    refused("metrics", "metrics is empty", &|probe| probe.metrics.clear());
    refused("hooks", "no hook point", &|probe| probe.hooks = words(&["zz"]));
    refused("hooks", "parallel", &|probe| probe.hooks = words(&["resid_mid"]));
    refused("hooks", "final layer norm", &|probe| probe.hooks = words(&["z", "ln_final.hook_scale"]));
    refused("heads", "a head from 0 to 3", &|probe| (probe.hooks, probe.heads) = (words(&["z"]), words(&["4"])));
    refused("sets", "layer.head", &|probe| {
        (probe.hooks, probe.sets) = (words(&["z"]), [("a".to_owned(), words(&["9.0"]))].into());
    });
    // Settings that would narrow nothing.
    refused("sets", "name z among them", &|probe| probe.sets = [("a".to_owned(), words(&["1.0"]))].into());
    refused("neurons", "none of the hooks has any", &|probe| probe.neurons = Some(4));
    refused("window", "window = 0", &|probe| probe.window = 0);
    refused("window", "leave window or sets out", &|probe| {
        (probe.hooks, probe.window) = (words(&["z"]), 2);
        probe.sets = [("a".to_owned(), words(&["1.0"]))].into();
    });
    let noise = |positions: &[&str], sigmas| Some(Noise { sigmas, ..Noise::at(words(positions)) });
    refused("pairs.noise.positions", "needs the positions", &|probe| probe.pairs.noise = noise(&[], 3.0));
    refused("pairs.noise.positions", "end, middle", &|probe| probe.pairs.noise = noise(&["subject"], 3.0));
    refused("pairs.noise.positions", "together", &|probe| probe.pairs.noise = noise(&["each"], 3.0));
    for sigmas in [0.0, -1.0, f64::NAN, 1e39] {
        refused("pairs.noise.sigmas", "above 0", &|probe| probe.pairs.noise = noise(&["end"], sigmas));
    }
    refused("pairs.n", "n = 0", &|probe| probe.pairs.n = 0);
    refused("pairs.half_len", "half_len", &|probe| probe.pairs.half_len = Some(5));
}

#[test]
fn entries_of_a_pattern_need_the_number_of_their_query() {
    let fixture = Fixture::new(true, DType::F32, &[5, 6]);
    let pattern = |keys: &[&str], positions: &[&str]| {
        told(&fixture, |probe| {
            (probe.hooks, probe.keys, probe.positions) = (words(&["pattern"]), words(keys), words(positions));
        })
    };
    let refused = Err("keys");
    for (keys, positions, expected) in [
        (&["each"][..], &["each"][..], Ok(())),
        (&["each"], &["0", "3"], Ok(())),
        (&["each"], &["all"], refused),
        (&["each"], &["each", "end"], refused),
        (&["each"], &["-1"], refused),
        (&["all", "each"], &["end", "2"], Ok(())),
        (&["all", "each"], &["end", "all"], refused),
        (&["all"], &["end"], Ok(())),
    ] {
        let found = pattern(keys, positions);
        assert_eq!(
            found.as_ref().map_err(|error| error.field().unwrap_or_default()),
            expected.as_ref().map_err(|f| *f)
        );
    }
    // Hooks without keys have no entries, whatever keys says.
    assert_eq!(told(&fixture, |probe| probe.keys = words(&["each"])), Ok(()));
}

#[test]
fn a_prompt_beyond_the_context_is_named_by_its_line() {
    let n_ctx = Fixture::new(true, DType::F32, &[5]).model.config().n_ctx;
    let fixture = Fixture::new(true, DType::F32, &[5, n_ctx + 1, 6]);
    let error = PairError::TooLong { line: 2, len: n_ctx + 1, n_ctx };
    assert_eq!(told(&fixture, |_| ()), Err(ProbeError::Pairs(error)));
    assert_eq!(told(&Fixture::new(true, DType::F32, &[5, n_ctx]), |_| ()), Ok(()));
}

#[test]
fn a_task_beyond_the_context_is_refused_at_its_half_len() {
    let fixture = Fixture::new(true, DType::F32, &[5]);
    let n_ctx = fixture.model.config().n_ctx;
    let check = |half_len| {
        let pairs = PairSource { n: 1, half_len: Some(half_len), ..PairSource::task(Task::Induction) };
        told(&fixture, |probe| probe.pairs = pairs.clone())
    };
    let error = check(n_ctx).expect_err("more than twice the context");
    let words = error.to_string();
    assert_eq!(error.field(), Some("pairs.half_len"));
    assert!(words.ends_with("make half_len smaller") && !words.contains("repeats"), "{words}");
    assert!(!matches!(check(2), Err(ProbeError::TooLong { .. })));
}

fn probe() -> ActivationPatching {
    ActivationPatching {
        hooks: words(&["z.1"]),
        positions: words(&["all"]),
        ..ActivationPatching::new(Fixture::source())
    }
}

fn answer(probe: ActivationPatching) -> Vec<Table> {
    Fixture::new(true, DType::F32, &LENGTHS).ask(ProbeSpec::ActivationPatching(probe)).expect("the probe runs")
}

#[test]
fn what_is_named_twice_is_one_place_with_every_pair_once() {
    let twice = ActivationPatching {
        heads: words(&["0", "each", "0"]),
        positions: words(&["all", "all"]),
        directions: vec![Direction::Denoising, Direction::Denoising],
        ..probe()
    };
    assert_eq!(answer(twice), answer(probe()));
}

#[test]
fn a_set_and_a_position_may_share_a_name() {
    let both = ActivationPatching {
        heads: words(&["all"]),
        positions: words(&["all", "end"]),
        sets: [("end".to_owned(), words(&["1.0"]))].into(),
        ..probe()
    };
    let table = &answer(both)[0];
    assert!(ints(table, "n").iter().all(|n| *n == Some(LENGTHS.len() as i64)));
    let mut found: Vec<(&str, &str)> = texts(table, "position_name")
        .iter()
        .zip(texts(table, "set"))
        .map(|(part, set)| (part.as_str(), set.as_str()))
        .collect();
    found.sort_unstable();
    assert_eq!(found, [("", ""), ("", "end"), ("end", ""), ("end", "end")]);
    // Head 0 alone is the set, whatever it is called.
    let head = answer(ActivationPatching { heads: words(&["0"]), ..probe() });
    let set = texts(table, "set")
        .iter()
        .zip(texts(table, "position_name"))
        .position(|(set, part)| set == "end" && part.is_empty());
    assert_eq!(floats(&head[0], "effect")[0], floats(table, "effect")[set.expect("a row")]);
    let nameless = ActivationPatching { sets: [(String::new(), words(&["1.0"]))].into(), ..probe() };
    let refused = Fixture::new(true, DType::F32, &LENGTHS).ask(ProbeSpec::ActivationPatching(nameless));
    assert_eq!(refused, Err(ProbeError::Empty { field: "sets" }));
}

#[test]
fn the_tables_have_their_columns() {
    let place = ["hook", "layer", "pos", "head", "key", "position_name", "set", "window", "direction", "metric"];
    let tables = answer(probe());
    let means = ["n", "clean", "corrupt", "patched", "effect", "effect_low", "effect_high", "effect_mean", "status"];
    assert_eq!(names(&tables[0]), [&place[..], &means].concat());
    assert_eq!(
        names(&tables[1]),
        [&place[..], &["prompt_id", "clean", "corrupt", "patched", "effect", "status"]].concat()
    );
}

#[test]
fn noise_is_the_same_for_the_same_seed_and_another_probe_refuses_it() {
    let noised = |engine| ActivationPatching {
        hooks: words(&["hook_embed", "resid_pre", "mlp_in.1"]),
        positions: words(&["middle", "each"]),
        pairs: PairSource { noise: Some(Noise::at(words(&["middle"]))), ..Fixture::source() },
        run: RunSettings { engine, ..RunSettings::default() },
        ..probe()
    };
    let tables = answer(noised(Engine::Cone));
    assert_eq!(tables, answer(noised(Engine::Cone)));
    for (cone, naive) in tables.iter().zip(&answer(noised(Engine::Naive))) {
        assert_close(cone, naive, 1e-3);
    }
    // The clean embedding at the noised position restores everything; at all others there is nothing to restore.
    let (hooks, names, positions) =
        (texts(&tables[1], "hook"), texts(&tables[1], "position_name"), ints(&tables[1], "pos"));
    let (effects, statuses) = (floats(&tables[1], "effect"), texts(&tables[1], "status"));
    let noised_at: BTreeMap<i64, Option<i64>> = (0..tables[1].n_rows())
        .filter(|&row| names[row] == "middle")
        .map(|row| (ints(&tables[1], "prompt_id")[row].expect("a pair"), positions[row]))
        .collect();
    for row in (0..tables[1].n_rows()).filter(|&row| hooks[row] == "hook_embed") {
        let here = positions[row] == noised_at[&ints(&tables[1], "prompt_id")[row].expect("a pair")];
        let effect = effects[row].expect("noise changes the metric");
        assert!((effect - f64::from(u8::from(here))).abs() < 1e-3, "{row}: {effect}");
        assert_eq!(statuses[row] == "no_change", !here, "{row}");
    }
    let ablation = crate::probes::ablation::Ablation::new(noised(Engine::Cone).pairs);
    let refused = Fixture::new(true, DType::F32, &LENGTHS).ask(ProbeSpec::Ablation(ablation));
    assert_eq!(refused.expect_err("ablation has no noise").field(), Some("pairs.noise"));
}
