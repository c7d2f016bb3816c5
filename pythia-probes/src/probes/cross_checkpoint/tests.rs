//! Patching between checkpoints against full runs of models that were put together from host parameters.

use burn::tensor::{DType, Device};
use pythia_core::model::GptNeoX;
use pythia_core::params::{HostParams, LayerParam, Param};
use pythia_hooks::{Axis, Edit, Hooks, Intervention, Interventions, Region, Site};

use super::*;
use crate::engine::Engine;
use crate::engine::tests::model;
use crate::pairs::{Pair, Task};
use crate::table::Column;
use crate::{ProbeSpec, SourceCheckpoints, Subject, Table, run};

const LAYERS: usize = 3;
const HEADS: usize = 4;
const VOCAB: usize = 40;
const STEP: u32 = 512;

fn source() -> PairSource {
    PairSource { n: 4, half_len: Some(4), ..PairSource::task(Task::Induction) }
}

fn try_answer(model: &GptNeoX, source: &GptNeoX, probe: &CrossCheckpoint) -> Result<Answer, ProbeError> {
    let source_checkpoints = SourceCheckpoints([(STEP, source.clone())].into());
    let subject = Subject { source_checkpoints: &source_checkpoints, ..Subject::new(model, VOCAB, false, 0) };
    run(&[ProbeSpec::CrossCheckpoint(probe.clone())], &subject, 5).remove(0)
}

fn answer(model: &GptNeoX, source: &GptNeoX, probe: &CrossCheckpoint) -> Vec<Table> {
    try_answer(model, source, probe).expect("the probe can run")
}

fn weights(words: &[&str]) -> CrossCheckpoint {
    let weights = words.iter().map(|word| (*word).to_owned()).collect();
    CrossCheckpoint { hooks: Vec::new(), weights, ..CrossCheckpoint::new(source(), STEP) }
}

fn pairs() -> Vec<Pair> {
    source().make(None, None, crate::random::Vocabulary { size: VOCAB, bos: 0 }, false, 5).expect("pairs").list
}

/// The logit differences of a plain run on the clean prompts.
fn plain(model: &GptNeoX, hooks: &mut impl Hooks) -> Vec<f64> {
    let pairs = pairs();
    let tokens: Vec<Vec<u32>> = pairs.iter().map(|pair| pair.clean.clone()).collect();
    let logits = model.forward(model.tokens(&tokens), hooks);
    let [batch, length, width] = logits.dims();
    let last = logits.slice([0..batch, length - 1..length, 0..width]).try_into_vec_as::<f64>().expect("numbers");
    let mean = |row: &[f64], ids: &[u32]| ids.iter().map(|id| row[*id as usize]).sum::<f64>() / ids.len() as f64;
    let difference = |(row, pair): (&[f64], &Pair)| mean(row, &pair.answers) - mean(row, &pair.wrongs);
    last.chunks(width).zip(&pairs).map(difference).collect()
}

/// Rows of a table of examples: what, layer, head, position name, and base, source, patched.
type Row = ((String, Option<i64>, Option<i64>, String), [f64; 3]);

fn rows(table: &Table) -> Vec<Row> {
    let text = |name| table.column(name).and_then(Column::text).expect("text");
    let ints = |name| table.column(name).and_then(Column::ints).expect("whole numbers");
    let numbers = |name| table.column(name).and_then(Column::floats).expect("numbers");
    let (what, layer, head, part) = (text("what"), ints("layer"), ints("head"), text("position_name"));
    let values = ["base", "source", "patched"].map(numbers);
    let row = |row: usize| {
        let key = (what[row].clone(), layer[row], head[row], part[row].clone());
        (key, values.map(|values| values[row].expect("a value")))
    };
    (0..table.n_rows()).map(row).collect()
}

/// The numbers of `ours`, but those of `theirs` where a parameter and the index of one of its numbers are `chosen`.
fn mixed(ours: &GptNeoX, theirs: &GptNeoX, chosen: impl Fn(LayerParam, usize, usize) -> bool) -> GptNeoX {
    let (mut mixed, theirs): (HostParams, HostParams) = (ours.to_params(), theirs.to_params());
    for (param, tensor) in &mut mixed {
        let Param::Layer(layer, part) = *param else { continue };
        let width = tensor.shape[tensor.shape.len() - 1];
        for (at, value) in tensor.values.iter_mut().enumerate() {
            // Along the axis of heads: rows of W_O, columns of everything else.
            let along = if part == LayerParam::OutWeight { at / width } else { at % width };
            if chosen(part, layer, along) {
                *value = theirs[param].values[at];
            }
        }
    }
    GptNeoX::from_params(ours.config().clone(), mixed, &Device::flex(), ours.dtype())
}

