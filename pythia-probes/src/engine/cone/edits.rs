//! The changes of all cells, resolved to tokens and columns of rows, and applied to packed rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use burn::tensor::{Tensor, TensorData};
use pythia_hooks::{Axis, HookPoint, Site};

use super::super::{Change, IntervenedRun, Value};
use super::rows::{Own, Rows, Token};
use super::tables::{Tables, dims};
use crate::error::ProbeError;

/// A run of one prompt under one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    pub cell: usize,
    pub example: usize,
}

/// A change of a cell, as tokens and columns.
#[derive(Debug)]
struct Patch {
    /// Per prompt, whether it is concerned.
    examples: Vec<bool>,
    /// Rows that are concerned, ascending.
    positions: Vec<u32>,
    /// Columns that are concerned, ascending; neighbours are one range.
    columns: Vec<Range<usize>>,
    /// Heads that are concerned; the one group 0 at sites without heads.
    groups: Vec<usize>,
    value: Value,
}

/// Where a source differs from the base run, by `[token · group]`.
#[derive(Debug)]
struct Difference {
    differs: Vec<bool>,
    groups: usize,
}

/// All changes, by cell and point, in their order.
#[derive(Debug)]
pub struct Patches {
    by_cell: Vec<BTreeMap<HookPoint, Vec<Patch>>>,
    /// Points at which any cell changes something.
    points: BTreeSet<HookPoint>,
    differences: HashMap<(usize, HookPoint), Difference>,
    length: usize,
}

impl Patches {
    /// Resolves the changes of the cells.
    ///
    /// # Errors
    /// A region that does not fit the run: an axis that the site lacks, a position or head out of range.
    pub fn of(cells: &[IntervenedRun], tables: &Tables<'_>) -> Result<Self, ProbeError> {
        let (points, length) = (BTreeSet::new(), tables.base.length());
        let mut patches = Patches { by_cell: Vec::new(), points, differences: HashMap::new(), length };
        for cell in cells {
            let mut by_point: BTreeMap<HookPoint, Vec<Patch>> = BTreeMap::new();
            for change in &cell.changes {
                patches.points.insert(change.point);
                by_point.entry(change.point).or_default().push(resolve(change, tables)?);
                if let Value::Source(source) = change.value {
                    patches.compare(source, change.point, tables)?;
                }
            }
            patches.by_cell.push(by_point);
        }
        Ok(patches)
    }

    /// The points at which a cell changes something.
    pub fn points(&self, cell: usize) -> impl Iterator<Item = HookPoint> {
        self.by_cell[cell].keys().copied()
    }

    /// Notes where a source differs from the base run: elsewhere putting its activation changes nothing, bit for bit.
    fn compare(&mut self, source: usize, point: HookPoint, tables: &Tables<'_>) -> Result<(), ProbeError> {
        if self.differences.contains_key(&(source, point)) || !tables.is_full(source, point) {
            return Ok(());
        }
        let Some(base) = tables.base(point) else { return Ok(()) };
        let [rows, width] = base.dims();
        let groups = if has_heads(point.site()) { tables.model.config().n_heads } else { 1 };
        let equal = base.equal(tables.source(source, point)).reshape([rows * groups, width / groups]).all_dim(1);
        let data = equal.try_into_data();
        let data = data.map_err(|error| ProbeError::Device { place: "a comparison", reason: error.to_string() })?;
        let differs = data.iter::<bool>().map(|equal| !equal).collect();
        self.differences.insert((source, point), Difference { differs, groups });
        Ok(())
    }

    /// Tokens of the branches that are touched at a point. A token that still has the base run's values (`own` lacks it) and
    /// would get them again is not touched.
    pub fn touched(&self, point: HookPoint, branches: &[Branch], own: &Rows) -> Rows {
        let mut tokens = Vec::new();
        if !self.points.contains(&point) {
            return Rows::default();
        }
        for (index, branch) in branches.iter().enumerate() {
            for patch in self.at(point, branch) {
                for &position in &patch.positions {
                    let token = Token { branch: index as u32, position };
                    if self.changes(patch, point, branch, position) || own.find(token).is_some() {
                        tokens.push(token);
                    }
                }
            }
        }
        Rows::new(tokens)
    }

