//! The parameters that name patterns stand for.

use std::collections::BTreeSet;

use pythia_core::config::NeoxConfig;
use pythia_core::params::Param;
use pythia_hooks::{glob_matches, nearest};

use crate::error::ProbeError;

/// The field of the configuration that patterns stand in.
const FIELD: &str = "params";

/// The parameters that patterns name, each once.
///
/// # Errors
/// No pattern at all, and a pattern that matches nothing, with the nearest names.
pub(super) fn select(patterns: &[String], config: &NeoxConfig) -> Result<BTreeSet<Param>, ProbeError> {
    if patterns.is_empty() {
        return Err(ProbeError::Empty { field: FIELD });
    }
    let named: Vec<(Param, String)> = Param::all(config).into_iter().map(|param| (param, param.to_string())).collect();
    let mut chosen = BTreeSet::new();
    for pattern in patterns {
        let resolved = from_the_start(pattern, config.n_layers);
        let matched = named.iter().filter(|(_, name)| glob_matches(&resolved, name)).map(|(param, _)| *param);
        let matched: Vec<Param> = matched.collect();
        if matched.is_empty() {
            return Err(no_such_param(pattern, &named));
        }
        chosen.extend(matched);
    }
    Ok(chosen)
}

/// The pattern with a layer that is counted from the end counted from the start.
fn from_the_start(pattern: &str, n_layers: usize) -> String {
    let layer = pattern.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
    let from_end = layer.and_then(|(layer, rest)| Some((layer.strip_prefix('-')?.parse::<usize>().ok()?, rest)));
    match from_end.and_then(|(from_end, rest)| Some((n_layers.checked_sub(from_end.max(1))?, rest))) {
        Some((layer, rest)) => format!("blocks.{layer}.{rest}"),
        None => pattern.to_owned(),
    }
}

/// The error for a pattern without a match. The nearest names are looked for among all names, and among those of blocks
/// with a star in place of the layer.
fn no_such_param(pattern: &str, named: &[(Param, String)]) -> ProbeError {
    let starred = named.iter().filter_map(|(param, name)| match param {
        Param::Layer(0, _) => Some(name.replacen('0', "*", 1)),
        _ => None,
    });
    let names: Vec<String> = starred.chain(named.iter().map(|(_, name)| name.clone())).collect();
    ProbeError::NoSuchParam { name: pattern.to_owned(), nearest: nearest(pattern, names.iter().map(String::as_str)) }
}
