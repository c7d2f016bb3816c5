//! A figure: its picture, the data for the script, its caption, and the folds with its data and code.

use super::html::{Html, json};
use super::{Code, Figure, table};
use crate::chart::Drawing;

/// Writes a figure; `number` stands in its caption.
pub(crate) fn figure(html: &mut Html, number: usize, figure: &Figure, drawing: &Drawing) {
    let heading = format!("{}_heading", figure.id);
    html.element("figure", &[("id", &figure.id), ("aria-labelledby", &heading)], |html| {
        html.leaf("h3", &[("id", &heading)], &figure.title);
        html.element("div", &[("class", "plot")], |html| {
            html.element("div", &[("class", "pane")], |html| html.raw(&drawing.svg));
        });
        if let Some(data) = &drawing.data {
            let id = format!("{}-data", figure.id);
            html.element("script", &[("type", "application/json"), ("id", &id)], |html| html.raw(&json(data)));
        }
        html.element("figcaption", &[], |html| {
            html.leaf("b", &[], &format!("Figure {number}."));
            html.text(" ");
            html.prose(&figure.caption);
        });
    });
    html.element("div", &[("class", "folds")], |html| folds(html, number, figure));
    html.raw("\n");
}

/// What is under a figure: its data, the code that makes them, its file.
fn folds(html: &mut Html, number: usize, figure: &Figure) {
    let Code { python, rust } = &figure.code;
    let heading = format!("{}_rows", figure.id);
    fold(html, "Data", number, Some(&heading), |html| {
        table::data(html, &figure.csv, &format!("figures/{}.csv", figure.id), &heading);
    });
    fold(html, "Polars (Python)", number, None, |html| code(html, python));
    fold(html, "Polars (Rust)", number, None, |html| code(html, rust));
    html.element("a", &[("href", &format!("figures/{}.svg", figure.id))], |html| {
        html.text("SVG");
        of_figure(html, number);
    });
}

/// One fold. Its line is short on the screen; a screen reader also hears which figure it belongs to.
fn fold(html: &mut Html, line: &str, number: usize, id: Option<&str>, inside: impl FnOnce(&mut Html)) {
    html.element("details", &[], |html| {
        let id: Vec<_> = id.map(|id| ("id", id)).into_iter().collect();
        html.element("summary", &id, |html| {
            html.text(line);
            of_figure(html, number);
        });
        inside(html);
    });
}

fn of_figure(html: &mut Html, number: usize) {
    html.leaf("span", &[("class", "unseen")], &format!(" of figure {number}"));
}

fn code(html: &mut Html, lines: &str) {
    html.element("pre", &[("tabindex", "0")], |html| html.leaf("code", &[], lines.trim_end()));
}
