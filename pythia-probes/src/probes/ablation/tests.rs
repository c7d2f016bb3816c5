use burn::tensor::{DType, Tensor};
use pythia_hooks::{Activation, Region};

use super::*;
use crate::engine::Engine;
use crate::families::causal::paired_runs::ScoreSettings;
use crate::families::causal::places::Place;
use crate::probes::ProbeSpec;
use crate::testing::causal::{Fixture, assert_close, changed, floats, ints, names, texts};

const LENGTHS: [usize; 7] = [6, 8, 6, 6, 5, 8, 6];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn set(name: &str, heads: &[&str]) -> BTreeMap<String, Vec<String>> {
    [(name.to_owned(), words(heads))].into()
}

fn ablation() -> Ablation {
    Ablation::new(Fixture::source())
}

fn answer(fixture: &Fixture, probe: Ablation) -> Answer {
    fixture.ask(ProbeSpec::Ablation(probe)).expect("the probe runs")
}

#[test]
fn both_engines_say_the_same() {
    for (parallel, dtype, tolerance) in [(true, DType::F32, 1e-5), (false, DType::F32, 1e-5), (true, DType::F64, 1e-11)]
    {
        let fixture = Fixture::new(parallel, dtype, &LENGTHS);
        let probe = |engine| Ablation {
            hooks: words(&["z", "mlp_out", "attn_out.1", "mlp_post.0", "v.2", "result.1", "normalized2.1"]),
            heads: words(&["each", "all"]),
            sets: set("some", &["0.1", "1.3", "1.0"]),
            controls: 2,
            methods: vec![Method::Resample, Method::Zero, Method::Mean, Method::MeanPerPosition],
            positions: words(&["all", "end", "middle", "-2", "1"]),
            run: RunSettings { engine, ..RunSettings::default() },
            ..ablation()
        };
        let [cone, naive] = [Engine::Cone, Engine::Naive].map(|engine| answer(&fixture, probe(engine)));
        assert_eq!(cone[0].n_rows(), naive[0].n_rows());
        for (cone, naive) in cone.iter().zip(&naive) {
            assert_close(cone, naive, tolerance);
        }
        // z, v and result in 5 layers with 5 interventions each, mlp_out in 3, three single hooks, three sets of
        // heads at three sites.
        let interventions = 5 * 5 + 3 + 3 + 3 * 3;
        assert_eq!(cone[0].n_rows(), interventions * 5 * 4 * 3);
    }
}

