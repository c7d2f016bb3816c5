//! Random choices that never change: a published seed gives the same numbers whatever version of a library is
//! installed.
//!
//! They come from ChaCha8 with a key that is written out here, and ranges are sampled by code that is written out here:
//!
//! - key (32 bytes) = the seed as 8 little-endian bytes, then the domain's 24 bytes;
//! - stream number = index of the prompt, so that prompt 3 is the same in a batch of 4 and in a batch of 40;
//! - one draw below `n`: take 32-bit words until one is below the largest multiple of `n` that fits 2^32, then its
//!   remainder.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What random choices are made for. Two domains never share a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Domain {
    RepeatedRandom,
    PairsIoi,
    PairsGreaterThan,
    PairsAgreement,
    PairsPronoun,
    PairsCapitals,
    PairsInduction,
    Bootstrap,
    RandomSets,
    Resample,
    Noise,
}

impl Domain {
    /// The part of the key after the seed. Changing it changes every published result of that domain.
    fn bytes(self) -> &'static [u8; 24] {
        match self {
            Domain::RepeatedRandom => b"prompts/repeated-random\0",
            Domain::PairsIoi => b"pairs/ioi\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            Domain::PairsGreaterThan => b"pairs/greater-than\0\0\0\0\0\0",
            Domain::PairsAgreement => b"pairs/agreement\0\0\0\0\0\0\0\0\0",
            Domain::PairsPronoun => b"pairs/pronoun\0\0\0\0\0\0\0\0\0\0\0",
            Domain::PairsCapitals => b"pairs/capitals\0\0\0\0\0\0\0\0\0\0",
            Domain::PairsInduction => b"pairs/induction\0\0\0\0\0\0\0\0\0",
            Domain::Bootstrap => b"causal/bootstrap\0\0\0\0\0\0\0\0",
            Domain::RandomSets => b"causal/random-sets\0\0\0\0\0\0",
            Domain::Resample => b"causal/resample\0\0\0\0\0\0\0\0\0",
            Domain::Noise => b"causal/noise\0\0\0\0\0\0\0\0\0\0\0\0",
        }
    }
}

/// A generator for one prompt of one domain.
pub(crate) fn generator(seed: u64, domain: Domain, prompt: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..].copy_from_slice(domain.bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(prompt);
    rng
}

/// A uniform number below `n` (which is not 0), without the bias of a plain remainder.
pub(crate) fn below(rng: &mut ChaCha8Rng, n: u32) -> u32 {
    const WORDS: u64 = 1 << 32;
    let fair = WORDS - WORDS % u64::from(n);
    loop {
        let word = rng.next_u32();
        if u64::from(word) < fair {
            return word % n;
        }
    }
}

/// Standard normal numbers by Box and Muller: from two words u, v come √(−2 ln((u + 1) / 2^32)) times the cosine and
/// the sine of 2π v / 2^32.
pub(crate) fn normals(mut rng: ChaCha8Rng) -> impl Iterator<Item = f64> {
    const WORDS: f64 = 4_294_967_296.0;
    let pair = move || {
        let (u, v) = ((f64::from(rng.next_u32()) + 1.0) / WORDS, f64::from(rng.next_u32()) / WORDS);
        let (radius, angle) = ((-2.0 * u.ln()).sqrt(), std::f64::consts::TAU * v);
        [radius * angle.cos(), radius * angle.sin()]
    };
    std::iter::repeat_with(pair).flatten()
}

/// The ids a random prompt may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// Ids 0 to `size - 1` are tokens; the embedding rows above are padding.
    pub size: usize,
    /// The id of the beginning-of-sequence token.
    pub bos: u32,
}

impl Vocabulary {
    /// Ids that a random token may have: all but the BOS, which may lie beyond the vocabulary.
    pub(crate) const fn choices(self) -> usize {
        self.size - self.has_bos() as usize
    }

    /// The id of a choice, which is a number below [`choices`](Self::choices): the ids from the BOS on are one larger.
    pub(crate) const fn random_id(self, choice: u32) -> u32 {
        choice + (self.has_bos() && choice >= self.bos) as u32
    }

    const fn has_bos(self) -> bool {
        (self.bos as usize) < self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_have_the_moments_of_the_normal_distribution() {
        let values: Vec<f64> = normals(generator(3, Domain::Noise, 0)).take(100_000).collect();
        let moment = |power: i32| values.iter().map(|value| value.powi(power)).sum::<f64>() / values.len() as f64;
        for (power, expected, near) in [(1, 0.0, 0.02), (2, 1.0, 0.02), (3, 0.0, 0.06), (4, 3.0, 0.1)] {
            assert!((moment(power) - expected).abs() < near, "{power}: {}", moment(power));
        }
        let again: Vec<f64> = normals(generator(3, Domain::Noise, 0)).take(3).collect();
        assert_eq!(again, values[..3]);
        assert!(normals(generator(3, Domain::Noise, 1)).next().is_some_and(|other| other != values[0]));
    }

    #[test]
    fn a_remainder_would_be_biased_and_this_is_not() {
        // Of 2^32 words, those from 3·2^30 on are refused here; a remainder would give the lower third twice the
        // chance.
        let mut rng = generator(0, Domain::RepeatedRandom, 0);
        let n = 3 << 30;
        let low = (0..3000).filter(|_| below(&mut rng, n) < 1 << 30).count();
        assert!((850..1150).contains(&low), "{low}");
    }
}
