//! What a reader can turn and point at, with known answers: sliders, values under the pointer, heads and tokens, the
//! keyboard.

use serde_json::{Value, json};

use crate::tab::{Tab, kept};
use crate::{LOOKS, opened, sample};

#[test]
#[ignore = "needs Chromium"]
fn the_slider_turns_a_map_and_the_pointer_reads_it() {
    let mut tab = opened("map", &sample::everything());
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
        "(async () => {{ const pixels = async (source) => {{ const image = new Image();
           image.src = source; await image.decode();
           const canvas = document.createElement('canvas'); canvas.width = 6; canvas.height = 8;
           const context = canvas.getContext('2d'); context.drawImage(image, 0, 0); 
           return context.getImageData(0, 0, 6, 8).data.join(); }};
           return await pixels({picture}) === await pixels({}); }})()",
        json!(before)
    );
    assert_eq!(tab.value(&same), true);
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

#[test]
#[ignore = "needs Chromium"]
fn curves_are_read_at_the_nearest_step() {
    let mut tab = opened("lines", &sample::everything());
    // Where step 1024 and the value 0.75 are, from what the page itself says.
    let place = "(() => { const data = JSON.parse(document.getElementById('emergence-data').textContent), 
        panel = data.panels[0];
        const [x, y, w, h] = panel.box, [low, high] = panel.y, 
        view = document.querySelector('#emergence svg').viewBox.baseVal;
        return [(panel.px[panel.xs.indexOf(1024)] + 3) / view.width, (y + h * (1 - (0.75 - low) / (high - low))) 
        / view.height]; })()";
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
    let mut tab = opened("words", &sample::everything());
    let word = "[...document.querySelectorAll('#lens .word text')].map((text) => \
        text.textContent.replace(/[\\u2068\\u2069]/g, ''))[3]";
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
    let mut tab = opened("attention", &sample::everything());
    tab.click("#patterns image.thumb[aria-label='Layer 1, head 3']");
    assert_eq!(
        tab.text("document.querySelector('#patterns h4').textContent"),
        "Layer 1, head 3: queries down, keys across"
    );
    tab.point("#patterns .token:nth-child(4)", (0.5, 0.5));
    let weights = "[...document.querySelectorAll('#patterns .token')].map((token) => \
        Number(token.style.getPropertyValue('--weight')))";
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
    let mut tab = opened("keyboard", &sample::everything());
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
    // Where the picture is wider than the window, it follows the cursor, and what is read stays in the window.
    tab.look(LOOKS[2]);
    tab.value("document.querySelector('#emergence .plot').focus()");
    for _ in 0..12 {
        tab.press("ArrowRight", 39);
    }
    let read = "(() => { const tip = document.querySelector('#emergence .tip').getBoundingClientRect();
        const line = document.querySelector('#emergence .mark line').getBoundingClientRect(), 
        width = document.documentElement.clientWidth;
        return [tip.left >= 0 && tip.right <= width, line.left >= 0 && line.right <= width]; })()";
    assert_eq!(tab.value(read), json!([true, true]));
    assert_eq!(tab.value("document.documentElement.scrollWidth - document.documentElement.clientWidth"), 0);
    assert!(tip(&mut tab, "emergence").starts_with("step "), "{}", tip(&mut tab, "emergence"));
    assert_eq!(tab.complaints(), Vec::<String>::new());
}

/// What the read-out of a figure says, its rows parted by bars.
pub(crate) fn tip(tab: &mut Tab, id: &str) -> String {
    let text = format!(
        "[...document.querySelectorAll('#{id} .tip > :not(table), #{id} .tip tr')].map((part) =>
           [...(part.children.length && part.tagName === 'TR' ? part.children : [part])].
           map((cell) => cell.textContent).join(' ')).join(' | ')"
    );
    tab.text(&text)
}

/// Moves a figure's slider as a reader would see it moved.
pub(crate) fn turn(tab: &mut Tab, id: &str, frame: usize) -> Value {
    tab.value(&format!(
        "(() => {{ const input = document.querySelector('#{id} input[type=range]'); if (!input) return;
           input.value = {frame}; input.dispatchEvent(new Event('input')); }})()"
    ))
}
