//! Path patching against plain full runs in which every other component is frozen by hooks.

use std::collections::BTreeMap;

use burn::tensor::{DType, Tensor};
use pythia_core::model::GptNeoX;
use pythia_hooks::{
    Activation, ActivationCache, Axis, Edit, Hooks, Intervention, Interventions, Region, Site, points_of,
};

use super::edges::{Receiver, Sender};
use super::*;
use crate::bytes::Bytes;
use crate::engine::Engine;
use crate::engine::tests::model;
use crate::pairs::{Pair, Task};
use crate::table::Column;
use crate::{ProbeSpec, Subject, Table, run};

const LAYERS: usize = 3;
const HEADS: usize = 4;
const VOCAB: usize = 40;

fn source() -> PairSource {
    PairSource { n: 4, half_len: Some(4), ..PairSource::task(Task::Induction) }
}

fn subject(model: &GptNeoX) -> Subject<'_> {
    Subject::new(model, VOCAB, false, 0)
}

fn answer(model: &GptNeoX, probe: &PathPatching, seed: u64) -> Vec<Table> {
    run(&[ProbeSpec::PathPatching(probe.clone())], &subject(model), seed).remove(0).expect("the probe can run")
}

/// Every edge of the model, from a few positions as well as from all.
fn everything() -> PathPatching {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    PathPatching {
        receivers: words(&["q", "k", "v", "mlps", "logits"]),
        directions: vec![Direction::Denoising, Direction::Noising],
        ..PathPatching::new(source())
    }
}

/// The patched metric by (sender, receiver, pos, position name, direction), a value per pair; and base and source
/// beside it.
type Found = BTreeMap<(String, String, Option<i64>, String, String), Vec<[f64; 3]>>;

fn found(table: &Table) -> Found {
    let text = |name| table.column(name).and_then(Column::text).expect("text");
    let numbers = |name| table.column(name).and_then(Column::floats).expect("numbers");
    let pos = table.column("pos").and_then(Column::ints).expect("whole numbers");
    let (sender, receiver, part, direction) =
        (text("sender"), text("receiver"), text("position_name"), text("direction"));
    let (clean, corrupt, patched) = (numbers("clean"), numbers("corrupt"), numbers("patched"));
    let mut found = Found::new();
    for row in 0..table.n_rows() {
        let (sender, receiver, part) = (sender[row].clone(), receiver[row].clone(), part[row].clone());
        let key = (sender, receiver, pos[row], part, direction[row].clone());
        let [clean, corrupt, patched] = [clean, corrupt, patched].map(|column| column[row].expect("a value"));
        let (base, source) = if direction[row] == "noising" { (clean, corrupt) } else { (corrupt, clean) };
        found.entry(key).or_default().push([base, source, patched]);
    }
    found
}

/// Plain runs of pairs.
struct Plain<'a> {
    model: &'a GptNeoX,
    pairs: Vec<Pair>,
    base: Vec<Vec<u32>>,
    source: Vec<Vec<u32>>,
}

impl<'a> Plain<'a> {
    fn new(model: &'a GptNeoX, direction: Direction, seed: u64) -> Self {
        let pairs = source().make(None, None, subject(model).context(0).vocabulary(), false, seed).expect("pairs").list;
        let clean = pairs.iter().map(|pair| pair.clean.clone()).collect();
        let corrupt = pairs.iter().map(|pair| pair.corrupt.clone()).collect();
        let (base, source) = if direction == Direction::Noising { (clean, corrupt) } else { (corrupt, clean) };
        Plain { model, pairs, base, source }
    }

