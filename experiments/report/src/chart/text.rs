//! Labels: what a text from the data looks like in a picture, and how much room it takes.

/// The text as it is shown: spaces at its ends as `·`, breaks as `⏎`, what cannot be seen or could move its neighbours
/// as an escape, and what is not plain ASCII isolated from the writing direction of its surroundings.
pub(crate) fn shown(text: &str) -> String {
    isolated(visible(text))
}

/// As [`shown`], cut to `room` units at the font size.
pub(crate) fn fitted(text: &str, size: f64, room: f64) -> String {
    isolated(shorten(&visible(text), size, room))
}

/// The text for a screen reader. What [`shown`] escapes is escaped here too. Spaces and breaks stay as they are, and no
/// isolation is needed because nothing stands beside it.
pub(crate) fn told(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => out.push(character),
            hidden if is_hidden(hidden) => out.extend(hidden.escape_unicode()),
            other => out.push(other),
        }
    }
    out
}

/// Unicode's isolation marks keep a right-to-left text from moving its neighbours. Plain ASCII needs none.
fn isolated(text: String) -> String {
    if text.is_ascii() { text } else { format!("\u{2068}{text}\u{2069}") }
}

fn visible(text: &str) -> String {
    let inner = text.trim_matches(' ');
    let lead = text.len() - text.trim_start_matches(' ').len();
    let trail = if inner.is_empty() { 0 } else { text.len() - text.trim_end_matches(' ').len() };
    let mut out = "·".repeat(lead);
    for character in inner.chars() {
        match character {
            '\n' => out.push('⏎'),
            '\t' => out.push('⇥'),
            hidden if is_hidden(hidden) => out.extend(hidden.escape_unicode()),
            other => out.push(other),
        }
    }
    out.push_str(&"·".repeat(trail));
    out
}

/// Controls, marks of direction and of format, and what no font shows. The joiners of scripts and emoji are left alone.
fn is_hidden(character: char) -> bool {
    matches!(character,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// The text, or as much of its start as fits before an ellipsis; nothing where not even that fits.
fn shorten(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut left = room - width("…", size);
    let fits = |character: &char| {
        left -= width_of(*character) * size;
        left >= 0.0
    };
    let start: String = text.chars().take_while(fits).collect();
    if start.is_empty() { String::new() } else { start + "…" }
}

/// The approximate width of a text at a font size, for a wide font (DejaVu Sans), so that narrower ones fit as well.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(width_of).sum::<f64>() * size
}

fn width_of(character: char) -> f64 {
    match character {
        'i' | 'j' | 'l' | '|' | '\'' | ' ' | '.' | ',' | ':' | ';' | '·' => 0.34,
        'I' | 'f' | 'r' | 't' | '(' | ')' | '[' | ']' | '!' | '-' | '/' | '\\' | '"' => 0.41,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' | '⏎' | '⇥' => 1.0,
        '+' | '=' | '<' | '>' | '~' | '#' | '−' => 0.84,
        'A'..='Z' | '&' => 0.76,
        '!'..='~' => 0.64,
        '\u{300}'..='\u{36f}' | '\u{200c}'..='\u{200d}' | '\u{2066}'..='\u{2069}' | '\u{fe00}'..='\u{fe0f}' => 0.0,
        wide if is_wide(wide) => 1.1,
        _ => 0.72,
    }
}

/// Scripts whose characters fill a square, and emoji.
fn is_wide(character: char) -> bool {
    matches!(character,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f000}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_and_breaks_are_seen() {
        assert_eq!(visible(" the"), "·the");
        assert_eq!(visible("  a b "), "··a b·");
        assert_eq!(visible("   "), "···");
        assert_eq!(visible("\n\n\t"), "⏎⏎⇥");
        assert_eq!(visible(""), "");
    }

    #[test]
    fn what_could_move_its_neighbours_is_escaped() {
        assert_eq!(shown("a\u{202e}b\u{2069}c\0"), "a\\u{202e}b\\u{2069}c\\u{0}");
        assert_eq!(shown("שלום"), "\u{2068}שלום\u{2069}");
        assert_eq!(shown("plain"), "plain");
    }

    #[test]
    fn what_is_told_is_escaped_as_what_is_shown() {
        assert_eq!(told(" a\u{202e}b\u{2066}c\u{61c}\0\n"), " a\\u{202e}b\\u{2066}c\\u{61c}\\u{0}\n");
        assert_eq!(told("2 → שלום"), "2 → שלום", "letters of any direction stay");
    }

    #[test]
    fn what_is_cut_fits_and_says_so() {
        let long = "a_very_long_name_of_a_head";
        for room in [0.0, 10.0, 40.0, 100.0] {
            let cut = fitted(long, 12.0, room);
            assert!(width(&cut, 12.0) <= room, "{cut} in {room}");
        }
        assert_eq!(fitted("short", 12.0, 100.0), "short");
        assert!(fitted(long, 12.0, 60.0).trim_end_matches('\u{2069}').ends_with('…'));
        assert_eq!(fitted("語語語語", 10.0, 25.0), "\u{2068}語…\u{2069}");
    }
}
