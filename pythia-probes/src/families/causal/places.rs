//! Places of interventions, as a configuration names them.

use std::collections::BTreeMap;

use pythia_hooks::{Axis, HookPoint, ModelShape, Region, Site, select};

use crate::error::ProbeError;
use crate::pairs::Pair;

pub(crate) use super::positions::{Positions, pos_of, position_axis, position_regions, positions, regions_at};

/// The word for "one after another".
pub(crate) const EACH: &str = "each";
/// The word for "all together".
pub(crate) const ALL: &str = "all";

/// A choice along a head axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heads {
    /// Every head, one after another.
    Each,
    /// All heads together.
    All,
    /// One head.
    At(usize),
}

/// What an intervention edits, as tables show it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The hook; the first one where a named set of heads has several.
    pub point: HookPoint,
    /// The position where it is given by its number; the query's at `hook_pattern`.
    pub pos: Option<usize>,
    /// The head, where it is one.
    pub head: Option<usize>,
    /// The key's position, where an entry of a pattern is meant.
    pub key: Option<usize>,
    /// The block of neurons that is edited, where it is one (`neurons 0..16`).
    pub neurons: String,
    /// The position's name where it has one.
    pub position_name: String,
    /// The named set of heads that it is.
    pub set: String,
    /// How many neighbouring layers are edited together.
    pub window: usize,
}

impl Place {
    /// All of a hook.
    pub(crate) fn of(point: HookPoint) -> Self {
        let (neurons, position_name, set) = Default::default();
        Place { point, pos: None, head: None, key: None, neurons, position_name, set, window: 1 }
    }

