//! The cone of an intervention, for many interventions at once.
//!
//! An intervention at layer l and position p changes nothing before l and nothing before p, and a metric reads a few positions
//! of the last layer. So one cone goes through the layers. A *branch* is one prompt under one cell; it joins the cone in the
//! layer that its cell touches first, with the tokens that are touched there, and carries along only the tokens whose stream
//! differs from the base run's. The tokens of all branches are packed into one matrix for the products; attention looks up
//! keys and values of unchanged tokens in the base run. In the last layer only what the metrics read is computed.
//!
//! What is put in place of an activation and equals it, bit for bit, changes nothing and is not computed: a patch of a run with
//! itself leaves exactly the base run's metrics.

mod block;
mod edits;
mod rows;
mod tables;

use std::cell::Cell as Count;
use std::ops::Range;

use pythia_core::config::NeoxConfig;
use pythia_hooks::{HookPoint, ModelShape, Site};

use self::edits::{Branch, Patches};
use self::rows::{Own, Rows, Token};
use self::tables::Tables;
use super::{IntervenedRun, Scores, Sweep, naive};
use crate::error::ProbeError;

/// Bytes of a float32.
const F32: u64 = 4;

/// What a sweep cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Floating-point operations of matrix products and attention, without the base run.
    pub flops: u64,
    /// Parts into which the memory budget cut the sweep.
    pub parts: usize,
}

/// Points that a base run must hold for a sweep over cells that touch `touched`.
pub fn base_points(model_shape: &ModelShape, touched: impl IntoIterator<Item = HookPoint>) -> Vec<HookPoint> {
    const ALWAYS: [Site; 7] = [Site::ResidPre, Site::RotQ, Site::RotK, Site::V, Site::Z, Site::AttnOut, Site::MlpOut];
    let always = (0..model_shape.n_layers).flat_map(|layer| ALWAYS.map(|site| site.at(layer)));
    let extra = touched.into_iter().filter(|point| matches!(point.site(), Site::Pattern | Site::MlpPost));
    let mut points: Vec<HookPoint> = always.chain(extra).collect();
    points.sort_unstable();
    points.dedup();
    points
}

/// Whether the cone knows how to change something at a site; elsewhere a cell is run again from the layer it touches first.
const fn knows(site: Site) -> bool {
    matches!(
        site,
        Site::Embed
            | Site::ResidPre
            | Site::Q
            | Site::K
            | Site::V
            | Site::RotQ
            | Site::RotK
            | Site::Pattern
            | Site::Z
            | Site::Result
            | Site::AttnOut
            | Site::ResidMid
            | Site::MlpPost
            | Site::MlpOut
            | Site::ResidPost
    )
}

/// The metrics of every cell, and what they cost.
///
/// # Errors
/// An intervention that does not fit the run, reading from the device.
pub fn scores(sweep: &Sweep<'_>, cells: &[IntervenedRun]) -> Result<(Vec<Scores>, Work), ProbeError> {
    for cell in cells {
        // The same checks as those of the hooks, before anything is computed.
        pythia_hooks::Interventions::new(cell.interventions(sweep.sources), &sweep.model.model_shape())?;
    }
    let base = sweep.base_scores()?;
    let mut found = vec![base; cells.len()];
    let tables = Tables { model: sweep.model, base: sweep.base, sources: sweep.sources };
    let known = |cell: &IntervenedRun| cell.changes.iter().all(|change| knows(change.point.site()));
    for (index, cell) in cells.iter().enumerate().filter(|(_, cell)| !known(cell)) {
        found[index] = naive::restarted(sweep, cell)?;
    }
    let mut cone = Wave::new(sweep, cells, tables)?;
    let branches: Vec<Branch> = (0..cells.len())
        .filter(|index| known(&cells[*index]))
        .flat_map(|cell| (0..sweep.base.batch()).map(move |example| Branch { cell, example }))
        .collect();
    let parts = cone.parts(&branches);
    for part in &parts {
        cone.branches = branches[part.clone()].to_vec();
        for (branch, values) in cone.scores()? {
            found[branch.cell][branch.example] = values;
        }
    }
    Ok((found, Work { flops: cone.flops.get(), parts: parts.len() }))
}

/// A cone through the layers.
struct Wave<'a> {
    sweep: &'a Sweep<'a>,
    tables: Tables<'a>,
    patches: Patches,
    /// The branches of the part that is under way.
    branches: Vec<Branch>,
    /// Per prompt, the positions that the metrics read, ascending.
    wanted: Vec<Vec<usize>>,
    flops: Count<u64>,
}

