//! Tables: listings, and the first rows of a figure's data.

use super::csv::{Head, Window};
use super::html::Html;
use crate::listing::Listing;
use crate::words;

/// Rows up to which a listing is open; longer ones are folded, so that what follows is in reach.
const LONG: usize = 30;

/// Rows from which on a table scrolls inside of the page.
const TALL: usize = 30;

/// What is shown of a figure's data.
const WINDOW: Window = Window { rows: 12, columns: 12, characters: 80 };

/// The id of a listing's element.
pub(crate) fn anchor(listing: &Listing) -> String {
    format!("table_{}", listing.id)
}

/// A listing under its heading.
pub(crate) fn listing(html: &mut Html, listing: &Listing) {
    let anchor = anchor(listing);
    let (heading, note) = (format!("{anchor}_heading"), format!("{anchor}_note"));
    html.element("div", &[("class", "listing"), ("id", &anchor)], |html| {
        html.leaf("h3", &[("id", &heading)], &listing.title);
        if !listing.note.is_empty() {
            html.element("p", &[("id", &note)], |html| html.prose(&listing.note));
        }
        if listing.rows.is_empty() {
            html.leaf("p", &[("class", "quiet")], "No rows.");
            return;
        }
        let shown = listing.shown_columns();
        let columns: Vec<(&str, bool)> =
            shown.iter().map(|at| (&*listing.columns[*at].name, listing.columns[*at].numeric)).collect();
        let cells = |row: &Vec<String>| shown.iter().filter_map(|at| row.get(*at).cloned()).collect();
        let rows: Vec<Vec<String>> = listing.rows.iter().map(cells).collect();
        let describes = if listing.note.is_empty() { vec![] } else { vec![("aria-describedby", &*note)] };
        let whole = |html: &mut Html| {
            scroll(html, listing.rows.len(), &heading, |html| {
                html.element("table", &[&[("aria-labelledby", &*heading)], &*describes].concat(), |html| {
                    table(html, &columns, &rows);
                });
            });
        };
        if rows.len() <= LONG {
            return whole(html);
        }
        html.element("details", &[("class", "folded")], |html| {
            html.leaf("summary", &[], &format!("All {} rows", words::count(rows.len() as u64)));
            whole(html);
        });
    });
}

/// The first rows of a figure's data, and where all of them are. `heading` is the id of what names the table.
pub(crate) fn data(html: &mut Html, csv: &str, file: &str, heading: &str) {
    let head = Head::of(csv, WINDOW);
    html.element("p", &[], |html| {
        html.text(&extent(&head));
        html.leaf("a", &[("href", file)], file);
        html.text(".");
    });
    let columns: Vec<(&str, bool)> =
        head.names.iter().enumerate().map(|(at, name)| (&**name, head.is_numeric(at))).collect();
    if !head.rows.is_empty() {
        scroll(html, head.rows.len(), heading, |html| {
            html.element("table", &[("aria-labelledby", heading)], |html| table(html, &columns, &head.rows));
        });
    }
}

/// How much of a table is shown, up to the name of its file.
fn extent(head: &Head) -> String {
    let rows = match (head.rows.len(), head.all_rows) {
        (_, 0) => "No rows".to_owned(),
        (1, 1) => "One row".to_owned(),
        (shown, all) if shown == all => format!("All {all} rows"),
        (shown, all) => format!("The first {shown} of {} rows", words::count(all as u64)),
    };
    let columns = match (head.names.len(), head.all_columns) {
        (shown, all) if shown == all => String::new(),
        (shown, all) => format!(" and {shown} of {} columns", words::count(all as u64)),
    };
    format!("{rows}{columns} of ")
}

/// A frame in which a wide or tall table scrolls without moving the page; the keyboard reaches it, too.
fn scroll(html: &mut Html, rows: usize, heading: &str, inside: impl FnOnce(&mut Html)) {
    let class = if rows > TALL { "scroll tall" } else { "scroll" };
    html.element(
        "div",
        &[("class", class), ("tabindex", "0"), ("role", "region"), ("aria-labelledby", heading)],
        inside,
    );
}

