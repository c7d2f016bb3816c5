//! Attention patterns of a few prompts, with a row for every entry.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use burn::tensor::DType;
use pythia_core::device::{host_f32, host_f64};
use pythia_hooks::{Activation, HookPoint, Site};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ProbeError;
use crate::families::reading::{Reader, ReadingInput, ReadingProbe, ReadingRun};
use crate::loss::PromptLoss;
use crate::probe::{Answer, Estimate, Probe};
use crate::prompts::{PromptSource, TokenTexts};
use crate::subject::Context;
use crate::table::columns::{HEAD, LAYER, PROMPT_ID, STATUS};
use crate::table::{ColumnSpec, TableBuilder, TableSpec, TableValue, measured, refuse_too_many};

const PLACE: &str = "an attention pattern";

/// Bytes of an entry at the peak: the entry itself, its row in the table, and the row once more on its way into a file.
const BYTES_PER_ENTRY: u64 = 400;

/// The attention patterns of a few prompts, entry by entry: `weight` is what `query` gives to `key`.
///
/// Rows grow with the square of a prompt's length, times layers and heads; a table of more than 16 million is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AttentionPatterns {
    /// The prompts: random tokens that repeat, `{ n = 1, half_len = 12, repeats = 2 }` by default, or one
    /// of texts, tokens and file.
    pub prompts: PromptSource<1, 12>,
    /// Layers whose patterns are kept, from the end where they are negative; all where this is left out.
    pub layers: Option<Vec<i64>>,
}

impl AttentionPatterns {
    pub(crate) const TABLES: &'static [TableSpec] = &[TableSpec {
        suffix: "",
        doc: "A row per prompt, head, query and key that the query can see",
        columns: &[&[
            PROMPT_ID,
            LAYER,
            HEAD,
            ColumnSpec::int("query", "Position that attends, from 0, the BOS included"),
            ColumnSpec::int("key", "Position that is attended to, at most `query`"),
            ColumnSpec::int("query_id", "Token id at `query`"),
            ColumnSpec::int("key_id", "Token id at `key`"),
            ColumnSpec::text("query_token", "Text of the token at `query`; empty without a tokenizer"),
            ColumnSpec::text("key_token", "Text of the token at `key`; empty without a tokenizer"),
            ColumnSpec::float("weight", "probability", "Attention from `query` to `key`; those of a query add up to 1"),
            STATUS,
        ]],
    }];

    /// A small configuration, for tests of all probes.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self { prompts: PromptSource::tokens([vec![3, 1, 4], vec![9, 2]]), layers: Some(vec![-1]) }
    }

    /// Rows of the table; a count beyond `u64` stays at its end.
    fn rows(&self, context: &Context) -> Result<u64, ProbeError> {
        let layers = context.layers(self.layers.as_deref())?.len() as u64;
        let entries = |len: usize| (len as u64).saturating_mul(len as u64 + 1) / 2;
        let of_head = self.prompts.lengths(context)?.into_iter().map(entries).fold(0, u64::saturating_add);
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
        self.prompts.size(context)
    }

    fn extra(&self, context: &Context) -> Estimate {
        Estimate { flops: 0, memory: self.rows(context).unwrap_or(0).saturating_mul(BYTES_PER_ENTRY) }
    }

    fn files(&self) -> Vec<&Path> {
        self.prompts.files()
    }
}

impl ReadingProbe for AttentionPatterns {
    fn input(&self, context: &Context) -> Result<ReadingInput, ProbeError> {
        self.prompts.prompts(context).map(ReadingInput::from)
    }

    fn reader<'a>(&'a self, run: ReadingRun<'a>) -> Box<dyn Reader + 'a> {
        // Layers that the model lacks were refused by the check.
        let layers = run.context.layers(self.layers.as_deref()).unwrap_or_default();
        Box::new(PatternKeeper::new(layers, run))
    }
}

/// Keeps what each query can see of the pattern of every wanted layer.
struct PatternKeeper<'a> {
    run: ReadingRun<'a>,
    /// Tokens of each prompt.
    lengths: Vec<usize>,
    /// The prompts that the model runs on.
    part: Range<usize>,
    layers: Vec<usize>,
    /// By layer the entries `[prompt, head, query, key ≤ query]`, prompts without their padding.
    kept: BTreeMap<usize, Vec<f64>>,
}

impl<'a> PatternKeeper<'a> {
    fn new(layers: Vec<usize>, run: ReadingRun<'a>) -> Self {
        let lengths: Vec<usize> = run.input.prompts.rows().iter().map(Vec::len).collect();
        Self { run, part: 0..lengths.len(), lengths, layers, kept: BTreeMap::new() }
    }

    /// The part of a pattern `[batch, head, query, key]` that queries can see, without the padding.
    fn visible(&self, pattern: &Activation) -> Result<Vec<f64>, ProbeError> {
        let found = pattern.dims();
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        let heads = found.get(1).copied().unwrap_or(0);
        let expected = vec![self.part.len(), heads, longest, longest];
        let Some(pattern) = pattern.clone().into_tensor::<4>().filter(|_| found == expected) else {
            return Err(ProbeError::Shape { place: PLACE, expected, found });
        };
        let device = ProbeError::device(PLACE);
        Ok(match pattern.dtype() {
            DType::F64 => self.lower(heads, longest, &host_f64(pattern).map_err(device)?),
            _ => self.lower(heads, longest, &host_f32(pattern).map_err(device)?),
        })
    }