    /// The block of neurons and the name of the position, as tables show them.
    pub(crate) fn names(&self) -> String {
        let names = [self.neurons.as_str(), &self.position_name];
        names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// The number of the position in a pair's prompts, where it is one.
    pub(crate) fn pos_in(&self, pair: &Pair) -> Option<usize> {
        self.pos.or_else(|| pos_of(&self.position_name, pair))
    }
}

/// Reads the entries of a field `heads`.
///
/// # Errors
/// A word that is neither `each`, `all`, nor the number of a head.
pub(crate) fn heads(field: &'static str, words: &[String], model_shape: &ModelShape) -> Result<Vec<Heads>, ProbeError> {
    let read = |word: &String| match word.as_str() {
        EACH => Ok(Heads::Each),
        ALL => Ok(Heads::All),
        _ => word.parse().ok().filter(|head| *head < model_shape.n_heads).map(Heads::At).ok_or_else(|| {
            let allowed = format!("\"each\", \"all\", or a head from 0 to {}", model_shape.n_heads - 1);
            ProbeError::NoSuchChoice { field, word: word.clone(), allowed }
        }),
    };
    words.iter().map(read).collect()
}

/// The regions that the entries of a field `heads` stand for at a hook, each with the head where it is one; all of
/// the activation where the hook has no heads.
///
/// # Errors
/// As [`heads`].
pub(crate) fn head_regions(
    field: &'static str,
    words: &[String],
    point: HookPoint,
    model_shape: &ModelShape,
) -> Result<Vec<(Option<usize>, Region)>, ProbeError> {
    if point.site().dim_of(Axis::Head).is_none() {
        return Ok(vec![(None, Region::all())]);
    }
    let one = |head: usize| (Some(head), Region::all().along(Axis::Head, head as i64));
    let regions = |choice: Heads| match choice {
        Heads::All => vec![(None, Region::all())],
        Heads::Each => (0..model_shape.n_heads).map(one).collect(),
        Heads::At(head) => vec![one(head)],
    };
    Ok(heads(field, words, model_shape)?.into_iter().flat_map(regions).collect())
}

/// Reads a head of the form `layer.head`.
///
/// # Errors
/// Another form, a layer or a head that the model lacks.
pub(crate) fn head(field: &'static str, word: &str, model_shape: &ModelShape) -> Result<(usize, usize), ProbeError> {
    let parts = word.split_once('.').and_then(|(layer, head)| Some((layer.parse().ok()?, head.parse().ok()?)));
    let known = |(layer, head): &(usize, usize)| *layer < model_shape.n_layers && *head < model_shape.n_heads;
    parts.filter(known).ok_or_else(|| {
        let (layer, head) = (model_shape.n_layers - 1, model_shape.n_heads - 1);
        let allowed = format!("a head is written layer.head, from 0.0 to {layer}.{head}");
        ProbeError::NoSuchChoice { field, word: word.to_owned(), allowed }
    })
}

/// Heads as `(layer, head)`, ascending.
pub(crate) type HeadSet = Vec<(usize, usize)>;

/// Reads sets of heads by name.
///
/// # Errors
/// As [`head`]; an empty set, or one without a name.
pub(crate) fn sets(
    field: &'static str,
    sets: &BTreeMap<String, Vec<String>>,
    model_shape: &ModelShape,
) -> Result<Vec<(String, HeadSet)>, ProbeError> {
    let read = |(name, words): (&String, &Vec<String>)| {
        let mut heads = words.iter().map(|word| head(field, word, model_shape)).collect::<Result<Vec<_>, _>>()?;
        heads.sort_unstable();
        heads.dedup();
        if heads.is_empty() || name.is_empty() { Err(ProbeError::Empty { field }) } else { Ok((name.clone(), heads)) }
    };
    sets.iter().map(read).collect()
}

/// The sites among `points` that have heads, each once: the sites at which sets of heads are edited.
///
/// # Errors
/// There are sets, and no such site.
pub(crate) fn sites_of_heads(
    points: &[HookPoint],
    sets: &BTreeMap<String, Vec<String>>,
) -> Result<Vec<Site>, ProbeError> {
    let sites = points.iter().map(|point| point.site());
    let mut sites: Vec<Site> = sites.filter(|site| site.dim_of(Axis::Head).is_some()).collect();
    sites.sort_unstable_by_key(|site| site.firing_order());
    sites.dedup();
    if let (true, Some(name)) = (sites.is_empty(), sets.keys().next()) {
        let allowed = "sets are of heads, and none of the hooks has any; name z among them".to_owned();
        return Err(ProbeError::NoSuchChoice { field: "sets", word: name.clone(), allowed });
    }
    Ok(sites)
}

/// The points that names stand for, each once, in firing order.
///
/// # Errors
/// A name that matches nothing, `hook_resid_mid` of a parallel model.
pub(crate) fn points(names: &[String], model_shape: &ModelShape) -> Result<Vec<HookPoint>, ProbeError> {
    let mut points = Vec::new();
    for name in names {
        points.extend(select(name, model_shape)?);
    }
    points.sort_unstable();
    points.dedup();
    Ok(points)
}

/// The points that the fields `hooks` and `sets` edit, each once, in firing order.
///
/// # Errors
/// As [`points`], [`before_the_end`], [`sites_of_heads`] and [`sets`].
pub(crate) fn touched(
    hooks: &[String],
    sets: &BTreeMap<String, Vec<String>>,
    model_shape: &ModelShape,
) -> Result<Vec<HookPoint>, ProbeError> {
    let mut points = points(hooks, model_shape)?;
    before_the_end("hooks", &points)?;
    let sites = sites_of_heads(&points, sets)?;
    for (_, heads) in self::sets("sets", sets, model_shape)? {
        points.extend(sites.iter().flat_map(|site| heads.iter().map(|(layer, _)| site.at(*layer))));
    }
    points.sort_unstable();
    points.dedup();
    Ok(points)
}

/// Refuses points after the last block. Metrics read the residual stream that leaves the last block and normalise it
/// themselves, so that a hook after it would never fire.
///
/// # Errors
/// The first such point.
pub(crate) fn before_the_end(field: &'static str, points: &[HookPoint]) -> Result<(), ProbeError> {
    let late = |point: &&HookPoint| matches!(point.site(), Site::FinalScale | Site::FinalNormalized);
    points.iter().find(late).map_or(Ok(()), |point| {
        let allowed = "metrics are read from the stream that leaves the last block, before any hook of the final layer \
                       norm; the last place is hook_resid_post of the last layer";
        Err(ProbeError::NoSuchChoice { field, word: point.to_string(), allowed: allowed.to_owned() })
    })
}
