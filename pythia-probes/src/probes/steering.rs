//! Steering: a multiple of a vector added to a place of the residual stream.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use pythia_hooks::{Axis, HookPoint, ModelShape, Region};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{IntervenedRun, Replacement, SourceActivations};
use crate::error::ProbeError;
use crate::families::causal::columns::{DELTA, HOOK, MEAN_DELTA, METRIC, N, POS, POSITION_NAME, PROMPT_ID, STATUS};
use crate::families::causal::delta::Deltas;
use crate::families::causal::effect::Label;
use crate::families::causal::paired_runs::{PairedRuns, Side};
use crate::families::causal::places::{self, Place, Positions};
use crate::families::causal::{CausalProbe, CommonSettings, RunSettings, defaults, not_empty, sources};
use crate::metric::Metric;
use crate::pairs::{Pair, PairSource};
use crate::probe::Answer;
use crate::subject::Context;
use crate::table::{ColumnSpec, TableSpec, TableValue};

/// A multiple of a vector added to a place of the residual stream (Turner et al. 2023).
///
/// An intervention is a hook, a position and a coefficient. Tables: `NAME` has a row per intervention and metric,
/// `NAME_examples` a row per intervention, pair and metric. The coefficient 0 gives the unchanged run, bit for bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Steering {
    /// The pairs of prompts: `{ task = "ioi", n = 32 }` or `{ file = "pairs.jsonl" }`.
    pub pairs: PairSource,
    /// Where the vector is added, by hook names as TransformerLens has them: `resid_pre`, `resid_post`, `attn_out`,
    /// `mlp_out`, … in every layer one after another, each with its own vector, `resid_post.5` in one.
    #[serde(default = "defaults::resid_post")]
    pub hooks: Vec<String>,
    /// File with the vector, a JSON list of d_model numbers, for all hooks. Where it is left out, the vector of a
    /// hook is the mean over the pairs of its clean minus its corrupt activation.
    pub vector: Option<PathBuf>,
    /// The position whose activations make the vector where no file gives it: a number (from 0 with the BOS
    /// included, or from the end), a position or span that the pairs name (`end`), or `all` for the mean over
    /// positions.
    #[serde(default = "end")]
    pub from: String,
    /// What the vector is multiplied by before it is added, one after another.
    #[serde(default = "one")]
    pub coefficients: Vec<f64>,
    /// Positions at which it is added: `all` together, `each` one after another, a number (from 0 with the BOS
    /// included, or from the end), or a position or span that the pairs name.
    #[serde(default = "defaults::all")]
    pub positions: Vec<String>,
    /// The prompt whose run is steered: `clean` or `corrupt`.
    #[serde(default = "defaults::corrupt")]
    pub side: Side,
    /// The metrics that are read at the last position of the prompts, or over the prompts (`loss`).
    #[serde(default = "defaults::logit_diff_and_loss")]
    pub metrics: Vec<Metric>,
    /// How interventions are computed.
    #[serde(default)]
    pub run: RunSettings,
}

fn end() -> String {
    "end".to_owned()
}

fn one() -> Vec<f64> {
    vec![1.0]
}

const VECTOR: &[ColumnSpec] = &[
    ColumnSpec::float("coefficient", "", "Number that the vector is multiplied by before it is added"),
    ColumnSpec::float("norm", "", "Euclidean length of the vector"),
];

const MAIN: TableSpec = TableSpec {
    suffix: "",
    doc: "A row per hook, position, coefficient and metric: means over the pairs",
    columns: &[HOOK, POS, POSITION_NAME, VECTOR, METRIC, N, MEAN_DELTA, STATUS],
};

const EXAMPLES: TableSpec = TableSpec {
    suffix: "examples",
    doc: "A row per hook, position, coefficient, pair and metric",
    columns: &[HOOK, POS, POSITION_NAME, VECTOR, METRIC, PROMPT_ID, DELTA, STATUS],
};