    /// The logit differences at the end of a run.
    fn run(&self, tokens: &[Vec<u32>], hooks: &mut impl Hooks) -> Vec<f64> {
        let logits = self.model.forward(self.model.tokens(tokens), hooks);
        let [batch, length, width] = logits.dims();
        let last = logits.slice([0..batch, length - 1..length, 0..width]).try_into_vec_as::<f64>().expect("numbers");
        let difference = |(row, pair): (&[f64], &Pair)| {
            let mean = |ids: &[u32]| ids.iter().map(|id| row[*id as usize]).sum::<f64>() / ids.len() as f64;
            mean(&pair.answers) - mean(&pair.wrongs)
        };
        last.chunks(width).zip(&self.pairs).map(difference).collect()
    }

    fn seen(&self, tokens: &[Vec<u32>]) -> BTreeMap<HookPoint, Activation> {
        let mut cache = ActivationCache::of(points_of(&self.model.model_shape()));
        self.run(tokens, &mut cache);
        cache.finish().expect("everything fires")
    }

    fn hooks(&self, list: Vec<Intervention>) -> Interventions {
        Interventions::new(list, &self.model.model_shape()).expect("they fit")
    }

    /// The logit differences when only `receiver` sees that the sender takes its values of the source run at some
    /// positions.
    fn path(&self, [base, source]: [&BTreeMap<HookPoint, Activation>; 2], edge: &Edge) -> Vec<f64> {
        let put = |point: HookPoint, region: Region, from: &BTreeMap<HookPoint, Activation>| Intervention {
            point,
            region,
            edit: Edit::Replace(from[&point].clone()),
        };
        // Every component is frozen at the base run's value, whatever it reads; then the sender takes the source's.
        let components = (0..LAYERS).flat_map(|layer| [Site::Z.at(layer), Site::MlpOut.at(layer)]);
        let mut frozen: Vec<Intervention> = components.map(|point| put(point, Region::all(), base)).collect();
        let at = edge.pos.map_or(Region::all(), |pos| Region::all().along(Axis::Pos, pos as i64));
        frozen.push(match edge.sender {
            Sender::Embed => put(Site::Embed.at(0), at, source),
            Sender::Mlp { layer } => put(Site::MlpOut.at(layer), at, source),
            Sender::Head { layer, head } => put(Site::Z.at(layer), at.along(Axis::Head, head as i64), source),
        });
        let point = match edge.receiver.input {
            Input::Query(layer) => Site::QInput.at(layer),
            Input::Key(layer) => Site::KInput.at(layer),
            Input::Value(layer) => Site::VInput.at(layer),
            Input::Mlp(layer) => Site::MlpIn.at(layer),
            Input::Logits => Site::ResidPost.at(LAYERS - 1),
        };
        let mut hooks = (self.hooks(frozen), ActivationCache::of([point]));
        self.run(&self.base, &mut hooks);
        hooks.0.finish().expect("everything fires");
        let read = hooks.1.finish().expect("the input fires");
        let head = edge.receiver.head.map_or(Region::all(), |head| Region::all().along(Axis::Head, head as i64));
        let mut hooks = self.hooks(vec![put(point, head, &read)]);
        let values = self.run(&self.base, &mut hooks);
        hooks.finish().expect("the input fires");
        values
    }
}

/// Every edge of the model, by name.
fn edges(parallel: bool, length: usize, positions: bool) -> Vec<Edge> {
    let model_shape =
        pythia_hooks::ModelShape { n_layers: LAYERS, n_heads: HEADS, d_model: 8, d_head: 4, d_mlp: 32, parallel };
    let graph = everything().graph(&model_shape).expect("edges");
    let mut edges = Vec::new();
    for (&input, heads) in &graph.inputs {
        for &sender in graph.senders.iter().filter(|sender| graph.has(**sender, input)) {
            for &head in heads {
                let edge = Edge { sender, receiver: Receiver { input, head }, pos: None, position_name: String::new() };
                let at = |pos| Edge { pos: Some(pos), ..edge.clone() };
                edges.extend((0..length).filter(|_| positions).map(at));
                edges.push(edge);
            }
        }
    }
    edges
}