#[test]
fn the_tables_have_these_columns() {
    let fixture = Fixture::new(true, DType::F32, &LENGTHS);
    let probe = Ablation { sets: set("some", &["1.0", "2.3"]), controls: 1, heads: Vec::new(), ..ablation() };
    let [summary, examples] = answer(&fixture, probe.clone()).try_into().expect("two tables");
    let label = ["hook", "layer", "pos", "head", "position_name", "set", "control", "method"];
    let columns = |rest: &[&'static str]| [&label[..], rest].concat();
    let rest = ["metric", "n", "base", "changed", "delta", "delta_low", "delta_high", "status"];
    assert_eq!(names(&summary), columns(&rest));
    assert_eq!(names(&examples), columns(&["metric", "prompt_id", "base", "changed", "delta", "status"]));
    assert_eq!((summary.n_rows(), examples.n_rows()), (2 * 3, 2 * 3 * LENGTHS.len()));
    assert_eq!(texts(&summary, "set"), ["some"; 6]);
    assert_eq!(ints(&summary, "control"), [None, None, None, Some(0), Some(0), Some(0)]);
    assert_eq!(texts(&summary, "hook")[0], "blocks.1.attn.hook_z");
    assert_eq!((ints(&summary, "layer")[0], ints(&summary, "head")[0]), (Some(1), None));
    assert_eq!(texts(&summary, "metric")[..3], ["logit_diff", "kl", "loss"]);
    assert!(ints(&summary, "n").iter().all(|n| *n == Some(7)));
    let short = RunSettings { per_example: false, ..RunSettings::default() };
    assert_eq!(answer(&fixture, Ablation { run: short, ..probe }).len(), 1);
}

#[test]
fn what_two_settings_name_is_ablated_once() {
    let fixture = Fixture::new(true, DType::F32, &LENGTHS);
    let once = Ablation { hooks: words(&["z.1"]), positions: words(&["each"]), ..ablation() };
    let methods = vec![Method::Zero; 2];
    let (hooks, heads) = (words(&["z.1", "blocks.1.attn.hook_z"]), words(&["each", "2"]));
    let twice = Ablation { hooks, heads, positions: words(&["each", "0", "3"]), methods, ..ablation() };
    assert_eq!(answer(&fixture, twice), answer(&fixture, once));
}

#[test]
fn nothing_ablated_is_exactly_nothing_lost() {
    let fixture = Fixture::new(true, DType::F32, &LENGTHS);
    let (subject, probe) = (fixture.subject(), ablation());
    let runs = PairedRuns::new(&[&probe], &subject, 0, 1).expect("the pairs fit");
    let metrics = [Metric::LogitDiff, Metric::Kl, Metric::Loss, Metric::Prob, Metric::Rank];
    for group in &runs.groups {
        let [base, _] = group.ends(&runs, &metrics, Side::Clean).expect("the base run");
        for engine in [Engine::Cone, Engine::Naive] {
            let settings = ScoreSettings { engine, metrics: &metrics, ..probe.common().scores() };
            let outcomes = group.outcomes(&runs, &settings, Side::Clean, &[], &[IntervenedRun::default()]);
            let mut deltas = Deltas::new(&metrics, &runs.pairs);
            let place = Place::of(Site::Z.at(0));
            let label = Ablated { target: Target { place, set: String::new(), control: None }, method: Method::Zero };
            deltas.note(&[label], &group.members, &base, &outcomes.expect("the intervention runs"));
            assert!(floats(&deltas.examples(&EXAMPLES), "delta").iter().all(|delta| *delta == Some(0.0)));
        }
    }
}

/// The logit difference of every pair by hand: what `sourced` makes of the pair's index is put in place of a head's z.
fn by_hand(fixture: &Fixture, sourced: impl Fn(usize) -> Activation) -> BTreeMap<i64, f64> {
    let pairs = fixture.pairs();
    let point = Site::Z.at(1);
    let intervention = IntervenedRun::of(point, Region::all().along(Axis::Head, 2), Replacement::Source(0));
    let value = |index: usize| {
        let source: SourceActivations = [(point, sourced(index))].into();
        fixture.alone(&pairs[index].clean, &pairs[index], &[Metric::LogitDiff], &[source], &intervention)[0]
    };
    (0..pairs.len()).map(|index| (index as i64, value(index))).collect()
}

/// The probe's own answer for the same head.
fn by_probe(fixture: &Fixture, method: Method) -> BTreeMap<i64, f64> {
    let probe = Ablation {
        hooks: words(&["z.1"]),
        heads: words(&["2"]),
        methods: vec![method],
        metrics: vec![Metric::LogitDiff],
        ..ablation()
    };
    changed(&answer(fixture, probe)[1], |_| true)
}

/// Each clean prompt's own z, run alone, `[1, pos, head, d_head]`.
fn alone(fixture: &Fixture) -> Vec<Tensor<4>> {
    let point = Site::Z.at(1);
    let z = |pair: &Pair| fixture.seen(&pair.clean, &[point]).remove(&point).and_then(Activation::into_tensor);
    fixture.pairs().iter().map(|pair| z(pair).expect("four axes")).collect()
}

fn assert_same(a: &BTreeMap<i64, f64>, b: &BTreeMap<i64, f64>) {
    assert_eq!(a.len(), b.len());
    for ((pair, a), (_, b)) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-11, "pair {pair}: {a} {b}");
    }
}

#[test]
fn the_mean_is_over_every_token_of_every_clean_prompt() {
    let fixture = Fixture::new(true, DType::F64, &LENGTHS);
    let all = Tensor::cat(alone(&fixture), 1);
    let tokens = all.dims()[1];
    assert_eq!(tokens, LENGTHS.iter().sum::<usize>());
    let mean = all.sum_dim(1) / tokens as f64;
    assert_same(&by_probe(&fixture, Method::Mean), &by_hand(&fixture, |_| Activation::Four(mean.clone())));
}

#[test]
fn the_mean_per_position_is_over_the_prompts_of_one_length() {
    let fixture = Fixture::new(true, DType::F64, &LENGTHS);
    let all = alone(&fixture);
    let mean = |index: usize| {
        let same = all.iter().filter(|z| z.dims()[1] == LENGTHS[index]).cloned().collect();
        Activation::Four(Tensor::cat(same, 0).mean_dim(0))
    };
    assert_same(&by_probe(&fixture, Method::MeanPerPosition), &by_hand(&fixture, mean));
}

