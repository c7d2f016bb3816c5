//! The page as a reader's browser shows it, in headless Chromium.
//!
//! These tests are ignored where nobody asks for them, since they need a browser: run them with `-- --ignored`. `PYTHIA_CHROMIUM`
//! may name the program. Pictures are kept under the build folder's `tmp/report`.

mod chromium;
mod sample;
mod tab;

use std::path::{Path, PathBuf};

use pythia_report::page::Page;
use serde_json::{Value, json};

use self::chromium::Chromium;
use self::tab::{Look, Tab, kept};

const LOOKS: [Look; 4] = [
    Look { dark: false, width: 1280 },
    Look { dark: true, width: 1280 },
    Look { dark: false, width: 360 },
    Look { dark: true, width: 360 },
];

/// Writes a page and opens it, or returns none where there is no browser.
fn opened(name: &str, page: &Page) -> Option<Tab> {
    let mut tab = Tab::new(&Chromium::program()?, name);
    tab.look(LOOKS[0]);
    tab.open(&written(name, page));
    Some(tab)
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
        let lost = "[...document.querySelectorAll('figure')].filter((figure) => { const svg = figure.querySelector('svg.chart');
            const box = svg && svg.getBoundingClientRect(); return !box || !box.width || !box.height; }).map((figure) => figure.id)";
        assert_eq!(tab.value(lost), json!([]), "{words}: figures that are not seen");
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
    let Some(mut tab) = opened("everything", &page) else { return };
    println!("first paint after {:.0} ms", tab.first_paint());
    assert_eq!(tab.value("document.querySelectorAll('figure svg.chart').length"), page.figures().count());
    check_general(&mut tab, "everything", &kept(""));
}

