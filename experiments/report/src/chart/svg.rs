//! A writer of SVG text whose documents are always well-formed: elements close in the order in which they were opened,
//! and every text and attribute is escaped.

use std::fmt::Write;

use super::text::told;

/// The title and description of a picture for readers who do not see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heading<'a> {
    /// The start of every id in the document.
    pub id: &'a str,
    /// The document's title.
    pub title: &'a str,
    pub alt: &'a str,
}

/// Elements, written one after the other.
#[derive(Debug, Default)]
pub(crate) struct Svg {
    text: String,
    open: Vec<&'static str>,
}

impl Svg {
    /// Begins an element; nothing is closed until the returned tag is.
    pub(crate) fn tag(&mut self, name: &'static str) -> Tag<'_> {
        self.text.push_str("\n<");
        self.text.push_str(name);
        Tag { svg: self, name }
    }

    /// Opens a group with a class.
    pub(crate) fn group(&mut self, class: &str) {
        self.tag("g").attr("class", class).open();
    }

    /// Closes the element that was opened last.
    pub(crate) fn end(&mut self) {
        if let Some(name) = self.open.pop() {
            self.close(name);
        }
    }

    /// A straight line in the ink's colour: a rule, an axis or a tick.
    pub(crate) fn rule(&mut self, from: (f64, f64), to: (f64, f64), opacity: f64) {
        let tag = self.tag("line").num("x1", from.0).num("y1", from.1).num("x2", to.0).num("y2", to.1);
        tag.attr("stroke", "currentColor").num("stroke-opacity", opacity).empty();
    }

    /// Upright rules of one opacity at many places, as one element.
    pub(crate) fn uprights(&mut self, places: &[f64], (top, bottom): (f64, f64), opacity: f64) {
        if !places.is_empty() {
            let path: String =
                places.iter().map(|x| format!("M{} {}V{}", coord(*x), coord(top), coord(bottom))).collect();
            self.tag("path").attr("d", &path).attr("stroke", "currentColor").num("stroke-opacity", opacity).empty();
        }
    }

    /// The whole document around what was written: `width` × `height` user units on white paper.
    pub(crate) fn document(mut self, heading: &Heading<'_>, width: f64, height: f64) -> String {
        while !self.open.is_empty() {
            self.end();
        }
        let Heading { id, title, alt } = *heading;
        let mut whole = Self::default();
        let root = whole.tag("svg").attr("xmlns", "http://www.w3.org/2000/svg").attr("class", "chart");
        let root =
            root.attr("id", &format!("{id}-svg")).attr("viewBox", &format!("0 0 {} {}", coord(width), coord(height)));
        let root = root.num("width", width).num("height", height).attr("role", "img");
        let root = root.attr("aria-labelledby", &format!("{id}-title {id}-desc")).attr("color", "#1b1f24");
        root.attr("font-family", FONT).attr("font-size", "12").open();
        whole.tag("title").attr("id", &format!("{id}-title")).text(&told(title));
        whole.tag("desc").attr("id", &format!("{id}-desc")).text(&told(alt));
        let paper = whole.tag("rect").attr("class", "paper").num("width", width).num("height", height);
        paper.attr("fill", "#ffffff").empty();
        whole.text.push_str(&self.text);
        whole.end();
        whole.text.push('\n');
        whole.text.split_off(1)
    }

    fn close(&mut self, name: &str) {
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push('>');
    }
}

const FONT: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

/// The start of an element, to which attributes are added.
#[derive(Debug)]
pub(crate) struct Tag<'a> {
    svg: &'a mut Svg,
    name: &'static str,
}

impl Tag<'_> {
    /// Adds an attribute to the element that is open.
    pub(crate) fn attr(self, name: &str, value: &str) -> Self {
        self.svg.text.push(' ');
        self.svg.text.push_str(name);
        self.svg.text.push_str("=\"");
        escape(value, &mut self.svg.text);
        self.svg.text.push('"');
        self
    }

    /// An attribute where there is a value.
    pub(crate) fn maybe(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// A number, with two decimals at most.
    pub(crate) fn num(self, name: &str, value: f64) -> Self {
        self.attr(name, &coord(value))
    }

    /// Sets `x` and `y`, in the units of the picture.
    pub(crate) fn at(self, x: f64, y: f64) -> Self {
        self.num("x", x).num("y", y)
    }

    /// Ends an element that holds nothing.
    pub(crate) fn empty(self) {
        self.svg.text.push_str("/>");
    }

    /// Leaves the element open for others inside.
    pub(crate) fn open(self) {
        self.svg.text.push('>');
        self.svg.open.push(self.name);
    }

    /// Ends an element that holds a text.
    pub(crate) fn text(self, text: &str) {
        self.svg.text.push('>');
        escape(text, &mut self.svg.text);
        self.svg.close(self.name);
    }

    /// Ends an element that holds a text of which a part may be left out: the whole is then its title.
    pub(crate) fn label(self, shown: &str, whole: &str) {
        self.svg.text.push('>');
        escape(shown, &mut self.svg.text);
        if shown != whole {
            self.svg.text.push_str("<title>");
            escape(whole, &mut self.svg.text);
            self.svg.close("title");
        }
        self.svg.close(self.name);
    }
}

