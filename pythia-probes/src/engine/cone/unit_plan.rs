//! The edits of packed rows, unit by unit: a unit is as many neighbouring columns as all edits of a point treat alike.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};

use super::super::Replacement;
use crate::rows::select;

/// Where each unit of some rows gets its value from.
pub(super) struct UnitPlan {
    units: usize,
    source_rows: usize,
    /// Per unit: the place of its value in the table.
    place: Vec<usize>,
    /// Per unit: what it is multiplied by; empty where nothing is.
    factor: Vec<f32>,
    /// Per unit: the place of what is added, and its multiple; empty where nothing is.
    add: Vec<(usize, f32)>,
    sources: Vec<usize>,
}

impl UnitPlan {
    pub(super) fn new(rows: usize, units: usize, source_rows: usize) -> Self {
        let place = (0..rows * units).collect();
        UnitPlan { units, source_rows, place, factor: Vec::new(), add: Vec::new(), sources: Vec::new() }
    }

    /// The place of a source's unit in the table: after the rows' own units and one unit of zeros.
    fn sourced(&mut self, source: usize, row: usize, unit: usize) -> usize {
        let index = self.sources.iter().position(|have| *have == source).unwrap_or_else(|| {
            self.sources.push(source);
            self.sources.len() - 1
        });
        self.place.len() + 1 + (index * self.source_rows + row) * self.units + unit
    }

    pub(super) fn note(&mut self, row: usize, source_row: usize, units: Range<usize>, replacement: Replacement) {
        let (all, zero) = (self.place.len(), self.place.len());
        for unit in units {
            let at = row * self.units + unit;
            match replacement {
                Replacement::Zero => self.place[at] = zero,
                Replacement::Source(source) => self.place[at] = self.sourced(source, source_row, unit),
                Replacement::Scale(factor) => {
                    self.factor.resize(all, 1.0);
                    self.factor[at] = factor;
                }
                Replacement::Add { source, factor } => {
                    let place = self.sourced(source, source_row, unit);
                    self.add.resize(all, (zero, 0.0));
                    self.add[at] = (place, factor);
                }
            }
        }
    }

    pub(super) fn carry_out(self, values: Tensor<2>, unit: usize, source: impl Fn(usize) -> Tensor<2>) -> Tensor<2> {
        let ([count, width], device, dtype) = (values.dims(), values.device(), values.dtype());
        let column = |numbers: Vec<f32>| {
            let shape = [numbers.len(), 1];
            Tensor::<2>::from_data(TensorData::new(numbers, shape), (&device, dtype))
        };
        let units = |table: Tensor<2>| {
            let [rows, width] = table.dims();
            table.reshape([rows * (width / unit), unit])
        };
        let mut parts = vec![units(values), Tensor::zeros([1, unit], (&device, dtype))];
        parts.extend(self.sources.iter().map(|&index| units(source(index))));
        let table = Tensor::cat(parts, 0);
        let mut result = select(&table, &self.place);
        if !self.factor.is_empty() {
            result = result * column(self.factor);
        }
        if !self.add.is_empty() {
            let (places, factors): (Vec<usize>, Vec<f32>) = self.add.into_iter().unzip();
            result = result + select(&table, &places) * column(factors);
        }
        result.reshape([count, width])
    }
}