fn compare(parallel: bool, dtype: DType, seed: u64, tolerance: f64, change: impl Fn(&mut PathPatching)) {
    let model = model(parallel, dtype, seed);
    let mut probe = everything();
    change(&mut probe);
    let positions = probe.positions.len() > 1;
    let found = found(&answer(&model, &probe, seed)[1]);
    let (mut compared, mut moved) = (0, 0);
    for direction in [Direction::Denoising, Direction::Noising] {
        let plain = Plain::new(&model, direction, seed);
        let (base, source) = (plain.seen(&plain.base), plain.seen(&plain.source));
        let ends = [plain.run(&plain.base, &mut ()), plain.run(&plain.source, &mut ())];
        for edge in edges(parallel, plain.base[0].len(), positions) {
            let expected = plain.path([&base, &source], &edge);
            let pos = edge.pos.map(|pos| pos as i64);
            let (sender, receiver) = (edge.sender.to_string(), edge.receiver.to_string());
            let key = (sender, receiver, pos, String::new(), direction.name().to_owned());
            let values = found.get(&key).unwrap_or_else(|| panic!("there is no row for {key:?}"));
            assert_eq!(values.len(), expected.len());
            for (pair, ([base, source, patched], expected)) in values.iter().zip(expected).enumerate() {
                for (found, expected) in [(base, ends[0][pair]), (source, ends[1][pair]), (patched, expected)] {
                    let error = (found - expected).abs() / expected.abs().max(1.0);
                    assert!(error <= tolerance, "{key:?} pair {pair}: {found}, not {expected} (seed {seed})");
                }
                compared += 1;
                moved += usize::from((patched - base).abs() > 1e-6);
            }
        }
    }
    // Every row was compared with a frozen run, and many of these runs changed something.
    assert_eq!(compared, found.values().map(Vec::len).sum::<usize>());
    assert!(moved * 2 > compared || positions, "{moved} of {compared} edges do anything");
}

#[test]
fn every_path_is_that_of_frozen_full_runs() {
    for (parallel, seed) in [(true, 1), (false, 2), (true, 3), (false, 4)] {
        compare(parallel, DType::F64, seed, 1e-10, |_| ());
        compare(parallel, DType::F32, seed, 1e-5, |_| ());
    }
}

#[test]
fn a_position_sends_what_it_alone_changes() {
    for parallel in [true, false] {
        compare(parallel, DType::F64, 5, 1e-10, |probe| probe.positions = ["all", "each"].map(str::to_owned).to_vec());
    }
}

#[test]
fn neither_engine_nor_memory_changes_anything() {
    for parallel in [true, false] {
        compare(parallel, DType::F64, 6, 1e-10, |probe| probe.run.engine = Engine::Naive);
        compare(parallel, DType::F64, 6, 1e-10, |probe| probe.run.memory = Bytes::new(1).expect("a byte"));
    }
}

#[test]
fn what_cannot_differ_is_the_base_run_bit_for_bit() {
    for parallel in [true, false] {
        let model = model(parallel, DType::F32, 7);
        let probe = PathPatching { positions: vec!["each".to_owned()], ..everything() };
        let found = found(&answer(&model, &probe, 7)[1]);
        let plain = Plain::new(&model, Direction::Noising, 7);
        let first = |pair: &Pair| pair.clean.iter().zip(&pair.corrupt).position(|(a, b)| a != b).expect("a difference");
        let (mut before, mut after) = (0, 0);
        for ((_, _, pos, ..), values) in &found {
            let pos = usize::try_from(pos.expect("a position")).expect("from the start");
            for (pair, [base, _, patched]) in plain.pairs.iter().zip(values) {
                if pos < first(pair) {
                    assert_eq!(base, patched);
                    before += 1;
                } else {
                    after += usize::from(base != patched);
                }
            }
        }
        assert!(before > 100 && after > 100, "{before} {after}");
    }
}

