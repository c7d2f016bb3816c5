//! The tokens a probe runs on.
//!
//! ```
//! use pythia_probes::ProbeError;
//! use pythia_probes::prompts::{Prompts, Repeated, Vocabulary};
//!
//! let layout = Repeated { batch: 2, half_len: 5, repeats: 2, bos: true };
//! let prompts = Prompts::repeated(layout, Vocabulary { size: 100, bos: 0 }, 42)?;
//! // [BOS] R R
//! let row = &prompts.rows()[0];
//! assert_eq!((row.len(), row[0]), (11, 0));
//! assert_eq!(row[1..6], row[6..]);
//! # Ok::<(), ProbeError>(())
//! ```
//!
//! - this file: random tokens that repeat, and batches of token sequences;
//! - `source`: the value of `prompts` in a configuration; `encode`: its prompts as token ids; `file`: prompts written
//!   one per line as JSON;
//! - `token_texts`: the texts that stand beside ids in a table.

mod encode;
mod file;
mod source;
mod token_texts;

use std::ops::Range;

use crate::error::ProbeError;
pub use crate::random::Vocabulary;
use crate::random::{Domain, below, generator};
pub use source::{PromptKind, PromptSource};
pub(crate) use token_texts::TokenTexts;

/// The most prompts of a probe: they run as one batch.
pub(crate) const MAX_BATCH: usize = 1 << 16;

/// How random prompts are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeated {
    /// Prompts.
    pub batch: usize,
    /// Random tokens in the part that is repeated.
    pub half_len: usize,
    /// How often that part stands in the prompt.
    pub repeats: usize,
    /// Whether a BOS stands before it.
    pub bos: bool,
}

impl Repeated {
    /// Tokens in a prompt; a length beyond `usize` stays at its end, which no model's context reaches.
    pub fn len(&self) -> usize {
        self.half_len.saturating_mul(self.repeats).saturating_add(usize::from(self.bos))
    }

    /// Whether a prompt has no tokens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Refuses counts that leave nothing to run, or more prompts than any memory holds. Lengths have their own bound,
    /// the model's context.
    pub(crate) fn check(&self, least_repeats: usize) -> Result<(), ProbeError> {
        let counts = [
            ("prompts.n", self.batch, 1),
            ("prompts.half_len", self.half_len, 1),
            ("prompts.repeats", self.repeats, least_repeats),
        ];
        if let Some((field, value, least)) = counts.into_iter().find(|(_, value, least)| value < least) {
            return Err(ProbeError::TooSmall { field, value, least });
        }
        if self.batch > MAX_BATCH {
            return Err(ProbeError::TooLarge { field: "prompts.n", value: self.batch, most: MAX_BATCH });
        }
        Ok(())
    }
}

/// A batch of token sequences. Probes whose prompts are equal can share one forward pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompts {
    rows: Vec<Vec<u32>>,
}

impl Prompts {
    /// `[bos?] R R …`: `R` has `half_len` ids, drawn uniformly and independently from the ids of the vocabulary
    /// without the BOS (which is left out also where no BOS stands in front, so that the two layouts have the same
    /// `R`).
    ///
    /// # Errors
    /// [`ProbeError::VocabTooSmall`] if no id is left to draw from.
    pub fn repeated(shape: Repeated, vocabulary: Vocabulary, seed: u64) -> Result<Self, ProbeError> {
        let choices = u32::try_from(vocabulary.choices()).ok().filter(|choices| *choices > 0);
        let choices = choices.ok_or(ProbeError::VocabTooSmall { vocab: vocabulary.size })?;
        let row = |prompt| {
            let mut rng = generator(seed, Domain::RepeatedRandom, prompt);
            let half: Vec<u32> = (0..shape.half_len).map(|_| vocabulary.random_id(below(&mut rng, choices))).collect();
            let mut row = Vec::with_capacity(shape.len());
            row.extend(shape.bos.then_some(vocabulary.bos));
            (0..shape.repeats).for_each(|_| row.extend_from_slice(&half));
            row
        };
        Ok(Self { rows: (0..shape.batch as u64).map(row).collect() })
    }

    /// Sequences given by their ids, each with a BOS put in front if `prepend_bos` (also where it already begins with
    /// one). `field`: the setting they come from, for errors.
    ///
    /// # Errors
    /// [`ProbeError::IdOutOfVocab`] for an id that is padding or beyond the table.
    pub fn given(
        field: &'static str,
        ids: &[Vec<u32>],
        prepend_bos: bool,
        vocabulary: Vocabulary,
    ) -> Result<Self, ProbeError> {
        for (prompt, row) in ids.iter().enumerate() {
            if let Some(index) = row.iter().position(|id| *id as usize >= vocabulary.size) {
                let (id, vocab) = (row[index], vocabulary.size);
                return Err(ProbeError::IdOutOfVocab { field, prompt, index, id, vocab });
            }
        }
        let front = prepend_bos.then_some(vocabulary.bos);
        let rows = ids.iter().map(|row| front.iter().chain(row).copied().collect()).collect();
        Ok(Self { rows })
    }

    /// The sequences, each with its own length.
    pub fn rows(&self) -> &[Vec<u32>] {
        &self.rows
    }

    /// Number of sequences.
    pub fn batch(&self) -> usize {
        self.rows.len()
    }

