//! The page as text: its frame, its order, its policy. How it looks is for the browser's tests.

use std::collections::BTreeSet;

use super::*;
use crate::chart::{Bar, BarPanel, Bars, ColorScale, LinePanel, Lines, Map, MapPanel, ScaleKind, X, Y};
use crate::listing::ListingColumn;

const HOSTILE: &str = "</title></script><img src=x onerror=alert(1)>\u{202e}\0";

/// A page with a figure of one value, under the same word as the section and the listing that hold it.
fn page() -> Page {
    let bar = Bar { name: "L1H3".to_owned(), value: Some(0.5), interval: None, control: None };
    let chart = Chart::Bars(Bars {
        label: "effect".to_owned(),
        panels: vec![BarPanel { title: String::new(), bars: vec![bar] }],
    });
    let column = ListingColumn { name: "head".to_owned(), numeric: false };
    let listing = Listing {
        id: "heads".to_owned(),
        title: "Heads".to_owned(),
        note: String::new(),
        columns: vec![column],
        rows: vec![vec!["L1H3".to_owned()]],
    };
    let blocks = vec![
        Block::Text("What `follows`.".to_owned()),
        Block::Figure(figure("heads", chart)),
        Block::Listing(listing),
        Block::Pairs(vec![("seed".to_owned(), "0".to_owned())]),
        Block::Folded { title: "All".to_owned(), text: "a < b\n".to_owned() },
    ];
    let section = Section { id: "heads".to_owned(), title: "Heads & more".to_owned(), blocks };
    Page { title: "nano".to_owned(), lead: vec!["One head.".to_owned()], sections: vec![section] }
}

fn figure(id: &str, chart: Chart) -> Figure {
    Figure {
        id: id.to_owned(),
        title: "Effect".to_owned(),
        caption: "Of one head.".to_owned(),
        alt: "L1H3 has 0.5.".to_owned(),
        chart,
        csv: "head,effect\nL1H3,0.5\n".to_owned(),
        code: Code { python: "pl.scan_parquet(\"a\")\n".to_owned(), rust: "scan_parquet(a)?\n".to_owned() },
    }
}

/// What `tag`, with its attributes, holds first.
fn inside<'a>(html: &'a str, tag: &str) -> &'a str {
    let name = tag.split(' ').next().expect("a name");
    let begin = html.find(&format!("<{tag}>")).expect("the element") + tag.len() + 2;
    &html[begin..begin + html[begin..].find(&format!("</{name}>")).expect("its end")]
}

#[test]
fn the_whole_page() {
    let html = page().html();
    let begin = html.find("<svg").expect("a picture");
    let end = html.find("</svg>").expect("its end") + "</svg>".len();
    let html = html.replace(&html[begin..end], "<svg/>");
    let html = html.replace(policy::STYLE, "…").replace(policy::SCRIPT, "…");
    let html = html.replace(&policy::policy(policy::STYLE, policy::SCRIPT).replace('\'', "&#39;"), "…");
    insta::assert_snapshot!(html.replace("><", ">\n<"));
}

#[test]
fn the_policy_names_what_the_page_holds() {
    let html = page().html();
    let (style, script) = (inside(&html, "style"), inside(&html, r#"script type="module""#));
    let policy = policy::policy(style, script).replace('\'', "&#39;");
    assert!(html.contains(&format!(r#"<meta http-equiv="Content-Security-Policy" content="{policy}">"#)));
    assert!(!html.contains(" style=\"") && !html.contains(" onload=") && !html.contains("javascript:"));
    assert!(html.find("Content-Security-Policy") < html.find("<title>"), "nothing from data stands before the policy");
}

#[test]
fn ids_are_one_each() {
    let html = page().html();
    let ids: Vec<&str> = html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    for target in html.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(ids.contains(&target), "{target} leads nowhere");
    }
}

#[test]
fn the_same_page_is_the_same_text() {
    assert_eq!(page().html(), page().html());
}

#[test]
fn hostile_texts_make_no_element() {
    let mut tame = page();
    tame.sections[0].blocks[0] = Block::Text("What follows.".to_owned());
    let bad = || HOSTILE.to_owned();
    let mut wild = page();
    wild.title = bad();
    wild.lead = vec![bad()];
    wild.sections[0].title = bad();
    for block in &mut wild.sections[0].blocks {
        match block {
            Block::Text(text) => *text = bad(),
            Block::Listing(listing) => {
                (listing.title, listing.columns[0].name, listing.rows[0][0]) = (bad(), bad(), bad());
            }
            Block::Figure(figure) => {
                (figure.title, figure.caption, figure.alt, figure.csv) =
                    (bad(), bad(), bad(), format!("a,b\n{HOSTILE},1\n"));
                figure.code = Code { python: bad(), rust: bad() };
            }
            Block::Pairs(pairs) => pairs[0] = (bad(), bad()),
            Block::Folded { title, text } => (*title, *text) = (bad(), bad()),
        }
    }
    let tags = |page: &Page| page.html().matches('<').count();
    let script = |page: &Page| page.html().matches("<script").count();
    assert_eq!((tags(&wild), script(&wild)), (tags(&tame), script(&tame)));
    let html = wild.html();
    assert!(!html.contains(['\u{202e}', '\0']));
}

#[test]
fn data_of_a_chart_end_no_script() {
    let scale = ColorScale { label: HOSTILE.to_owned(), kind: ScaleKind::Sequential, low: 0.0, high: 1.0 };
    let panel = MapPanel {
        title: String::new(),
        rows: vec![HOSTILE.to_owned()],
        columns: vec!["0".to_owned()],
        values: vec![None],
    };
    let map = Map { scale, frames: vec![HOSTILE.to_owned()], shown: 0, axes: Default::default(), panels: vec![panel] };
    let mut page = page();
    page.sections[0].blocks = vec![Block::Figure(figure("map", Chart::Map(map)))];
    let html = page.html();
    let data: serde_json::Value =
        serde_json::from_str(inside(&html, r#"script type="application/json" id="map-data""#)).expect("JSON");
    assert!(data["panels"][0]["rows"][0].as_str().is_some_and(|name| name.contains("</script><img")), "{data}");
}

#[test]
fn no_picture_opens_scrolled() {
    let panel = LinePanel { title: String::new(), series: vec![] };
    let (x, y) = (X::Steps { tokens_per_step: None }, Y { label: String::new(), include: vec![] });
    let lines = |count: usize| Lines { x: x.clone(), y: y.clone(), panels: vec![panel.clone(); count] };
    for count in [1, 2] {
        let mut page = page();
        page.sections[0].blocks = vec![Block::Figure(figure("lines", Chart::Lines(lines(count))))];
        assert!(page.html().contains("<div class=\"pane\"><svg"), "{count}");
    }
    assert!(!policy::STYLE.contains("rtl"), "a pane in the other direction would begin at its end");
}

#[test]
fn figures_count_over_sections() {
    let mut page = page();
    page.sections.push(Section { id: "more".to_owned(), ..page.sections[0].clone() });
    assert_eq!(page.figures().count(), 2);
    assert!(page.html().contains("<b>Figure 2.</b>"));
}
