//! What a figure is made of: how many prompts or pairs, and how many checkpoints. Stated at the end of its caption.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::chart::{Chart, Lines, X};
use crate::page::{Block, Figure};
use crate::results::{Origin, ResultsError, Table};
use crate::words::{count, plural};

/// Adds to each caption what the figure is made of.
pub(super) fn stated(table: &Table, mut blocks: Vec<Block>) -> Result<Vec<Block>, ResultsError> {
    let size = size_of(table)?;
    for block in &mut blocks {
        if let Block::Figure(figure) = block {
            state(figure, size.as_deref());
        }
    }
    Ok(blocks)
}

/// Adds the number of checkpoints that the figure shows, and the size of the sample if that is known.
pub(super) fn state(figure: &mut Figure, size: Option<&str>) {
    let checkpoints = plural(checkpoints(&figure.chart), "checkpoint");
    let all = size.into_iter().chain([checkpoints.as_str()]).collect::<Vec<_>>().join("; ");
    figure.caption = format!("{} {all}.", figure.caption);
}

/// `64 pairs used, 3 dropped` or `8 prompts`; none where the files do not say.
fn size_of(table: &Table) -> Result<Option<String>, ResultsError> {
    let firsts = table.parts.values().filter_map(|parts| parts.first());
    let sizes = firsts
        .map(|part| Ok(size(&Origin::checked(part, &table.name)?)))
        .collect::<Result<BTreeSet<_>, ResultsError>>()?;
    // Models with other tokenizers may use other pairs.
    let known = !sizes.is_empty() && !sizes.contains(&None);
    Ok(known.then(|| sizes.into_iter().flatten().collect::<Vec<_>>().join(" or ")))
}

fn size(origin: &Origin) -> Option<String> {
    let number = |key: &str| origin.metadata.get(key)?.parse::<u64>().ok();
    if let Some((used, dropped)) = number("pairs_used").zip(number("pairs_dropped")) {
        let pairs = if used == 1 { "pair" } else { "pairs" };
        return Some(format!("n\u{a0}=\u{a0}{} {pairs} used, {} dropped", count(used), count(dropped)));
    }
    let prompts = &origin.config["probe"]["prompts"];
    let lists = ["texts", "tokens"].iter().find_map(|key| Some(prompts[*key].as_array()?.len() as u64));
    let n = lists.or_else(|| prompts.get("n").and_then(Value::as_u64))?;
    Some(if n == 1 { "n\u{a0}=\u{a0}1 prompt".to_owned() } else { format!("n\u{a0}=\u{a0}{} prompts", count(n)) })
}

/// The checkpoints that a figure shows, in a frame or all at once.
fn checkpoints(chart: &Chart) -> usize {
    match chart {
        Chart::Lines(Lines { x: X::Steps { .. }, panels, .. }) => {
            let points = panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
            points.map(|point| point.x.to_bits()).collect::<BTreeSet<_>>().len()
        }
        Chart::Map(map) if map.axes.1 == "step" => {
            map.panels.iter().map(|panel| panel.columns.len()).max().unwrap_or(0)
        }
        Chart::Map(map) => map.frames.len(),
        Chart::Words(words) => words.frames.len(),
        Chart::Attention(attention) => attention.frames.len(),
        // Bars and doses are of the last checkpoint.
        Chart::Bars(_) | Chart::Lines(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    fn of(metadata: &[(&str, &str)], config: Value) -> Option<String> {
        let metadata = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        size(&Origin { metadata: metadata.collect::<BTreeMap<_, _>>(), config, ..Origin::default() })
    }

    #[test]
    fn the_size_of_a_sample_is_that_of_the_metadata() {
        let pairs = [("pairs_used", "1061"), ("pairs_dropped", "3")];
        assert_eq!(of(&pairs, Value::Null).as_deref(), Some("n\u{a0}=\u{a0}1,061 pairs used, 3 dropped"));
        let prompts = |prompts: Value| of(&[], json!({ "probe": { "prompts": prompts } }));
        assert_eq!(prompts(json!({ "n": 8, "half_len": 24 })).as_deref(), Some("n\u{a0}=\u{a0}8 prompts"));
        assert_eq!(prompts(json!({ "texts": ["When"], "n": null })).as_deref(), Some("n\u{a0}=\u{a0}1 prompt"));
        assert_eq!((prompts(json!({ "file": "p.jsonl" })), of(&[], Value::Null)), (None, None));
    }
}
