//! Scores, losses and interventions of small models against values that were computed elsewhere.
//!
//! - `committed`: interventions on the fixtures of the repository, against plain numpy
//!   (tests/reference/interventions.py);
//! - the other tests: models and values of TransformerLens 2.18 in a folder of its own, `PYTHIA_SHARED`, or `shared`
//!   beside the repository. They are ignored unless they are asked for, and fail where the folder is missing.

mod ablation;
mod committed;
mod patching;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use pythia_core::config::NeoxConfig;
use pythia_core::model::GptNeoX;
use pythia_core::weights::{Profile, StoredCheckpoint, Wanted, WeightFiles};
use safetensors::{Dtype, SafeTensors};

use crate::families::reading::read_alone;
use crate::probes::attention_patterns::AttentionPatterns;
use crate::probes::head_scores::{HeadScores, ScoreFamily};
use crate::probes::logit_lens::LogitLens;
use crate::probes::token_loss::TokenLoss;
use crate::prompts::{PromptSource, Prompts};
use crate::random::Vocabulary;
use crate::table::{Column, Table};
use crate::{ProbeSpec, Subject, run};

const TOLERANCE: f64 = 1e-5;

/// The folder of goldens.
fn shared() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("PYTHIA_SHARED").map_or(beside, PathBuf::from);
    let goldens = folder.join("goldens");
    assert!(goldens.is_dir(), "{} is missing: set PYTHIA_SHARED to a folder of goldens", goldens.display());
    folder
}

/// One small model and what is known about it.
struct Golden {
    name: String,
    model: GptNeoX,
    /// Whether its values were computed in float64.
    exact: bool,
    values: BTreeMap<String, (Vec<usize>, Vec<f64>)>,
}

/// Every model that has goldens, in float32.
fn goldens() -> Vec<Golden> {
    goldens_in(DType::F32)
}

/// Every model that has goldens.
fn goldens_in(dtype: DType) -> Vec<Golden> {
    let shared = shared();
    let mut names: Vec<String> = std::fs::read_dir(shared.join("goldens"))
        .expect("the folder can be listed")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| shared.join("models").join(name).is_dir())
        .collect();
    names.sort();
    assert!(!names.is_empty(), "{} has no model", shared.display());
    names.into_iter().map(|name| golden(&shared, name, dtype)).collect()
}

fn golden(shared: &Path, name: String, dtype: DType) -> Golden {
    let folder = shared.join("models").join(&name);
    let model = load(&folder, with_extension(&folder, "safetensors"), dtype);
    let mut values = BTreeMap::new();
    for file in with_extension(&shared.join("goldens").join(&name), "safetensors") {
        let bytes = std::fs::read(file).expect("a readable file");
        for (key, view) in SafeTensors::deserialize(&bytes).expect("safetensors").tensors() {
            let numbers = match view.dtype() {
                Dtype::F64 => view.data().as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect(),
                Dtype::F32 => view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes).into()).collect(),
                Dtype::I64 => view.data().as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as f64).collect(),
                _ => continue,
            };
            values.insert(key, (view.shape().to_vec(), numbers));
        }
    }
    let exact = shared.join("goldens").join(&name).join("analysis.f64.safetensors").is_file();
    Golden { name, model, exact, values }
}

fn load(folder: &Path, mut files: Vec<PathBuf>, dtype: DType) -> GptNeoX {
    let config = std::fs::read_to_string(folder.join("config.json")).expect("a config.json");
    let config = NeoxConfig::from_json(&config).expect("a config of this family");
    files.sort();
    let wanted = Wanted { unembed: true, profile: Profile::AsPublished };
    let stored = StoredCheckpoint::open(&config, &WeightFiles::Safetensors(files));
    let (params, _) = stored.and_then(|stored| stored.params(&wanted)).expect("weights that can be read");
    GptNeoX::from_params(config, params, &Device::flex(), dtype)
}

fn with_extension(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder can be listed");
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.extension().is_some_and(|have| have == extension)).collect()
}

impl Golden {
    fn get(&self, key: &str) -> &[f64] {
        &self.values.get(key).unwrap_or_else(|| panic!("{} has no {key}", self.name)).1
    }

    /// The rows of a token tensor.
    fn rows(&self, key: &str) -> Vec<Vec<u32>> {
        let width = self.values[key].0[1];
        self.get(key).chunks(width).map(|row| row.iter().map(|id| *id as u32).collect()).collect()
    }

