//! The content security policy of the page, which forbids everything that the page does not need.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// The page's only style.
pub(crate) const STYLE: &str = include_str!("style.css");

/// The page's only script.
pub(crate) const SCRIPT: &str = include_str!("script.js");

/// A policy (Content Security Policy 3) that allows one style and one script, by their hashes, and pictures inside the
/// page itself. Everything else is forbidden: requests, frames, forms, inline styles and handlers. So even a mistake in
/// escaping runs no code.
pub(crate) fn policy(style: &str, script: &str) -> String {
    let (style, script) = (hash(style), hash(script));
    format!(
        "default-src 'none'; img-src data:; style-src '{style}'; script-src '{script}'; base-uri 'none'; form-action \
         'none'"
    )
}

/// A hash as a policy names it.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_as_the_standard_writes_them() {
        // The example of the policy's standard, section 2.3.1: `alert('Hello, world.');`.
        assert_eq!(hash("alert('Hello, world.');"), "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=");
    }

    #[test]
    fn the_two_files_can_be_embedded_as_they_are() {
        for (text, end) in [(STYLE, "</style"), (SCRIPT, "</script")] {
            let lower = text.to_ascii_lowercase();
            assert!(!lower.contains(end) && !lower.contains("<!--"), "it would end its element");
            assert!(!text.contains('\r') && !text.contains('\0'), "a browser would hash another text");
        }
    }

    #[test]
    fn the_files_ask_for_nothing_from_outside() {
        for text in [STYLE, SCRIPT] {
            let foreign =
                ["@import", "fetch(", "XMLHttpRequest", "import(", "innerHTML", "eval(", "setAttribute('style"];
            assert_eq!(foreign.iter().find(|word| text.contains(**word)), None);
            assert!(text.replace("http://www.w3.org/2000/svg", "").find("://").is_none(), "no address");
        }
        assert!(SCRIPT.len() <= 15_000, "the script is {} bytes long", SCRIPT.len());
    }
}
