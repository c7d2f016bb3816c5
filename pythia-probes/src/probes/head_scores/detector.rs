//! Every definition of every score: which entries count, and how their attention becomes a number.

use super::mask::{Exclude, Mask, Rule, total};
use super::{HeadScores, ScoreFamily};
use crate::prompts::Repeated;

/// How the attention on a mask becomes a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Formula {
    /// Mass on the mask per query that has an entry in it.
    PerQuery,
    /// Mean over the entries of the mask.
    PerEntry,
    /// Σ(A·D) / ΣA over all rows, D being the mask (TransformerLens `head_detector.py`, `error_measure="mul"`).
    Share,
    /// 1 − mean|A − D|·n (TransformerLens `head_detector.py`, `error_measure="abs"`, there rounded to three decimals).
    Difference,
}

/// What the scores need to know of the prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Whether a BOS stands in front.
    pub bos: bool,
    /// Tokens before they repeat; none for prompts that do not repeat by design.
    pub half_len: Option<usize>,
}

impl From<Repeated> for Layout {
    fn from(repeated: Repeated) -> Self {
        Layout { bos: repeated.bos, half_len: Some(repeated.half_len) }
    }
}

/// One row of the table for every head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Detector {
    /// What the `score` column says.
    pub score: &'static str,
    /// What the `definition` column says.
    pub definition: String,
    rule: Rule,
    formula: Formula,
    exclude: Exclude,
}

impl Detector {
    fn new(score: &'static str, definition: &str, rule: Rule, formula: Formula) -> Self {
        Self { score, definition: definition.to_owned(), rule, formula, exclude: Exclude::default() }
    }

    /// The two ratios of `detect_head`, named after what they leave out.
    fn detect_head(score: &'static str, rule: Rule, exclude: Exclude) -> [Self; 2] {
        let suffix = match (exclude.first, exclude.current) {
            (false, false) => "",
            (true, false) => "+exclude_bos",
            (false, true) => "+exclude_current",
            (true, true) => "+exclude_bos+exclude_current",
        };
        [("tl_detect_mul", Formula::Share), ("tl_detect_abs", Formula::Difference)].map(|(name, formula)| Self {
            score,
            definition: format!("{name}{suffix}"),
            rule,
            formula,
            exclude,
        })
    }

    /// Whether the score compares repeats, which the prompts do not have.
    pub(super) fn needs_repeats(&self) -> bool {
        self.rule == Rule::Nothing
    }

    /// Whether both detectors count the same entries, whatever their formulas.
    pub(super) fn counts_as(&self, other: &Self) -> bool {
        (self.rule, self.exclude) == (other.rule, other.exclude)
    }

