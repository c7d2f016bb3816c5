//! The places that a configuration names, and the interventions that patch them.

use std::collections::BTreeMap;

use pythia_hooks::{Axis, HookPoint, ModelShape, Region};

use super::ActivationPatching;
use crate::engine::{Change, IntervenedRun, Replacement};
use crate::error::ProbeError;
use crate::families::causal::places::{self, ALL, EACH, Place, Positions};
use crate::pairs::Pair;

/// An intervention with the place that tables show for it.
type Placed = (Place, IntervenedRun);

impl ActivationPatching {
    /// The interventions on pairs of one length.
    pub(crate) fn placed_interventions(
        &self,
        model_shape: &ModelShape,
        d_mlp: usize,
        pairs: &[&Pair],
    ) -> Result<Vec<Placed>, ProbeError> {
        let positions = places::positions("positions", &self.positions, pairs)?;
        let points = places::points(&self.hooks, model_shape)?;
        let mut placed = Vec::new();
        for &point in &points {
            for (head, region) in places::head_regions("heads", &self.heads, point, model_shape)? {
                for (neurons, region) in self.neurons_at(point, region, d_mlp) {
                    let place = Place { head, neurons, window: self.window, ..Place::of(point) };
                    let one_layer = self.positions_at(&place, &positions, &region, pairs);
                    placed.extend(one_layer.into_iter().map(|(place, run)| (place, self.widened(run, model_shape))));
                }
            }
        }
        placed.extend(self.sets_at(&points, model_shape, &positions, pairs)?);
        Ok(placed)
    }

    /// The same hook in every layer of the window around it.
    pub(super) fn in_window(&self, point: HookPoint, n_layers: usize) -> Vec<HookPoint> {
        let Some(layer) = point.layer() else { return vec![point] };
        let end = layer.saturating_add(self.window.div_ceil(2)).min(n_layers);
        (layer.saturating_sub(self.window / 2)..end).map(|layer| point.site().at(layer)).collect()
    }

    /// An intervention in every layer of the window.
    fn widened(&self, one_layer: IntervenedRun, model_shape: &ModelShape) -> IntervenedRun {
        let everywhere = |change: Change| {
            let points = self.in_window(change.point, model_shape.n_layers);
            points.into_iter().map(move |point| Change { point, ..change.clone() })
        };
        IntervenedRun { changes: one_layer.changes.into_iter().flat_map(everywhere).collect() }
    }

    /// The blocks of neurons at a hook, with their names; one nameless block where no neurons are asked for.
    fn neurons_at(&self, point: HookPoint, region: Region, d_mlp: usize) -> Vec<(String, Region)> {
        match self.neurons {
            Some(block) if point.site().dim_of(Axis::Mlp).is_some() => {
                let named = |from: usize| {
                    let to = (from + block).min(d_mlp);
                    (format!("neurons {from}..{to}"), region.clone().along(Axis::Mlp, from as i64..to as i64))
                };
                (0..d_mlp).step_by(block).map(named).collect()
            }
            _ => vec![(String::new(), region)],
        }
    }

    fn positions_at(&self, place: &Place, positions: &[Positions], region: &Region, pairs: &[&Pair]) -> Vec<Placed> {
        let axis = places::position_axis(place.point);
        let mut placed = Vec::new();
        for (pos, position_name, regions) in places::regions_at(positions, axis, region, pairs) {
            let place = Place { pos, position_name, ..place.clone() };
            placed.extend(self.keys_at(&place, &regions));
        }
        placed
    }

    /// Whole rows of a pattern, or each of their entries. Entries after the query are zero in every run, so that
    /// nothing is run for them.
    fn keys_at(&self, place: &Place, regions: &[Region]) -> Vec<Placed> {
        let patch = |regions: &[Region]| IntervenedRun::at(place.point, regions, Replacement::Source(0));
        let (whole, entries) = (self.keys.iter().any(|key| key == ALL), self.keys.iter().any(|key| key == EACH));
        let has_keys = place.point.site().dim_of(Axis::Key).is_some();
        let mut placed = Vec::new();
        if whole || !has_keys {
            placed.push((place.clone(), patch(regions)));
        }
        if let (true, true, Some(query)) = (entries, has_keys, place.pos) {
            for key in 0..=query {
                let regions: Vec<Region> = regions.iter().map(|r| r.clone().along(Axis::Key, key as i64)).collect();
                placed.push((Place { key: Some(key), ..place.clone() }, patch(&regions)));
            }
        }
        placed
    }

    /// The named sets of heads, at every site of `points` that has heads.
    fn sets_at(
        &self,
        points: &[HookPoint],
        model_shape: &ModelShape,
        positions: &[Positions],
        pairs: &[&Pair],
    ) -> Result<Vec<Placed>, ProbeError> {
        let sites = places::sites_of_heads(points, &self.sets)?;
        let mut placed = Vec::new();
        for (name, heads) in places::sets("sets", &self.sets, model_shape)? {
            for site in &sites {
                let mut merged: BTreeMap<Place, IntervenedRun> = BTreeMap::new();
                for (layer, head) in &heads {
                    let region = Region::all().along(Axis::Head, *head as i64);
                    let place = Place { set: name.clone(), ..Place::of(site.at(*layer)) };
                    for (place, intervention) in self.positions_at(&place, positions, &region, pairs) {
                        let place = Place { point: site.at(heads[0].0), ..place };
                        merged.entry(place).or_default().changes.extend(intervention.changes);
                    }
                }
                placed.extend(merged);
            }
        }
        Ok(placed)
    }
}
