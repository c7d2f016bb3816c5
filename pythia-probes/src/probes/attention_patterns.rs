//! Attention patterns of chosen prompts, kept entry by entry, for looking at.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{DType, Tensor, TensorData};
use pythia_hooks::{HookPoint, Hooks, Site};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chosen::{Chosen, Words, layers, refuse_too_many};
use crate::error::ProbeError;
use crate::families::reading::{Observer, Reading};
use crate::probes::spec::{Estimate, Probe};
use crate::prompts::Prompts;
use crate::subject::{Context, Subject};
use crate::table::{ColumnKind, Table, TableBuilder, TableValue, measured};

const PLACE: &str = "an attention pattern";

/// Bytes of an entry at the peak: the entry itself, its row in the table, and the row once more on its way into a file.
const BYTES_PER_ENTRY: u64 = 400;

/// The attention patterns of a few prompts, entry by entry: `weight` is what `query` gives to `key`.
///
/// Rows grow with the square of a prompt's length, times layers and heads; a table of more than 16 million is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AttentionPatterns {
    /// Prompts as text, which needs the model's tokenizer.
    pub texts: Option<Vec<String>>,
    /// Prompts by their token ids; random prompts where both are left out.
    pub tokens: Option<Vec<Vec<u32>>>,
    /// Number of random prompts; 1 where it is left out.
    pub batch: Option<usize>,
    /// Tokens in the random part that is repeated; 12 where it is left out.
    pub half_len: Option<usize>,
    /// How often the random part stands in the prompt; 2 where it is left out.
    pub repeats: Option<usize>,
    /// Whether a BOS stands before each prompt; the experiment's setting where it is left out.
    pub prepend_bos: Option<bool>,
    /// Layers whose patterns are kept, from the end where they are negative; all where this is left out.
    pub layers: Option<Vec<i64>>,
}

impl AttentionPatterns {
    fn chosen(&self) -> Chosen<'_> {
        Chosen {
            texts: self.texts.as_deref(),
            tokens: self.tokens.as_deref(),
            batch: self.batch,
            half_len: self.half_len,
            repeats: self.repeats,
            prepend_bos: self.prepend_bos,
        }
    }

    /// Rows of the table; a count beyond `u64` stays at its end.
    fn rows(&self, context: &Context) -> Result<u64, ProbeError> {
        let layers = layers(self.layers.as_deref(), context.config.n_layers)?.len() as u64;
        let entries = |len: usize| (len as u64).saturating_mul(len as u64 + 1) / 2;
        let of_head = self.chosen().lengths(context)?.into_iter().map(entries).fold(0, u64::saturating_add);
        Ok(of_head.saturating_mul(layers).saturating_mul(context.config.n_heads as u64))
    }
}

impl Probe for AttentionPatterns {
    fn reads_logits(&self) -> bool {
        false
    }

    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        self.rows(context).and_then(refuse_too_many)
    }

    fn tokens_per_run(&self, context: &Context) -> (usize, usize) {
        self.chosen().size(context)
    }

    fn extra(&self, context: &Context) -> Estimate {
        Estimate { flops: 0, memory: self.rows(context).unwrap_or(0).saturating_mul(BYTES_PER_ENTRY) }
    }
}

impl Reading for AttentionPatterns {
    fn prompts(&self, context: &Context) -> Result<Prompts, ProbeError> {
        self.chosen().prompts(context)
    }

    fn observer<'a>(&'a self, prompts: &Prompts, subject: &Subject) -> Observer<'a> {
        Observer::AttentionPatterns(PatternKeeper::new(self, prompts, subject.model.config().n_layers))
    }
}

/// Keeps what each query can see of the pattern of every wanted layer.
#[derive(Debug)]
pub(crate) struct PatternKeeper {
    /// Tokens of each prompt.
    lengths: Vec<usize>,
    /// The prompts that the model runs on.
    shown: Range<usize>,
    layers: Result<Vec<usize>, ProbeError>,
    /// By layer the entries `[prompt, head, query, key ≤ query]`, prompts without their padding.
    kept: Result<BTreeMap<usize, Vec<f64>>, ProbeError>,
}