    /// Length of the longest sequence.
    pub fn len(&self) -> usize {
        self.rows.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The indices of the sequences in that many parts of consecutive ones, all of the same size but for the last,
    /// which may be smaller. No part is empty; there are fewer where the sizes do not come out even.
    pub(crate) fn parts(&self, parts: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let batch = self.batch();
        let size = batch.div_ceil(parts.max(1)).max(1);
        (0..batch).step_by(size).map(move |from| from..(from + size).min(batch))
    }

    /// The sequences made as long as the longest of them, filled up with zeros **on the right**: attention is causal,
    /// so nothing to the left of the filling can see it.
    pub fn padded(&self) -> Vec<Vec<u32>> {
        let len = self.len();
        let filled = |row: &Vec<u32>| {
            let mut row = row.clone();
            row.resize(len, 0);
            row
        };
        self.rows.iter().map(filled).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Repeated = Repeated { batch: 3, half_len: 5, repeats: 2, bos: true };
    const VOCABULARY: Vocabulary = Vocabulary { size: 11, bos: 4 };

    fn prompts(shape: Repeated, seed: u64) -> Prompts {
        Prompts::repeated(shape, VOCABULARY, seed).expect("the vocabulary is large enough")
    }

    #[test]
    fn a_random_half_is_repeated_after_the_bos_and_never_holds_it() {
        for seed in 0..200 {
            for row in prompts(SHAPE, seed).rows() {
                assert_eq!(row.len(), SHAPE.len());
                assert_eq!(row[0], 4);
                assert_eq!(row[1..6], row[6..]);
                assert!(row[1..].iter().all(|id| *id < 11 && *id != 4));
            }
        }
    }

    #[test]
    fn a_prompt_depends_on_the_seed_and_its_index_alone() {
        let few = prompts(SHAPE, 7);
        let many = prompts(Repeated { batch: 9, ..SHAPE }, 7);
        let longer = prompts(Repeated { half_len: 8, repeats: 3, bos: false, ..SHAPE }, 7);
        assert_eq!(few.rows(), &many.rows()[..3]);
        assert_eq!(few.rows()[2][1..6], longer.rows()[2][..5]);
        assert_ne!(few, prompts(SHAPE, 8));
        assert_ne!(few.rows()[0], few.rows()[1]);
    }

    #[test]
    fn the_stream_is_the_one_that_is_written_down() {
        // From an implementation of ChaCha (8 rounds, 64-bit counter and stream) of its own, not from this library.
        let shape = Repeated { batch: 4, half_len: 6, repeats: 1, bos: false };
        let prompts = Prompts::repeated(shape, Vocabulary { size: 50_277, bos: 0 }, 42).expect("there are ids");
        assert_eq!(prompts.rows()[0], [20298, 27783, 27616, 8210, 26647, 6041]);
        assert_eq!(prompts.rows()[3], [29787, 6679, 21554, 16630, 19139, 3262]);
    }

    #[test]
    fn absurd_sizes_are_refused_before_anything_is_allocated() {
        let endless = Repeated { half_len: usize::MAX / 2 + 1, repeats: 2, ..SHAPE };
        assert_eq!((endless.len(), endless.check(2)), (usize::MAX, Ok(())));
        let most = ProbeError::TooLarge { field: "prompts.n", value: 1 << 40, most: MAX_BATCH };
        assert_eq!(Repeated { batch: 1 << 40, ..SHAPE }.check(2), Err(most));
        let least = ProbeError::TooSmall { field: "prompts.repeats", value: 2, least: 3 };
        assert_eq!(SHAPE.check(3), Err(least));
    }

    #[test]
    fn every_id_but_the_bos_is_drawn_equally_often() {
        let shape = Repeated { batch: 100, half_len: 100, repeats: 1, bos: false };
        let mut counts = [0_i32; 11];
        for id in prompts(shape, 1).rows().iter().flatten() {
            counts[*id as usize] += 1;
        }
        // 10,000 draws over 10 ids: the standard deviation of a count is 30.
        assert_eq!(counts[4], 0);
        assert!(counts.iter().enumerate().all(|(id, count)| id == 4 || (count - 1000).abs() < 150), "{counts:?}");
    }

    #[test]
    fn there_must_be_something_to_draw_from() {
        let error = Prompts::repeated(SHAPE, Vocabulary { size: 1, bos: 0 }, 0);
        assert_eq!(error, Err(ProbeError::VocabTooSmall { vocab: 1 }));
    }

    #[test]
    fn given_rows_keep_their_lengths_and_are_filled_on_the_right() {
        let rows = [vec![1, 2], vec![3]];
        let prompts = Prompts::given("prompts.tokens", &rows, true, VOCABULARY).expect("ids are in range");
        assert_eq!(prompts.rows(), [vec![4, 1, 2], vec![4, 3]]);
        assert_eq!(prompts.padded(), [[4, 1, 2], [4, 3, 0]]);
        let field = "prompts.file";
        let error = Prompts::given(field, &[vec![1], vec![0, 11]], false, VOCABULARY);
        assert_eq!(error, Err(ProbeError::IdOutOfVocab { field, prompt: 1, index: 1, id: 11, vocab: 11 }));
    }

    #[test]
    fn parts_are_consecutive_and_hold_every_sequence_once() {
        let of = |batch, parts| {
            let prompts = prompts(Repeated { batch, ..SHAPE }, 0);
            prompts.parts(parts).map(|part| (part.start, part.end)).collect::<Vec<_>>()
        };
        assert_eq!(of(5, 1), [(0, 5)]);
        assert_eq!(of(5, 2), [(0, 3), (3, 5)]);
        assert_eq!(of(5, 4), [(0, 2), (2, 4), (4, 5)]);
        assert_eq!(of(5, 5), [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]);
        assert_eq!(of(2, 9), [(0, 1), (1, 2)]);
    }
}
