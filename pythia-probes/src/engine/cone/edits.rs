//! The changes of all interventions, resolved to tokens and columns of rows, and applied to packed rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use burn::tensor::Tensor;
use pythia_hooks::{Axis, HookPoint, Site};

use super::super::{Change, IntervenedRun, Replacement, rows_differ};
use super::base_activations::BaseActivations;
use super::changed_rows::{ChangedRows, ExampleRun, Token, TokenSet};
use super::unit_plan::UnitPlan;
use crate::error::ProbeError;

/// A change of an intervention, as tokens and columns.
#[derive(Debug)]
struct Patch {
    /// Per prompt, whether it is edited.
    examples: Vec<bool>,
    /// Positions that are edited, ascending.
    positions: Vec<u32>,
    /// Columns that are edited, ascending; neighbours are one range.
    columns: Vec<Range<usize>>,
    /// Heads that are edited; the one group 0 at sites without heads.
    groups: Vec<usize>,
    replacement: Replacement,
}

/// Where a source differs from the base run, by `[token · group]`.
#[derive(Debug)]
struct Difference {
    differs: Vec<bool>,
    groups: usize,
}

/// All changes, by intervention and point, in their order.
#[derive(Debug)]
pub(super) struct Patches {
    by_intervention: Vec<BTreeMap<HookPoint, Vec<Patch>>>,
    /// Points at which any intervention changes something.
    points: BTreeSet<HookPoint>,
    differences: HashMap<(usize, HookPoint), Difference>,
    length: usize,
}

impl Patches {
    /// Resolves the changes of the interventions.
    ///
    /// # Errors
    /// A region that does not fit the run: an axis that the site lacks, a position or head out of range.
    pub(super) fn of(interventions: &[IntervenedRun], activations: &BaseActivations<'_>) -> Result<Self, ProbeError> {
        let (points, length) = (BTreeSet::new(), activations.base.length());
        let mut patches = Patches { by_intervention: Vec::new(), points, differences: HashMap::new(), length };
        for intervention in interventions {
            let mut by_point: BTreeMap<HookPoint, Vec<Patch>> = BTreeMap::new();
            for change in &intervention.changes {
                patches.points.insert(change.point);
                by_point.entry(change.point).or_default().push(resolve(change, activations)?);
                if let Replacement::Source(source) = change.replacement {
                    patches.compare(source, change.point, activations)?;
                }
            }
            patches.by_intervention.push(by_point);
        }
        Ok(patches)
    }

    /// The points that an intervention edits.
    pub(super) fn points(&self, intervention: usize) -> impl Iterator<Item = HookPoint> {
        self.by_intervention[intervention].keys().copied()
    }

    /// Finds the tokens and heads at which a source differs from the base run. Elsewhere its activation changes
    /// nothing.
    fn compare(
        &mut self,
        source: usize,
        point: HookPoint,
        activations: &BaseActivations<'_>,
    ) -> Result<(), ProbeError> {
        if self.differences.contains_key(&(source, point)) || !activations.is_full(source, point) {
            return Ok(());
        }
        let Some(base) = activations.base(point) else { return Ok(()) };
        let [rows, width] = base.dims();
        let groups = if has_heads(point.site()) { activations.model.config().n_heads } else { 1 };
        let split = |table: Tensor<2>| table.reshape([rows * groups, width / groups]);
        let differs = rows_differ(split(base), split(activations.source(source, point)))?;
        self.differences.insert((source, point), Difference { differs, groups });
        Ok(())
    }

    /// Tokens of the runs that are edited at a point. A token that has the base run's values so far (`changed` lacks
    /// it) and would get the same values is left out.
    pub(super) fn touched(&self, point: HookPoint, runs: &[ExampleRun], changed: &TokenSet) -> TokenSet {
        let mut tokens = Vec::new();
        if !self.points.contains(&point) {
            return TokenSet::default();
        }
        for (index, run) in runs.iter().enumerate() {
            for patch in self.at(point, run) {
                for &position in &patch.positions {
                    let token = Token { run: index as u32, position };
                    if self.changes(patch, point, run, position) || changed.find(token).is_some() {
                        tokens.push(token);
                    }
                }
            }
        }
        TokenSet::new(tokens)
    }