#[test]
fn a_run_sends_itself_nothing() {
    let model = model(false, DType::F32, 8);
    let plain = Plain::new(&model, Direction::Noising, 8);
    let points = crate::engine::cone::base_points(&model.model_shape(), []);
    let base = crate::engine::Run::of(&model, plain.base.clone(), points).expect("the points exist");
    let runs = BaseAndSource { model: &model, base: &base, source: &base };
    for sender in [Sender::Embed, Sender::Head { layer: 1, head: 2 }, Sender::Mlp { layer: 0 }] {
        let delta = runs.delta(sender).expect("a device that answers");
        assert!(delta.rows.is_empty() && delta.values.is_none());
        for input in [Input::Query(2), Input::Key(2), Input::Value(2), Input::Mlp(2), Input::Logits] {
            let source = runs.sources(input, &[&delta]).remove(0);
            let (point, kept) = source.into_iter().next().expect("a point");
            let expected = if input == Input::Logits {
                Activation::Three(base.end().clone())
            } else {
                base.get(point).expect("kept").clone()
            };
            assert_eq!(data(kept), data(expected));
        }
    }
}

fn data(activation: Activation) -> Vec<f64> {
    fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
        tensor.try_into_vec_as::<f64>().expect("numbers")
    }
    match activation {
        Activation::Three(tensor) => numbers(tensor),
        Activation::Four(tensor) => numbers(tensor),
    }
}

#[test]
fn direct_paths_under_a_frozen_norm_add_up() {
    for (parallel, seed) in [(true, 9), (false, 10), (true, 11)] {
        let model = model(parallel, DType::F64, seed);
        let probe = PathPatching {
            freeze_final_norm: true,
            directions: vec![Direction::Denoising, Direction::Noising],
            ..PathPatching::new(source())
        };
        let tables = answer(&model, &probe, seed);
        let found = found(&tables[1]);
        assert_eq!(found.len(), 2 * (1 + LAYERS * HEADS + LAYERS));
        for direction in [Direction::Denoising, Direction::Noising] {
            let plain = Plain::new(&model, direction, seed);
            let base = plain.run(&plain.base, &mut ());
            // The source run with the base run's divisor, by a hook.
            let scale = plain.seen(&plain.base)[&Site::FinalScale.at(0)].clone();
            let point = Site::FinalScale.at(0);
            let mut hooks =
                plain.hooks(vec![Intervention { point, region: Region::all(), edit: Edit::Replace(scale) }]);
            let source = plain.run(&plain.source, &mut hooks);
            let mut sums = vec![0.0; base.len()];
            for values in found.iter().filter(|(key, _)| key.4 == direction.name()).map(|(_, values)| values) {
                for (pair, [own, other, patched]) in values.iter().enumerate() {
                    sums[pair] += patched - own;
                    assert!((own - base[pair]).abs() < 1e-10 && (other - source[pair]).abs() < 1e-10);
                }
            }
            for ((sum, base), source) in sums.iter().zip(&base).zip(&source) {
                assert!((sum - (source - base)).abs() < 1e-10, "{sum}, not {source} - {base}");
                assert!((source - base).abs() > 1e-3);
            }
        }
        // So do the shares.
        let effects = tables[0].column("effect").and_then(Column::floats).expect("numbers");
        let total: f64 = effects.iter().map(|effect| effect.expect("defined")).sum();
        assert!((total - 2.0).abs() < 1e-10, "{total}");
    }
}

#[test]
fn under_a_frozen_norm_the_answer_reads_one_position() {
    let model = model(true, DType::F64, 12);
    let frozen = PathPatching { freeze_final_norm: true, ..PathPatching::new(source()) };
    let all = found(&answer(&model, &frozen, 12)[1]);
    let words = ["each", "end", "-2"].map(str::to_owned).to_vec();
    let found = found(&answer(&model, &PathPatching { positions: words, ..frozen }, 12)[1]);
    let length = Plain::new(&model, Direction::Noising, 12).base[0].len() as i64;
    let mut moved = 0;
    for ((sender, receiver, pos, position_name, direction), values) in &found {
        let whole = &all[&(sender.clone(), receiver.clone(), None, String::new(), direction.clone())];
        for (value, whole) in values.iter().zip(whole) {
            let last = *pos == Some(length - 1) || position_name == "end";
            assert_eq!(value[2], if last { whole[2] } else { value[0] }, "{sender} {pos:?} {position_name}");
            moved += usize::from(value[2] != value[0]);
        }
    }
    assert!(moved > 20);
}