    /// Every row that `config` asks for on prompts of that `layout`, in the order of the table.
    ///
    /// With n tokens in the prompt, N in its random part and A the pattern `[query, key]`:
    ///
    /// `induction`
    /// - `tl_stripe` (no BOS): mean of A over key = query − (N−1). On `[R R]` these are N+1 entries, the first of which
    ///   precedes any repetition (TransformerLens, `Main_Demo`).
    /// - `arena_stripe` (BOS first): the same diagonal, N+2 entries on `[BOS R R]` (ARENA, chapter 1.2).
    /// - `tl_detect_mul`, `tl_detect_abs`: Σ(A·D)/ΣA and 1 − mean|A−D|·n, where D = 1 on the token after each earlier
    ///   occurrence (TransformerLens, `head_detector.py`).
    /// - `prefix_sum`: per query of a later repeat, the sum of A over key = query − m·N + 1, m = 1, 2, … (Olsson et al.
    ///   2022, prefix matching).
    /// - `prefix_mean`: the mean of A over the same entries, which equals `prefix_sum` on two repeats (ibid.).
    /// - `strict`: per query whose token occurred before, the sum of A over all positions after an earlier occurrence.
    ///
    /// `previous_token`
    /// - `mask_mean`: mean of A over key = query − 1 (TransformerLens, `Main_Demo`).
    ///
    /// `duplicate_token`
    /// - `mask_mean`: per query whose token occurred before, the sum of A over its earlier occurrences.
    /// - `stripe`: mean of A over key = query − N (TransformerLens, `Exploratory_Analysis_Demo`).
    ///
    /// `current_token`
    /// - `mask_mean`: mean of A over key = query.
    ///
    /// `bos_sink`, without a BOS `first_token_sink`
    /// - `mask_mean`: mean of A over key = 0.
    ///
    /// The last four scores also have `tl_detect_mul` and `tl_detect_abs`, as above, with D = 1 on the entries of
    /// `mask_mean`.
    ///
    /// The first query sees only itself and so adds a 1 to `current_token` and to the sink; uniform attention scores
    /// the same 1.
    ///
    /// Prompts that are given one by one have no N: `tl_stripe`, `arena_stripe`, `stripe`, `prefix_sum` and
    /// `prefix_mean` count nothing there and are undefined. All others go by the tokens alone.
    pub(super) fn all(config: &HeadScores, layout: impl Into<Layout>) -> Vec<Self> {
        let layout = layout.into();
        let exclude = config.exclude();
        let mut detectors = Vec::new();
        for family in ScoreFamily::ALL.into_iter().filter(|family| config.scores.contains(family)) {
            let score = family.name();
            let rule = match family {
                ScoreFamily::Induction => Rule::Successors,
                ScoreFamily::PreviousToken => Rule::Diagonal { offset: 1 },
                ScoreFamily::DuplicateToken => Rule::Duplicates,
                ScoreFamily::CurrentToken => Rule::Diagonal { offset: 0 },
                ScoreFamily::BosSink => Rule::FirstColumn,
            };
            let score = if family == ScoreFamily::BosSink && !layout.bos { "first_token_sink" } else { score };
            match family {
                ScoreFamily::Induction => detectors.extend(Self::induction(score, layout)),
                _ => detectors.push(Self::new(score, "mask_mean", rule, Formula::PerQuery)),
            }
            if family == ScoreFamily::DuplicateToken {
                let rule = layout.half_len.map_or(Rule::Nothing, |offset| Rule::Diagonal { offset });
                detectors.push(Self::new(score, "stripe", rule, Formula::PerEntry));
            }
            detectors.extend(Self::detect_head(score, rule, exclude));
        }
        detectors
    }

    /// The definitions of induction that are not ratios.
    fn induction(score: &'static str, layout: Layout) -> [Self; 4] {
        let stripe = if layout.bos { "arena_stripe" } else { "tl_stripe" };
        let start = usize::from(layout.bos);
        let (diagonal, repeats) = layout.half_len.map_or((Rule::Nothing, Rule::Nothing), |half_len| {
            (Rule::Diagonal { offset: half_len - 1 }, Rule::EarlierRepeats { start, half_len })
        });
        [
            Self::new(score, stripe, diagonal, Formula::PerEntry),
            Self::new(score, "prefix_sum", repeats, Formula::PerQuery),
            Self::new(score, "prefix_mean", repeats, Formula::PerEntry),
            Self::new(score, "strict", Rule::Successors, Formula::PerQuery),
        ]
    }
}

/// The masks of all detectors for one prompt.
#[derive(Clone, Debug)]
pub(super) struct PromptMasks {
    masks: Vec<(Mask, Formula)>,
    exclude: Exclude,
    /// Tokens in the prompt.
    n: usize,
    width: usize,
}

impl PromptMasks {
    /// The detectors that `config` asks for, on the prompt `tokens` of that `layout` alone.
    #[cfg(test)]
    pub(super) fn new(config: &HeadScores, layout: impl Into<Layout>, tokens: &[u32]) -> Self {
        Self::padded(config, layout, tokens, tokens.len())
    }

