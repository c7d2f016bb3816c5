//! The texts that stand beside token ids in a table.

use std::collections::BTreeMap;

use pythia_core::tokenizer::Tokenizer;

/// The text of each id: empty where there is no tokenizer or no such token.
#[derive(Debug)]
pub(crate) struct TokenTexts<'a> {
    tokenizer: Option<&'a Tokenizer>,
    known: BTreeMap<u32, String>,
}

impl<'a> TokenTexts<'a> {
    /// With the model's tokenizer, where it has one.
    pub(crate) fn new(tokenizer: Option<&'a Tokenizer>) -> Self {
        Self { tokenizer, known: BTreeMap::new() }
    }

    /// The text of a token.
    pub(crate) fn of(&mut self, id: u32) -> String {
        let Some(tokenizer) = self.tokenizer else { return String::new() };
        self.known.entry(id).or_insert_with(|| tokenizer.token_text(id).unwrap_or_default()).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::letters;

    #[test]
    fn ids_have_texts_only_where_a_tokenizer_knows_them() {
        let tokenizer = letters();
        let mut texts = TokenTexts::new(Some(&tokenizer));
        assert_eq!([1, 4, 5, 6, 1].map(|id| texts.of(id)), ["a", " ", "\u{fffd}", "", "a"]);
        assert_eq!(TokenTexts::new(None).of(1), "");
    }
}