/// A place with a coefficient, as tables show them.
#[derive(Clone, Debug)]
struct Steered {
    place: Place,
    coefficient: f64,
    /// Euclidean length of the vector.
    norm: f64,
}

impl Ord for Steered {
    fn cmp(&self, other: &Self) -> Ordering {
        let floats = self.coefficient.total_cmp(&other.coefficient).then(self.norm.total_cmp(&other.norm));
        self.place.cmp(&other.place).then(floats)
    }
}

impl PartialOrd for Steered {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Steered {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Steered {}

impl Label for Steered {
    fn values(&self, pos: Option<usize>) -> Vec<TableValue> {
        let place = &self.place;
        vec![
            place.point.to_string().into(),
            place.point.layer().into(),
            pos.into(),
            place.names().into(),
            self.coefficient.into(),
            self.norm.into(),
        ]
    }

    fn pos_in(&self, pair: &Pair) -> Option<usize> {
        self.place.pos_in(pair)
    }
}

/// Points with their vectors.
type Vectors = Vec<(HookPoint, Vec<f64>)>;

impl Steering {
    /// The tables of any configuration.
    pub(crate) const TABLES: &'static [TableSpec] = &[MAIN, EXAMPLES];

    /// The difference of means at the last position, added once after every layer.
    pub fn new(pairs: PairSource) -> Self {
        Steering {
            pairs,
            hooks: defaults::resid_post(),
            vector: None,
            from: end(),
            coefficients: one(),
            positions: defaults::all(),
            side: defaults::corrupt(),
            metrics: defaults::logit_diff_and_loss(),
            run: RunSettings::default(),
        }
    }

    /// A small configuration that is valid on any model.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self::new(PairSource::example())
    }

    /// The vector of every hook.
    fn vectors(&self, runs: &PairedRuns) -> Result<Vectors, ProbeError> {
        let config = runs.subject.model.config();
        let points = self.points(&config.model_shape())?;
        if let Some(path) = &self.vector {
            let vector = sources::read_vector(runs.subject.files, path, config.d_model)?;
            return Ok(points.into_iter().map(|point| (point, vector.clone())).collect());
        }
        let from = self.vector_position(&runs.pairs)?;
        let of = |point| Ok((point, sources::mean_difference(runs, point, &from)?));
        points.into_iter().map(of).collect()
    }

    /// The position that makes the vector.
    fn vector_position(&self, pairs: &[Pair]) -> Result<Positions, ProbeError> {
        let read = places::positions("from", std::slice::from_ref(&self.from), pairs)?;
        let allowed = "a vector is made of one position, or of \"all\" together".to_owned();
        let refused = ProbeError::NoSuchChoice { field: "from", word: self.from.clone(), allowed };
        read.into_iter().find(|choice| *choice != Positions::Each).ok_or(refused)
    }

    /// The interventions on pairs of one length, each with its label. One that two settings name comes once.
    fn steered(&self, vectors: &Vectors, positions: &[Positions], pairs: &[&Pair]) -> Vec<(Steered, IntervenedRun)> {
        let places = places::regions_at(positions, Axis::Pos, &Region::all(), pairs);
        let mut steered = Vec::new();
        for (point, vector) in vectors {
            let norm = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
            for (pos, position_name, regions) in &places {
                let place = Place { pos: *pos, position_name: position_name.clone(), ..Place::of(*point) };
                for &coefficient in &self.coefficients {
                    let replacement = Replacement::Add { source: 0, factor: coefficient as f32 };
                    let label = Steered { place: place.clone(), coefficient, norm };
                    steered.push((label, IntervenedRun::at(*point, regions, replacement)));
                }
            }
        }
        steered.sort_by(|(a, _), (b, _)| a.cmp(b));
        steered.dedup_by(|(a, _), (b, _)| a == b);
        steered
    }
}

impl CausalProbe for Steering {
    fn common(&self) -> CommonSettings<'_> {
        CommonSettings { pairs: &self.pairs, metrics: &self.metrics, run: &self.run }
    }

