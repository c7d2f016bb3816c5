//! Texts for the positions of a probe's pairs, for readers of its tables.

use pythia_core::tokenizer::Tokenizer;
use pythia_probes::pairs::Pair;

/// A text for each position of the clean prompts: the token where all pairs have the same, else the name of the
/// position in brackets where all pairs call it so, else nothing. `None` where the prompts differ in length, so that a
/// position means nothing, or where no position has a text.
pub(crate) fn of(pairs: &[Pair], tokenizer: Option<&Tokenizer>, bos: u32) -> Option<Vec<String>> {
    let first = pairs.first()?;
    if pairs.iter().any(|pair| pair.clean.len() != first.clean.len()) {
        return None;
    }
    let text = |at: usize| {
        let id = first.clean[at];
        let same = pairs.iter().all(|pair| pair.clean[at] == id);
        let token = match tokenizer {
            _ if at == 0 && id == bos => Some("[bos]".to_owned()),
            Some(tokenizer) => tokenizer.token_text(id).ok(),
            None => None,
        };
        token.filter(|_| same).or_else(|| name(pairs, at)).unwrap_or_default()
    };
    let texts: Vec<String> = (0..first.clean.len()).map(text).collect();
    texts.iter().any(|text| !text.is_empty()).then_some(texts)
}

/// The name that every pair has for a position.
fn name(pairs: &[Pair], at: usize) -> Option<String> {
    let names = pairs.first()?.positions.iter().filter(|(_, span)| span[..] == [at]).map(|(name, _)| name);
    let common = |name: &&String| pairs.iter().all(|pair| pair.position(name) == Some(at));
    names.filter(common).map(|name| format!("[{name}]")).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(clean: &[u32], subject: usize) -> Pair {
        let positions = [("end".to_owned(), vec![clean.len() - 1]), ("subject".to_owned(), vec![subject])].into();
        Pair { clean: clean.into(), corrupt: clean.into(), answers: vec![9], wrongs: vec![], positions, source: 0 }
    }

    #[test]
    fn what_all_pairs_share_has_a_text_and_the_rest_has_none() {
        let pairs = [pair(&[0, 5, 6, 7], 1), pair(&[0, 4, 3, 8], 1)];
        let texts = of(&pairs, None, 0).expect("texts");
        assert_eq!(texts, ["[bos]", "[subject]", "", "[end]"]);
        // A name that moves is no name of a position, and a first token that is no BOS is a token like others.
        let pairs = [pair(&[1, 5, 6, 7], 1), pair(&[1, 4, 3, 8], 2)];
        assert_eq!(of(&pairs, None, 0).expect("texts"), ["", "", "", "[end]"]);
    }

    #[test]
    fn prompts_of_several_lengths_have_no_common_positions() {
        assert_eq!(of(&[pair(&[0, 5, 6], 1), pair(&[0, 4], 1)], None, 0), None);
        assert_eq!(of(&[], None, 0), None);
    }
}