    /// The detectors that `config` asks for, on the prompt `tokens` of that `layout` among others of at most `width`
    /// tokens.
    pub(super) fn padded(config: &HeadScores, layout: impl Into<Layout>, tokens: &[u32], width: usize) -> Self {
        let mask = |have: &Detector| (Mask::padded(have.rule, have.exclude, tokens, width), have.formula);
        let masks = Detector::all(config, layout).iter().map(mask).collect();
        Self { masks, exclude: config.exclude(), n: tokens.len(), width }
    }

    /// Tokens in the longest prompt, which is how wide patterns are.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The scores of one head whose pattern on the prompt is `[query, key]`, in the order of [`Detector::all`]; NaN
    /// where one is undefined: no entry counts, or no attention does. (TransformerLens gives 0 in the first case, as
    /// if the head had been tested and failed.)
    pub(super) fn scores<T: Copy + Into<f64>>(&self, pattern: &[T]) -> impl Iterator<Item = f64> {
        // One sum serves every ratio, for they all leave out the same entries.
        let total = total(pattern, self.n, self.width, self.exclude);
        self.scores_of(self.masks.iter().map(|(mask, _)| mask.mass(pattern)), total)
    }

    /// The same from the attention on the mask of each detector and the total of all that is not left out.
    pub(super) fn scores_of(&self, masses: impl Iterator<Item = f64>, total: f64) -> impl Iterator<Item = f64> {
        self.masks.iter().zip(masses).map(move |((mask, formula), mass)| {
            let entries = mask.entries.len() as f64;
            match formula {
                _ if mask.entries.is_empty() => f64::NAN,
                Formula::PerQuery => mass / mask.queries as f64,
                Formula::PerEntry => mass / entries,
                Formula::Share => mass / total,
                // D is 0 or 1 and A lies between, so |A − D| = A + D − 2AD entry by entry.
                Formula::Difference => 1.0 - (total + entries - 2.0 * mass) / self.n as f64,
            }
        })
    }

    /// The mask of a detector.
    pub(super) fn mask(&self, detector: usize) -> &Mask {
        &self.masks[detector].0
    }

    /// The entries whose sum is the total.
    pub(super) fn not_excluded(&self) -> Mask {
        Mask::padded(Rule::Visible, self.exclude, &vec![0; self.n], self.width)
    }
}