    /// The pairs of the patching goldens, a line of JSON each.
    fn pairs(&self) -> String {
        let rows =
            self.rows("tokens.clean").into_iter().zip(self.rows("tokens.corrupted")).zip(self.rows("tokens.answers"));
        let line = |((clean, corrupt), answers): ((Vec<u32>, Vec<u32>), Vec<u32>)| {
            let (answer, wrong) = (answers[0], answers[1]);
            format!(
                "{{\"clean\": {clean:?}, \"corrupt\": {corrupt:?}, \"answer\": [{answer}], \"wrong\": [{wrong}]}}\n"
            )
        };
        rows.map(line).collect()
    }

    fn vocabulary(&self) -> Vocabulary {
        Vocabulary { size: self.model.config().vocab_size, bos: 0 }
    }

    /// The head scores of given rows of the form `[bos?] R R`.
    fn scores(&self, config: &HeadScores, rows: &[Vec<u32>]) -> Table {
        let bos = rows[0].len() % 2 == 1;
        let layout = PromptSource::random(rows.len(), rows[0].len() / 2).with_bos(bos);
        let config = HeadScores { prompts: layout, ..config.clone() };
        let prompts = Prompts::given("prompts.tokens", rows, false, self.vocabulary()).expect("ids are in range");
        let subject = Subject::new(&self.model, self.model.config().vocab_size, false, 0);
        read_alone(&config, prompts, &subject).expect("every layer reported").remove(0)
    }

    fn compare(&self, what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
        assert_eq!(found.len(), expected.len(), "{} {what}", self.name);
        for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (found - expected).abs();
            assert!(error <= tolerance, "{} {what}[{place}]: {found}, not {expected}", self.name);
        }
    }
}

/// The values of one score under one definition, `[layer, head]`.
fn pick(table: &Table, score: &str, definition: &str) -> Vec<f64> {
    let text = |name| table.column(name).and_then(Column::text).expect("a column of text");
    let values = table.column("value").and_then(Column::floats).expect("a column of numbers");
    let rows = text("score").iter().zip(text("definition")).zip(values);
    rows.filter(|((a, b), _)| *a == score && *b == definition).map(|(_, value)| value.expect("a value")).collect()
}

#[test]
#[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
fn shared_stripes_equal_transformer_lens() {
    for golden in goldens() {
        let config = HeadScores::default();
        let plain = golden.scores(&config, &golden.rows("tokens.rep"));
        let with_bos = golden.scores(&config, &golden.rows("tokens.bosrep"));
        for (table, score, definition, key) in [
            (&plain, "induction", "tl_stripe", "induction.rep"),
            (&plain, "previous_token", "mask_mean", "prevtoken.rep"),
            (&plain, "duplicate_token", "stripe", "duptoken.rep"),
            (&with_bos, "induction", "arena_stripe", "induction.bosrep"),
        ] {
            golden.compare(key, &pick(table, score, definition), golden.get(key), TOLERANCE);
        }
    }
}

#[test]
#[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
fn shared_detectors_equal_transformer_lens() {
    for golden in goldens() {
        let rows = &golden.rows("tokens.bosrep")[..1];
        for (exclude_bos, exclude_current, suffix, key) in [
            (false, false, "", "bos0.cur0"),
            (true, false, "+exclude_bos", "bos1.cur0"),
            (false, true, "+exclude_current", "bos0.cur1"),
            (true, true, "+exclude_bos+exclude_current", "bos1.cur1"),
        ] {
            let config = HeadScores { exclude_bos, exclude_current, ..HeadScores::default() };
            let table = golden.scores(&config, rows);
            for family in [ScoreFamily::Induction, ScoreFamily::PreviousToken, ScoreFamily::DuplicateToken] {
                let score = family.name();
                // TransformerLens rounds the second form to three decimals.
                for (form, tolerance) in [("mul", TOLERANCE), ("abs", 5e-4 + TOLERANCE)] {
                    let key = format!("head_detector.{score}_head.{form}.{key}");
                    let found = pick(&table, score, &format!("tl_detect_{form}{suffix}"));
                    golden.compare(&key, &found, golden.get(&key), tolerance);
                }
            }
        }
    }
}

#[test]
#[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
fn shared_losses_equal_transformer_lens() {
    for golden in goldens() {
        let vocab = golden.model.config().vocab_size;
        let subject = Subject::new(&golden.model, vocab, false, 0);
        for (tokens, key) in [("tokens.clean", "loss_per_token"), ("tokens.rep", "loss_per_token.rep")] {
            let probe = TokenLoss { prompts: PromptSource::tokens(golden.rows(tokens)) };
            let table = run(&[ProbeSpec::TokenLoss(probe)], &subject, 0).remove(0).expect("the prompts fit").remove(0);
            let found = table.column("loss").and_then(Column::floats).expect("a column of numbers");
            let found: Vec<f64> = found.iter().map(|loss| loss.expect("a finite loss")).collect();
            golden.compare(key, &found, golden.get(key), TOLERANCE);
        }
    }
}

