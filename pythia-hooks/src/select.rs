//! Reading hook points from text: full names, and patterns with globs, TransformerLens' short forms, negative layers.

use std::str::FromStr;

use crate::error::Suggestions;
use crate::foreign::explained;
use crate::{HookError, HookPoint, ModelShape, Presence, SITES, Site, SiteRow, nearest};

/// Every point the model has, in firing order.
pub fn points_of(model: &ModelShape) -> Vec<HookPoint> {
    let mut points: Vec<HookPoint> = SITES
        .iter()
        .filter(|row| !(model.parallel && row.presence == Presence::SequentialOnly))
        .flat_map(|row| {
            let layers = if row.site.is_global() { 1 } else { model.n_layers };
            (0..layers).map(|layer| row.site.at(layer))
        })
        .collect();
    points.sort_by_key(|point| point.firing_order());
    points
}

/// The points that `pattern` names, in firing order. Accepted are
/// - full names, `blocks.3.attn.hook_z`, and the names of TransformerLens' bridge (`blocks.3.hook_in`,
///   `blocks.3.attn.o.hook_out`);
/// - globs, where `*` stands for any characters: `blocks.*.attn.hook_pattern`, `blocks.1.*`, `*`. Those that match no
///   full name are matched with the bridge's names;
/// - short forms: `z` or `hook_z` for all layers, `z3` or `z.3` for one, `embed`; `scale4ln1`, as `get_act_name` of
///   TransformerLens reads them;
/// - negative layers, counted from the end: `blocks.-1.hook_resid_post`, `resid_post.-1`.
///
/// ```
/// # use pythia_hooks::{ModelShape, Site, select};
/// let model = ModelShape { n_layers: 6, n_heads: 8, d_model: 512, d_head: 64, d_mlp: 2048, parallel: true };
/// assert_eq!(select("z", &model)?.len(), 6);
/// assert_eq!(select("z.-1", &model)?, [Site::Z.at(5)]);
/// # Ok::<(), pythia_hooks::HookError>(())
/// ```
///
/// # Errors
/// A name or glob that matches nothing, a name of TransformerLens that has no point here, a layer the model lacks,
/// `hook_resid_mid` of a parallel model.
pub fn select(pattern: &str, model: &ModelShape) -> Result<Vec<HookPoint>, HookError> {
    if pattern.contains('*') {
        return glob(pattern, model);
    }
    let (site, layer) = parse(pattern)?;
    if model.parallel && site.row().presence == Presence::SequentialOnly {
        return Err(HookError::NoResidMid { name: pattern.to_owned() });
    }
    match layer {
        _ if site.is_global() => Ok(vec![site.at(0)]),
        Some(layer) => Ok(vec![site.at(resolve(pattern, layer, model)?)]),
        None => Ok((0..model.n_layers).map(|layer| site.at(layer)).collect()),
    }
}

/// Whether some model has a point that `pattern` names, as [`select`] reads it: what needs no model to be told.
///
/// ```
/// # use pythia_hooks::is_known;
/// assert!(is_known("resid_mid").is_ok() && is_known("z.99").is_ok() && is_known("zz").is_err());
/// ```
///
/// # Errors
/// A name or glob that matches nothing in any model, a name of TransformerLens that has no point here.
pub fn is_known(pattern: &str) -> Result<(), HookError> {
    /// No model of this architecture has as many layers.
    const ANY: ModelShape = ModelShape { n_layers: 1000, n_heads: 1, d_model: 1, d_head: 1, d_mlp: 1, parallel: false };
    if !pattern.contains('*') {
        return parse(pattern).map(drop);
    }
    match glob(pattern, &ANY) {
        Err(HookError::LayerOutOfRange { .. }) => Ok(()),
        found => found.map(drop),
    }
}

