//! Which (query, key) entries of an attention pattern a score counts.

/// A rule that picks entries of a pattern from the tokens of its prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// key = query − offset, for every query that has such a key.
    Diagonal {
        /// How far back.
        offset: usize,
    },
    /// key = 0, for every query, the first one (which can see nothing else) included.
    FirstColumn,
    /// key ≤ query: everything a query can see.
    Visible,
    /// key < query, and both hold the same token.
    Duplicates,
    /// key = j + 1 where j < query and both hold the same token: what followed earlier. Where a token follows itself
    /// this is the query's own position.
    Successors,
    /// key = query − m·N + 1 for m = 1, 2, … as far as that stays in the repeated part: what followed in *earlier
    /// repeats*, whatever else the tokens have in common.
    EarlierRepeats {
        /// Where the repeated part begins: 1 after a BOS, else 0.
        start: usize,
        /// Its length, N.
        half_len: usize,
    },
    /// None at all: what the score compares is not in the prompts.
    Nothing,
}

impl Rule {
    /// The keys counted at `query`, ascending.
    fn keys(self, tokens: &[u32], query: usize) -> Vec<usize> {
        let same = || (0..query).filter(|key| tokens[*key] == tokens[query]);
        match self {
            Rule::Diagonal { offset } => query.checked_sub(offset).into_iter().collect(),
            Rule::FirstColumn => vec![0],
            Rule::Visible => (0..=query).collect(),
            Rule::Duplicates => same().collect(),
            Rule::Successors => same().map(|key| key + 1).collect(),
            Rule::Nothing => Vec::new(),
            Rule::EarlierRepeats { start, half_len } => {
                let into = query.saturating_sub(start);
                let mut keys: Vec<usize> = (1..=into / half_len).map(|m| query - m * half_len + 1).collect();
                keys.reverse();
                keys
            }
        }
    }
}

/// Entries that do not count: what `detect_head` of TransformerLens calls `exclude_bos` and `exclude_current_token`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Exclude {
    /// Key 0, BOS or not.
    pub first: bool,
    /// key = query.
    pub current: bool,
}

impl Exclude {
    fn leaves(self, query: usize, key: usize) -> bool {
        !(self.first && key == 0 || self.current && key == query)
    }
}

/// The entries a rule picks in one prompt of n tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mask {
    /// Indices into the pattern of one head, `query · width + key`, ascending; the width is that of the longest prompt.
    pub entries: Vec<usize>,
    /// How many queries have at least one entry.
    pub queries: usize,
}

impl Mask {
    /// Applies `rule` to a prompt whose pattern is as wide as it is long.
    #[cfg(test)]
    pub(super) fn new(rule: Rule, exclude: Exclude, tokens: &[u32]) -> Self {
        Self::padded(rule, exclude, tokens, tokens.len())
    }

    /// Applies `rule` to a prompt, whose pattern has rows of that width: prompts are filled up on the right.
    pub(super) fn padded(rule: Rule, exclude: Exclude, tokens: &[u32], width: usize) -> Self {
        let mut mask = Self { entries: Vec::new(), queries: 0 };
        for query in 0..tokens.len() {
            let before = mask.entries.len();
            let keys = rule.keys(tokens, query).into_iter().filter(|key| exclude.leaves(query, *key));
            mask.entries.extend(keys.map(|key| query * width + key));
            mask.queries += usize::from(mask.entries.len() > before);
        }
        mask
    }

    /// Attention on the mask: the sum over its entries of a pattern `[query, key]`.
    pub(super) fn mass<T: Copy + Into<f64>>(&self, pattern: &[T]) -> f64 {
        self.entries.iter().map(|entry| pattern[*entry].into()).sum()
    }
}

/// All attention of the n tokens of a pattern `[query, key]` with rows of that width that is not excluded.
pub(super) fn total<T: Copy + Into<f64>>(pattern: &[T], n: usize, width: usize, exclude: Exclude) -> f64 {
    let row = |query: usize| -> f64 {
        let first = usize::from(exclude.first);
        let end = if exclude.current { query } else { query + 1 };
        pattern[query * width..][first.min(end)..end].iter().map(|value| (*value).into()).sum()
    };
    (0..n).map(row).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries as (query, key).
    fn pairs(rule: Rule, exclude: Exclude, tokens: &[u32]) -> Vec<(usize, usize)> {
        let n = tokens.len();
        Mask::new(rule, exclude, tokens).entries.into_iter().map(|entry| (entry / n, entry % n)).collect()
    }

    const NONE: Exclude = Exclude { first: false, current: false };

    #[test]
    fn duplicates_and_successors_follow_the_tokens() {
        let tokens = [9, 5, 6, 6, 5];
        assert_eq!(pairs(Rule::Duplicates, NONE, &tokens), [(3, 2), (4, 1)]);
        assert_eq!(pairs(Rule::Successors, NONE, &tokens), [(3, 3), (4, 2)]);
        assert_eq!(pairs(Rule::Successors, Exclude { first: false, current: true }, &tokens), [(4, 2)]);
        assert_eq!(Mask::new(Rule::Duplicates, NONE, &[1, 1, 1]), Mask { entries: vec![3, 6, 7], queries: 2 });
    }

    #[test]
    fn the_stripe_begins_one_query_before_the_repetition() {
        // [R R], N = 3: queries 2 to 5, of which query 2 precedes any repetition.
        assert_eq!(pairs(Rule::Diagonal { offset: 2 }, NONE, &[0; 6]), [(2, 0), (3, 1), (4, 2), (5, 3)]);
        assert_eq!(Mask::new(Rule::Diagonal { offset: 2 }, NONE, &[0; 7]).queries, 5);
    }

    #[test]
    fn earlier_repeats_go_by_place_and_not_by_token() {
        let rule = Rule::EarlierRepeats { start: 1, half_len: 2 };
        let expected = [(3, 2), (4, 3), (5, 2), (5, 4), (6, 3), (6, 5)];
        assert_eq!(pairs(rule, NONE, &[0, 7, 7, 7, 7, 7, 7]), expected);
        assert_eq!(Mask::new(rule, NONE, &[0, 7, 7, 7, 7, 7, 7]).queries, 4);
    }

    #[test]
    fn totals_leave_out_what_is_excluded() {
        let n = 4;
        let pattern: Vec<f64> = (0..n * n).map(|entry| if entry % n <= entry / n { 1.0 } else { 0.0 }).collect();
        let count = |first, current| {
            let exclude = Exclude { first, current };
            let sum = total(&pattern, n, n, exclude);
            assert_eq!(Mask::new(Rule::Visible, exclude, &[0; 4]).mass(&pattern), sum, "the same as a mask");
            sum
        };
        assert_eq!(
            [count(false, false), count(true, false), count(false, true), count(true, true)],
            [10.0, 6.0, 6.0, 3.0]
        );
    }
}