/// The model with one part of the other, put together on the host.
fn put_together(ours: &GptNeoX, theirs: &GptNeoX, row: &Row) -> GptNeoX {
    use LayerParam::*;
    let ((_, layer, head, part), _) = row;
    let at = usize::try_from(layer.expect("a layer")).expect("not negative");
    let heads = head.map_or(0..0, |head| head as usize * 8..(head as usize + 1) * 8);
    mixed(ours, theirs, |param, layer, along| {
        layer == at
            && match part.as_str() {
                "head" => {
                    let split = [QueryWeight, QueryBias, KeyWeight, KeyBias, ValueWeight, ValueBias, OutWeight];
                    split.contains(&param) && heads.contains(&along)
                }
                "mlp" => [MlpInWeight, MlpInBias, MlpOutWeight, MlpOutBias].contains(&param),
                _ => true,
            }
    })
}

#[test]
fn exchanged_weights_are_those_of_a_model_put_together_by_hand() {
    for (parallel, dtype, tolerance) in
        [(true, DType::F64, 1e-10), (false, DType::F64, 1e-10), (true, DType::F32, 1e-5), (false, DType::F32, 1e-5)]
    {
        let (ours, theirs) = (model(parallel, dtype, 1), model(parallel, dtype, 2));
        let ends = [plain(&ours, &mut ()), plain(&theirs, &mut ())];
        for engine in [Engine::Cone, Engine::Naive] {
            let mut probe = weights(&["heads", "mlps", "blocks"]);
            probe.run.engine = engine;
            let rows = rows(&answer(&ours, &theirs, &probe)[1]);
            assert_eq!(rows.len(), (LAYERS * HEADS + LAYERS + LAYERS) * 4);
            for group in rows.chunks(4) {
                let expected = plain(&put_together(&ours, &theirs, &group[0]), &mut ());
                for (pair, (key, values)) in group.iter().enumerate() {
                    let expected = [ends[0][pair], ends[1][pair], expected[pair]];
                    for (found, expected) in values.iter().zip(expected) {
                        let error = (found - expected).abs() / expected.abs().max(1.0);
                        assert!(error <= tolerance, "{key:?} {engine:?}: {found}, not {expected}");
                    }
                    assert_ne!(values[0], values[2], "{key:?} does nothing");
                }
            }
        }
    }
}

#[test]
fn activations_of_the_other_checkpoint_are_written_as_hooks_would() {
    for (parallel, dtype, tolerance) in [(true, DType::F64, 1e-10), (false, DType::F32, 1e-5)] {
        let (ours, theirs) = (model(parallel, dtype, 3), model(parallel, dtype, 4));
        let points: Vec<_> = (0..LAYERS).map(|layer| Site::Z.at(layer)).collect();
        let mut cache = pythia_hooks::ActivationCache::of(points.iter().copied());
        plain(&theirs, &mut cache);
        let seen = cache.finish().expect("everything fires");
        let probe = CrossCheckpoint {
            positions: vec!["-1".to_owned(), "all".to_owned()],
            ..CrossCheckpoint::new(source(), STEP)
        };
        for engine in [Engine::Cone, Engine::Naive] {
            let mut probe = probe.clone();
            probe.run.engine = engine;
            let rows = rows(&answer(&ours, &theirs, &probe)[1]);
            assert_eq!(rows.len(), 2 * LAYERS * HEADS * 4);
            for group in rows.chunks(4) {
                let (_, layer, head, part) = &group[0].0;
                let point = points[layer.expect("a layer") as usize];
                let all = Region::all().along(Axis::Head, head.expect("a head"));
                let region = if part.is_empty() { all } else { all.along(Axis::Pos, -1) };
                let edit = Edit::Replace(seen[&point].clone());
                let list = vec![Intervention { point, region, edit }];
                let expected = plain(&ours, &mut Interventions::new(list, &ours.model_shape()).expect("it fits"));
                for ((key, values), expected) in group.iter().zip(expected) {
                    assert!((values[2] - expected).abs() <= tolerance * expected.abs().max(1.0), "{key:?} {engine:?}");
                    assert_ne!(values[0], values[2], "{key:?} does nothing");
                }
            }
        }
    }
}