/// A coordinate: two decimals at most, no exponent, no minus zero. What is not finite becomes 0, so that no data can
/// break a document.
pub(crate) fn coord(value: f64) -> String {
    let hundredths = if value.is_finite() { (value.clamp(-1e9, 1e9) * 100.0).round() as i64 } else { 0 };
    hundredths_text(hundredths)
}

fn hundredths_text(value: i64) -> String {
    let (sign, value) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
    let mut text = format!("{sign}{}", value / 100);
    match value % 100 {
        0 => {}
        part if part % 10 == 0 => _ = write!(text, ".{}", part / 10),
        part => _ = write!(text, ".{part:02}"),
    }
    text
}

/// Appends `text` with the characters of markup as entities and those that XML forbids as U+FFFD.
fn escape(text: &str, into: &mut String) {
    for character in text.chars() {
        match character {
            '&' => into.push_str("&amp;"),
            '<' => into.push_str("&lt;"),
            '>' => into.push_str("&gt;"),
            '"' => into.push_str("&quot;"),
            '\n' => into.push_str("&#10;"),
            '\t' => into.push_str("&#9;"),
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => into.push('\u{fffd}'),
            other => into.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(fill: impl FnOnce(&mut Svg)) -> String {
        let mut svg = Svg::default();
        fill(&mut svg);
        svg.document(&Heading { id: "it", title: "a <b> & \"c\"", alt: "" }, 10.0, 20.5)
    }

    #[test]
    fn what_is_left_open_is_closed_in_order() {
        let text = document(|svg| {
            svg.group("outer");
            svg.group("inner");
        });
        assert!(text.ends_with("<g class=\"outer\">\n<g class=\"inner\"></g></g></svg>\n"), "{text}");
        assert!(text.starts_with(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" id=\"it-svg\" viewBox=\"0 0 10 20.5\""
        ));
        assert!(text.contains("<title id=\"it-title\">a &lt;b&gt; &amp; &quot;c&quot;</title>"));
    }

    #[test]
    fn what_xml_forbids_is_replaced() {
        let text =
            document(|svg| svg.tag("text").attr("data-x", "\u{0}\u{1b}\"").text("a\u{0}\u{8}\u{85}\u{ffff}\n]]>"));
        assert!(
            text.contains("data-x=\"\u{fffd}\u{fffd}&quot;\">a\u{fffd}\u{fffd}\u{fffd}\u{fffd}&#10;]]&gt;<"),
            "{text}"
        );
    }

    #[test]
    fn what_turns_text_is_written_out_in_the_words_that_name_the_picture() {
        let heading = Heading { id: "it", title: "a\u{202e}b", alt: "c\u{2067}d\u{200f}" };
        let text = Svg::default().document(&heading, 10.0, 20.0);
        assert!(text.contains("<title id=\"it-title\">a\\u{202e}b</title>"), "{text}");
        assert!(text.contains("<desc id=\"it-desc\">c\\u{2067}d\\u{200f}</desc>"), "{text}");
    }

    #[test]
    fn coordinates_are_short_and_finite() {
        let cases =
            [(0.0, "0"), (-0.001, "0"), (1.0, "1"), (1.005_1, "1.01"), (-2.5, "-2.5"), (0.07, "0.07"), (1e-9, "0")];
        for (value, text) in cases {
            assert_eq!(coord(value), text);
        }
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(coord(value), "0");
        }
        assert_eq!(coord(1e300), "1000000000");
    }

    #[test]
    fn a_shortened_label_keeps_its_whole_text() {
        let text = document(|svg| {
            svg.tag("text").label("sho…", "short & long");
            svg.tag("text").label("same", "same");
        });
        assert!(text.contains("<text>sho…<title>short &amp; long</title></text>\n<text>same</text>"), "{text}");
    }
}
