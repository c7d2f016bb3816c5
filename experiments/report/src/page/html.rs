//! HTML as text: elements that are always closed, and one escape for everything that comes from data.

use crate::words::turns_text;

/// A piece of a page that grows at its end.
#[derive(Debug, Default)]
pub(crate) struct Html {
    text: String,
}

impl Html {
    /// The markup so far.
    pub(crate) fn into_string(self) -> String {
        self.text
    }

    /// An element with what `inside` writes into it. Its end tag is written here, so that no element stays open.
    pub(crate) fn element(&mut self, tag: &str, attributes: &[(&str, &str)], inside: impl FnOnce(&mut Self)) {
        self.start(tag, attributes);
        inside(self);
        self.text.push_str("</");
        self.text.push_str(tag);
        self.text.push('>');
    }

    /// An element with nothing but text inside.
    pub(crate) fn leaf(&mut self, tag: &str, attributes: &[(&str, &str)], text: &str) {
        self.element(tag, attributes, |html| html.text(text));
    }

    /// The start tag alone, for elements that have no end tag, such as `meta`.
    pub(crate) fn start(&mut self, tag: &str, attributes: &[(&str, &str)]) {
        self.text.push('<');
        self.text.push_str(tag);
        for (name, value) in attributes {
            self.text.push(' ');
            self.text.push_str(name);
            self.text.push_str("=\"");
            self.text(value);
            self.text.push('"');
        }
        self.text.push('>');
    }

    /// Text from anywhere: nothing in it is markup, in an element or in a quoted attribute.
    pub(crate) fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                '\'' => self.text.push_str("&#39;"),
                '\t' | '\n' => self.text.push(c),
                // A reader of HTML takes a carriage return for a new line, so two of them would become two lines.
                '\r' => {}
                c if c.is_control() => self.text.push('\u{fffd}'),
                // A line of code or of provenance must read in the order in which it is stored.
                c if turns_text(c) => self.text.extend(c.escape_unicode()),
                c => self.text.push(c),
            }
        }
    }

    /// A paragraph's text, in which a piece `between backticks` is code.
    pub(crate) fn prose(&mut self, text: &str) {
        let mut pieces = text.split('`').enumerate().peekable();
        while let Some((at, piece)) = pieces.next() {
            if at % 2 == 0 {
                self.text(piece);
            } else if pieces.peek().is_some() {
                self.leaf("code", &[], piece);
            } else {
                self.text("`");
                self.text(piece);
            }
        }
    }

    /// Markup from this crate: constants, and pictures that escaped their own texts.
    pub(crate) fn raw(&mut self, markup: &str) {
        self.text.push_str(markup);
    }
}

/// JSON that is safe inside a `script` element: `<`, which could end the element or open a comment, is escaped, and so
/// are the two line ends that old JavaScript refuses in strings. All of them occur only inside JSON strings.
pub(crate) fn json(value: &serde_json::Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> String {
        let mut html = Html::default();
        html.text(text);
        html.into_string()
    }

    #[test]
    fn what_comes_from_data_is_never_markup() {
        assert_eq!(text("</script><b a='\"'>&"), "&lt;/script&gt;&lt;b a=&#39;&quot;&#39;&gt;&amp;");
        assert_eq!(text("a\0b\u{7f}\u{85}\u{1b}[1m"), "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}[1m");
        assert_eq!(text("one\r\n\ttwo"), "one\n\ttwo");
    }

    #[test]
    fn marks_that_turn_text_are_seen() {
        assert_eq!(text("a\u{202e}b\u{2069}\u{200f}\u{61c}"), r"a\u{202e}b\u{2069}\u{200f}\u{61c}");
        assert_eq!(text("שלום é 語 \u{2068}"), "שלום é 語 \\u{2068}", "letters of any direction stay");
    }

    #[test]
    fn elements_close_and_attributes_are_quoted() {
        let mut html = Html::default();
        html.element("p", &[("id", "a\"><i>")], |html| html.leaf("b", &[], "<"));
        assert_eq!(html.into_string(), r#"<p id="a&quot;&gt;&lt;i&gt;"><b>&lt;</b></p>"#);
    }

    #[test]
    fn backticks_hold_code() {
        let prose = |text: &str| {
            let mut html = Html::default();
            html.prose(text);
            html.into_string()
        };
        assert_eq!(prose("see `a<b>` and `c`."), "see <code>a&lt;b&gt;</code> and <code>c</code>.");
        assert_eq!(prose("a ` b"), "a ` b", "one alone is a character like others");
        assert_eq!(prose("`a` ` b`"), "<code>a</code> <code> b</code>");
        assert_eq!(prose("`a` `b"), "<code>a</code> `b");
    }

    #[test]
    fn json_ends_no_script() {
        let value = serde_json::json!({"</script><!--": "\u{2028}\u{2029}\0<"});
        let text = json(&value);
        assert!(
            !text.contains('<') && !text.contains('\u{2028}') && !text.contains('\u{2029}') && !text.contains('\0')
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("still JSON"), value);
    }
}
