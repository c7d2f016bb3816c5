//! Names along the sides of a grid: all of them if there is room, else the most helpful ones.

use super::frame::{AXIS, Anchor, Area, QUIET, SMALL, uncrowded, word};
use super::svg::{Svg, coord};
use super::text;

/// The longest name beside a row or under a column.
const LONGEST: f64 = 90.0;
/// The least distance of two lines of names.
const PITCH: f64 = 11.0;
/// The smallest distance of two lines that are not plain numbers: without a gap, but not over each other.
const TIGHT: f64 = SMALL;

/// How names stand under their columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Flat,
    Slanted,
    Upright,
}

/// The names under columns, with their direction and size.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Under {
    turn: Turn,
    /// Indices of the columns whose names are written, with what is written.
    kept: Vec<(usize, String)>,
    thinned: bool,
    /// How much room they take below the grid.
    pub height: f64,
}

/// Chooses the names under columns that are `pitch` wide; slanted names have `overhang` at their left.
pub(crate) fn under(names: &[String], pitch: f64, overhang: f64) -> Under {
    let numbers: Option<Vec<u64>> = names.iter().map(|name| name.parse().ok()).collect();
    let (turn, kept) = match numbers {
        Some(numbers) if numbers.iter().any(|number| *number >= 1000) => (Turn::Flat, round_ones(&numbers, pitch)),
        Some(_) => (Turn::Flat, evenly(names, pitch)),
        None => words(names, pitch, overhang),
    };
    let longest = kept.iter().map(|(_, name)| text::width(name, SMALL)).fold(0.0, f64::max);
    let height = match turn {
        Turn::Flat => 16.0,
        Turn::Slanted => 12.0 + longest * std::f64::consts::FRAC_1_SQRT_2,
        Turn::Upright => 10.0 + longest,
    };
    Under { turn, thinned: kept.len() < names.len(), kept, height: if names.is_empty() { 0.0 } else { height } }
}

fn words(names: &[String], pitch: f64, overhang: f64) -> (Turn, Vec<(usize, String)>) {
    let widest = names.iter().map(|name| text::width(&text::shown(name), SMALL)).fold(0.0, f64::max);
    let (turn, room) = match pitch {
        pitch if widest + 4.0 <= pitch => (Turn::Flat, pitch),
        pitch if pitch >= 14.0 => (Turn::Slanted, LONGEST.min(overhang * std::f64::consts::SQRT_2)),
        _ => (Turn::Upright, LONGEST),
    };
    let kept = telling(names, pitch).into_iter().map(|index| (index, text::fitted(&names[index], SMALL, room)));
    (turn, kept.collect())
}

/// Small numbers, such as positions: as many as fit beside each other, at the same distances.
fn evenly(names: &[String], pitch: f64) -> Vec<(usize, String)> {
    let widest = names.iter().map(|name| text::width(name, SMALL)).fold(0.0, f64::max) + 5.0;
    // `every` assumes lines of text above each other; names beside each other need their width instead.
    every(names, pitch * PITCH / widest).into_iter().map(|index| (index, names[index].clone())).collect()
}

/// Numbers such as steps: all where they have room, else the first, the last and round ones.
fn round_ones(numbers: &[u64], pitch: f64) -> Vec<(usize, String)> {
    let names: Vec<String> = numbers.iter().map(|number| thousands(*number)).collect();
    let fitting = |ranks: &[usize]| {
        let chosen: Vec<usize> = (0..numbers.len()).filter(|index| ranks[*index] < ODD).collect();
        let places: Vec<f64> = chosen.iter().map(|index| *index as f64 * pitch).collect();
        let half: Vec<f64> = chosen.iter().map(|index| text::width(&names[*index], SMALL) / 2.0 + 3.0).collect();
        let ranks: Vec<usize> = chosen.iter().map(|index| ranks[*index]).collect();
        let kept: Vec<usize> = uncrowded(&places, &half, &ranks).into_iter().map(|index| chosen[index]).collect();
        (kept.len() == chosen.len(), kept)
    };
    let (all, mut kept) = fitting(&vec![0; numbers.len()]);
    if !all {
        let power = numbers.iter().max().and_then(|most| most.checked_ilog10()).map_or(1, |power| 10u64.pow(power));
        let tenth = (power / 10).max(1);
        // Large steps are often evenly spaced: the finest multiples that all fit make an even row.
        let multiples = |every: u64| -> Vec<usize> {
            numbers.iter().map(|number| if *number > 0 && number.is_multiple_of(every) { 0 } else { ODD }).collect()
        };
        let even = [1, 2, 5].into_iter().map(|times| times * tenth).find(|every| fitting(&multiples(*every)).0);
        kept = fitting(&ranks(numbers, tenth, even.unwrap_or(power))).1;
    }
    kept.into_iter().map(|index| (index, names[index].clone())).collect()
}