impl<'a> Wave<'a> {
    fn new(sweep: &'a Sweep<'a>, cells: &[IntervenedRun], tables: Tables<'a>) -> Result<Self, ProbeError> {
        let patches = Patches::of(cells, &tables)?;
        let wanted = (0..sweep.readout.n_examples()).map(|example| sweep.readout.positions(example)).collect();
        Ok(Wave { sweep, tables, patches, branches: Vec::new(), wanted, flops: Count::new(0) })
    }

    fn config(&self) -> &NeoxConfig {
        self.sweep.model.config()
    }

    /// The branches cut into parts whose activations fit the budget; a part has one branch at least.
    fn parts(&self, branches: &[Branch]) -> Vec<Range<usize>> {
        let per_token = token_bytes(self.config(), self.sweep.base.length());
        let most = (self.sweep.memory / per_token).max(1);
        let (mut parts, mut from, mut tokens) = (Vec::new(), 0, 0);
        for (index, branch) in branches.iter().enumerate() {
            let cost = self.tokens_of(branch) as u64;
            if tokens + cost > most && index > from {
                parts.push(from..index);
                (from, tokens) = (index, 0);
            }
            tokens += cost;
        }
        if from < branches.len() {
            parts.push(from..branches.len());
        }
        parts
    }

    /// Tokens that a branch has at most: from the first one it touches to the last one that is read.
    fn tokens_of(&self, branch: &Branch) -> usize {
        let one = std::slice::from_ref(branch);
        let first = |point| {
            let touched = self.patches.touched(point, one, &Rows::default());
            touched.tokens().first().map(|token| token.position as usize)
        };
        let end = self.end(branch);
        self.patches.points(branch.cell).filter_map(first).min().map_or(0, |first| end.saturating_sub(first))
    }

    /// The position after the last one that is read of a branch.
    fn end(&self, branch: &Branch) -> usize {
        self.wanted[branch.example].last().map_or(0, |last| last + 1)
    }

    /// The metrics of the branches that end differently from the base run.
    fn scores(&self) -> Result<Vec<(Branch, Vec<f64>)>, ProbeError> {
        let mut own = Own::default();
        for layer in 0..self.config().n_layers {
            own = self.block(layer, own);
        }
        let wanted = self.read_rows(&own.rows);
        let end = self.tables.base(Site::ResidPost.at(self.config().n_layers - 1));
        let (Some(end), false) = (end, wanted.is_empty()) else { return Ok(Vec::new()) };
        let Some(rows) = own.gather(&wanted, &end, |token| self.base_row(token)) else { return Ok(Vec::new()) };
        let branches: Vec<Branch> = wanted.by_branch().map(|tokens| self.branches[tokens[0].branch as usize]).collect();
        let examples: Vec<usize> = branches.iter().map(|branch| branch.example).collect();
        let values = self.sweep.readout.read(self.sweep.model, rows, &examples, &self.sweep.base_rows())?;
        Ok(branches.into_iter().zip(values).collect())
    }

    /// All tokens that the metrics read of the branches that have one of them among `own`.
    fn read_rows(&self, own: &Rows) -> Rows {
        let own = own.filter(|token| self.is_read(token));
        let all = own.by_branch().flat_map(|tokens| {
            let branch = tokens[0].branch;
            let positions = &self.wanted[self.branches[branch as usize].example];
            positions.iter().map(move |&position| Token { branch, position: position as u32 })
        });
        Rows::new(all.collect())
    }

    /// Whether the metrics read a token's last stream.
    fn is_read(&self, token: &Token) -> bool {
        let example = self.branches[token.branch as usize].example;
        self.wanted[example].binary_search(&(token.position as usize)).is_ok()
    }

    /// Whether a token comes no later than the last one that is read.
    fn counts(&self, token: &Token) -> bool {
        (token.position as usize) < self.end(&self.branches[token.branch as usize])
    }

    /// A token's row in tables of the base run.
    fn base_row(&self, token: &Token) -> usize {
        self.branches[token.branch as usize].example * self.sweep.base.length() + token.position as usize
    }

    fn spend(&self, flops: usize) {
        self.flops.set(self.flops.get() + flops as u64);
    }
}

/// Bytes that the activations of a token take at the peak of a layer: in attention the stream, its norm, queries, keys and
/// values, their tables, `hook_z` and patterns; in the MLP the stream, its norm, attention's output, the neurons and what they
/// write.
pub fn token_bytes(config: &NeoxConfig, length: usize) -> u64 {
    let attention = 9 * config.d_model + config.n_heads * length;
    F32 * attention.max(5 * config.d_model + config.d_mlp) as u64
}