#[test]
fn more_prompts_of_a_length_than_run_at_once_still_share_a_mean_and_each_other() {
    let lengths = [6; crate::families::causal::paired_runs::AT_ONCE + 1];
    let fixture = Fixture::new(true, DType::F64, &lengths);
    let all = alone(&fixture);
    let mean = Activation::Four(Tensor::cat(all, 0).mean_dim(0));
    let n = |probe: Ablation| Ablation { pairs: PairSource { n: 100, ..Fixture::source() }, ..probe };
    let probe = |method| {
        let (hooks, heads, metrics) = (words(&["z.1"]), words(&["2"]), vec![Metric::LogitDiff]);
        n(Ablation { hooks, heads, metrics, methods: vec![method], ..ablation() })
    };
    let examples = answer(&fixture, probe(Method::MeanPerPosition)).remove(1);
    let pairs = Fixture { files: fixture.files.clone(), model: fixture.model.clone() };
    let found = changed(&examples, |_| true);
    assert_eq!(found.len(), lengths.len());
    let by_hand = by_hand(&pairs, |_| mean.clone());
    by_hand.iter().for_each(|(pair, value)| assert!((found[pair] - value).abs() < 1e-11));
    // The last one runs in a group of its own, and still has others to be resampled from.
    let resampled = answer(&fixture, probe(Method::Resample)).remove(1);
    assert!(texts(&resampled, "status").iter().all(|status| status == "ok"));
}

#[test]
fn resampling_takes_another_prompt_of_the_same_length() {
    let fixture = Fixture::new(true, DType::F64, &[6, 8, 6, 6, 8, 6]);
    let (all, found) = (alone(&fixture), by_probe(&fixture, Method::Resample));
    let candidates: Vec<_> = all.iter().map(|z| z.dims()[1]).collect();
    // Which prompt would give each pair the value that was found?
    let mut taken = BTreeSet::new();
    for (pair, value) in &found {
        let length = candidates[*pair as usize];
        let same = (0..all.len()).filter(|&other| candidates[other] == length);
        let sources: Vec<usize> = same
            .filter(|&other| {
                let by_hand = by_hand_of(&fixture, *pair as usize, Activation::Four(all[other].clone()));
                (by_hand - value).abs() < 1e-11
            })
            .collect();
        assert_eq!(sources.len(), 1, "pair {pair}");
        assert_ne!(sources[0] as i64, *pair);
        taken.insert(sources[0]);
    }
    assert_eq!(taken.len(), all.len(), "every prompt is taken once");
}

fn by_hand_of(fixture: &Fixture, pair: usize, sourced: Activation) -> f64 {
    let (pairs, point) = (fixture.pairs(), Site::Z.at(1));
    let intervention = IntervenedRun::of(point, Region::all().along(Axis::Head, 2), Replacement::Source(0));
    let source: SourceActivations = [(point, sourced)].into();
    fixture.alone(&pairs[pair].clean, &pairs[pair], &[Metric::LogitDiff], &[source], &intervention)[0]
}

#[test]
fn a_prompt_without_another_of_its_length_is_not_resampled_and_says_so() {
    let fixture = Fixture::new(true, DType::F32, &LENGTHS);
    let probe = Ablation { hooks: words(&["z.1"]), methods: vec![Method::Resample], ..ablation() };
    let [summary, examples] = answer(&fixture, probe.clone()).try_into().expect("two tables");
    assert!(ints(&summary, "n").iter().all(|n| *n == Some(6)));
    for row in 0..examples.n_rows() {
        let single = ints(&examples, "prompt_id")[row] == Some(4);
        assert_eq!(texts(&examples, "status")[row], if single { "no_other_prompt" } else { "ok" });
        assert_eq!(floats(&examples, "delta")[row].is_none(), single);
        assert!(floats(&examples, "base")[row].is_some());
    }
    let single = answer(&Fixture::new(true, DType::F32, &[6]), probe).remove(0);
    assert!(texts(&single, "status").iter().all(|status| status == "no_other_prompt"));
}

