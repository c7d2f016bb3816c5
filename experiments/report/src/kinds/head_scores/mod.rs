//! Scores of attention heads: which heads are highest, how their scores emerge, and a map of heads × checkpoints.

use super::change::{when, when_columns, when_in_words};
use super::over_steps::has_steps;
use super::{IN_FULL, TOP, TableKind, blocks};
use crate::listing::{Listing, ListingColumn};
use crate::page::Block;
use crate::results::{ResultsError, Table, last, peak};
use crate::words;

mod curves;
mod map;
mod scores;

pub(crate) use scores::definitions;
use scores::{HeadCurve, Scored, scored};

pub(super) const KIND: TableKind = TableKind {
    name: "head_scores",
    title: "What heads attend to",
    figures: "the heads with the highest peaks over training, the other scores, heads × checkpoints",
    section,
    listing: Some(listing),
};

/// Cells of all maps of a section together: at the worst, of noise, they take about a megabyte of the page.
const MAP_CELLS: usize = 400_000;

fn section(table: &Table) -> Result<Vec<Block>, ResultsError> {
    let read = read(table)?;
    let (full, mut figures) = (read.len() <= IN_FULL, Vec::new());
    let ends = map::ends(read.iter().filter_map(|(_, scores)| scores.first()));
    for (model, scores) in &read {
        let Some((main, others)) = scores.split_first() else { continue };
        if has_steps(main.heads.iter().map(|head| head.points.as_slice())) {
            figures.push(curves::emergence(table, model, main, full)?);
            if full && !others.is_empty() {
                figures.push(curves::other_scores(table, model, others)?);
            }
        }
        figures.push(map::figure(table, model, main, (MAP_CELLS / read.len(), ends)));
    }
    Ok(blocks(figures, Some(listing_of(table, &read, if full { TOP } else { 1 }))))
}

/// The highest heads of every model under every score.
fn listing(table: &Table, top: usize) -> Result<Listing, ResultsError> {
    Ok(listing_of(table, &read(table)?, top))
}

/// The curves of every model, in the order of sizes.
fn read(table: &Table) -> Result<Vec<(&str, Vec<Scored>)>, ResultsError> {
    let scores = definitions(table)?;
    table.models().into_iter().map(|model| Ok((model, scored(table, model, &scores)?))).collect()
}

fn listing_of(table: &Table, models: &[(&str, Vec<Scored>)], top: usize) -> Listing {
    let (mut rows, mut none) = (Vec::new(), Vec::new());
    for (model, scores) in models {
        for Scored { score, definition, heads } in scores {
            let above: Vec<&HeadCurve> = heads.iter().filter(|head| head.is_above_uniform()).take(top).collect();
            if above.is_empty() {
                none.push(format!("{score} in {model}"));
            }
            rows.extend(above.into_iter().map(|curve| row(model, score, definition, curve)));
        }
    }
    let columns = ["model", "score", "head"].map(ListingColumn::text).into_iter();
    let numbers = ["peak", "last", "uniform"].map(ListingColumn::number);
    let columns = columns.chain(numbers).chain(when_columns()).collect();
    let shown = words::plural(top, "head");
    let none = match none.as_slice() {
        [] => String::new(),
        none => format!(" No head is above it: {}.", none.join(", ")),
    };
    let note = format!(
        "At most {shown} for each score: those with the highest peaks, of the heads whose peak is above \"uniform\", \
         the same formula under uniform attention.{none}"
    );
    let title = format!("{}: the highest heads", table.name);
    Listing { id: words::slug(&table.name), title, note, columns, rows }
}

fn row(model: &str, score: &str, definition: &str, curve: &HeadCurve) -> Vec<String> {
    let numbers = [peak(&curve.points), last(&curve.points), curve.uniform].map(words::number);
    let texts = [model.to_owned(), format!("{score} ({definition})"), curve.name()];
    texts.into_iter().chain(numbers).chain(when(&curve.points)).collect()
}

/// `Induction` of `induction`, `Previous token` of `previous_token`.
pub(crate) fn title_of(score: &str) -> String {
    let words = score.replace('_', " ");
    let mut chars = words.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// The finding in a sentence.
fn finding(model: &str, scored: &Scored) -> String {
    let Some(head) = scored.heads.first() else {
        return format!("{model} has no heads under the score {}.", scored.score);
    };
    if !head.is_above_uniform() {
        return format!("No head of {model} is above uniform attention under the score {}.", scored.score);
    }
    let (highest, end) = (words::number(peak(&head.points)), words::number(last(&head.points)));
    let when = when_in_words(&head.points);
    let name = title_of(&scored.score);
    format!("{name} in {model} is highest in head {}: it peaks at {highest}, ends at {end}{when}.", head.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Results;
    use crate::testing::{Scratch, head_scores, suite_steps};

    #[test]
    fn the_planted_head_is_first_and_changes_at_its_step() {
        let scratch = Scratch::new("planted-head");
        head_scores(&scratch.0, "pythia-70m", (6, 8), &suite_steps());
        let results = Results::open(&scratch.0).expect("results");
        let listing = listing(&results.tables["head_scores"], 2).expect("a listing");
        assert_eq!(listing.rows.len(), 2);
        let first: Vec<&str> = listing.rows[0].iter().map(String::as_str).collect();
        let levels = "0.050 → 0.900";
        assert_eq!(
            first,
            ["pythia-70m", "induction (strict)", "L2H3", "0.900", "0.900", "0.020", "64", "64–64", levels, ""]
        );
        // The others never change, and the one without any value is last.
        assert_eq!(listing.rows[1][2..4], ["L0H1", "0.050"]);
        assert_eq!(listing.rows[1][6..], ["", "", "", "one mean fits as well as two"]);
        // The head without any value is not above uniform attention, nor is any if its own is as high.
        assert_eq!(super::listing(&results.tables["head_scores"], 100).expect("a listing").rows.len(), 47);
        let table = &results.tables["head_scores"];
        let scores = definitions(table).expect("scores");
        let heads = &scored(table, "pythia-70m", &scores).expect("curves")[0].heads;
        assert_eq!((heads.len(), heads[47].name().as_str()), (48, "L0H0"));
        let mut low = scored(table, "pythia-70m", &scores).expect("curves");
        low[0].heads.iter_mut().for_each(|head| head.uniform = Some(0.95));
        let none = listing_of(table, &[("pythia-70m", low.clone())], 5);
        assert!(
            none.rows.is_empty() && none.note.ends_with("No head is above it: induction in pythia-70m."),
            "{none:?}"
        );
        assert_eq!(finding("m", &low[0]), "No head of m is above uniform attention under the score induction.");
    }
}