#[test]
#[ignore = "needs Chromium"]
fn nothing_and_ten_thousand_tokens_are_pages_too() {
    for (name, page) in [("nothing", sample::nothing()), ("long", sample::long())] {
        let Some(mut tab) = opened(name, &page) else { return };
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
    let Some(mut tab) = opened("large", &page) else { return };
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
fn hostile_texts_stay_texts() {
    let Some(mut tab) = opened("hostile", &sample::everything()) else { return };
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
fn the_slider_turns_a_map_and_the_pointer_reads_it() {
    let Some(mut tab) = opened("map", &sample::everything()) else { return };
    let picture = "document.querySelector('#patching image.cells').getAttribute('href')";
    let before = tab.text(picture);
    assert_eq!(tab.text("document.querySelector('#patching output').textContent"), "step 512");
    turn(&mut tab, "patching", 3);
    assert_eq!(tab.text("document.querySelector('#patching output').textContent"), "step 2000");
    assert_ne!(tab.text(picture), before);
    // Row 1 of 8, column 2 of 6, known to be 1 in this frame alone.
    tab.point("#patching image.cells", (2.5 / 6.0, 1.5 / 8.0));
    let read = tip(&mut tab, "patching");
    assert!(read.starts_with("layer 1 · </script>") && read.ends_with("1.00"), "{read}");
    turn(&mut tab, "patching", 0);
    assert!(
        tip(&mut tab, "patching").ends_with("0.00"),
        "{}: what is read turns with the picture",
        tip(&mut tab, "patching")
    );
    tab.point("#patching image.cells", (0.5 / 6.0, 0.5 / 8.0));
    assert!(tip(&mut tab, "patching").ends_with("no value"));
    tab.point("#patching h3", (0.5, 0.5));
    assert_eq!(tip(&mut tab, "patching"), "", "away from the picture nothing is read");
    // The picture of the first frame shown is drawn by the script as it was by the report.
    turn(&mut tab, "patching", 2);
    let same = format!(
        "(async () => {{ const pixels = async (source) => {{ const image = new Image(); image.src = source; await image.decode();
           const canvas = document.createElement('canvas'); canvas.width = 6; canvas.height = 8;
           const context = canvas.getContext('2d'); context.drawImage(image, 0, 0); return context.getImageData(0, 0, 6, 8).data.join(); }};
           return await pixels({picture}) === await pixels({}); }})()",
        json!(before)
    );
    assert_eq!(tab.value(&same), true);
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs Chromium"]
fn curves_are_read_at_the_nearest_step() {
    let Some(mut tab) = opened("lines", &sample::everything()) else { return };
    // Where step 1024 and the value 0.75 are, from what the page itself says.
    let place = "(() => { const data = JSON.parse(document.getElementById('emergence-data').textContent), panel = data.panels[0];
        const [x, y, w, h] = panel.box, [low, high] = panel.y, view = document.querySelector('#emergence svg').viewBox.baseVal;
        return [(panel.px[panel.xs.indexOf(1024)] + 3) / view.width, (y + h * (1 - (0.75 - low) / (high - low))) / view.height]; })()";
    let place = tab.value(place);
    tab.point("#emergence svg", (place[0].as_f64().expect("x"), place[1].as_f64().expect("y")));
    assert_eq!(tip(&mut tab, "emergence"), "step 1024 | head a 0.8 | head b 0.2");
    assert_eq!(tab.text("document.querySelector('#emergence .tip .near').textContent"), "head a0.8");
    assert_eq!(tab.value("document.querySelectorAll('#emergence .mark circle').length"), 2);
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs Chromium"]
fn words_turn_and_are_read_whole() {
    let Some(mut tab) = opened("words", &sample::everything()) else { return };
    let word = "[...document.querySelectorAll('#lens .word text')].map((text) => text.textContent.replace(/[\\u2068\\u2069]/g, ''))[3]";
    let colors = "document.querySelector('#lens .word rect').getAttribute('fill')";
    let (before, color) = (tab.text(word), tab.text(colors));
    turn(&mut tab, "lens", 3);
    assert_eq!((before.as_str(), tab.text(word).as_str()), ("⏎", "·cat"));
    assert_ne!(tab.text(colors), color);
    turn(&mut tab, "lens", 0);
    tab.point("#lens .word:nth-of-type(3) rect", (0.5, 0.5));
    let read = tip(&mut tab, "lens");
    assert!(read.contains("<!--") && read.contains("0.10"), "{read}");
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs Chromium"]
fn heads_and_tokens_can_be_chosen() {
    let Some(mut tab) = opened("attention", &sample::everything()) else { return };
    tab.click("#patterns image.thumb[aria-label='Layer 1, head 3']");
    assert_eq!(
        tab.text("document.querySelector('#patterns h4').textContent"),
        "Layer 1, head 3: queries down, keys across"
    );
    tab.point("#patterns .token:nth-child(4)", (0.5, 0.5));
    let weights = "[...document.querySelectorAll('#patterns .token')].map((token) => Number(token.style.getPropertyValue('--weight')))";
    assert_eq!(tab.value(weights), json!([0.2, 0, 0.8, 0, 0, 0]));
    let told = tab.text("document.querySelector('#patterns [role=status]').textContent");
    let told = told.replace(['\u{2068}', '\u{2069}'], "");
    assert!(told.starts_with("⏎ attends to0.80 </script>") && told.ends_with("0.20 ·the"), "{told}");
    tab.press("ArrowRight", 39);
    tab.value(
        "(() => { const select = document.querySelector('#patterns select'); select.value = 1;
        select.dispatchEvent(new Event('change')); })()",
    );
    assert_eq!(tab.value("document.querySelectorAll('#patterns .token').length"), 3);
    assert_eq!(tab.value("document.querySelector('#patterns canvas').width"), 3);
    tab.keep_picture(&kept("attention-chosen.png"));
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs Chromium"]
fn the_keyboard_reaches_everything() {
    let Some(mut tab) = opened("keyboard", &sample::everything()) else { return };
    tab.press("Tab", 9);
    assert_eq!(tab.text("document.activeElement.className"), "skip");
    tab.value("document.querySelector('#patching input').focus()");
    tab.press("ArrowRight", 39);
    assert_eq!(tab.text("document.querySelector('#patching output').textContent"), "step 2000");
    assert_eq!(tab.text("document.activeElement.getAttribute('aria-valuetext')"), "step 2000");
    tab.press("Tab", 9);
    assert!(tip(&mut tab, "patching").ends_with("no value"), "the first cell has none: {}", tip(&mut tab, "patching"));
    for (key, number) in [("ArrowDown", 40), ("ArrowRight", 39), ("ArrowRight", 39)] {
        tab.press(key, number);
    }
    assert!(tip(&mut tab, "patching").ends_with("1.00"), "{}", tip(&mut tab, "patching"));
    tab.press("Escape", 27);
    assert_eq!(tip(&mut tab, "patching"), "");
    tab.value("document.querySelector('#emergence .plot').focus()");
    tab.press("ArrowRight", 39);
    assert!(tip(&mut tab, "emergence").starts_with("step "), "{}", tip(&mut tab, "emergence"));
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs Chromium"]
fn without_its_script_the_page_is_whole() {
    let page = sample::everything();
    let Some(program) = Chromium::program() else { return };
    let mut tab = Tab::new(&program, "still");
    tab.look(LOOKS[0]);
    tab.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    tab.open(&written("still", &page));
    let seen = "[...document.querySelectorAll('figure svg.chart')].filter((svg) => svg.getBoundingClientRect().height > 100).length";
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
    let Ok(report) = std::env::var("PYTHIA_REPORT") else {
        return eprintln!("PYTHIA_REPORT names no report, so none was opened");
    };
    let Some(program) = Chromium::program() else { return };
    let folder = std::env::var("PYTHIA_SCREENSHOTS").map_or_else(|_| kept(""), PathBuf::from);
    std::fs::create_dir_all(&folder).expect("a folder for pictures");
    let mut tab = Tab::new(&program, "disk");
    tab.look(LOOKS[0]);
    tab.open(&std::fs::canonicalize(&report).expect("the report is there"));
    let paint = tab.first_paint();
    println!("first paint after {paint:.0} ms");
    assert!(paint < 1000.0, "the first paint took {paint} ms");
    assert_ne!(tab.value("document.querySelectorAll('figure').length"), 0, "a report has figures");
    check_general(&mut tab, "report", &folder);
}

/// What the read-out of a figure says, its rows parted by bars.
fn tip(tab: &mut Tab, id: &str) -> String {
    let text = format!(
        "[...document.querySelectorAll('#{id} .tip > :not(table), #{id} .tip tr')].map((part) =>
           [...(part.children.length && part.tagName === 'TR' ? part.children : [part])].map((cell) => cell.textContent).join(' ')).join(' | ')"
    );
    tab.text(&text)
}

/// Moves a figure's slider as a reader would see it moved.
fn turn(tab: &mut Tab, id: &str, frame: usize) -> Value {
    tab.value(&format!(
        "(() => {{ const input = document.querySelector('#{id} input[type=range]'); if (!input) return;
           input.value = {frame}; input.dispatchEvent(new Event('input')); }})()"
    ))
}