/// Ranks of numbers: those at the ends, then from `tenth` on the multiples of `even` and no others, then the roundest
/// below.
fn ranks(numbers: &[u64], tenth: u64, even: u64) -> Vec<usize> {
    let last = numbers.len().saturating_sub(1);
    let rank = |(index, number): (usize, &u64)| match *number {
        _ if index == 0 || index == last => 0,
        number if number >= tenth => {
            if number.is_multiple_of(even) {
                1
            } else {
                ODD
            }
        }
        number => roundness(number),
    };
    numbers.iter().enumerate().map(rank).collect()
}

fn thousands(number: u64) -> String {
    if number > 0 && number.is_multiple_of(1000) { format!("{}k", number / 1000) } else { number.to_string() }
}

/// The rank of a number that is not round.
const ODD: usize = 6;

/// How far from round a number is.
fn roundness(number: u64) -> usize {
    let mut digits = number;
    while digits > 0 && digits.is_multiple_of(10) {
        digits /= 10;
    }
    match digits {
        0 | 1 => 1,
        5 => 2,
        2 => 3,
        3..=9 if number < 10 => 4,
        _ if number.is_power_of_two() => 5,
        _ => ODD,
    }
}

/// Indices of names `pitch` apart that each have room for a line. A reader can infer a number from its neighbours, but
/// not a word: so words come first, and evenly spaced numbers fill the room that is left.
fn telling(names: &[String], pitch: f64) -> Vec<usize> {
    let even = every(names, pitch);
    let (numbers, words): (Vec<usize>, Vec<usize>) = (0..names.len()).partition(|index| is_number(&names[*index]));
    if even.len() == names.len() || numbers.is_empty() || words.is_empty() {
        return even;
    }
    let chosen: Vec<usize> =
        words.iter().copied().chain(even.into_iter().filter(|index| is_number(&names[*index]))).collect();
    let places: Vec<f64> = chosen.iter().map(|index| *index as f64 * pitch).collect();
    let rank = |at: usize| usize::from(at >= words.len());
    let ranks: Vec<usize> = (0..chosen.len()).map(rank).collect();
    let half: Vec<f64> = ranks.iter().map(|rank| [TIGHT, PITCH][*rank] / 2.0).collect();
    uncrowded(&places, &half, &ranks).into_iter().map(|at| chosen[at]).collect()
}

/// Whether a name is a plain number; a token such as `nan` is not, although it parses as one.
fn is_number(name: &str) -> bool {
    name.parse().is_ok_and(f64::is_finite)
}

/// Indices of names `pitch` apart that each have room for a line. Periodic names, such as heads within layers, are
/// thinned by a divisor or a multiple of their period.
fn every(names: &[String], pitch: f64) -> Vec<usize> {
    let least = if pitch > 0.0 { (PITCH / pitch).ceil().clamp(1.0, 1e6) as usize } else { names.len().max(1) };
    let round = round_length(names);
    let steps =
        (least..=least.saturating_mul(12)).find(|step| round.is_multiple_of(*step) || step.is_multiple_of(round));
    let plain = || [1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 2000].into_iter().find(|step| *step >= least);
    let step = if round > 1 { steps } else { plain() }.unwrap_or(least);
    (0..names.len()).step_by(step).collect()
}