    fn at<'p>(&'p self, point: HookPoint, branch: &Branch) -> impl Iterator<Item = &'p Patch> + use<'p> {
        let example = branch.example;
        let patches = self.by_cell[branch.cell].get(&point).into_iter().flatten();
        patches.filter(move |patch| patch.examples[example])
    }

    /// Whether the patch gives a token that has the base run's values others.
    fn changes(&self, patch: &Patch, point: HookPoint, branch: &Branch, position: u32) -> bool {
        match patch.value {
            _ if patch.columns.is_empty() => false,
            Value::Zero => true,
            Value::Scale(factor) => factor != 1.0,
            Value::Add { factor, .. } => factor != 0.0,
            Value::Source(source) => self.differences.get(&(source, point)).is_none_or(|difference| {
                let row = branch.example * self.length + position as usize;
                patch.groups.iter().any(|group| difference.differs[row * difference.groups + group])
            }),
        }
    }

    /// The values of `own` after all changes at a point. Every touched token must be among its rows.
    pub fn apply(&self, point: HookPoint, branches: &[Branch], own: Own, tables: &Tables<'_>) -> Own {
        let mut values = own.values;
        for round in 0.. {
            let patches: Vec<(u32, &Branch, &Patch)> = branches
                .iter()
                .enumerate()
                .filter_map(|(index, branch)| Some((index as u32, branch, self.at(point, branch).nth(round)?)))
                .collect();
            if patches.is_empty() {
                break;
            }
            values = values.map(|values| self.apply_round(point, &patches, &own.rows, values, tables));
        }
        Own::new(own.rows, values)
    }

    /// One patch of each branch, all branches at once: a row is cut into units as wide as all patches allow, and every unit is
    /// looked up in a table in which the sources' units follow the row's own.
    fn apply_round(
        &self,
        point: HookPoint,
        patches: &[(u32, &Branch, &Patch)],
        rows: &Rows,
        values: Tensor<2>,
        tables: &Tables<'_>,
    ) -> Tensor<2> {
        let [count, width] = values.dims();
        let unit = patches
            .iter()
            .flat_map(|(_, _, patch)| &patch.columns)
            .fold(width, |unit, columns| gcd(gcd(unit, columns.start), columns.end));
        let mut plan = Plan::new(count, width / unit, self.length * tables.base.batch());
        for (index, branch, patch) in patches {
            for &position in &patch.positions {
                if let Some(row) = rows.find(Token { branch: *index, position }) {
                    let source_row = branch.example * self.length + position as usize;
                    for columns in &patch.columns {
                        plan.note(row, source_row, columns.start / unit..columns.end / unit, patch.value);
                    }
                }
            }
        }
        plan.carry_out(values, unit, |source| tables.source(source, point))
    }
}

/// What becomes of each unit of some rows.
struct Plan {
    units: usize,
    source_rows: usize,
    /// Per unit: where in the table its value stands.
    place: Vec<usize>,
    /// Per unit: what it is multiplied by; empty where nothing is.
    factor: Vec<f32>,
    /// Per unit: the place of what is added, and its multiple; empty where nothing is.
    add: Vec<(usize, f32)>,
    sources: Vec<usize>,
}

impl Plan {
    fn new(rows: usize, units: usize, source_rows: usize) -> Self {
        let place = (0..rows * units).collect();
        Plan { units, source_rows, place, factor: Vec::new(), add: Vec::new(), sources: Vec::new() }
    }

    /// Where the table has a source's units: after the rows' own, and a unit of zeros.
    fn sourced(&mut self, source: usize, row: usize, unit: usize) -> usize {
        let index = self.sources.iter().position(|have| *have == source).unwrap_or_else(|| {
            self.sources.push(source);
            self.sources.len() - 1
        });
        self.place.len() + 1 + (index * self.source_rows + row) * self.units + unit
    }

    fn note(&mut self, row: usize, source_row: usize, units: Range<usize>, value: Value) {
        let (all, zero) = (self.place.len(), self.place.len());
        for unit in units {
            let at = row * self.units + unit;
            match value {
                Value::Zero => self.place[at] = zero,
                Value::Source(source) => self.place[at] = self.sourced(source, source_row, unit),
                Value::Scale(factor) => {
                    self.factor.resize(all, 1.0);
                    self.factor[at] = factor;
                }
                Value::Add { source, factor } => {
                    let place = self.sourced(source, source_row, unit);
                    self.add.resize(all, (zero, 0.0));
                    self.add[at] = (place, factor);
                }
            }
        }
    }

    fn carry_out(self, values: Tensor<2>, unit: usize, source: impl Fn(usize) -> Tensor<2>) -> Tensor<2> {
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
        let mut result = super::super::run::select(&table, &self.place);
        if !self.factor.is_empty() {
            result = result * column(self.factor);
        }
        if !self.add.is_empty() {
            let (places, factors): (Vec<usize>, Vec<f32>) = self.add.into_iter().unzip();
            result = result + super::super::run::select(&table, &places) * column(factors);
        }
        result.reshape([count, width])
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn has_heads(site: Site) -> bool {
    site.dim_of(Axis::Head).is_some()
}

/// A change as tokens and columns.
fn resolve(change: &Change, tables: &Tables<'_>) -> Result<Patch, ProbeError> {
    let (site, batch, length) = (change.point.site(), tables.base.batch(), tables.base.length());
    let dims = dims(site, batch, length, tables.model.config());
    let chosen = change.region.resolve(change.point, &dims)?;
    let along = |dim: Option<usize>| -> Option<Vec<usize>> {
        let dim = dim?;
        let mut indices = match chosen.iter().find(|(narrowed, _)| *narrowed == dim) {
            Some((_, indices)) => indices.clone(),
            None => (0..dims[dim]).collect(),
        };
        indices.sort_unstable();
        indices.dedup();
        Some(indices)
    };
    let examples = along(site.dim_of(Axis::Batch)).unwrap_or_default();
    let row_axis = site.dim_of(Axis::Pos).or(site.dim_of(Axis::Query));
    let positions = along(row_axis).unwrap_or_default().into_iter().map(|position| position as u32).collect();
    let (last, width) = (dims.len() - 1, dims[dims.len() - 1]);
    let inner = along(Some(last)).unwrap_or_default();
    let groups = along(site.dim_of(Axis::Head)).unwrap_or_else(|| vec![0]);
    let columns = groups.iter().flat_map(|group| inner.iter().map(move |column| group * width + column));
    let mut concerned = vec![false; batch];
    examples.into_iter().for_each(|example| concerned[example] = true);
    Ok(Patch { examples: concerned, positions, columns: ranges(columns), groups, value: change.value })
}

/// Ascending numbers as ranges.
fn ranges(numbers: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some(last) if last.end == number => last.end += 1,
            _ => ranges.push(number..number + 1),
        }
    }
    ranges
}