#[test]
fn a_checkpoint_lends_itself_nothing() {
    for parallel in [true, false] {
        let ours = model(parallel, DType::F32, 6);
        let probe = CrossCheckpoint {
            hooks: ["resid_pre", "z", "q", "pattern", "mlp_out"].map(str::to_owned).to_vec(),
            positions: ["each", "all"].map(str::to_owned).to_vec(),
            metrics: vec![Metric::LogitDiff, Metric::Kl, Metric::Prob, Metric::ArgmaxMatch],
            ..weights(&["heads", "mlps", "blocks"])
        };
        // Loaded a second time: the same numbers in other memory.
        let again = GptNeoX::from_params(ours.config().clone(), ours.to_params(), &Device::flex(), DType::F32);
        let tables = answer(&ours, &again, &probe);
        let rows = rows(&tables[1]);
        assert!(rows.len() > 1000);
        for (key, [base, source, patched]) in rows {
            assert!(base == source && base == patched, "{key:?}: {base} {source} {patched}");
        }
        let effects = tables[0].column("effect").and_then(Column::floats).expect("numbers");
        assert!(effects.iter().all(Option::is_none), "there is no way from a run to itself");
    }
}

#[test]
fn everything_of_the_other_checkpoint_is_the_other_checkpoint() {
    let (ours, theirs) = (model(true, DType::F64, 8), model(true, DType::F64, 9));
    let mut all = mixed(&ours, &theirs, |_, _, _| true).to_params();
    for outer in [Param::Embed, Param::FinalNormWeight, Param::FinalNormBias, Param::Unembed] {
        all.insert(outer, theirs.to_params()[&outer].clone());
    }
    let all = GptNeoX::from_params(ours.config().clone(), all, &Device::flex(), DType::F64);
    assert_eq!(plain(&all, &mut ()), plain(&theirs, &mut ()));
    // From the first stream on, a model that shares all later weights goes the source's way to its end.
    let mut late = theirs.to_params();
    late.insert(Param::Embed, ours.to_params()[&Param::Embed].clone());
    let late = GptNeoX::from_params(ours.config().clone(), late, &Device::flex(), DType::F64);
    let whole = CrossCheckpoint { hooks: vec!["hook_embed".to_owned()], ..CrossCheckpoint::new(source(), STEP) };
    for (key, [base, source, patched]) in rows(&answer(&late, &theirs, &whole)[1]) {
        assert!((source - patched).abs() < 1e-10 && (base - source).abs() > 1e-3, "{key:?}: {base} {source} {patched}");
    }
}

#[test]
fn a_divergence_is_from_this_checkpoint_with_its_own_unembedding() {
    let (ours, theirs) = (model(true, DType::F64, 10), model(true, DType::F64, 11));
    let metrics = vec![Metric::Kl, Metric::ArgmaxMatch];
    let rows = rows(&answer(&ours, &theirs, &CrossCheckpoint { metrics, ..weights(&["mlp1"]) })[1]);
    let tokens: Vec<Vec<u32>> = pairs().iter().map(|pair| pair.clean.clone()).collect();
    let logits = |model: &GptNeoX| {
        let logits = model.forward(model.tokens(&tokens), &mut ());
        let [batch, length, width] = logits.dims();
        let last = logits.slice([0..batch, length - 1..length, 0..width]).try_into_vec_as::<f64>().expect("numbers");
        last.chunks(width).map(<[f64]>::to_vec).collect::<Vec<_>>()
    };
    let (base, source) = (logits(&ours), logits(&theirs));
    for (pair, (base, source)) in base.iter().zip(&source).enumerate() {
        let log_sum = |row: &[f64]| row.iter().map(|logit| logit.exp()).sum::<f64>().ln();
        let (base_sum, source_sum) = (log_sum(base), log_sum(source));
        let kl: f64 =
            base.iter().zip(source).map(|(b, d)| (b - base_sum).exp() * (b - base_sum - d + source_sum)).sum();
        let best = |row: &[f64]| (0..VOCAB).max_by(|a, b| row[*a].total_cmp(&row[*b]));
        let [kl_row, match_row] = [&rows[2 * pair].1, &rows[2 * pair + 1].1];
        assert!((kl_row[1] - kl).abs() < 1e-10 && kl_row[0] == 0.0 && kl > 1e-2, "{kl_row:?} {kl}");
        assert_eq!(match_row[1], f64::from(u8::from(best(base) == best(source))));
    }
}