    fn points(&self, model_shape: &ModelShape) -> Result<Vec<HookPoint>, ProbeError> {
        let points = places::points(&self.hooks, model_shape)?;
        places::before_the_end("hooks", &points)?;
        let stream = |point: &&HookPoint| point.site().axes() == [Axis::Batch, Axis::Pos, Axis::Model];
        match points.iter().find(|point| !stream(point)) {
            Some(point) => {
                let allowed = "a vector of d_model numbers is added where each token has one: resid_pre, resid_post, \
                               attn_out, mlp_out, …";
                Err(ProbeError::NoSuchChoice { field: "hooks", word: point.to_string(), allowed: allowed.to_owned() })
            }
            None => Ok(points),
        }
    }

    fn check_settings(&self, _: &Context) -> Result<(), ProbeError> {
        not_empty([
            ("hooks", self.hooks.is_empty()),
            ("coefficients", self.coefficients.is_empty()),
            ("positions", self.positions.is_empty()),
        ])?;
        let infinite = self.coefficients.iter().find(|value| !(**value as f32).is_finite());
        infinite.map_or(Ok(()), |value| {
            let allowed = "a coefficient is a number that a float32 can hold".to_owned();
            Err(ProbeError::NoSuchChoice { field: "coefficients", word: value.to_string(), allowed })
        })
    }

    fn check_places(&self, context: &Context, pairs: &[Pair]) -> Result<(), ProbeError> {
        places::positions("positions", &self.positions, pairs)?;
        self.vector_position(pairs)?;
        let path = self.vector.as_deref();
        path.map_or(Ok(()), |path| sources::read_vector(context.files, path, context.config.d_model).map(|_| ()))
    }

    fn interventions(&self, context: &Context, pairs: &[&Pair]) -> Result<Vec<IntervenedRun>, ProbeError> {
        let positions = places::positions("positions", &self.positions, pairs)?;
        let points = self.points(&context.config.model_shape())?;
        let vectors: Vectors = points.into_iter().map(|point| (point, Vec::new())).collect();
        Ok(self.steered(&vectors, &positions, pairs).into_iter().map(|(_, intervention)| intervention).collect())
    }

    fn answer(&self, runs: &PairedRuns) -> Result<Answer, ProbeError> {
        let positions = places::positions("positions", &self.positions, &runs.pairs)?;
        let vectors = self.vectors(runs)?;
        let activation =
            |(point, vector): &(HookPoint, Vec<f64>)| Some((*point, sources::vector(runs, *point, vector)?));
        let source: [SourceActivations; 1] = [vectors.iter().filter_map(activation).collect()];
        let mut deltas = Deltas::new(&self.metrics, &runs.pairs);
        for group in &runs.groups {
            let steered = self.steered(&vectors, &positions, &group.pairs(runs));
            let (labels, interventions): (Vec<Steered>, Vec<IntervenedRun>) = steered.into_iter().unzip();
            let [base, _] = group.ends(runs, &self.metrics, self.side)?;
            let outcomes = group.outcomes(runs, &self.common().scores(), self.side, &source, &interventions)?;
            deltas.note(&labels, &group.members, &base, &outcomes);
        }
        Ok(self.run.answer(deltas.summary(&MAIN, runs.seed), || deltas.examples(&EXAMPLES)))
    }