#[test]
fn tables_have_the_columns_that_are_promised() {
    let model = model(true, DType::F32, 13);
    let probe = PathPatching { metrics: vec![Metric::LogitDiff, Metric::Kl], ..PathPatching::new(source()) };
    let tables = answer(&model, &probe, 13);
    let names = |table: &Table| table.columns().iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
    let label = "sender sender_layer sender_head receiver receiver_layer receiver_head input pos position_name \
                 direction metric";
    let ends = "clean corrupt patched effect";
    assert_eq!(names(&tables[0]), format!("{label} n {ends} effect_low effect_high effect_mean status"));
    assert_eq!(names(&tables[1]), format!("{label} prompt_id {ends} status"));
    let senders = 1 + LAYERS * HEADS + LAYERS;
    assert_eq!([tables[0].n_rows(), tables[1].n_rows()], [senders * 2, senders * 2 * 4]);
    let one = PathPatching { run: RunSettings { per_example: false, ..RunSettings::default() }, ..probe };
    assert_eq!(answer(&model, &one, 13), tables[..1]);
}

#[test]
fn what_can_have_no_answer_is_refused_before_a_run() {
    let model = model(true, DType::F32, 14);
    let refused = |change: fn(&mut PathPatching)| {
        let mut probe = PathPatching::new(source());
        change(&mut probe);
        let error = run(&[ProbeSpec::PathPatching(probe)], &subject(&model), 0).remove(0).expect_err("no answer");
        (error.field().unwrap_or_default().to_owned(), error.to_string())
    };
    assert_eq!(refused(|probe| probe.senders.clear()).0, "senders");
    assert_eq!(refused(|probe| probe.receivers.clear()).0, "receivers");
    assert_eq!(refused(|probe| probe.positions.clear()).0, "positions");
    assert_eq!(refused(|probe| probe.directions.clear()).0, "directions");
    assert_eq!(refused(|probe| probe.metrics.clear()).0, "metrics");
    assert_eq!(refused(|probe| probe.senders = vec!["3.0".into()]).0, "senders");
    assert_eq!(refused(|probe| probe.receivers = vec!["0.4.q".into()]).0, "receivers");
    assert_eq!(refused(|probe| probe.positions = vec!["middle".into()]).0, "positions");
    assert_eq!(refused(|probe| probe.positions = vec!["99".into()]).0, "positions");
    assert_eq!(refused(|probe| probe.pairs.n = 0).0, "pairs.n");
    let (field, message) = refused(|probe| {
        (probe.senders, probe.receivers) = (vec!["1.0".into()], vec!["mlp1".into()]);
    });
    assert!(field == "senders" && message.contains("parallel"), "{message}");
    let (field, message) = refused(|probe| (probe.freeze_final_norm, probe.receivers) = (true, vec!["q".into()]));
    assert!(field == "receivers" && message.contains("logits"), "{message}");
    let (field, message) = refused(|probe| (probe.freeze_final_norm, probe.metrics) = (true, vec![Metric::Kl]));
    assert!(field == "metrics" && message.contains("logit_diff"), "{message}");
}

#[test]
fn the_configuration_has_defaults_and_no_other_fields() {
    let read = serde_json::from_str::<PathPatching>;
    let found = read(r#"{"pairs": {"task": "induction", "n": 4, "half_len": 4}}"#).expect("pairs alone");
    assert_eq!(found, PathPatching::new(source()));
    assert!(read(r#"{"pairs": {"task": "induction"}, "sender": []}"#).is_err());
}
