//! The tokens of intervened runs whose values differ from the base run's.

use burn::tensor::Tensor;

use crate::rows::select;

/// An (example, intervention) pair: one prompt under one intervention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExampleRun {
    pub intervention: usize,
    pub example: usize,
}

/// A token of an [`ExampleRun`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Token {
    /// Index of the pair among those that are computed together.
    pub run: u32,
    /// Position in the prompt.
    pub position: u32,
}

/// A set of tokens, in the order of their runs, then of their positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TokenSet(Vec<Token>);

impl TokenSet {
    /// The tokens, sorted and without repetition.
    pub(super) fn new(mut tokens: Vec<Token>) -> Self {
        if !tokens.is_sorted_by(|a, b| a < b) {
            tokens.sort_unstable();
            tokens.dedup();
        }
        TokenSet(tokens)
    }

    pub(super) fn as_slice(&self) -> &[Token] {
        &self.0
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn positions(&self) -> Vec<u32> {
        self.0.iter().map(|token| token.position).collect()
    }

    /// The index of a token.
    pub(super) fn find(&self, token: Token) -> Option<usize> {
        self.0.binary_search(&token).ok()
    }

    /// The tokens in groups, one for each run.
    pub(super) fn by_run(&self) -> impl Iterator<Item = &[Token]> {
        self.0.chunk_by(|a, b| a.run == b.run)
    }

    /// The tokens of either set.
    pub(super) fn union(&self, other: &TokenSet) -> TokenSet {
        if other.is_empty() {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        let mut all = Vec::with_capacity(self.len() + other.len());
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            match x.cmp(y) {
                std::cmp::Ordering::Less => all.extend(a.next()),
                std::cmp::Ordering::Greater => all.extend(b.next()),
                std::cmp::Ordering::Equal => {
                    all.extend(a.next());
                    b.next();
                }
            }
        }
        all.extend(a);
        all.extend(b);
        TokenSet(all)
    }

    /// The tokens for which `keep` says so.
    pub(super) fn filter(&self, keep: impl Fn(&Token) -> bool) -> TokenSet {
        TokenSet(self.0.iter().copied().filter(keep).collect())
    }

    /// The row of each token of `wanted` in a table with the base run's `base` rows first and a row for each token of
    /// `self` after them. A token that `self` lacks has the row `row(token)`.
    pub(super) fn places(&self, wanted: &TokenSet, base: usize, row: impl Fn(&Token) -> usize) -> Vec<usize> {
        let mut changed = self.0.iter().enumerate().peekable();
        let place = |token: &Token| {
            while changed.next_if(|(_, have)| *have < token).is_some() {}
            match changed.peek() {
                Some((index, have)) if *have == token => base + index,
                _ => row(token),
            }
        };
        wanted.0.iter().map(place).collect()
    }
}

/// Tokens whose values differ from the base run's, and these values. All other tokens have the base run's values.
#[derive(Clone, Debug, Default)]
pub(super) struct ChangedRows {
    pub tokens: TokenSet,
    /// `[token, width]`; `None` where there are no tokens, because not every backend has empty tensors.
    pub values: Option<Tensor<2>>,
}

impl ChangedRows {
    pub(super) fn new(tokens: TokenSet, values: Option<Tensor<2>>) -> Self {
        ChangedRows { tokens, values }
    }

    /// The values of `wanted`: changed ones where there are any, the base run's elsewhere. `base` is `[prompt · pos,
    /// width]`, and `row(token)` the token's row there.
    pub(super) fn gather(
        &self,
        wanted: &TokenSet,
        base: &Tensor<2>,
        row: impl Fn(&Token) -> usize,
    ) -> Option<Tensor<2>> {
        if wanted.is_empty() {
            return None;
        }
        let Some(values) = &self.values else {
            return Some(select(base, &wanted.0.iter().map(row).collect::<Vec<_>>()));
        };
        if *wanted == self.tokens {
            return Some(values.clone());
        }
        let n_base = base.dims()[0];
        let places = self.tokens.places(wanted, n_base, row);
        if places.iter().all(|place| *place >= n_base) {
            return Some(select(values, &places.iter().map(|place| place - n_base).collect::<Vec<_>>()));
        }
        Some(select(&self.table(base), &places))
    }

    /// The base run's rows with the changed ones after them.
    pub(super) fn table(&self, base: &Tensor<2>) -> Tensor<2> {
        match &self.values {
            Some(values) => Tensor::cat(vec![base.clone(), values.clone()], 0),
            None => base.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn set(tokens: &[(u32, u32)]) -> TokenSet {
        TokenSet::new(tokens.iter().map(|&(run, position)| Token { run, position }).collect())
    }

    #[test]
    fn token_sets_are_sorted() {
        let (a, b) = (set(&[(1, 0), (0, 3), (0, 3)]), set(&[(0, 1), (1, 0), (2, 2)]));
        assert_eq!(a.union(&b), set(&[(0, 1), (0, 3), (1, 0), (2, 2)]));
        assert_eq!(b.union(&a), a.union(&b));
        assert_eq!(a.union(&TokenSet::default()), a);
        assert_eq!(a.find(Token { run: 1, position: 0 }), Some(1));
        assert_eq!(a.by_run().map(<[Token]>::len).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn what_is_not_changed_comes_from_the_base_run() {
        let device = Device::flex();
        let base = Tensor::<2>::from_data([[0.0], [1.0], [2.0], [3.0]], &device);
        let changed = ChangedRows::new(set(&[(0, 1), (1, 0)]), Some(Tensor::from_data([[10.0], [20.0]], &device)));
        let row = |token: &Token| (token.run * 2 + token.position) as usize;
        let gathered = |wanted: &[(u32, u32)]| {
            let values = changed.gather(&set(wanted), &base, row).expect("some rows");
            values.into_data().try_into_vec::<f32>().expect("float32")
        };
        assert_eq!(gathered(&[(0, 0), (0, 1), (1, 0), (1, 1)]), [0.0, 10.0, 20.0, 3.0]);
        assert_eq!(gathered(&[(0, 1), (1, 0)]), [10.0, 20.0]);
        assert_eq!(gathered(&[(1, 0)]), [20.0]);
        assert_eq!(gathered(&[(1, 1)]), [3.0]);
        assert!(changed.gather(&TokenSet::default(), &base, row).is_none());
    }
}