impl PatternKeeper {
    fn new(probe: &AttentionPatterns, prompts: &Prompts, n_layers: usize) -> Self {
        let lengths = prompts.rows().iter().map(Vec::len).collect();
        let layers = layers(probe.layers.as_deref(), n_layers);
        Self { lengths, shown: 0..prompts.batch(), layers, kept: Ok(BTreeMap::new()) }
    }

    /// The patterns that come next are those of these prompts.
    pub fn show(&mut self, prompts: Range<usize>) {
        self.shown = prompts;
    }

    /// Columns `prompt_id`, `layer`, `head`, `query`, `key`, `query_id`, `key_id`, `query_token`, `key_token`, `weight`,
    /// `status`: a row for every `key` ≤ `query`. Positions count from 0, the BOS included. The tokens' texts are empty where the
    /// model has no tokenizer.
    ///
    /// # Errors
    /// What went wrong while the model ran, or [`ProbeError::NotFired`] if a layer never reported.
    pub fn finish(self, prompts: &Prompts, subject: &Subject) -> Result<Table, ProbeError> {
        let (layers, kept) = (self.layers?, self.kept?);
        if kept.len() != layers.len() {
            return Err(ProbeError::NotFired { fired: kept.len(), expected: layers.len() });
        }
        let mut table = header();
        let mut words = Words::new(subject.tokenizer);
        let mut rest: Vec<(usize, &[f64])> = kept.iter().map(|(layer, entries)| (*layer, &entries[..])).collect();
        let heads = subject.model.config().n_heads;
        for (prompt, ids) in prompts.rows().iter().enumerate() {
            let texts: Vec<String> = ids.iter().map(|id| words.of(*id)).collect();
            for (layer, entries) in &mut rest {
                for head in 0..heads {
                    let (own, more) = entries.split_at(ids.len() * (ids.len() + 1) / 2);
                    *entries = more;
                    head_rows(&mut table, [prompt, *layer, head], ids, &texts, own);
                }
            }
        }
        Ok(table.build())
    }

    /// The part of a pattern `[batch, head, query, key]` that queries can see and that is no padding.
    fn visible<const D: usize>(&self, pattern: Tensor<D>) -> Result<Vec<f64>, ProbeError> {
        let found = pattern.dims().to_vec();
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        let heads = found.get(1).copied().unwrap_or(0);
        let expected = vec![self.shown.len(), heads, longest, longest];
        if found != expected {
            return Err(ProbeError::Shape { place: PLACE, expected, found });
        }
        let device = |reason: String| ProbeError::Device { place: PLACE, reason };
        let data: TensorData = pattern.try_into_data().map_err(|error| device(error.to_string()))?;
        if data.dtype() == DType::F64 {
            let values = data.as_slice::<f64>().map_err(|error| device(error.to_string()))?;
            return Ok(self.lower(heads, longest, values));
        }
        let data = data.convert::<f32>();
        let values = data.as_slice::<f32>().map_err(|error| device(error.to_string()))?;
        Ok(self.lower(heads, longest, values))
    }

    fn lower<T: Copy + Into<f64>>(&self, heads: usize, longest: usize, values: &[T]) -> Vec<f64> {
        let rows = |prompt: usize, len: usize| {
            (0..heads).flat_map(move |head| (0..len).map(move |query| (prompt * heads + head, query)))
        };
        let row = |(pattern, query): (usize, usize)| &values[(pattern * longest + query) * longest..][..=query];
        let lengths = self.lengths[self.shown.clone()].iter().enumerate();
        lengths.flat_map(|(prompt, len)| rows(prompt, *len)).flat_map(row).map(|value| (*value).into()).collect()
    }
}

impl Hooks for PatternKeeper {
    fn wants(&self, point: HookPoint) -> bool {
        let layers = self.layers.as_deref().unwrap_or_default();
        point.site() == Site::Pattern && point.layer().is_some_and(|layer| layers.contains(&layer))
    }

    fn edits(&self, _: HookPoint) -> bool {
        false
    }

    fn at<const D: usize>(&mut self, point: HookPoint, value: Tensor<D>) -> Tensor<D> {
        if self.kept.is_ok() && self.wants(point) {
            let entries = self.visible(value.clone());
            match (&mut self.kept, entries, point.layer()) {
                (Ok(kept), Ok(entries), Some(layer)) => kept.entry(layer).or_default().extend(entries),
                (kept, Err(error), _) => *kept = Err(error),
                _ => {}
            }
        }
        value
    }
}