/// What a row of logits says: the likeliest token, its probability, the entropy.
fn said(logits: &[f64]) -> [f64; 3] {
    let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
    let probs: Vec<f64> = logits.iter().map(|logit| logit.exp() / sum).collect();
    let top = (0..probs.len()).max_by(|a, b| probs[*a].total_cmp(&probs[*b])).expect("a vocabulary");
    [top as f64, probs[top], -probs.iter().map(|p| p * p.ln()).sum::<f64>()]
}

/// The lens on the clean prompts with one more token behind each, which is then the target of the position that the
/// goldens are about, and which nothing before it can see.
fn lens_equals(golden: &Golden, tolerance: f64) {
    let answers = golden.rows("tokens.answers");
    let mut rows = golden.rows("tokens.clean");
    rows.iter_mut().zip(&answers).for_each(|(row, answer)| row.push(answer[0]));
    let vocab = golden.model.config().vocab_size;
    let subject = Subject::new(&golden.model, vocab, false, 0);
    let probe = LogitLens { prompts: PromptSource::tokens(rows.clone()) };
    let table = run(&[ProbeSpec::LogitLens(probe)], &subject, 0).remove(0).expect("the prompts fit").remove(0);
    let ints = |name| table.column(name).and_then(Column::ints).expect("whole numbers");
    let floats = |name| table.column(name).and_then(Column::floats).expect("numbers");
    let (depths, last) = (golden.model.config().n_layers + 1, rows[0].len() - 2);
    let logits = golden.get("logit_lens.last_pos");
    assert_eq!(logits.len(), depths * rows.len() * vocab, "{}", golden.name);
    for (prompt, depth) in (0..rows.len()).flat_map(|prompt| (0..depths).map(move |depth| (prompt, depth))) {
        let expected = &logits[(depth * rows.len() + prompt) * vocab..][..vocab];
        let at = (prompt * depths + depth) * rows[0].len() + last;
        assert_eq!(
            [ints("prompt_id")[at], ints("layer")[at], ints("pos")[at]],
            [prompt, depth, last].map(|n| Some(n as i64))
        );
        let found = [ints("top_id")[at].map(|id| id as f64), floats("top_prob")[at], floats("entropy")[at]];
        let what = format!("lens of prompt {prompt} at depth {depth}");
        golden.compare(&what, &found.map(|value| value.expect("finite")), &said(expected), tolerance);
        let right = answers[prompt][0] as usize;
        let prob = expected[right].exp() / expected.iter().map(|logit| logit.exp()).sum::<f64>();
        golden.compare(&what, &[floats("target_prob")[at].expect("finite")], &[prob], tolerance);
        let rank = expected.iter().filter(|logit| **logit > expected[right]).count();
        assert_eq!(ints("target_rank")[at], Some(rank as i64), "{} {what}", golden.name);
    }
}

#[test]
#[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
fn shared_the_logit_lens_equals_transformer_lens_at_every_depth() {
    for golden in goldens() {
        lens_equals(&golden, TOLERANCE);
    }
}

#[test]
#[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
fn shared_the_logit_lens_in_float64_equals_transformer_lens_in_float64() {
    for golden in goldens_in(DType::F64).into_iter().filter(|golden| golden.exact) {
        lens_equals(&golden, 1e-10);
    }
}

#[test]
#[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
fn shared_kept_patterns_equal_transformer_lens() {
    for golden in goldens() {
        let (config, rows) = (golden.model.config(), golden.rows("tokens.clean"));
        let subject = Subject::new(&golden.model, config.vocab_size, false, 0);
        let probe = AttentionPatterns { prompts: PromptSource::tokens(rows.clone()), layers: None };
        let answer = run(&[ProbeSpec::AttentionPatterns(probe)], &subject, 0).remove(0);
        let table = answer.expect("the prompts fit").remove(0);
        let n = rows[0].len();
        let places = ["prompt_id", "layer", "head", "query", "key"];
        let places = places.map(|name| table.column(name).and_then(Column::ints).expect("whole numbers"));
        let weights = table.column("weight").and_then(Column::floats).expect("numbers");
        assert_eq!(weights.len(), rows.len() * config.n_layers * config.n_heads * n * (n + 1) / 2);
        for (row, weight) in weights.iter().enumerate() {
            let [prompt, layer, head, query, key] = places.map(|place| place[row].expect("a place") as usize);
            let pattern = golden.get(&format!("acts.blocks.{layer}.attn.hook_pattern"));
            let right = pattern[((prompt * config.n_heads + head) * n + query) * n + key];
            golden.compare("pattern", &[weight.expect("finite")], &[right], TOLERANCE);
        }
    }
}