#[test]
fn a_set_is_its_heads_together_and_controls_are_sets_like_it() {
    let fixture = Fixture::new(true, DType::F64, &LENGTHS);
    let probe = Ablation {
        heads: Vec::new(),
        sets: set("some", &["0.1", "2.3"]),
        controls: 9,
        metrics: vec![Metric::LogitDiff],
        ..ablation()
    };
    let examples = answer(&fixture, probe).remove(1);
    let control = |wanted: Option<i64>| changed(&examples, |row| ints(&examples, "control")[row] == wanted);
    let pairs = fixture.pairs();
    let by_hand = |heads: [(usize, i64); 2]| -> BTreeMap<i64, f64> {
        let zero = |(layer, head)| Change {
            point: Site::Z.at(layer),
            region: Region::all().along(Axis::Head, head),
            replacement: Replacement::Zero,
        };
        let intervention = IntervenedRun { changes: heads.map(zero).to_vec() };
        let value = |pair: &Pair| fixture.alone(&pair.clean, pair, &[Metric::LogitDiff], &[], &intervention)[0];
        pairs.iter().enumerate().map(|(index, pair)| (index as i64, value(pair))).collect()
    };
    assert_same(&control(None), &by_hand([(0, 1), (2, 3)]));
    // All nine sets of a head of layer 0 other than 1 and a head of layer 2 other than 3, in some order.
    let mut expected: Vec<_> =
        [0, 2, 3].iter().flat_map(|&a| [0, 1, 2].map(|b| by_hand([(0, a), (2, b)])[&0])).collect();
    let mut found: Vec<f64> = (0..9).map(|index| control(Some(index))[&0]).collect();
    expected.sort_by(f64::total_cmp);
    found.sort_by(f64::total_cmp);
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-11), "{found:?} {expected:?}");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_runs() {
    let fixture = Fixture::new(true, DType::F32, &LENGTHS);
    let told = |change: &dyn Fn(&mut Ablation)| {
        let mut probe = ablation();
        change(&mut probe);
        let error = ProbeSpec::Ablation(probe).check(&fixture.subject().context(0)).expect_err("refused");
        (error.field().map(str::to_owned), error.to_string())
    };
    let refused = |field: &str, reason: &str, change: &dyn Fn(&mut Ablation)| {
        let (found, message) = told(change);
        assert!(found.as_deref() == Some(field) && message.contains(reason), "{found:?} {message}");
    };
    refused("hooks", "hooks is empty", &|probe| probe.hooks.clear());
    refused("heads", "heads is empty", &|probe| probe.heads.clear());
    refused("methods", "methods is empty", &|probe| probe.methods.clear());
    refused("metrics", "metrics is empty", &|probe| probe.metrics.clear());
    refused("positions", "positions is empty", &|probe| probe.positions.clear());
    refused("positions", "the shortest prompt has 5 tokens", &|probe| probe.positions = words(&["5"]));
    refused("positions", "end, middle", &|probe| probe.positions = words(&["start"]));
    refused("heads", "a head from 0 to 3", &|probe| probe.heads = words(&["4"]));
    refused("sets", "layer.head", &|probe| probe.sets = set("a", &["3.0"]));
    refused("sets", "sets is empty", &|probe| probe.sets = set("a", &[]));
    refused("sets", "name z among them", &|probe| {
        (probe.hooks, probe.sets) = (words(&["mlp_out"]), set("a", &["1.0"]))
    });
    refused("controls", "sets names none", &|probe| probe.controls = 1);
    refused("controls", "at most 1000", &|probe| probe.controls = 1001);
    refused("controls", "all heads of layer 1", &|probe| {
        (probe.controls, probe.sets) = (1, set("a", &["1.0", "1.1", "1.2", "1.3"]));
    });
    refused("controls", "there are 3 sets", &|probe| (probe.controls, probe.sets) = (4, set("a", &["1.0"])));
    refused("hooks", "final layer norm", &|probe| probe.hooks = words(&["*"]));
    refused("methods", "no mean over positions", &|probe| {
        (probe.hooks, probe.methods) = (words(&["pattern"]), vec![Method::Mean]);
    });
    refused("methods", "after them", &|probe| probe.hooks = words(&["attn_scores.1"]));
    assert!(told(&|probe| probe.hooks = words(&["zz"])).1.contains("no hook point"));
    assert!(told(&|probe| probe.hooks = words(&["resid_mid"])).1.contains("parallel"));
}

#[test]
fn the_configuration_has_these_defaults() {
    let read = |text: &str| serde_json::from_str::<Ablation>(text);
    assert_eq!(read(r#"{"pairs": {"file": "pairs"}}"#).expect("a source is enough"), ablation());
    assert!(
        read(r#"{"pairs": {"file": "pairs"}, "hook": ["z"]}"#).is_err_and(|error| error.to_string().contains("`hook`"))
    );
    let methods = r#"{"pairs": {"file": "pairs"}, "methods": ["zero", "mean", "mean_per_position", "resample"]}"#;
    assert!(read(methods).is_ok_and(|probe| probe.methods.iter().map(|m| m.name()).eq([
        "zero",
        "mean",
        "mean_per_position",
        "resample"
    ])));
}