    fn lower<T: Copy + Into<f64>>(&self, heads: usize, longest: usize, values: &[T]) -> Vec<f64> {
        let rows = |prompt: usize, len: usize| {
            (0..heads).flat_map(move |head| (0..len).map(move |query| (prompt * heads + head, query)))
        };
        let row = |(pattern, query): (usize, usize)| &values[(pattern * longest + query) * longest..][..=query];
        let lengths = self.lengths[self.part.clone()].iter().enumerate();
        lengths.flat_map(|(prompt, len)| rows(prompt, *len)).flat_map(row).map(|value| (*value).into()).collect()
    }
}

impl Reader for PatternKeeper<'_> {
    fn wants(&self, point: HookPoint) -> bool {
        point.site() == Site::Pattern && point.layer().is_some_and(|layer| self.layers.contains(&layer))
    }

    fn part(&mut self, prompts: Range<usize>) {
        self.part = prompts;
    }

    fn read(&mut self, point: HookPoint, pattern: &Activation) -> Result<(), ProbeError> {
        let entries = self.visible(pattern)?;
        self.kept.entry(point.layer().unwrap_or(0)).or_default().extend(entries);
        Ok(())
    }

    fn finish(self: Box<Self>, _: &[PromptLoss]) -> Result<Answer, ProbeError> {
        if self.kept.len() != self.layers.len() {
            return Err(ProbeError::NotFired { fired: self.kept.len(), expected: self.layers.len() });
        }
        let mut table = AttentionPatterns::TABLES[0].builder();
        let mut words = TokenTexts::new(self.run.context.tokenizer);
        let mut rest: Vec<(usize, &[f64])> = self.kept.iter().map(|(layer, entries)| (*layer, &entries[..])).collect();
        let heads = self.run.context.config.n_heads;
        for (prompt, ids) in self.run.input.prompts.rows().iter().enumerate() {
            let texts: Vec<String> = ids.iter().map(|id| words.of(*id)).collect();
            for (layer, entries) in &mut rest {
                for head in 0..heads {
                    let (own, more) = entries.split_at(ids.len() * (ids.len() + 1) / 2);
                    *entries = more;
                    head_rows(&mut table, [prompt, *layer, head], ids, &texts, own);
                }
            }
        }
        Ok(vec![table.build()])
    }
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
    use burn::tensor::{Device, Tensor, TensorData};
    use pythia_hooks::ActivationCache;

    use super::*;
    use crate::prompts::{PromptKind, Prompts};
    use crate::testing::{letters, model};
    use crate::{Column, ProbeSpec, Subject, Table, run};

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
        let model = model(false);
        let subject = Subject::new(&model, 9, false, 0);
        let context = subject.context(0);
        let prompts = Prompts::given("prompts.tokens", &[vec![7], vec![5, 6]], false, context.vocabulary())
            .expect("ids are in range");
        let input = ReadingInput::from(prompts);
        let keeper = || PatternKeeper::new(vec![4], ReadingRun { input: &input, subject: &subject, context });
        let point = Site::Pattern.at(4);
        assert!(keeper().wants(point) && !keeper().wants(Site::Pattern.at(3)));
        // [prompt, head, query, key]: each entry is its own index.
        let values: Vec<f64> = (0..16).map(f64::from).collect();
        let pattern =
            |dtype| Tensor::<4>::from_data(TensorData::new(values.clone(), [2, 2, 2, 2]), (&Device::flex(), dtype));
        for dtype in [DType::F32, DType::F64] {
            let mut keeper = keeper();
            keeper.read(point, &Activation::Four(pattern(dtype))).expect("the shape is right");
            assert_eq!(keeper.kept[&4], [0.0, 4.0, 8.0, 10.0, 11.0, 12.0, 14.0, 15.0]);
        }
        let short = Activation::Four(pattern(DType::F32).narrow(0, 0, 1));
        assert!(matches!(keeper().read(point, &short), Err(ProbeError::Shape { .. })));
        let unread = Box::new(keeper()).finish(&[]);
        assert_eq!(unread, Err(ProbeError::NotFired { fired: 0, expected: 1 }));
    }

    #[test]
    fn every_entry_of_every_head_has_its_row() {
        let (model, tokenizer) = (model(true), letters());
        let subject = Subject { tokenizer: Some(&tokenizer), ..Subject::new(&model, 21, true, 0) };
        let rows = [vec![0, 2, 4, 1, 1], vec![0, 3]];
        let given: Vec<Vec<u32>> = rows.iter().map(|row| row[1..].to_vec()).collect();
        let probe = AttentionPatterns { prompts: PromptSource::tokens(given), layers: None };
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
        let probe = AttentionPatterns { prompts: PromptSource::texts(["abc".into()]), layers: Some(vec![-1]) };
        let plain = Subject::new(&model, 21, true, 0);
        assert_eq!(ask(&probe, &plain), Err(ProbeError::NeedsTokenizer { field: "prompts.texts" }));
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
        let sized =
            |n| AttentionPatterns { prompts: PromptKind::Random { n, half_len: 63, repeats: 1 }.into(), layers: None };
        assert_eq!(sized(1923).check(&context), Ok(()));
        let error = ProbeError::TooManyRows { rows: 1924 * 8320, most: 16_000_000 };
        assert_eq!(sized(1924).check(&context), Err(error));
        assert_eq!(sized(2).extra(&context).memory, 2 * 8320 * 400);
    }
}