/// Head and body. The first column names its row where it holds words.
fn table(html: &mut Html, columns: &[(&str, bool)], rows: &[Vec<String>]) {
    let is_numeric = |at: usize| columns.get(at).is_some_and(|(_, numeric)| *numeric);
    let class = |at: usize| if is_numeric(at) { &[("class", "number")][..] } else { &[] };
    html.element("thead", &[], |html| {
        html.element("tr", &[], |html| {
            for (at, (name, _)) in columns.iter().enumerate() {
                html.leaf("th", &[&[("scope", "col")], class(at)].concat(), name);
            }
        });
    });
    html.element("tbody", &[], |html| {
        for row in rows {
            html.element("tr", &[], |html| {
                for (at, text) in row.iter().enumerate() {
                    if at == 0 && !is_numeric(0) {
                        html.leaf("th", &[("scope", "row")], text);
                    } else {
                        html.leaf("td", class(at), text);
                    }
                }
            });
            html.raw("\n");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::ListingColumn;

    fn written(write: impl FnOnce(&mut Html)) -> String {
        let mut html = Html::default();
        write(&mut html);
        html.into_string()
    }

    fn heads() -> Listing {
        let column = |name: &str, numeric| ListingColumn { name: name.to_owned(), numeric };
        let row = |fields: [&str; 2]| fields.map(str::to_owned).to_vec();
        Listing {
            id: "heads".to_owned(),
            title: "Top heads".to_owned(),
            note: String::new(),
            columns: vec![column("head", false), column("score", true)],
            rows: vec![row(["1.3", "0.98"]), row(["<b>", ""])],
        }
    }

    #[test]
    fn numbers_stand_at_the_right_and_rows_have_names() {
        let html = written(|html| listing(html, &heads()));
        assert!(html.contains(r#"<th scope="col">head</th><th scope="col" class="number">score</th>"#), "{html}");
        assert!(html.contains(r#"<tr><th scope="row">1.3</th><td class="number">0.98</td></tr>"#), "{html}");
        assert!(html.contains(r#"<th scope="row">&lt;b&gt;</th><td class="number"></td>"#), "{html}");
        assert!(!html.contains("aria-describedby"), "there is no note");
    }

    #[test]
    fn a_note_describes_its_table() {
        let html = written(|html| listing(html, &Listing { note: "By score.".to_owned(), ..heads() }));
        assert!(html.contains(r#"<p id="table_heads_note">By score.</p>"#));
        assert!(html.contains(r#"aria-describedby="table_heads_note""#));
    }

    #[test]
    fn empty_ragged_and_long_listings_are_written() {
        let empty = written(|html| listing(html, &Listing { rows: vec![], ..heads() }));
        assert!(empty.contains("No rows.") && !empty.contains("<table"));
        let ragged = written(|html| listing(html, &Listing { rows: vec![vec![], vec!["1".to_owned(); 3]], ..heads() }));
        assert_eq!((ragged.matches("<th scope=\"row\"").count(), ragged.matches("<td").count()), (1, 1));
        let long = written(|html| listing(html, &Listing { rows: vec![vec![]; 31], ..heads() }));
        assert!(long.contains("scroll tall") && long.contains("<summary>All 31 rows</summary>"), "{long}");
        let short = written(|html| listing(html, &Listing { rows: vec![vec!["1".to_owned()]; 30], ..heads() }));
        assert!(!short.contains("<details"), "{short}");
    }

    #[test]
    fn data_says_how_much_is_shown() {
        let shown = |csv: &str| written(|html| data(html, csv, "figures/a.csv", "h"));
        let link = r#"<a href="figures/a.csv">figures/a.csv</a>.</p>"#;
        let rows = |count: usize| format!("x\n{}", "1\n".repeat(count));
        assert!(shown("x").starts_with(&format!("<p>No rows of {link}")));
        assert!(shown(&rows(1)).starts_with(&format!("<p>One row of {link}")));
        assert!(shown(&rows(12)).starts_with(&format!("<p>All 12 rows of {link}")));
        assert!(shown(&rows(1234)).starts_with(&format!("<p>The first 12 of 1,234 rows of {link}")));
        assert_eq!(shown(&rows(1234)).matches("<td").count(), 12);
        let wide = shown(&format!("{}x\n{}1", "x,".repeat(9999), "1,".repeat(9999)));
        assert!(wide.starts_with(&format!("<p>One row and 12 of 10,000 columns of {link}")));
        assert_eq!(wide.matches("<td").count(), 12);
    }
}