    fn at<'p>(&'p self, point: HookPoint, run: &ExampleRun) -> impl Iterator<Item = &'p Patch> + use<'p> {
        let example = run.example;
        let patches = self.by_intervention[run.intervention].get(&point).into_iter().flatten();
        patches.filter(move |patch| patch.examples[example])
    }

    /// Whether the patch can change a token that has the base run's values so far.
    fn changes(&self, patch: &Patch, point: HookPoint, run: &ExampleRun, position: u32) -> bool {
        match patch.replacement {
            _ if patch.columns.is_empty() => false,
            // A query sees no key after it, so that there are zeros already.
            Replacement::Zero | Replacement::Scale(_) if point.site() == Site::Pattern => {
                let visible = |column: usize| column % self.length <= position as usize;
                let seen = patch.columns.iter().cloned().flatten().any(visible);
                seen && patch.replacement != Replacement::Scale(1.0)
            }
            Replacement::Zero => true,
            Replacement::Scale(factor) => factor != 1.0,
            Replacement::Add { factor, .. } => factor != 0.0,
            Replacement::Source(source) => self.differences.get(&(source, point)).is_none_or(|difference| {
                let row = run.example * self.length + position as usize;
                patch.groups.iter().any(|group| difference.differs[row * difference.groups + group])
            }),
        }
    }

    /// The values of `changed` after all changes at a point. Every touched token must be among its rows.
    pub(super) fn apply(
        &self,
        point: HookPoint,
        runs: &[ExampleRun],
        changed: ChangedRows,
        activations: &BaseActivations<'_>,
    ) -> ChangedRows {
        let mut values = changed.values;
        for round in 0.. {
            let patches: Vec<(u32, &ExampleRun, &Patch)> = runs
                .iter()
                .enumerate()
                .filter_map(|(index, run)| Some((index as u32, run, self.at(point, run).nth(round)?)))
                .collect();
            if patches.is_empty() {
                break;
            }
            values = values.map(|values| self.apply_round(point, &patches, &changed.tokens, values, activations));
        }
        ChangedRows::new(changed.tokens, values)
    }

    /// One patch of each run, all runs at once. A row is split into units as wide as all patches allow, and every
    /// unit is looked up in a table that holds the units of `values` and, after them, those of the sources.
    fn apply_round(
        &self,
        point: HookPoint,
        patches: &[(u32, &ExampleRun, &Patch)],
        rows: &TokenSet,
        values: Tensor<2>,
        activations: &BaseActivations<'_>,
    ) -> Tensor<2> {
        let [count, width] = values.dims();
        let unit = patches
            .iter()
            .flat_map(|(_, _, patch)| &patch.columns)
            .fold(width, |unit, columns| gcd(gcd(unit, columns.start), columns.end));
        let mut plan = UnitPlan::new(count, width / unit, self.length * activations.base.batch());
        for (index, run, patch) in patches {
            for &position in &patch.positions {
                if let Some(row) = rows.find(Token { run: *index, position }) {
                    let source_row = run.example * self.length + position as usize;
                    for columns in &patch.columns {
                        plan.note(row, source_row, columns.start / unit..columns.end / unit, patch.replacement);
                    }
                }
            }
        }
        plan.carry_out(values, unit, |source| activations.source(source, point))
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn has_heads(site: Site) -> bool {
    site.dim_of(Axis::Head).is_some()
}

/// A change as tokens and columns.
fn resolve(change: &Change, activations: &BaseActivations<'_>) -> Result<Patch, ProbeError> {
    let (site, batch) = (change.point.site(), activations.base.batch());
    let dims = activations.dims(site);
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
    Ok(Patch { examples: concerned, positions, columns: ranges(columns), groups, replacement: change.replacement })
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
