use burn::tensor::DType;

use super::*;
use crate::pairs::PairError;
use crate::probes::ProbeSpec;
use crate::table::Table;
use crate::testing::causal::{Fixture, floats, ints, names, texts};

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
    // ScoreSettings that would narrow nothing, so that the sweep would be silently without them.
    refused("sets", "name z among them", &|probe| probe.sets = [("a".to_owned(), words(&["1.0"]))].into());
    refused("neurons", "none of the hooks has any", &|probe| probe.neurons = Some(4));
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
    let place = ["hook", "layer", "pos", "head", "key", "position_name", "set", "direction", "metric"];
    let tables = answer(probe());
    let means = ["n", "clean", "corrupt", "patched", "effect", "effect_low", "effect_high", "effect_mean", "status"];
    assert_eq!(names(&tables[0]), [&place[..], &means].concat());
    assert_eq!(
        names(&tables[1]),
        [&place[..], &["prompt_id", "clean", "corrupt", "patched", "effect", "status"]].concat()
    );
}