fn glob(pattern: &str, model: &ModelShape) -> Result<Vec<HookPoint>, HookError> {
    let resolved = match split_block(pattern) {
        Some((layer, rest)) => match layer.parse::<i64>() {
            Ok(layer) => format!("blocks.{}.{rest}", resolve(pattern, layer, model)?),
            Err(_) => pattern.to_owned(),
        },
        None => pattern.to_owned(),
    };
    let all = points_of(model);
    let named = |p: &&HookPoint| matches(resolved.as_bytes(), p.to_string().as_bytes());
    let aliased = |p: &&HookPoint| bridge_names(**p).any(|name| matches(resolved.as_bytes(), name.as_bytes()));
    let points: Vec<HookPoint> = all.iter().filter(named).copied().collect();
    let points = if points.is_empty() { all.iter().filter(aliased).copied().collect() } else { points };
    if points.is_empty() { Err(nothing_matches(pattern, &resolved, model)) } else { Ok(points) }
}

/// The full names of a point in TransformerLens' bridge. Short forms have no dot and no `hook_`.
fn bridge_names(point: HookPoint) -> impl Iterator<Item = String> {
    let names = point.site().row().aliases.iter().filter(|alias| alias.contains("hook_"));
    names.map(move |alias| point.layer().map_or_else(|| (*alias).to_owned(), |layer| format!("blocks.{layer}.{alias}")))
}

/// The error for a glob without matches. One that would match in a sequential model names `hook_resid_mid`.
fn nothing_matches(pattern: &str, resolved: &str, model: &ModelShape) -> HookError {
    let sequential = ModelShape { parallel: false, ..*model };
    let name = pattern.to_owned();
    if points_of(&sequential).iter().any(|p| matches(resolved.as_bytes(), p.to_string().as_bytes())) {
        return HookError::NoResidMid { name };
    }
    HookError::UnknownName { nearest: suggestions(pattern), name }
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters.
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    matches(pattern.as_bytes(), text.as_bytes())
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // Two pointers and no recursion, so a hostile pattern needs no memory and at most quadratic time.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            p = at + 1;
            t = from + 1;
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

/// Reads one name without a glob: the site, and the layer if one is given.
fn parse(text: &str) -> Result<(Site, Option<i64>), HookError> {
    let unknown = || HookError::UnknownName { name: text.to_owned(), nearest: suggestions(text) };
    let in_block = |name| by_name(name).filter(|row| !row.site.is_global());
    if let Some((layer, name)) = split_block(text) {
        let row = in_block(name).ok_or_else(|| explained(text, name).unwrap_or_else(unknown))?;
        return Ok((row.site, Some(layer.parse().map_err(|_| unknown())?)));
    }
    if let Some(row) = by_name(text) {
        return Ok((row.site, None));
    }
    if let Some((row, layer)) = compact(text) {
        return Ok((row.site, Some(layer)));
    }
    let (name, layer) = split_layer(text).ok_or_else(|| explained(text, text).unwrap_or_else(unknown))?;
    let row = in_block(name)
        .ok_or_else(|| explained(text, text).or_else(|| explained(text, name)).unwrap_or_else(unknown))?;
    Ok((row.site, Some(layer)))
}

/// Reads `scale4ln1`: a name, a layer, and the part of the block, as `get_act_name` of TransformerLens does.
fn compact(text: &str) -> Option<(&'static SiteRow, i64)> {
    let from = text.find(|c: char| c.is_ascii_digit())?;
    let to = from + text[from..].find(|c: char| !c.is_ascii_digit())?;
    let part = match &text[to..] {
        "a" | "attn" | "attention" => "attn.",
        "m" | "mlp" => "mlp.",
        "b" | "block" | "blocks" => "",
        "ln1" => "ln1.",
        "ln2" => "ln2.",
        _ => return None,
    };
    let row = by_name(&format!("{part}hook_{}", &text[..from]))?;
    Some((row, text[from..to].parse().ok()?))
}

/// The site of a name, of an alias, or of the last part of a name (`hook_z`) where only one site of a block has it.
fn by_name(name: &str) -> Option<&'static SiteRow> {
    let exact = SITES.iter().find(|row| row.name == name || row.aliases.contains(&name));
    exact.or_else(|| {
        let ends = |row: &&SiteRow| row.name.rsplit_once('.').is_some_and(|(_, last)| last == name);
        let mut found = SITES.iter().filter(ends);
        found.next().filter(|_| found.next().is_none())
    })
}

