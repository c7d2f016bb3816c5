//! The page as a reader's browser shows it, in headless Chromium.
//!
//! These tests are ignored where nobody asks for them, since they need a browser: run them with `-- --ignored`.
//! `PYTHIA_CHROMIUM` may name the program. Pictures are kept under the build folder's `tmp/report`.

mod chromium;
mod sample;
mod tab;
mod turning;

use std::path::{Path, PathBuf};

use pythia_report::page::Page;
use serde_json::json;

use self::chromium::Chromium;
use self::tab::{Look, Tab, kept};
use self::turning::{tip, turn};

const LOOKS: [Look; 4] = [
    Look { dark: false, width: 1280 },
    Look { dark: true, width: 1280 },
    Look { dark: false, width: 360 },
    Look { dark: true, width: 360 },
];

/// Elements whose letters have less contrast to the page's ground than 4.5 to 1 (WCAG 2.2, 1.4.3).
const PALE: &str = "(() => {
    const light = (color) => color.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    const ground = light(getComputedStyle(document.body).backgroundColor);
    return ['h1', 'header p', 'main p', 'nav a', 'figcaption', 'summary', '.folds a', 'td', 'dt', 'output',
        '.chart'].filter((selector) => {
        const node = document.querySelector(selector), ink = node && light(getComputedStyle(node).color);
        return node && (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05) < 4.5;
    });
})()";

/// Writes a page and opens it.
fn opened(name: &str, page: &Page) -> Tab {
    let mut tab = Tab::new(&Chromium::program(), name);
    tab.look(LOOKS[0]);
    tab.open(&written(name, page));
    tab
}

fn written(name: &str, page: &Page) -> PathBuf {
    let path = kept(&format!("{name}.html"));
    std::fs::write(&path, page.html()).expect("a page is written");
    path
}

/// What holds for every page, however it is looked at. Pictures go to `folder`.
fn check_general(tab: &mut Tab, name: &str, folder: &Path) {
    for look in LOOKS {
        tab.look(look);
        let words = format!("{name}, {look:?}");
        assert_eq!(tab.complaints(), Vec::<String>::new(), "{words}");
        let wide = tab.value("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(wide, 0, "{words}: the page scrolls sideways");
        let lost = "[...document.querySelectorAll('figure')].filter((figure) => {
            const svg = figure.querySelector('svg.chart'), box = svg && svg.getBoundingClientRect();
            return !box || !box.width || !box.height; }).map((figure) => figure.id)";
        assert_eq!(tab.value(lost), json!([]), "{words}: figures that are not seen");
        assert_eq!(tab.value(PALE), json!([]), "{words}: letters that are hard to read");
        let luma = tab.value(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g)
            .reduce((sum, part) => sum + Number(part), 0)",
        );
        assert_eq!(luma.as_u64().is_some_and(|luma| luma < 150), look.dark, "{words}: the ground is {luma}");
        let tone = if look.dark { "dark" } else { "light" };
        tab.keep_picture(&folder.join(format!("{name}-{tone}-{}.png", look.width)));
    }
    tab.look(LOOKS[0]);
    let twice =
        "[...document.querySelectorAll('[id]')].map((node) => node.id).filter((id, at, all) => all.indexOf(id) !== at)";
    assert_eq!(tab.value(twice), json!([]), "{name}: ids that are there twice");
    let jumps = "[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map((node) => Number(node.tagName[1]))
        .filter((level, at, all) => level > (all[at - 1] || 0) + 1)";
    assert_eq!(tab.value(jumps), json!([]), "{name}: headings that skip a level");
    let nameless = "[...document.querySelectorAll('[aria-labelledby],[aria-describedby]')].flatMap((node) =>
        `${node.getAttribute('aria-labelledby') || ''} ${node.getAttribute('aria-describedby') || ''}`.split(' '))
        .filter((id) => id && !document.getElementById(id))";
    assert_eq!(tab.value(nameless), json!([]), "{name}: names that are nowhere");
    tab.keep_sheet(&folder.join(format!("{name}-print.png")));
    let size = tab.keep_print(&folder.join(format!("{name}.pdf")));
    assert!(size > 1000, "{name}: printed on {size} bytes");
    assert_eq!(tab.complaints(), Vec::<String>::new(), "{name}, printed");
}

