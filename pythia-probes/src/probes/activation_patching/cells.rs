//! The places that a configuration names, and the cells that patch them.

use std::collections::BTreeMap;

use pythia_hooks::{Axis, HookPoint, ModelShape, Region};

use super::ActivationPatching;
use crate::engine::{Change, IntervenedRun, Value};
use crate::error::ProbeError;
use crate::families::causal::places::{self, ALL, EACH, Place, Positions};
use crate::pairs::Pair;

impl ActivationPatching {
    /// The cells for pairs of one length, each with its place.
    pub(crate) fn places_and_cells(
        &self,
        model_shape: &ModelShape,
        d_mlp: usize,
        members: &[&Pair],
    ) -> Result<Vec<(Place, IntervenedRun)>, ProbeError> {
        let every: Vec<Pair> = members.iter().map(|pair| (*pair).clone()).collect();
        let positions = places::positions("positions", &self.positions, &every)?;
        let points = places::points(&self.hooks, model_shape)?;
        let mut cells = Vec::new();
        for &point in &points {
            for (head, region) in places::head_regions("heads", &self.heads, point, model_shape)? {
                for (part, region) in self.neurons_at(point, region, d_mlp) {
                    let place = Place { head, part, ..Place::of(point) };
                    cells.extend(self.positions_at(place, &positions, &region, members));
                }
            }
        }
        cells.extend(self.sets_at(&points, model_shape, &positions, members)?);
        Ok(cells)
    }

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

    fn positions_at(
        &self,
        place: Place,
        positions: &[Positions],
        region: &Region,
        members: &[&Pair],
    ) -> Vec<(Place, IntervenedRun)> {
        let (point, axis) = (place.point, places::position_axis(place.point));
        let mut cells = Vec::new();
        for choice in positions {
            for (pos, name, regions) in places::position_regions(choice, axis, region, members) {
                let part =
                    [place.part.as_str(), &name].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>();
                let place = Place { pos, part: part.join(", "), ..place.clone() };
                let changes = |regions: &[Region]| {
                    let change = |region: &Region| Change { point, region: region.clone(), value: Value::Source(0) };
                    IntervenedRun { changes: regions.iter().map(change).collect() }
                };
                cells.extend(self.keys_at(&place, &regions, changes));
            }
        }
        cells
    }

    /// Whole rows of a pattern, or each of their entries. Entries after the query are zero in every run, and nothing is run for
    /// them.
    fn keys_at(
        &self,
        place: &Place,
        regions: &[Region],
        changes: impl Fn(&[Region]) -> IntervenedRun,
    ) -> Vec<(Place, IntervenedRun)> {
        let (whole, entries) = (self.keys.iter().any(|key| key == ALL), self.keys.iter().any(|key| key == EACH));
        let mut cells = Vec::new();
        if whole || place.point.site().dim_of(Axis::Key).is_none() {
            cells.push((place.clone(), changes(regions)));
        }
        if let (true, Some(query), Some(_)) = (entries, place.pos, place.point.site().dim_of(Axis::Key)) {
            for key in 0..=query {
                let regions: Vec<Region> = regions.iter().map(|r| r.clone().along(Axis::Key, key as i64)).collect();
                cells.push((Place { key: Some(key), ..place.clone() }, changes(&regions)));
            }
        }
        cells
    }

    fn sets_at(
        &self,
        points: &[HookPoint],
        model_shape: &ModelShape,
        positions: &[Positions],
        members: &[&Pair],
    ) -> Result<Vec<(Place, IntervenedRun)>, ProbeError> {
        let sites = places::sites_of_heads(points, &self.sets)?;
        let mut cells = Vec::new();
        for (name, heads) in places::sets("sets", &self.sets, model_shape)? {
            for site in &sites {
                let mut merged: BTreeMap<Place, IntervenedRun> = BTreeMap::new();
                for (layer, head) in &heads {
                    let region = Region::all().along(Axis::Head, *head as i64);
                    let place = Place { set: name.clone(), ..Place::of(site.at(*layer)) };
                    for (place, cell) in self.positions_at(place, positions, &region, members) {
                        let place = Place { point: site.at(heads[0].0), ..place };
                        merged.entry(place).or_default().changes.extend(cell.changes);
                    }
                }
                cells.extend(merged);
            }
        }
        Ok(cells)
    }
}
