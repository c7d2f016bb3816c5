//! Which tokens of which branches have values of their own.

use burn::tensor::Tensor;

use super::super::run::select;

/// A token of a branch. Branches are runs of one prompt under one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// Index of the branch in its part of the sweep.
    pub branch: u32,
    /// Position in the prompt.
    pub position: u32,
}

/// Tokens, by branch, then by position, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows(Vec<Token>);

impl Rows {
    /// The tokens, sorted and without repetition.
    pub fn new(mut tokens: Vec<Token>) -> Self {
        if !tokens.is_sorted_by(|a, b| a < b) {
            tokens.sort_unstable();
            tokens.dedup();
        }
        Rows(tokens)
    }

    pub fn tokens(&self) -> &[Token] {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn positions(&self) -> Vec<u32> {
        self.0.iter().map(|token| token.position).collect()
    }

    /// Where a token stands.
    pub fn find(&self, token: Token) -> Option<usize> {
        self.0.binary_search(&token).ok()
    }

    /// The tokens of one branch after another.
    pub fn by_branch(&self) -> impl Iterator<Item = &[Token]> {
        self.0.chunk_by(|a, b| a.branch == b.branch)
    }

    /// All tokens of both.
    pub fn union(&self, other: &Rows) -> Rows {
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
        Rows(all)
    }

    /// The tokens for which `keep` says so.
    pub fn filter(&self, keep: impl Fn(&Token) -> bool) -> Rows {
        Rows(self.0.iter().copied().filter(keep).collect())
    }

    /// Where each token of `wanted` stands in a table that begins with `base` rows of the base run, `row(token)` being its own
    /// there, and goes on with the rows of `self`.
    pub fn places(&self, wanted: &Rows, base: usize, row: impl Fn(&Token) -> usize) -> Vec<usize> {
        let mut own = self.0.iter().enumerate().peekable();
        let place = |token: &Token| {
            while own.next_if(|(_, have)| *have < token).is_some() {}
            match own.peek() {
                Some((index, have)) if *have == token => base + index,
                _ => row(token),
            }
        };
        wanted.0.iter().map(place).collect()
    }
}

/// Tokens with values of their own; all others have the base run's.
#[derive(Clone, Debug, Default)]
pub struct Own {
    pub rows: Rows,
    /// `[row, width]`; absent where there are no rows, for no backend likes empty tensors.
    pub values: Option<Tensor<2>>,
}

impl Own {
    pub fn new(rows: Rows, values: Option<Tensor<2>>) -> Self {
        Own { rows, values }
    }

    /// The values of `wanted`: own ones where there are, those of the base run elsewhere. `base`: `[prompt · pos, width]`, in
    /// which `row(token)` is the token's row.
    pub fn gather(&self, wanted: &Rows, base: &Tensor<2>, row: impl Fn(&Token) -> usize) -> Option<Tensor<2>> {
        if wanted.is_empty() {
            return None;
        }
        let Some(values) = &self.values else {
            return Some(select(base, &wanted.0.iter().map(row).collect::<Vec<_>>()));
        };
        if *wanted == self.rows {
            return Some(values.clone());
        }
        let n_base = base.dims()[0];
        let places = self.rows.places(wanted, n_base, row);
        if places.iter().all(|place| *place >= n_base) {
            return Some(select(values, &places.iter().map(|place| place - n_base).collect::<Vec<_>>()));
        }
        Some(select(&self.table(base), &places))
    }

    /// The base run's rows, and the own ones after them.
    pub fn table(&self, base: &Tensor<2>) -> Tensor<2> {
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

    fn rows(tokens: &[(u32, u32)]) -> Rows {
        Rows::new(tokens.iter().map(|&(branch, position)| Token { branch, position }).collect())
    }

    #[test]
    fn rows_are_sorted_sets() {
        let (a, b) = (rows(&[(1, 0), (0, 3), (0, 3)]), rows(&[(0, 1), (1, 0), (2, 2)]));
        assert_eq!(a.union(&b), rows(&[(0, 1), (0, 3), (1, 0), (2, 2)]));
        assert_eq!(b.union(&a), a.union(&b));
        assert_eq!(a.union(&Rows::default()), a);
        assert_eq!(a.find(Token { branch: 1, position: 0 }), Some(1));
        assert_eq!(a.by_branch().map(<[Token]>::len).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn what_is_not_own_comes_from_the_base_run() {
        let device = Device::flex();
        let base = Tensor::<2>::from_data([[0.0], [1.0], [2.0], [3.0]], &device);
        let own = Own::new(rows(&[(0, 1), (1, 0)]), Some(Tensor::from_data([[10.0], [20.0]], &device)));
        let row = |token: &Token| (token.branch * 2 + token.position) as usize;
        let gathered = |wanted: &[(u32, u32)]| {
            let values = own.gather(&rows(wanted), &base, row).expect("some rows");
            values.into_data().try_into_vec::<f32>().expect("float32")
        };
        assert_eq!(gathered(&[(0, 0), (0, 1), (1, 0), (1, 1)]), [0.0, 10.0, 20.0, 3.0]);
        assert_eq!(gathered(&[(0, 1), (1, 0)]), [10.0, 20.0]);
        assert_eq!(gathered(&[(1, 0)]), [20.0]);
        assert_eq!(gathered(&[(1, 1)]), [3.0]);
        assert!(own.gather(&Rows::default(), &base, row).is_none());
    }
}
