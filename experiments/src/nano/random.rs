//! Random numbers for training: ChaCha8 with a written-out key and written-out sampling.
//!
//! The key is the seed as 8 little-endian bytes and the 24 bytes of a purpose; the stream number is the step (or the
//! parameter) that is drawn for. So the batch of step 900 is the same whether or not the steps before it were drawn.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What numbers are drawn for. Two purposes never share a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Parameters at step 0; the stream is the parameter's place among all of them.
    Parameters,
    /// The bigram table; one stream.
    Bigrams,
    /// Training sequences; the stream is the step.
    Batches,
}

impl Purpose {
    /// The part of the key after the seed. Changing it changes every trained suite.
    fn bytes(self) -> &'static [u8; 24] {
        match self {
            Purpose::Parameters => b"nano/parameters\0\0\0\0\0\0\0\0\0",
            Purpose::Bigrams => b"nano/bigrams\0\0\0\0\0\0\0\0\0\0\0\0",
            Purpose::Batches => b"nano/batches\0\0\0\0\0\0\0\0\0\0\0\0",
        }
    }
}

/// A source of uniform and normal numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(ChaCha8Rng);

impl Random {
    /// The generator of one stream of one purpose.
    pub(crate) fn new(seed: u64, purpose: Purpose, stream: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..].copy_from_slice(purpose.bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(stream);
        Self(rng)
    }

    /// A uniform whole number in `low..high`, without the bias of a plain remainder. The range must not be empty.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        const WORDS: u64 = 1 << 32;
        let n = high - low;
        let fair = WORDS - WORDS % u64::from(n);
        loop {
            let word = self.0.next_u32();
            if u64::from(word) < fair {
                return low + word % n;
            }
        }
    }

    /// A uniform number in `[0, 1)` on the grid of 2⁻⁵³.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A standard normal number (Box & Muller 1958, the cosine branch alone).
    pub(crate) fn normal(&mut self) -> f64 {
        // 1 − u lies in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_and_purposes_differ_and_repeat() {
        let draw = |seed, purpose, stream| Random::new(seed, purpose, stream).between(0, u32::MAX);
        assert_eq!(draw(1, Purpose::Batches, 5), draw(1, Purpose::Batches, 5));
        assert_ne!(draw(1, Purpose::Batches, 5), draw(1, Purpose::Batches, 6));
        assert_ne!(draw(1, Purpose::Batches, 5), draw(2, Purpose::Batches, 5));
        assert_ne!(draw(1, Purpose::Batches, 0), draw(1, Purpose::Bigrams, 0));
    }

    #[test]
    fn uniform_numbers_cover_their_range_evenly() {
        let mut random = Random::new(3, Purpose::Batches, 0);
        let mut seen = [0u32; 6];
        for _ in 0..6000 {
            seen[random.between(1, 7) as usize - 1] += 1;
        }
        assert!(seen.iter().all(|&n| (880..1120).contains(&n)), "{seen:?}");
        assert!((0..1000).map(|_| random.unit()).all(|u| (0.0..1.0).contains(&u)));
    }

    #[test]
    fn normal_numbers_have_the_moments_of_a_normal() {
        let mut random = Random::new(3, Purpose::Parameters, 0);
        let draws: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        let fourth = draws.iter().map(|x| (x - mean).powi(4)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.04, "{variance}");
        assert!((fourth - 3.0).abs() < 0.3, "{fourth}");
    }
}