/// Splits `z3`, `z.3` and `resid_post.-1` into name and layer.
fn split_layer(text: &str) -> Option<(&str, i64)> {
    if let Some((name, layer)) = text.rsplit_once('.') {
        return Some((name, layer.parse().ok()?));
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    Some((&text[..digits], text[digits..].parse().ok()?))
}

fn resolve(name: &str, layer: i64, model: &ModelShape) -> Result<usize, HookError> {
    let n_layers = model.n_layers;
    model.layer(layer).ok_or_else(|| HookError::LayerOutOfRange { name: name.to_owned(), layer, n_layers })
}

fn suggestions(text: &str) -> Suggestions {
    let ends = |name: &&str| name.rsplit_once('.').is_some_and(|(_, last)| last == text);
    let same_end: Vec<String> = SITES.iter().map(|row| row.name).filter(ends).map(str::to_owned).collect();
    if !same_end.is_empty() {
        return Suggestions(same_end);
    }
    let full = all_names();
    let short = SITES.iter().flat_map(|row| row.aliases.iter().copied());
    Suggestions(nearest(text, full.iter().map(String::as_str).chain(short)))
}

impl FromStr for HookPoint {
    type Err = HookError;

    /// Reads a full name. Globs, short forms and negative layers need a model: see [`select`].
    fn from_str(text: &str) -> Result<Self, HookError> {
        let unknown = || HookError::UnknownName {
            name: text.to_owned(),
            nearest: Suggestions(nearest(text, all_names().iter().map(String::as_str))),
        };
        let (layer, name) = match split_block(text) {
            Some((layer, name)) => (Some(layer), name),
            None => (None, text),
        };
        let row =
            SITES.iter().find(|row| row.name == name && row.site.is_global() == layer.is_none()).ok_or_else(unknown)?;
        // A global site ignores the layer.
        let layer = layer.map_or(Ok(0), str::parse).map_err(|_| unknown())?;
        Ok(row.site.at(layer))
    }
}

/// Splits `blocks.3.attn.hook_z` into `3` and `attn.hook_z`.
fn split_block(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("blocks.")?.split_once('.')
}

/// Every full name, with layer 0 standing for all layers: the candidates for suggestions.
fn all_names() -> Vec<String> {
    SITES.iter().map(|row| row.site.at(0).to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: ModelShape = ModelShape { n_layers: 12, n_heads: 4, d_model: 8, d_head: 2, d_mlp: 32, parallel: true };

    fn names(pattern: &str) -> Vec<String> {
        select(pattern, &MODEL).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn one_point_can_be_named_in_many_ways() {
        for same in [
            "blocks.3.attn.hook_z",
            "z3",
            "z.3",
            "blocks.-9.attn.hook_z",
            "z.-9",
            "blocks.3.z",
            "blocks.3.attn.o.hook_in",
            "hook_z.3",
            "blocks.3.hook_z",
        ] {
            assert_eq!(names(same), ["blocks.3.attn.hook_z"], "{same}");
        }
        assert_eq!(names("resid_post.-1"), ["blocks.11.hook_resid_post"]);
        assert_eq!(names("embed"), ["hook_embed"]);
        assert_eq!(names("blocks.0.hook_in"), ["blocks.0.hook_resid_pre"]);
    }

    #[test]
    fn names_of_the_bridge_are_those_of_the_tensor_that_lies_there() {
        for (bridge, ours) in [
            ("embed.hook_out", "hook_embed"),
            ("blocks.2.hook_in", "blocks.2.hook_resid_pre"),
            ("blocks.2.hook_out", "blocks.2.hook_resid_post"),
            ("blocks.2.ln1.hook_out", "blocks.2.ln1.hook_normalized"),
            ("blocks.2.ln2.hook_in", "blocks.2.hook_mlp_in"),
            ("blocks.2.ln2.hook_out", "blocks.2.ln2.hook_normalized"),
            ("blocks.2.attn.hook_in", "blocks.2.ln1.hook_normalized"),
            ("blocks.2.attn.q.hook_out", "blocks.2.attn.hook_q"),
            ("blocks.2.attn.hook_q_input", "blocks.2.hook_q_input"),
            ("blocks.2.attn.o.hook_in", "blocks.2.attn.hook_z"),
            ("blocks.2.attn.o.hook_out", "blocks.2.hook_attn_out"),
            ("blocks.2.attn.hook_out", "blocks.2.hook_attn_out"),
            ("blocks.2.mlp.hook_in", "blocks.2.ln2.hook_normalized"),
            ("blocks.2.mlp.in.hook_out", "blocks.2.mlp.hook_pre"),
            ("blocks.2.mlp.out.hook_in", "blocks.2.mlp.hook_post"),
            ("blocks.2.mlp.out.hook_out", "blocks.2.hook_mlp_out"),
            ("blocks.2.mlp.hook_out", "blocks.2.hook_mlp_out"),
            ("ln_final.hook_out", "ln_final.hook_normalized"),
            ("unembed.hook_in", "ln_final.hook_normalized"),
            ("scale4ln1", "blocks.4.ln1.hook_scale"),
            ("normalized4ln2", "blocks.4.ln2.hook_normalized"),
            ("k6a", "blocks.6.attn.hook_k"),
            ("pre5m", "blocks.5.mlp.hook_pre"),
            ("scale", "ln_final.hook_scale"),
        ] {
            assert_eq!(names(bridge), [ours], "{bridge}");
        }
        assert_eq!(names("blocks.*.attn.o.hook_out"), names("attn_out"));
        assert_eq!(names("blocks.-1.*.hook_in").first(), Some(&"blocks.11.ln1.hook_normalized".to_owned()));
        // A glob that matches full names means these alone.
        assert!(!names("blocks.*.attn.*").contains(&"blocks.0.hook_attn_out".to_owned()));
        for nothing in ["scale4ln3", "z4ln1", "4ln1", "scale99999999999999999999ln1", "scale4ln1x"] {
            assert!(select(nothing, &MODEL).is_err(), "{nothing}");
        }
    }

    #[test]
    fn globs_and_bare_short_forms_cover_all_layers() {
        assert_eq!(names("pattern").len(), 12);
        assert_eq!(names("hook_pattern"), names("pattern"));
        assert_eq!(names("hook_resid_pre"), names("resid_pre"));
        assert_eq!(names("ln1.hook_scale").len(), 12);
        assert_eq!(names("blocks.*.attn.hook_pattern"), names("pattern"));
        assert_eq!(names("*"), points_of(&MODEL).iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(names("blocks.-1.*hook_q"), ["blocks.11.attn.hook_q"]);
        assert!(names("blocks.1.*").iter().all(|name| name.starts_with("blocks.1.")));
    }

    #[test]
    fn what_matches_nothing_says_why() {
        let message = |pattern: &str| select(pattern, &MODEL).unwrap_err().to_string();
        assert!(message("blocks.12.attn.hook_z").contains("0 to 11"));
        assert!(message("z99999999999").contains("99999999999"));
        // Three layer norms have one.
        assert!(message("hook_scale").contains("did you mean"));
        assert!(message("blocks.*.hook_patern").contains("no hook point"));
        for mid in ["resid_mid", "blocks.2.hook_resid_mid", "blocks.*.hook_resid_mid"] {
            assert!(message(mid).contains("parallel"), "{mid}");
        }
        let sequential = ModelShape { parallel: false, ..MODEL };
        assert_eq!(select("resid_mid", &sequential).unwrap().len(), 12);
    }

    #[test]
    fn stars_match_any_run() {
        for (pattern, text, expected) in
            [("*", "", true), ("a*c", "abbc", true), ("a*c", "abbcd", false), ("*b*b", "abab", true), ("", "a", false)]
        {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }
}