/// The period of the numbers at the ends of the names; 1 if they have none.
fn round_length(names: &[String]) -> usize {
    let ending = |name: &String| {
        let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        name[name.len() - digits..].parse::<u32>().ok()
    };
    let endings: Option<Vec<u32>> = names.iter().map(ending).collect();
    let Some(endings) = endings else { return 1 };
    let again = endings.iter().skip(1).position(|ending| Some(ending) == endings.first()).map_or(1, |index| index + 1);
    let regular = endings.iter().enumerate().all(|(index, ending)| endings[index % again] == *ending);
    if regular { again } else { 1 }
}

/// How much room the names beside rows take.
pub(crate) fn beside_width(names: &[String]) -> f64 {
    names.iter().map(|name| text::width(&text::shown(name), SMALL)).fold(0.0, f64::max).min(LONGEST)
}

/// Writes names beside the rows of a grid, as many as fit.
pub(crate) fn draw_beside(svg: &mut Svg, names: &[String], area: &Area) {
    let pitch = area.h / names.len().max(1) as f64;
    for index in telling(names, pitch) {
        let y = area.y + (index as f64 + 0.5) * pitch;
        word(svg, (area.x - 6.0, y + 3.5), Anchor::End, &names[index], LONGEST);
        if pitch < PITCH {
            svg.rule((area.x - 4.0, y), (area.x, y), AXIS);
        }
    }
}