    fn vector_files(&self) -> Vec<&Path> {
        self.vector.iter().map(PathBuf::as_path).collect()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;
    use pythia_hooks::Site;

    use super::*;
    use crate::engine::Engine;
    use crate::probes::ProbeSpec;
    use crate::testing::causal::{Fixture, assert_close, changed, floats, names, texts};

    const LENGTHS: [usize; 5] = [6, 8, 6, 5, 8];

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn steering() -> Steering {
        Steering::new(Fixture::source())
    }

    fn answer(fixture: &Fixture, probe: Steering) -> Answer {
        fixture.ask(ProbeSpec::Steering(probe)).expect("the probe runs")
    }

    #[test]
    fn both_engines_say_the_same_and_nothing_added_is_nothing_changed() {
        for (parallel, dtype, tolerance) in
            [(true, DType::F32, 1e-5), (false, DType::F32, 1e-5), (true, DType::F64, 1e-11)]
        {
            let fixture = Fixture::new(parallel, dtype, &LENGTHS);
            let probe = |engine| Steering {
                hooks: words(&["resid_pre", "attn_out.1", "mlp_out.0", "embed", "normalized1.2"]),
                // At the end of the prompts the embeddings do not differ, and the vector there would be zero.
                from: "all".to_owned(),
                coefficients: vec![0.0, 1.0, -2.5],
                positions: words(&["all", "middle", "-1", "3"]),
                metrics: vec![Metric::LogitDiff, Metric::Loss, Metric::Kl],
                run: RunSettings { engine, ..RunSettings::default() },
                ..steering()
            };
            let [cone, naive] = [Engine::Cone, Engine::Naive].map(|engine| answer(&fixture, probe(engine)));
            for (cone, naive) in cone.iter().zip(&naive) {
                assert_close(cone, naive, tolerance);
            }
            for examples in [&cone[1], &naive[1]] {
                let (coefficients, deltas) = (floats(examples, "coefficient"), floats(examples, "delta"));
                for (row, metric) in texts(examples, "metric").iter().enumerate() {
                    let (added, changed) = (coefficients[row] != Some(0.0), deltas[row] != Some(0.0));
                    // What is added at the last position changes no loss of an earlier one.
                    assert!(changed == added || (added && metric != "logit_diff"), "{:?} {metric}", coefficients[row]);
                }
            }
        }
    }

    #[test]
    fn the_vector_is_the_mean_difference_at_its_position() {
        let fixture = Fixture::new(true, DType::F64, &LENGTHS);
        let (point, pairs) = (Site::ResidPost.at(1), fixture.pairs());
        for from in ["end", "middle", "-2", "2", "all"] {
            // By hand: every prompt run alone, its activations added up.
            let (mut sum, mut tokens) = (vec![0.0; 32], 0);
            for pair in &pairs {
                let length = pair.clean.len();
                let at = match from {
                    "end" | "middle" => pair.positions[from].clone(),
                    "-2" => vec![length - 2],
                    "2" => vec![2],
                    _ => (0..length).collect(),
                };
                let [clean, corrupt] = [&pair.clean, &pair.corrupt].map(|tokens| {
                    let seen = fixture.seen(tokens, &[point]).remove(&point).and_then(|a| a.into_tensor::<3>());
                    seen.expect("a stream").try_into_vec_as::<f64>().expect("numbers")
                });
                for index in at.iter().flat_map(|at| at * 32..(at + 1) * 32) {
                    sum[index % 32] += clean[index] - corrupt[index];
                }
                tokens += at.len();
            }
            let vector: Vec<f64> = sum.into_iter().map(|sum| sum / tokens as f64).collect();
            let norm = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
            let fixture = Fixture::new(true, DType::F64, &LENGTHS).with_file("v", format!("{vector:?}"));
            let probe = Steering { hooks: words(&["resid_post.1"]), from: from.to_owned(), ..steering() };
            let made = answer(&fixture, probe.clone());
            let given = answer(&fixture, Steering { vector: Some("v".into()), ..probe });
            assert_close(&made[1], &given[1], 1e-11);
            assert!((floats(&made[0], "norm")[0].expect("a norm") - norm).abs() < 1e-12 && norm > 0.0);
        }
    }

    #[test]
    fn the_whole_difference_leads_from_one_prompt_to_the_other() {
        // One pair that differs at position 2 alone: at the embedding, the difference there makes the other run.
        let fixture = Fixture::new(true, DType::F64, &[4]);
        let probe = |side, coefficient| Steering {
            hooks: words(&["embed"]),
            from: "2".to_owned(),
            positions: words(&["2"]),
            coefficients: vec![coefficient],
            metrics: vec![Metric::LogitDiff],
            side,
            ..steering()
        };
        let there = answer(&fixture, probe(Side::Corrupt, 1.0)).remove(0);
        let back = answer(&fixture, probe(Side::Clean, -1.0)).remove(0);
        let close =
            |a: &[Option<f64>], b: &[Option<f64>]| (a[0].expect("a value") - b[0].expect("a value")).abs() < 1e-11;
        assert!(close(floats(&there, "changed"), floats(&back, "base")));
        assert!(close(floats(&back, "changed"), floats(&there, "base")));
        assert!(!close(floats(&there, "changed"), floats(&there, "base")));
    }

    #[test]
    fn the_tables_have_these_columns() {
        let fixture = Fixture::new(true, DType::F32, &LENGTHS);
        let probe = Steering { hooks: words(&["resid_post.1"]), coefficients: vec![2.0, -1.0, 2.0], ..steering() };
        let [summary, examples] = answer(&fixture, probe).try_into().expect("two tables");
        let label = ["hook", "layer", "pos", "position_name", "coefficient", "norm", "metric"];
        let rest = ["n", "base", "changed", "delta", "delta_low", "delta_high", "status"];
        assert_eq!(names(&summary), [&label[..], &rest].concat());
        assert_eq!(names(&examples), [&label[..], &["prompt_id", "base", "changed", "delta", "status"]].concat());
        assert_eq!(floats(&summary, "coefficient"), [-1.0, -1.0, 2.0, 2.0].map(Some));
        assert_eq!(texts(&summary, "metric"), ["logit_diff", "loss", "logit_diff", "loss"]);
        assert_eq!(changed(&examples, |row| texts(&examples, "metric")[row] == "loss").len(), LENGTHS.len());
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anything_runs() {
        let fixture = Fixture::new(true, DType::F32, &LENGTHS).with_file("short", "[1, 2]".to_owned());
        let refused = |field: Option<&str>, reason: &str, change: &dyn Fn(&mut Steering)| {
            let mut probe = steering();
            change(&mut probe);
            let error = ProbeSpec::Steering(probe).check(&fixture.subject().context(0)).expect_err("refused");
            assert!(error.field() == field && error.to_string().contains(reason), "{error}");
        };
        refused(Some("hooks"), "hooks is empty", &|probe| probe.hooks.clear());
        refused(Some("hooks"), "each token has one", &|probe| probe.hooks = words(&["z"]));
        refused(Some("hooks"), "final layer norm", &|probe| probe.hooks = words(&["normalized_final"]));
        refused(Some("hooks"), "parallel", &|probe| probe.hooks = words(&["resid_mid"]));
        refused(Some("coefficients"), "coefficients is empty", &|probe| probe.coefficients.clear());
        refused(Some("coefficients"), "float32", &|probe| probe.coefficients = vec![1.0, f64::NAN]);
        refused(Some("coefficients"), "float32", &|probe| probe.coefficients = vec![1e39]);
        refused(Some("from"), "one position", &|probe| probe.from = "each".to_owned());
        refused(Some("from"), "start", &|probe| probe.from = "start".to_owned());
        refused(Some("positions"), "shortest", &|probe| probe.positions = words(&["5"]));
        refused(Some("vector"), "2 numbers, but 32", &|probe| probe.vector = Some("short".into()));
        refused(None, "was not read", &|probe| probe.vector = Some("none".into()));
        let read = |text: &str| serde_json::from_str::<Steering>(text);
        assert_eq!(read(r#"{"pairs": {"file": "pairs"}}"#).expect("a source is enough"), steering());
        assert!(read(r#"{"pairs": {"file": "pairs"}, "side": "both"}"#).is_err());
    }
}
