//! What is ablated together, and where that is.

use std::collections::BTreeMap;

use pythia_hooks::{Axis, HookPoint, ModelShape, Region};

use super::{Ablation, Method, controls};
use crate::error::ProbeError;
use crate::families::causal::effect::Label;
use crate::families::causal::places::{self, HeadSet, Place, Positions};
use crate::pairs::Pair;
use crate::table::{ColumnSpec, TableValue};

/// What one intervention ablates, as tables show it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub place: Place,
    /// The named set of heads that it is, or is drawn beside; empty for none.
    pub set: String,
    /// Which of the random sets beside the named one.
    pub control: Option<usize>,
}

/// A target with a method, as tables show them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ablated {
    pub target: Target,
    pub method: Method,
}

pub(super) const SET: &[ColumnSpec] = &[ColumnSpec::text(
    "set",
    "Name of the set of heads that is ablated, or that a random set is drawn beside; empty where no set is ablated",
)];

pub(super) const CONTROL: &[ColumnSpec] = &[ColumnSpec::int(
    "control",
    "Index of the random set drawn beside `set`, from 0; null where no random set is ablated",
)];

pub(super) const METHOD: &[ColumnSpec] =
    &[ColumnSpec::text("method", "What replaces the activation: zero, mean, mean_per_position or resample")];

pub(super) const STATUS: &[ColumnSpec] = &[ColumnSpec::text(
    "status",
    "`ok`; `no_change` where the ablation changed nothing that metrics read, bit for bit; or why `delta` is null: \
     `undefined` where a number could not be computed, `no_other_prompt` where `resample` has no other pair of that \
     length",
)];

impl Label for Ablated {
    fn values(&self, pos: Option<usize>) -> Vec<TableValue> {
        let place = &self.target.place;
        vec![
            place.point.to_string().into(),
            place.point.layer().into(),
            pos.into(),
            place.head.into(),
            place.names().into(),
            self.target.set.clone().into(),
            self.target.control.into(),
            self.method.name().into(),
        ]
    }

    fn pos_in(&self, pair: &Pair) -> Option<usize> {
        self.target.place.pos_in(pair)
    }
}

/// The regions of every target. What two settings both name is one target.
pub(super) type Targets = BTreeMap<Target, Vec<(HookPoint, Region)>>;

impl Ablation {
    /// The targets for pairs of one length.
    pub(super) fn targets(
        &self,
        model_shape: &ModelShape,
        seed: u64,
        positions: &[Positions],
        pairs: &[&Pair],
    ) -> Result<Targets, ProbeError> {
        let mut targets = Targets::new();
        for point in places::points(&self.hooks, model_shape)? {
            for (head, region) in places::head_regions("heads", &self.heads, point, model_shape)? {
                let target = Target { place: Place { head, ..Place::of(point) }, set: String::new(), control: None };
                add(&mut targets, &target, point, positions, &region, pairs);
            }
        }
        let sites = places::sites_of_heads(&places::points(&self.hooks, model_shape)?, &self.sets)?;
        for (set, control, heads) in self.all_sets(model_shape, seed)? {
            for site in &sites {
                let place = Place::of(site.at(heads[0].0));
                let target = Target { place, set: set.clone(), control };
                for (layer, head) in &heads {
                    let region = Region::all().along(Axis::Head, *head as i64);
                    add(&mut targets, &target, site.at(*layer), positions, &region, pairs);
                }
            }
        }
        Ok(targets)
    }

    /// The named sets, each followed by the random ones beside it.
    fn all_sets(
        &self,
        model_shape: &ModelShape,
        seed: u64,
    ) -> Result<Vec<(String, Option<usize>, HeadSet)>, ProbeError> {
        let mut all = Vec::new();
        for (name, heads) in places::sets("sets", &self.sets, model_shape)? {
            let drawn = controls::matched(&name, &heads, model_shape.n_heads, self.controls, seed)?;
            all.push((name.clone(), None, heads));
            all.extend(drawn.into_iter().enumerate().map(|(index, heads)| (name.clone(), Some(index), heads)));
        }
        Ok(all)
    }
}

/// Adds a region of a point to a target, at every choice of positions.
fn add(
    targets: &mut Targets,
    target: &Target,
    point: HookPoint,
    positions: &[Positions],
    region: &Region,
    pairs: &[&Pair],
) {
    for (pos, position_name, regions) in places::regions_at(positions, places::position_axis(point), region, pairs) {
        let target = Target { place: Place { pos, position_name, ..target.place.clone() }, ..target.clone() };
        let parts = targets.entry(target).or_default();
        for region in regions {
            if !parts.contains(&(point, region.clone())) {
                parts.push((point, region));
            }
        }
    }
}
