//! Random sets of heads, as controls: what is lost when as many other heads are ablated?

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;

use crate::error::ProbeError;
use crate::families::causal::places::HeadSet;
use crate::random::{Domain, below, generator};

/// `count` different sets with as many heads in each layer as `set` has. They hold no head of `set` where the layer has
/// enough others, else all the others and some of `set`. A larger `count` gives the same first sets.
///
/// # Errors
/// A layer whose heads are all in the set; fewer such sets than asked for.
pub(super) fn matched(
    name: &str,
    set: &HeadSet,
    n_heads: usize,
    count: usize,
    seed: u64,
) -> Result<Vec<HeadSet>, ProbeError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let refused = |allowed| ProbeError::NoSuchChoice { field: "controls", word: count.to_string(), allowed };
    let layers = by_layer(set, n_heads);
    if let Some((layer, _)) = layers.iter().find(|(_, (_, others))| others.is_empty()) {
        return Err(refused(format!(
            "all heads of layer {layer} are in the set {name:?}, and no other set matches it"
        )));
    }
    let possible = layers.values().map(|(own, others)| choices(own.len(), others.len()));
    let possible = possible.fold(1_u64, u64::saturating_mul);
    if (count as u64) > possible {
        return Err(refused(format!("there are {possible} sets that match the set {name:?}")));
    }
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for attempt in 0.. {
        if found.len() == count {
            break;
        }
        let drawn = draw(&layers, &mut generator(seed, Domain::RandomSets, attempt));
        if seen.insert(drawn.clone()) {
            found.push(drawn);
        }
    }
    Ok(found)
}

/// Per layer, the heads of the set and the others.
type Layers = BTreeMap<usize, (Vec<usize>, Vec<usize>)>;

fn by_layer(set: &HeadSet, n_heads: usize) -> Layers {
    let mut layers = Layers::new();
    for &(layer, head) in set {
        layers.entry(layer).or_insert_with(|| (Vec::new(), (0..n_heads).collect())).0.push(head);
    }
    for (own, others) in layers.values_mut() {
        others.retain(|head| !own.contains(head));
    }
    layers
}

/// How many sets of a layer match `own` heads where there are `others`.
fn choices(own: usize, others: usize) -> u64 {
    if others >= own { binomial(others, own) } else { binomial(own, own - others) }
}

fn binomial(n: usize, k: usize) -> u64 {
    // Each quotient is itself a binomial coefficient, so that nothing is rounded.
    let step = |product: u128, i: u128| (product * (n as u128 - i) / (i + 1)).min(1 << 64);
    let product = (0..k.min(n - k) as u128).fold(1, step);
    u64::try_from(product).unwrap_or(u64::MAX)
}

fn draw(layers: &Layers, rng: &mut ChaCha8Rng) -> HeadSet {
    let mut drawn = HeadSet::new();
    for (&layer, (own, others)) in layers {
        let fresh = choose(others, own.len().min(others.len()), rng);
        let kept = choose(own, own.len() - fresh.len(), rng);
        drawn.extend(fresh.into_iter().chain(kept).map(|head| (layer, head)));
    }
    drawn.sort_unstable();
    drawn
}

/// `n` of some heads.
fn choose(heads: &[usize], n: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut heads = heads.to_vec();
    for at in 0..n {
        let other = at + below(rng, (heads.len() - at) as u32) as usize;
        heads.swap(at, other);
    }
    heads.truncate(n);
    heads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(set: &HeadSet) -> BTreeMap<usize, usize> {
        let mut counts = BTreeMap::new();
        set.iter().for_each(|(layer, _)| *counts.entry(*layer).or_default() += 1);
        counts
    }

    #[test]
    fn random_sets_match_layer_by_layer_and_have_no_head_of_the_set() {
        let set = vec![(1, 0), (1, 5), (4, 2)];
        let drawn = matched("a", &set, 8, 40, 3).expect("there are 15 · 7 of them");
        assert_eq!(drawn.iter().collect::<BTreeSet<_>>().len(), 40);
        for control in &drawn {
            assert_eq!(counts(control), counts(&set));
            assert!(control.iter().all(|head| !set.contains(head)), "{control:?}");
            assert!(control.iter().collect::<BTreeSet<_>>().len() == 3 && control.iter().all(|(_, head)| *head < 8));
        }
        assert_eq!(matched("a", &set, 8, 10, 3).expect("fewer"), drawn[..10]);
        assert_ne!(matched("a", &set, 8, 10, 4).expect("another seed"), drawn[..10]);
    }

    #[test]
    fn every_set_is_drawn_where_all_are_asked_for_and_no_more() {
        let set = vec![(0, 1), (2, 3)];
        assert_eq!(matched("a", &set, 4, 9, 0).expect("3 · 3").len(), 9);
        let error = matched("a", &set, 4, 10, 0).expect_err("one too many");
        assert_eq!(error.to_string(), "controls cannot be 10: there are 9 sets that match the set \"a\"");
        assert_eq!(matched("a", &set, 4, 0, 0), Ok(Vec::new()));
    }

    #[test]
    fn a_layer_with_few_others_gives_them_all() {
        let set = vec![(3, 0), (3, 1), (3, 2)];
        let drawn = matched("a", &set, 4, 3, 0).expect("three of them");
        assert!(drawn.iter().all(|control| control.len() == 3 && control.contains(&(3, 3))), "{drawn:?}");
        let error = matched("a", &set, 3, 1, 0).expect_err("no others").to_string();
        assert!(error.contains("all heads of layer 3 are in the set \"a\""), "{error}");
    }

    #[test]
    fn large_numbers_of_sets_do_not_overflow() {
        assert_eq!((binomial(5, 2), binomial(64, 1), binomial(40, 20)), (10, 64, 137_846_528_820));
        assert_eq!(binomial(1000, 500), u64::MAX);
    }
}
