//! Reference tensors and comparisons.

use std::{collections::BTreeMap, path::Path};

use safetensors::{Dtype, SafeTensors};

/// A tensor on the host, in float64 whatever it was stored as.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// Size of each axis.
    pub shape: Vec<usize>,
    /// Values, last axis fastest.
    pub values: Vec<f64>,
}

impl Reference {
    /// Standard deviation of the values.
    pub fn std(&self) -> f64 {
        let n = self.values.len() as f64;
        let mean = self.values.iter().sum::<f64>() / n;
        (self.values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt()
    }

    /// The values as token ids.
    pub fn tokens(&self) -> Vec<Vec<i64>> {
        self.values.chunks(self.shape[1]).map(|row| row.iter().map(|&id| id as i64).collect()).collect()
    }
}

/// Every tensor of a `.safetensors` file, by name.
pub fn read(path: &Path) -> BTreeMap<String, Reference> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let decode = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        (name, Reference { shape: view.shape().to_vec(), values: numbers(view.dtype(), view.data()) })
    };
    file.tensors().into_iter().map(decode).collect()
}

fn numbers(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    fn chunked<const N: usize>(bytes: &[u8], read: fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.chunks_exact(N).map(|chunk| read(chunk.try_into().expect("chunks have N bytes"))).collect()
    }
    match dtype {
        Dtype::F64 => chunked(bytes, f64::from_le_bytes),
        Dtype::F32 => chunked(bytes, |raw| f64::from(f32::from_le_bytes(raw))),
        Dtype::I64 => chunked(bytes, |raw| i64::from_le_bytes(raw) as f64),
        Dtype::U32 => chunked(bytes, |raw| f64::from(u32::from_le_bytes(raw))),
        other => panic!("no reference file holds {other:?}"),
    }
}

/// How far `ours` is from `reference` at worst. Infinite elements must be infinite in both, with one sign, and count as
/// equal then; a NaN anywhere is an infinite distance.
pub fn distance(ours: &Reference, reference: &Reference) -> f64 {
    if ours.shape != reference.shape {
        return f64::INFINITY;
    }
    let each = |(&a, &b): (&f64, &f64)| {
        let gap = if a == b { 0.0 } else { (a - b).abs() };
        if gap.is_nan() { f64::INFINITY } else { gap }
    };
    ours.values.iter().zip(&reference.values).map(each).fold(0.0, f64::max)
}

/// Distances of many tensors, each against its own bound.
#[derive(Debug, Default)]
pub struct Comparisons {
    worst: BTreeMap<String, (f64, f64, String)>,
    failures: Vec<String>,
}

impl Comparisons {
    /// Notes the distance between two tensors; `kind` groups the report.
    pub fn compare(&mut self, kind: &str, name: &str, ours: &Reference, reference: &Reference, bound: f64) {
        let found = distance(ours, reference);
        if found > bound || found.is_nan() {
            let shapes = format!("shapes {:?} and {:?}", ours.shape, reference.shape);
            self.failures.push(format!("{name}: distance {found:e} is over {bound:e} ({shapes})"));
        }
        let entry = self.worst.entry(kind.to_owned()).or_insert((0.0, bound, name.to_owned()));
        if found >= entry.0 {
            *entry = (found, bound, name.to_owned());
        }
    }

    /// Prints the worst distance of each kind and panics with every comparison that failed, or if there was none.
    pub fn assert_within_bounds(self, title: &str) {
        for (kind, (found, bound, name)) in &self.worst {
            println!("{title}: {kind}: worst {found:.2e} of {bound:.0e} allowed, at {name}");
        }
        assert!(!self.worst.is_empty(), "{title}: nothing was compared");
        let count = self.failures.len();
        assert!(self.failures.is_empty(), "{title}: {count} comparisons failed\n{}", self.failures.join("\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f64]) -> Reference {
        Reference { shape: vec![values.len()], values: values.to_vec() }
    }

    #[test]
    fn distances_know_infinities_and_nan() {
        let inf = f64::NEG_INFINITY;
        assert_eq!(distance(&row(&[1.0, inf]), &row(&[1.5, inf])), 0.5);
        assert_eq!(distance(&row(&[1.0, -1e30]), &row(&[1.0, inf])), f64::INFINITY);
        assert_eq!(distance(&row(&[f64::NAN]), &row(&[f64::NAN])), f64::INFINITY);
        assert_eq!(distance(&row(&[1.0]), &row(&[1.0, 2.0])), f64::INFINITY);
    }

    #[test]
    #[should_panic(expected = "1 comparisons failed")]
    fn comparisons_fail_when_one_is_over_its_bound() {
        let mut comparisons = Comparisons::default();
        comparisons.compare("kind", "a", &row(&[1.0]), &row(&[1.0]), 0.0);
        comparisons.compare("kind", "b", &row(&[1.0]), &row(&[1.1]), 0.01);
        comparisons.assert_within_bounds("test");
    }

    #[test]
    #[should_panic(expected = "nothing was compared")]
    fn comparing_nothing_fails() {
        Comparisons::default().assert_within_bounds("test");
    }
}