fn header() -> TableBuilder {
    Table::builder([
        ("prompt_id", ColumnKind::Int),
        ("layer", ColumnKind::Int),
        ("head", ColumnKind::Int),
        ("query", ColumnKind::Int),
        ("key", ColumnKind::Int),
        ("query_id", ColumnKind::Int),
        ("key_id", ColumnKind::Int),
        ("query_token", ColumnKind::Text),
        ("key_token", ColumnKind::Text),
        ("weight", ColumnKind::Float),
        ("status", ColumnKind::Text),
    ])
}

/// The rows of one head on one prompt: `place` is prompt, layer and head, `entries` the lower half of its pattern.
fn head_rows(table: &mut TableBuilder, place: [usize; 3], ids: &[u32], texts: &[String], entries: &[f64]) {
    let pairs = (0..ids.len()).flat_map(|query| (0..=query).map(move |key| (query, key)));
    for ((query, key), weight) in pairs.zip(entries) {
        let (weight, status) = measured(*weight);
        let places = place.into_iter().chain([query, key]).map(TableValue::from);
        let tokens = [ids[query].into(), ids[key].into(), texts[query].as_str().into(), texts[key].as_str().into()];
        table.row(places.chain(tokens).chain([weight.into(), status.into()]));
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use pythia_hooks::ActivationCache;

    use super::*;
    use crate::chosen::tests::letters;
    use crate::testing::model;
    use crate::{Column, ProbeSpec, run};

    fn ints(table: &Table, name: &str) -> Vec<i64> {
        let values = table.column(name).and_then(Column::ints).expect("whole numbers");
        values.iter().map(|value| value.expect("a value")).collect()
    }

    fn texts(table: &Table, name: &str) -> Vec<String> {
        table.column(name).and_then(Column::text).expect("text").to_vec()
    }

    fn ask(probe: &AttentionPatterns, subject: &Subject) -> Result<Table, ProbeError> {
        run(&[ProbeSpec::AttentionPatterns(probe.clone())], subject, 3).remove(0).map(|mut tables| tables.remove(0))
    }

    #[test]
    fn entries_are_taken_from_their_places_and_padding_is_left_out() {
        let probe = AttentionPatterns { layers: Some(vec![4]), ..AttentionPatterns::default() };
        let vocabulary = crate::prompts::Vocabulary { size: 9, bos: 0 };
        let prompts = Prompts::given(&[vec![7], vec![5, 6]], false, vocabulary).expect("ids are in range");
        let keeper = || PatternKeeper::new(&probe, &prompts, 6);
        let mut last = keeper();
        assert!(last.wants(Site::Pattern.at(4)) && !last.wants(Site::Pattern.at(3)));
        // [prompt, head, query, key]: each entry is its own index.
        let values: Vec<f64> = (0..16).map(f64::from).collect();
        let pattern =
            |dtype| Tensor::<4>::from_data(TensorData::new(values.clone(), [2, 2, 2, 2]), (&Device::flex(), dtype));
        for dtype in [DType::F32, DType::F64] {
            let mut keeper = keeper();
            keeper.at(Site::Pattern.at(4), pattern(dtype));
            let kept = keeper.kept.as_ref().expect("the shape is right");
            assert_eq!(kept[&4], [0.0, 4.0, 8.0, 10.0, 11.0, 12.0, 14.0, 15.0]);
        }
        last.at(Site::Pattern.at(4), pattern(DType::F32).narrow(0, 0, 1));
        assert!(matches!(last.kept, Err(ProbeError::Shape { .. })));
    }

    #[test]
    fn every_entry_of_every_head_has_its_row() {
        let (model, tokenizer) = (model(true), letters());
        let subject = Subject { tokenizer: Some(&tokenizer), ..Subject::new(&model, 21, true, 0) };
        let rows = [vec![0, 2, 4, 1, 1], vec![0, 3]];
        let probe = AttentionPatterns {
            tokens: Some(rows.iter().map(|row| row[1..].to_vec()).collect()),
            ..AttentionPatterns::default()
        };
        let table = ask(&probe, &subject).expect("the prompts fit");
        let places = ["prompt_id", "layer", "head", "query", "key"].map(|name| ints(&table, name));
        let weights = table.column("weight").and_then(Column::floats).expect("numbers");
        let mut expected = Vec::new();
        let mut at = 0;
        for (prompt, row) in rows.iter().enumerate() {
            let mut cache = ActivationCache::of([Site::Pattern.at(0), Site::Pattern.at(1)]);
            model.forward(model.tokens(std::slice::from_ref(row)), &mut cache);
            for layer in 0..2 {
                let pattern: Tensor<4> = cache.get(Site::Pattern.at(layer)).expect("was kept");
                let values = pattern.into_data().try_into_vec::<f32>().expect("float32");
                for (head, query) in (0..2).flat_map(|head| (0..row.len()).map(move |query| (head, query))) {
                    for key in 0..=query {
                        expected.push([prompt, layer, head, query, key].map(|index| index as i64));
                        let right = f64::from(values[(head * row.len() + query) * row.len() + key]);
                        let found = weights[at].expect("a weight");
                        assert!((found - right).abs() < 1e-6, "{:?}: {found}, not {right}", expected[at]);
                        at += 1;
                    }
                }
            }
        }
        let found: Vec<[i64; 5]> = (0..table.n_rows()).map(|row| [0, 1, 2, 3, 4].map(|i| places[i][row])).collect();
        assert_eq!(found, expected);
        assert_eq!(expected.len(), 2 * 2 * (15 + 3));
        // Row 1 and 2 are the second query of the first prompt, looking at the BOS and at itself.
        assert_eq!(
            (ints(&table, "query_id")[1..3].to_vec(), ints(&table, "key_id")[1..3].to_vec()),
            (vec![2, 2], vec![0, 2])
        );
        assert_eq!(texts(&table, "query_token")[1..3], ["b", "b"]);
        assert_eq!(texts(&table, "key_token")[1..3], ["<", "b"]);
        assert!(texts(&table, "status").iter().all(|status| status == "ok"));
        // The weights of a query add up to one.
        let sum: f64 = weights[10..15].iter().flatten().sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }

    #[test]
    fn chosen_layers_alone_are_kept_and_text_needs_a_tokenizer() {
        let (model, tokenizer) = (model(false), letters());
        let probe = AttentionPatterns {
            texts: Some(vec!["abc".into()]),
            layers: Some(vec![-1]),
            ..AttentionPatterns::default()
        };
        let plain = Subject::new(&model, 21, true, 0);
        assert_eq!(ask(&probe, &plain), Err(ProbeError::NeedsTokenizer { field: "texts" }));
        let table = ask(&probe, &Subject { tokenizer: Some(&tokenizer), ..plain }).expect("no logits are needed");
        assert_eq!((table.n_rows(), ints(&table, "layer")), (2 * 10, vec![1; 20]));
        let none = AttentionPatterns { layers: Some(vec![2]), ..AttentionPatterns::default() };
        assert!(matches!(ask(&none, &plain), Err(ProbeError::NoSuchChoice { field: "layers", .. })));
        let random = ask(&AttentionPatterns::default(), &plain).expect("random prompts need no tokenizer");
        assert_eq!((random.n_rows(), texts(&random, "key_token")[3].as_str()), (2 * 2 * 25 * 26 / 2, ""));
    }

    #[test]
    fn a_table_that_is_too_large_is_refused_with_its_rows() {
        let model = model(false);
        let context = Subject::new(&model, 21, true, 0).context(0);
        // 64 tokens: 2,080 entries of each of 4 heads.
        let sized = |batch| AttentionPatterns {
            batch: Some(batch),
            half_len: Some(63),
            repeats: Some(1),
            ..Default::default()
        };
        assert_eq!(sized(1923).check(&context), Ok(()));
        let error = ProbeError::TooManyRows { rows: 1924 * 8320, most: 16_000_000 };
        assert_eq!(sized(1924).check(&context), Err(error));
        assert_eq!(sized(2).extra(&context).memory, 2 * 8320 * 400);
    }
}