/// Uniform causal attention on n tokens, `[query, key]`.
pub(super) fn uniform(n: usize) -> Vec<f64> {
    let entry = |index: usize| if index % n <= index / n { 1.0 / (index / n + 1) as f64 } else { 0.0 };
    (0..n * n).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompts::Prompts;
    use crate::random::Vocabulary;

    const N: usize = 4;
    const LAYOUT: Repeated = Repeated { batch: 1, half_len: N, repeats: 2, bos: true };
    const TOKENS: [u32; 9] = [0, 5, 6, 7, 8, 5, 6, 7, 8];

    /// Scores by "score/definition" of a head that attends from each query to one key.
    fn pointing(config: &HeadScores, layout: Repeated, tokens: &[u32], key: impl Fn(usize) -> usize) -> Named {
        let n = tokens.len();
        let pattern: Vec<f32> = (0..n * n).map(|entry| f32::from(u8::from(key(entry / n) == entry % n))).collect();
        Named::of(config, layout, tokens, &pattern)
    }

    struct Named(Vec<(String, f64)>);

    impl Named {
        fn of<T: Copy + Into<f64>>(config: &HeadScores, layout: Repeated, tokens: &[u32], pattern: &[T]) -> Self {
            let names =
                Detector::all(config, layout).into_iter().map(|have| format!("{}/{}", have.score, have.definition));
            Self(names.zip(PromptMasks::new(config, layout, tokens).scores(pattern)).collect())
        }

        fn get(&self, name: &str) -> f64 {
            self.0.iter().find(|(have, _)| have == name).unwrap_or_else(|| panic!("no {name} in {:?}", self.0)).1
        }

        fn expect(&self, expected: &[(&str, f64)]) {
            for (name, value) in expected {
                assert!((self.get(name) - value).abs() < 1e-12, "{name} is {}, not {value}", self.get(name));
            }
        }
    }

    #[test]
    fn a_perfect_induction_head_that_rests_on_the_bos() {
        let key = |query| if query > N { query - (N - 1) } else { 0 };
        let scores = pointing(&HeadScores::default(), LAYOUT, &TOKENS, key);
        scores.expect(&[
            ("induction/strict", 1.0),
            ("induction/prefix_sum", 1.0),
            ("induction/prefix_mean", 1.0),
            // Queries 3 to 8: the first rests on key 0 (which is on the stripe), the second misses, four hit.
            ("induction/arena_stripe", 5.0 / 6.0),
            ("induction/tl_detect_mul", 4.0 / 9.0),
            ("induction/tl_detect_abs", 4.0 / 9.0),
            ("previous_token/mask_mean", 1.0 / 8.0),
            ("duplicate_token/mask_mean", 0.0),
            ("current_token/mask_mean", 1.0 / 9.0),
            ("bos_sink/mask_mean", 5.0 / 9.0),
            ("bos_sink/tl_detect_mul", 5.0 / 9.0),
        ]);
        let config = HeadScores { exclude_bos: true, ..HeadScores::default() };
        let scores = pointing(&config, LAYOUT, &TOKENS, key);
        scores.expect(&[("induction/tl_detect_mul+exclude_bos", 1.0), ("induction/tl_detect_abs+exclude_bos", 1.0)]);
        assert!(scores.get("bos_sink/tl_detect_mul+exclude_bos").is_nan());
    }

    #[test]
    fn previous_duplicate_and_current_token_heads() {
        let config = HeadScores::default();
        pointing(&config, LAYOUT, &TOKENS, |query| query.saturating_sub(1)).expect(&[
            ("previous_token/mask_mean", 1.0),
            ("previous_token/tl_detect_mul", 8.0 / 9.0),
            ("previous_token/tl_detect_abs", 8.0 / 9.0),
            ("induction/strict", 0.0),
        ]);
        pointing(&config, LAYOUT, &TOKENS, |query| if query > N { query - N } else { query }).expect(&[
            ("duplicate_token/mask_mean", 1.0),
            ("duplicate_token/stripe", 4.0 / 5.0),
            ("duplicate_token/tl_detect_mul", 4.0 / 9.0),
            ("current_token/mask_mean", 5.0 / 9.0),
        ]);
        let current = HeadScores { exclude_current: true, ..config };
        let scores = pointing(&current, LAYOUT, &TOKENS, |query| query);
        // All attention is left out, so there is nothing to take a share of.
        assert!(scores.get("induction/tl_detect_mul+exclude_current").is_nan());
        scores.expect(&[("current_token/mask_mean", 1.0)]);
    }

    #[test]
    fn more_repeats_tell_the_sum_from_the_mean() {
        let layout = Repeated { repeats: 3, bos: false, ..LAYOUT };
        let tokens = [5, 6, 7, 8, 5, 6, 7, 8, 5, 6, 7, 8];
        let n = tokens.len();
        let pattern = uniform(n);
        let harmonic = |range: std::ops::Range<usize>| range.map(|query| 1.0 / (query + 1) as f64).sum::<f64>();
        Named::of(&HeadScores::default(), layout, &tokens, &pattern).expect(&[
            ("induction/tl_stripe", harmonic(3..12) / 9.0),
            ("induction/prefix_sum", (harmonic(4..8) + 2.0 * harmonic(8..12)) / 8.0),
            ("induction/prefix_mean", (harmonic(4..8) + 2.0 * harmonic(8..12)) / 12.0),
            ("induction/strict", (harmonic(4..8) + 2.0 * harmonic(8..12)) / 8.0),
            ("first_token_sink/mask_mean", harmonic(0..12) / 12.0),
        ]);
    }

    #[test]
    fn uniform_attention_scores_about_ln_2_over_n_on_the_stripe() {
        let layout = Repeated { half_len: 50, bos: false, ..LAYOUT };
        let tokens: Vec<u32> = (0..100).map(|index| index % 50).collect();
        let stripe = Named::of(&HeadScores::default(), layout, &tokens, &uniform(100)).get("induction/tl_stripe");
        assert!((stripe - 2_f64.ln() / 50.0).abs() < 2e-4, "{stripe}");
    }

    /// `detect_head` of TransformerLens, step by step on dense matrices.
    fn dense(family: ScoreFamily, tokens: &[u32], pattern: &[f64], exclude: Exclude) -> [f64; 2] {
        let n = tokens.len();
        let mut mask = vec![0.0; n * n];
        for (i, j) in (0..n * n).map(|entry| (entry / n, entry % n)) {
            let duplicate = |i: usize, j: usize| j < i && tokens[i] == tokens[j];
            mask[i * n + j] = f64::from(u8::from(match family {
                ScoreFamily::Induction => j > 0 && j <= i && duplicate(i, j - 1),
                ScoreFamily::PreviousToken => j + 1 == i,
                ScoreFamily::DuplicateToken => duplicate(i, j),
                ScoreFamily::CurrentToken => j == i,
                ScoreFamily::BosSink => j == 0,
            }));
        }
        let out = |entry: usize| exclude.first && entry.is_multiple_of(n) || exclude.current && entry % n == entry / n;
        let kept = || (0..n * n).filter(|entry| !out(*entry));
        let product: f64 = kept().map(|entry| pattern[entry] * mask[entry]).sum();
        let share = product / kept().map(|entry| pattern[entry]).sum::<f64>();
        let difference: f64 = kept().map(|entry| (pattern[entry] - mask[entry]).abs()).sum();
        [share, 1.0 - difference / (n * n) as f64 * n as f64]
    }

    #[test]
    fn the_detect_head_forms_equal_their_dense_definition() {
        // A small vocabulary, so that chance duplicates and doubled tokens are common.
        let vocabulary = Vocabulary { size: 6, bos: 0 };
        for seed in 0..60 {
            let exclude = Exclude { first: seed % 2 == 0, current: seed % 3 == 0 };
            let config =
                HeadScores { exclude_bos: exclude.first, exclude_current: exclude.current, ..HeadScores::default() };
            let layout = Repeated { batch: 2, half_len: 2 + seed as usize % 7, repeats: 2, bos: seed % 5 < 3 };
            let prompts = Prompts::repeated(layout, vocabulary, seed).expect("there are five ids");
            // The second prompt serves as a source of uneven attention for the first.
            let (tokens, noise) = (&prompts.rows()[0], &prompts.rows()[1]);
            let n = tokens.len();
            let mut pattern = uniform(n);
            for query in 0..n {
                let row = &mut pattern[query * n..][..=query];
                row.iter_mut()
                    .enumerate()
                    .for_each(|(key, value)| *value = f64::from(1 + noise[key]) + (query % 3) as f64);
                let sum: f64 = row.iter().sum();
                row.iter_mut().for_each(|value| *value /= sum);
            }
            let scores = Named::of(&config, layout, tokens, &pattern);
            for family in ScoreFamily::ALL {
                let expected = dense(family, tokens, &pattern, exclude);
                for (kind, expected) in ["tl_detect_mul", "tl_detect_abs"].into_iter().zip(expected) {
                    let score = if family == ScoreFamily::BosSink { "_sink/" } else { family.name() };
                    let mut found = scores.0.iter().filter(|(name, _)| name.contains(kind) && name.contains(score));
                    let (name, value) = found.next().expect("every family has both ratios");
                    let empty = family == ScoreFamily::BosSink && exclude.first
                        || family == ScoreFamily::CurrentToken && exclude.current;
                    assert!(
                        (value - expected).abs() < 1e-12 || empty && value.is_nan(),
                        "{seed} {name}: {value} {expected}"
                    );
                }
            }
        }
    }
}