/// Writes names under the columns of a grid.
pub(crate) fn draw_under(svg: &mut Svg, under: &Under, names: &[String], area: &Area) {
    let pitch = area.w / names.len().max(1) as f64;
    for (index, shown) in &under.kept {
        let (x, y) = (area.x + (*index as f64 + 0.5) * pitch, area.bottom());
        if under.thinned {
            svg.rule((x, y), (x, y + 3.0), AXIS);
        }
        let (anchor, down, angle) = match under.turn {
            Turn::Flat => ("middle", 13.0, None),
            Turn::Slanted => ("end", 11.0, Some(-45)),
            Turn::Upright => ("end", 6.0, Some(-90)),
        };
        // Rotated names are moved by a third of their size, so that their middle is under the column.
        let x = if angle.is_some() { x + 3.5 } else { x };
        let turn = angle.map(|angle| format!("rotate({angle} {} {})", coord(x), coord(y + down)));
        let tag = svg.tag("text").at(x, y + down).attr("text-anchor", anchor).num("font-size", SMALL);
        let tag = tag.maybe("transform", turn.as_deref()).attr("fill", "currentColor").num("fill-opacity", QUIET);
        let whole = text::shown(&names[*index]);
        if under.turn == Turn::Flat { tag.text(shown) } else { tag.label(shown, &whole) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::svg::Heading;
    use super::*;

    fn names(names: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
        names.into_iter().map(|name| name.to_string()).collect()
    }

    fn heads(layers: usize, heads: usize) -> Vec<String> {
        (0..layers).flat_map(|layer| (0..heads).map(move |head| format!("L{layer}H{head}"))).collect()
    }

    #[test]
    fn heads_are_thinned_by_rounds() {
        assert_eq!(round_length(&heads(3, 8)), 8);
        assert_eq!(round_length(&names(["a", "b"])), 1);
        assert_eq!(every(&heads(3, 8), 3.0), [0, 4, 8, 12, 16, 20]);
        assert_eq!(every(&heads(24, 16), 1.3), (0..24).map(|layer| layer * 16).collect::<Vec<_>>());
        assert_eq!(every(&names(0..30), 5.0), [0, 5, 10, 15, 20, 25]);
        assert_eq!(every(&names(0..3), 12.0), [0, 1, 2]);
    }

    /// Positions of a prompt, of which some have names.
    fn positions(count: usize, named: &[(usize, &str)]) -> Vec<String> {
        let mut names = names(0..count);
        for (index, name) in named {
            names[*index] = (*name).to_owned();
        }
        names
    }

    #[test]
    fn words_win_over_numbers() {
        let named = [(0, "[bos]"), (8, "[first]"), (9, "[successor]"), (24, "[end]")];
        let positions = positions(25, &named);
        let under = under(&positions, 10.21, 60.0);
        let shown: Vec<&str> = under.kept.iter().map(|(_, name)| name.as_str()).collect();
        let numbers = ["12", "14", "16", "18", "20", "22"];
        let expected = [["[bos]", "2", "4", "6", "[first]", "[successor]"], numbers].concat();
        assert_eq!((shown[..12].to_vec(), shown[12]), (expected, "[end]"), "10 would touch [successor]");
    }

    #[test]
    fn words_that_touch_are_thinned_from_the_left() {
        let named = [(3, "a"), (4, "b"), (5, "c"), (10, "nan"), (11, "d")];
        assert_eq!(telling(&positions(14, &named), 6.0), [0, 3, 5, 8, 10, 12]);
        assert_eq!(telling(&names(["0", "a", "b"]), 6.0), [1], "where there is no room for more");
        assert_eq!(telling(&names(["0", "a", "2"]), 12.0), [0, 1, 2], "all have room");
    }

    #[test]
    fn kinds_that_are_not_mixed_stay_even() {
        assert_eq!(telling(&names(0..30), 5.0), [0, 5, 10, 15, 20, 25]);
        assert_eq!(telling(&heads(3, 8), 3.0), [0, 4, 8, 12, 16, 20]);
    }

    #[test]
    fn rows_are_thinned_as_columns_are() {
        let mut svg = Svg::default();
        let area = Area { x: 50.0, y: 0.0, w: 10.0, h: 60.0 };
        draw_beside(&mut svg, &positions(10, &[(3, "[name]")]), &area);
        let text = svg.document(&Heading { id: "it", title: "", alt: "" }, 60.0, 60.0);
        let shown: Vec<&str> = text.split("</text>").filter_map(|part| part.rsplit('>').next()).collect();
        assert_eq!(shown[..4], ["0", "[name]", "6", "8"]);
    }

    #[test]
    fn steps_keep_round_numbers() {
        let steps = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512].into_iter().chain((1..=143).map(|step| step * 1000));
        let under = under(&names(steps), 4.6, 50.0);
        let shown: Vec<&str> = under.kept.iter().map(|(_, name)| name.as_str()).collect();
        assert!(shown.starts_with(&["0", "8"]) || shown.starts_with(&["0", "4"]), "{shown:?}");
        for expected in ["1k", "10k", "50k", "100k", "120k", "143k"] {
            assert!(shown.contains(&expected), "{expected} in {shown:?}");
        }
    }

    #[test]
    fn large_steps_are_named_at_the_same_distances() {
        let steps = names((0..144).map(|step| step * 1000));
        let shown: Vec<String> = under(&steps, 2.5, 50.0).kept.into_iter().map(|(_, name)| name).collect();
        assert_eq!(shown, ["0", "20k", "40k", "60k", "80k", "100k", "120k", "143k"]);
        let few = under(&names([0, 512, 1237]), 40.0, 50.0);
        assert_eq!(few.kept.len(), 3, "all have room");
    }

    #[test]
    fn tokens_turn_before_they_are_thinned() {
        let tokens = names(["<|endoftext|>", "When", " Mary", " and"]);
        assert_eq!(under(&tokens, 120.0, 60.0).turn, Turn::Flat);
        assert_eq!(under(&tokens, 20.0, 60.0).turn, Turn::Slanted);
        assert_eq!(under(&tokens, 11.0, 60.0).turn, Turn::Upright);
        let many = names((0..10_000).map(|index| format!("t{index}")));
        let crowd = under(&many, 0.07, 60.0);
        assert!(crowd.kept.len() < 70 && crowd.thinned, "{}", crowd.kept.len());
        assert_eq!(under(&[], 0.0, 0.0).height, 0.0);
    }
}
