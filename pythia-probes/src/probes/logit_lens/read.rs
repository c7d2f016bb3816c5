//! One row of logits reduced to the numbers of a table row.

/// What the table shows of a distribution over the next token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Prediction {
    /// The most likely token, the first of several.
    pub top: u32,
    pub top_prob: f64,
    /// The right token, where it is known.
    pub target: Option<Target>,
    /// Entropy in nats.
    pub entropy: f64,
}

/// What the table shows of the right token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Target {
    /// Its probability; 0 where that is below the smallest number.
    pub prob: f64,
    /// How many tokens come before it; 0 where it is the most likely one.
    pub rank: usize,
}

/// Reads a row of logits. Probabilities and entropy are those of softmax over **all** entries, padding included, as
/// the losses of the other probes are; top and rank are looked for among the first `vocab` only, because the others
/// are padding. Of equal logits the one with the smaller id comes first, so that a rank of 0 and being the top are the
/// same.
///
/// `None` where a logit is not finite: the model overflowed.
pub(super) fn read<T: Copy + Into<f64>>(logits: &[T], vocab: usize, target: Option<u32>) -> Option<Prediction> {
    let value = |id: usize| -> Option<f64> { logits.get(id).map(|logit| (*logit).into()) };
    let tokens = || logits.iter().take(vocab).map(|logit| -> f64 { (*logit).into() }).enumerate();
    let mut greatest = f64::NEG_INFINITY;
    for logit in logits {
        let logit: f64 = (*logit).into();
        if !logit.is_finite() {
            return None;
        }
        greatest = greatest.max(logit);
    }
    // With x = logit − greatest and Z = Σ e^x, p = e^x / Z and −Σ p ln p = ln Z − Σ x e^x / Z.
    let (mut sum, mut weighted) = (0.0_f64, 0.0_f64);
    for logit in logits {
        let x: f64 = (*logit).into() - greatest;
        let mass = x.exp();
        sum += mass;
        weighted += x * mass;
    }
    let prob = |logit: f64| (logit - greatest).exp() / sum;
    let first = |best: (usize, f64), next: (usize, f64)| if next.1 > best.1 { next } else { best };
    let (top, top_logit) = tokens().reduce(first)?;
    let target = target.and_then(|id| {
        let (right, at) = (id as usize, value(id as usize)?);
        let before = tokens().filter(|(id, logit)| *logit > at || (*logit == at && *id < right));
        Some(Target { prob: prob(at), rank: before.count() })
    });
    // An entropy of nothing may come out as a rounding error below 0.
    let entropy = (sum.ln() - weighted / sum).max(0.0);
    Some(Prediction { top: u32::try_from(top).ok()?, top_prob: prob(top_logit), target, entropy })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-14, "{found}, not {expected}");
    }

    #[test]
    fn known_distributions_are_read_right() {
        // Probabilities 1/8, 1/2, 1/4, 1/8 of which the last is padding.
        let logits = [1.0_f64, 4.0, 2.0, 1.0].map(|odds| odds.ln() + 7.0);
        let prediction = read(&logits, 3, Some(0)).expect("finite");
        assert_eq!(prediction.top, 1);
        close(prediction.top_prob, 0.5);
        close(prediction.entropy, 1.75 * 2_f64.ln());
        let target = prediction.target.expect("was asked for");
        assert_eq!(target.rank, 2);
        close(target.prob, 0.125);
        let uniform = read(&[0.25_f32; 7], 7, None).expect("finite");
        assert_eq!((uniform.top, uniform.target), (0, None));
        close(uniform.entropy, 7_f64.ln());
    }

    #[test]
    fn of_equal_logits_the_smaller_id_comes_first() {
        let logits = [-0.0_f32, 0.0, 3.0, 3.0, 9.0];
        let rank = |id| read(&logits, 4, Some(id)).and_then(|prediction| prediction.target).expect("finite").rank;
        assert_eq!([2, 3, 0, 1].map(rank), [0, 1, 2, 3]);
        assert_eq!(read(&logits, 4, None).expect("finite").top, 2, "padding is no token");
        assert_eq!(read(&logits, 2, None).expect("finite").top, 0);
    }

    #[test]
    fn a_certain_model_has_no_entropy_and_an_overflow_no_prediction() {
        let prediction = read(&[0.0_f32, 3000.0], 2, Some(0)).expect("finite");
        assert_eq!((prediction.top_prob, prediction.entropy), (1.0, 0.0));
        assert_eq!(prediction.target, Some(Target { prob: 0.0, rank: 1 }));
        for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(read(&[0.0, broken, 1.0], 2, Some(0)), None);
        }
        assert_eq!(read::<f32>(&[], 0, None), None);
        assert_eq!(read(&[1.0_f32], 1, Some(4)).expect("finite").target, None);
    }
}