#[test]
#[ignore = "needs Chromium"]
fn every_kind_of_figure_is_seen_and_nothing_is_asked_for() {
    let page = sample::everything();
    let mut tab = opened("everything", &page);
    println!("first paint after {:.0} ms", tab.first_paint());
    assert_eq!(tab.value("document.querySelectorAll('figure svg.chart').length"), page.figures().count());
    check_general(&mut tab, "everything", &kept(""));
}

#[test]
#[ignore = "needs Chromium"]
fn narrow_panes_have_shades_and_open_unscrolled() {
    let mut tab = opened("narrow", &sample::curves());
    let ends = |id: &str| {
        format!(
            "(() => {{ const pane = document.querySelector('#{id} .pane'),
               [outer, inner] = [pane, pane.firstElementChild].map((node) => node.getBoundingClientRect());
               return [Math.round(outer.left - inner.left) > 0, Math.round(inner.right - outer.right) > 0]; }})()"
        )
    };
    for (look, curve, other) in [
        (LOOKS[0], json!([false, false]), json!([false, false])),
        (LOOKS[2], json!([false, true]), json!([false, true])),
    ] {
        tab.look(look);
        assert_eq!(tab.value(&ends("curve")), curve, "{look:?}: what is hidden at the left and right of a curve");
        assert_eq!(tab.value(&ends("several")), other, "{look:?}: and of several panels");
        let shades =
            "getComputedStyle(document.querySelector('.pane')).backgroundImage.split('linear-gradient').length - 1";
        assert_eq!(tab.value(shades), 4, "{look:?}");
    }
    tab.keep_picture(&kept("narrow.png"));
    // All of it can be reached, and the pointer reads what it is at there too.
    tab.point("#curve svg", (0.2, 0.5));
    assert!(tip(&mut tab, "curve").starts_with("step "), "{}", tip(&mut tab, "curve"));
    tab.value("document.querySelector('#curve .pane').scrollBy(9999, 0)");
    assert_eq!(tab.value(&ends("curve")), json!([true, false]));
}

#[test]
#[ignore = "needs Chromium"]
fn nothing_and_ten_thousand_tokens_are_pages_too() {
    for (name, page) in [("nothing", sample::nothing()), ("long", sample::long())] {
        let mut tab = opened(name, &page);
        check_general(&mut tab, name, &kept(""));
        if name == "long" {
            tab.point("#long image.cells", (0.99995, 0.75));
            assert!(tip(&mut tab, "long").contains("layer 1"), "the last token is read");
        }
    }
}

#[test]
#[ignore = "needs Chromium"]
fn a_large_page_is_light_and_soon_there() {
    let page = sample::large();
    let size = page.html().len();
    assert!(size < 2_000_000, "the page has {size} bytes");
    let mut tab = opened("large", &page);
    let paint = tab.first_paint();
    println!("{size} bytes, first paint after {paint:.0} ms");
    assert!(paint < 1000.0, "the first paint took {paint} ms");
    check_general(&mut tab, "large", &kept(""));
    let turned = tab.value(
        "(() => { const input = document.querySelector('#large-2 input'), begin = performance.now();
           for (input.value = 1; input.value < 100; input.stepUp()) input.dispatchEvent(new Event('input'));
           return (performance.now() - begin) / 99; })()",
    );
    println!("a turn takes {turned} ms");
    assert!(turned.as_f64().is_some_and(|time| time < 50.0), "a turn takes {turned} ms");
}