#[test]
fn tables_have_the_columns_that_are_promised() {
    let (ours, theirs) = (model(true, DType::F32, 12), model(true, DType::F32, 13));
    let probe = CrossCheckpoint { weights: vec!["mlp1".to_owned()], ..CrossCheckpoint::new(source(), STEP) };
    let tables = answer(&ours, &theirs, &probe);
    let names = |table: &Table| table.columns().iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
    let label = "source_step what hook layer pos head key position_name metric";
    let ends = "base source patched effect";
    assert_eq!(names(&tables[0]), format!("{label} n {ends} effect_low effect_high effect_mean status"));
    assert_eq!(names(&tables[1]), format!("{label} prompt_id {ends} status"));
    assert_eq!([tables[0].n_rows(), tables[1].n_rows()], [LAYERS * HEADS + 1, (LAYERS * HEADS + 1) * 4]);
    let steps = tables[0].column("source_step").and_then(Column::ints).expect("whole numbers");
    assert!(steps.iter().all(|step| *step == Some(i64::from(STEP))));
}

#[test]
fn what_can_have_no_answer_is_refused_before_a_run() {
    let ours = model(true, DType::F32, 14);
    let refused = |change: fn(&mut CrossCheckpoint)| {
        let mut probe = CrossCheckpoint::new(source(), STEP);
        change(&mut probe);
        try_answer(&ours, &ours, &probe).expect_err("no answer")
    };
    let field = |change| refused(change).field().unwrap_or_default().to_owned();
    assert_eq!(field(|probe| probe.hooks.clear()), "hooks");
    assert_eq!(field(|probe| probe.metrics.clear()), "metrics");
    assert_eq!(field(|probe| probe.heads.clear()), "heads");
    assert_eq!(field(|probe| probe.positions.clear()), "positions");
    assert_eq!(field(|probe| probe.heads = vec!["4".into()]), "heads");
    assert_eq!(field(|probe| probe.positions = vec!["middle".into()]), "positions");
    assert_eq!(field(|probe| probe.weights = vec!["0.4".into()]), "weights");
    assert_eq!(field(|probe| probe.pairs.n = 0), "pairs.n");
    assert!(matches!(refused(|probe| probe.hooks = vec!["zz".into()]), ProbeError::Hook(_)));
    assert_eq!(refused(|probe| probe.source_step = 3), ProbeError::NoSourceCheckpoint { label: 3 });
    // A checkpoint of another shape, and one that was loaded without its unembedding.
    let probe = CrossCheckpoint::new(source(), STEP);
    let mut params = ours.to_params();
    params.remove(&Param::Unembed);
    let headless = GptNeoX::from_params(ours.config().clone(), params, &Device::flex(), DType::F32);
    let error = ProbeError::NoUnembedding { probe: "cross_checkpoint" };
    assert_eq!(try_answer(&ours, &headless, &probe), Err(error));
    let mut config = ours.config().clone();
    config.n_layers = 2;
    let short = GptNeoX::from_params(config, ours.to_params(), &Device::flex(), DType::F32);
    assert!(matches!(try_answer(&ours, &short, &probe), Err(ProbeError::Shape { place: "the source checkpoint", .. })));
}

#[test]
fn the_configuration_names_its_source() {
    let read = |text: String| serde_json::from_str::<CrossCheckpoint>(&text);
    let pairs = r#""pairs": {"task": "induction", "n": 4, "half_len": 4}"#;
    let found = read(format!("{{{pairs}, \"source_step\": 512}}")).expect("pairs and a source");
    assert_eq!(found, CrossCheckpoint::new(source(), STEP));
    assert_eq!(ProbeSpec::CrossCheckpoint(found).source_checkpoints(), [STEP]);
    assert!(read(format!("{{{pairs}}}")).is_err_and(|error| error.to_string().contains("source_step")));
}