#[test]
#[ignore = "needs Chromium"]
fn the_policy_stops_what_escaping_might_miss() {
    let bad = "<p style=\"color: red\">x</p><script>document.title = 'broken'</script><img \
        src=\"https://example.com/x.png\">\
               <b onclick=\"1\">x</b></main>";
    let path = kept("breach.html");
    std::fs::write(&path, sample::everything().html().replace("</main>", bad)).expect("a page is written");
    let mut tab = Tab::new(&Chromium::program(), "breach");
    tab.open(&path);
    assert_eq!(tab.text("document.title"), sample::TITLE);
    let complaints = tab.complaints();
    for directive in ["style-src", "script-src", "img-src"] {
        assert!(complaints.iter().any(|complaint| complaint.contains(directive)), "{directive}: {complaints:#?}");
    }
}

#[test]
#[ignore = "needs Chromium"]
fn hostile_texts_stay_texts() {
    let mut tab = opened("hostile", &sample::everything());
    // What only comes into the page by turning it: the read-outs, the tokens, the names of prompts.
    for id in ["emergence", "patching", "lens"] {
        tab.point(&format!("#{id} .chart"), (0.5, 0.5));
        turn(&mut tab, id, 1);
    }
    turn(&mut tab, "patterns", 0);
    assert_eq!(tab.text("document.title"), sample::TITLE);
    let made = "document.querySelectorAll('img, script:not([type]), [onerror], title + title, iframe').length";
    assert_eq!(tab.value(made), 0);
    let scripts = "document.querySelectorAll('script[type=module]').length";
    assert_eq!(tab.value(scripts), 1);
    assert_eq!(
        tab.text("[...document.querySelectorAll('#section_numbers tbody td')].pop().textContent"),
        r#"</script><img src=x onerror="document.title='broken'"><!--\u{202e}"#.to_owned() + "\u{fffd}"
    );
    let shown = tab.text("document.querySelectorAll('.token')[2].textContent");
    assert_eq!(shown, r#"</script><img src=x onerror="document.title='broken'"><!--\u{202e}\u{0}"#);
    let turning = "/[\\u202a-\\u202e\\u0000]/.test(document.body.innerText)";
    assert_eq!(tab.value(turning), false, "marks that turn text are written out");
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs Chromium"]
fn without_its_script_the_page_is_whole() {
    let page = sample::everything();
    let mut tab = Tab::new(&Chromium::program(), "still");
    tab.look(LOOKS[0]);
    tab.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    tab.open(&written("still", &page));
    let seen = "[...document.querySelectorAll('figure svg.chart')].\
        filter((svg) => svg.getBoundingClientRect().height > 100).length";
    assert_eq!(tab.value(seen), page.figures().count());
    assert_eq!(
        tab.value("document.querySelectorAll('input, .tip, [role=application]').length"),
        0,
        "the script did not run"
    );
    tab.keep_picture(&kept("still.png"));
}

/// Looks at the report that `PYTHIA_REPORT` names, and keeps pictures of it in `PYTHIA_SCREENSHOTS`.
#[test]
#[ignore = "needs Chromium and a report"]
fn a_report_on_disk() {
    let report = std::env::var("PYTHIA_REPORT").expect("PYTHIA_REPORT names a report");
    let folder = std::env::var("PYTHIA_SCREENSHOTS").map_or_else(|_| kept(""), PathBuf::from);
    std::fs::create_dir_all(&folder).expect("a folder for pictures");
    let mut tab = Tab::new(&Chromium::program(), "disk");
    tab.look(LOOKS[0]);
    tab.open(&std::fs::canonicalize(&report).expect("the report is there"));
    let paint = tab.first_paint();
    println!("first paint after {paint:.0} ms");
    assert!(paint < 1000.0, "the first paint took {paint} ms");
    assert_ne!(tab.value("document.querySelectorAll('figure').length"), 0, "a report has figures");
    check_general(&mut tab, "report", &folder);
}
