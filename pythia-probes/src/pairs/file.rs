//! Pairs written in a file, one per line as JSON.

use pythia_core::tokenizer::Tokenizer;

use crate::random::Vocabulary;

use super::draft::Draft;
use super::phrase::{Lexicon, excerpt};
use super::record::{Record, Written};
use super::{Dropped, Pair, PairError, Pairs};

/// Lines that are read of a file.
const MAX_LINES: usize = 1 << 18;
/// Bytes of a line: a hundred times a prompt that fills the context.
const MAX_LINE_BYTES: usize = 1 << 20;

/// How the pairs of a file become tokens.
pub(super) struct PairReader<'a> {
    pub tokenizer: Option<&'a Tokenizer>,
    pub vocabulary: Vocabulary,
    pub prepend_bos: bool,
    /// Whether noise stands for the corrupt prompts, which are not read then.
    pub noise: bool,
}

/// Why a line did not become a pair.
enum Refusal {
    /// The line is malformed, so the whole file is refused.
    Stop(PairError),
    /// The pair cannot be used with this tokenizer and is left out.
    Drop(PairError),
}

impl PairReader<'_> {
    /// The first `n` pairs of `text` that can be used. Lines after them are read, so that a broken file is found out
    /// whatever `n` is, but neither tokenised nor counted.
    pub(super) fn pairs(&self, text: &str, n: usize) -> Result<Pairs, PairError> {
        let mut pairs = Pairs { list: Vec::new(), dropped: Vec::new() };
        for (index, text) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
            let Some(record) = line(text, index + 1)? else { continue };
            if record.corrupt.is_none() && !self.noise {
                let reason =
                    "missing field `corrupt`: a pair has two prompts, unless noise stands for the second".to_owned();
                return Err(PairError::Malformed { line: index + 1, column: 0, reason });
            }
            if pairs.list.len() < n {
                self.add(&record, index + 1, &mut pairs)?;
            }
        }
        match (pairs.list.is_empty(), pairs.dropped.is_empty()) {
            (true, true) => Err(PairError::NoLines),
            (true, false) => Err(PairError::NothingLeft { dropped: pairs.dropped }),
            (false, _) => Ok(pairs),
        }
    }

    fn add(&self, record: &Record, line: usize, pairs: &mut Pairs) -> Result<(), PairError> {
        match self.pair(record, line) {
            Ok(pair) => pairs.list.push(pair),
            Err(Refusal::Drop(reason)) => pairs.dropped.push(Dropped { source: line, reason }),
            Err(Refusal::Stop(error)) => return Err(error),
        }
        Ok(())
    }

    fn pair(&self, record: &Record, line: usize) -> Result<Pair, Refusal> {
        let clean = self.ids("clean", &record.clean, line)?;
        let draft = Draft {
            corrupt: match &record.corrupt {
                Some(corrupt) if !self.noise => self.ids("corrupt", corrupt, line)?,
                _ => clean.clone(),
            },
            clean,
            answers: self.ids("answer", &record.answer, line)?,
            wrongs: self.ids("wrong", &record.wrong, line)?,
            ..Draft::default()
        };
        let vocab = self.vocabulary.size;
        let checked = if self.noise { draft.check_ids(vocab) } else { draft.check(vocab) };
        checked.map_err(Refusal::Drop)?;
        let mut pair = draft.finish(self.vocabulary, self.prepend_bos, line);
        self.check_bos(record, &pair, line).map_err(Refusal::Stop)?;
        for (name, positions) in &record.positions {
            let at = |position: &i64| place(name, *position, pair.clean.len(), line);
            let mut span = positions.iter().map(at).collect::<Result<Vec<_>, _>>().map_err(Refusal::Stop)?;
            span.sort_unstable();
            span.dedup();
            pair.positions.insert(name.clone(), span);
        }
        Ok(pair)
    }

    /// Refuses positions that count another sequence than the one that the model sees. Where the prompt itself begins
    /// with a BOS and none is prepended, both values of the key are true.
    fn check_bos(&self, record: &Record, pair: &Pair, line: usize) -> Result<(), PairError> {
        let own = !self.prepend_bos && pair.clean.first() == Some(&self.vocabulary.bos);
        match record.positions_count_bos {
            Some(counted) if counted != self.prepend_bos && !own => Err(PairError::BosCounted { line, counted }),
            _ => Ok(()),
        }
    }

    /// The ids of what is written under `key`. Prompts may have any number of tokens, an answer's text exactly one.
    fn ids(&self, key: &'static str, written: &Written, line: usize) -> Result<Vec<u32>, Refusal> {
        let texts = match written {
            Written::Ids(ids) => return Ok(ids.clone()),
            Written::Text(text) => std::slice::from_ref(text),
            Written::Texts(texts) => texts,
        };
        let tokenizer = self.tokenizer.ok_or(Refusal::Stop(PairError::LineNeedsTokenizer { line, key }))?;
        let lexicon = Lexicon::new(tokenizer, self.vocabulary.size);
        let ids = match key {
            "clean" | "corrupt" => texts.iter().map(|text| lexicon.encode(text)).collect::<Result<Vec<_>, _>>(),
            _ => texts.iter().map(|text| one(key, text, lexicon)).collect(),
        };
        ids.map(|lists| lists.concat()).map_err(Refusal::Drop)
    }
}

/// The record of a line, if the line is not empty.
fn line(text: &str, line: usize) -> Result<Option<Record>, PairError> {
    if line > MAX_LINES {
        return Err(PairError::TooManyLines { line, most: MAX_LINES });
    }
    if text.len() > MAX_LINE_BYTES {
        return Err(PairError::LineTooLong { line, bytes: text.len(), most: MAX_LINE_BYTES });
    }
    if text.trim().is_empty() { Ok(None) } else { Record::read(text, line).map(Some) }
}

/// The one token of an answer, or how many it has and whether only a space is missing.
fn one(key: &'static str, text: &str, lexicon: Lexicon<'_>) -> Result<Vec<u32>, PairError> {
    let tokens = lexicon.encode(text)?;
    if tokens.len() == 1 {
        return Ok(tokens);
    }
    let spaced = format!(" {text}");
    let helps = !text.is_empty() && lexicon.single(&spaced)?.is_some();
    Err(PairError::AnswerTokens { key, text: excerpt(text), tokens, spaced: helps.then(|| excerpt(&spaced)) })
}

/// The index of a position, which may count from the end.
fn place(name: &str, position: i64, len: usize, line: usize) -> Result<usize, PairError> {
    let from_start = if position < 0 { position.saturating_add_unsigned(len as u64) } else { position };
    let Some(at) = usize::try_from(from_start).ok().filter(|at| *at < len) else {
        return Err(PairError::NoSuchPosition { line, name: excerpt(name), position, len });
    };
    // Everything that says "end" means the last token.
    if name == "end" && at + 1 != len { Err(PairError::EndElsewhere { line, position, len }) } else { Ok(at) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::testing;

    const VOCABULARY: Vocabulary = Vocabulary { size: 100, bos: 0 };

    fn read(text: &str, n: usize) -> Result<Pairs, PairError> {
        PairReader { tokenizer: None, vocabulary: VOCABULARY, prepend_bos: true, noise: false }.pairs(text, n)
    }

    #[test]
    fn ids_need_no_tokenizer_and_positions_are_those_that_the_model_sees() {
        let text = "\u{feff}{\"clean\": [1, 2, 3], \"corrupt\": [1, 9, 3], \"answer\": [4], \"wrong\": [5, 6], \
                    \"positions\": {\"subject\": [2, -3], \"before\": -2, \"end\": -1, \"start\": 1}, \
                    \"positions_count_bos\": true}\r\n\n  \n\
                    {\"clean\": [7], \"corrupt\": [8], \"answer\": [9]}\n";
        let pairs = read(text, 10).expect("two pairs");
        assert_eq!(pairs.dropped, []);
        let [first, second] = &pairs.list[..] else { panic!("{pairs:?}") };
        assert_eq!((&first.clean[..], &first.corrupt[..]), (&[0, 1, 2, 3][..], &[0, 1, 9, 3][..]));
        assert_eq!((&first.answers[..], &first.wrongs[..], first.source), (&[4][..], &[5, 6][..], 1));
        let named: Vec<(&str, &[usize])> = first.positions.iter().map(|(name, at)| (name.as_str(), &at[..])).collect();
        assert_eq!(named, [("before", &[2][..]), ("end", &[3]), ("start", &[1]), ("subject", &[1, 2])]);
        assert_eq!([first.position("start"), first.position("subject"), first.position("x")], [Some(1), None, None]);
        assert_eq!((&second.clean[..], &second.wrongs[..], second.source), (&[0, 7][..], &[][..], 4));
    }

    #[test]
    fn what_cannot_be_used_is_left_out_with_its_line_and_reason() {
        let text = "{\"clean\": [1, 2], \"corrupt\": [1], \"answer\": [4], \"positions\": {\"a\": 17}, \
                    \"positions_count_bos\": true}\n\
                    {\"clean\": [1], \"corrupt\": [1], \"answer\": [4]}\n\
                    {\"clean\": [1], \"corrupt\": [2], \"answer\": [100]}\n\
                    {\"clean\": [1], \"corrupt\": [2], \"answer\": [4], \"wrong\": [4]}\n";
        let reasons = [
            PairError::Lengths { clean: 2, corrupt: 1 },
            PairError::Same { len: 1 },
            PairError::IdOutOfVocab { key: "answer", id: 100, vocab: 100 },
            PairError::AnswerTwice { id: 4 },
        ];
        let expected: Vec<Dropped> =
            reasons.into_iter().zip(1..).map(|(reason, source)| Dropped { source, reason }).collect();
        let error = read(text, 10).expect_err("nothing is left");
        assert_eq!(error, PairError::NothingLeft { dropped: expected.clone() });
        let told = error.to_string();
        assert!(
            told.starts_with("none of the 4 pairs can be used: line 1: clean has 2 tokens and corrupt 1"),
            "{told}"
        );
        assert!(told.contains("line 3: answer has the id 100") && told.ends_with("; and 1 more"), "{told}");
        let good = format!("{text}{{\"clean\": [1], \"corrupt\": [2], \"answer\": [4]}}");
        let pairs = read(&good, 10).expect("one is left");
        assert_eq!((pairs.list.len(), pairs.list[0].source, pairs.dropped), (1, 5, expected));
    }

    #[test]
    fn the_first_pairs_are_taken_and_a_broken_line_behind_them_is_found_all_the_same() {
        let line = |id: u32| format!("{{\"clean\": [{id}], \"corrupt\": [9], \"answer\": [4]}}\n");
        let text: String = (1..=5).map(line).collect();
        let sources = |n| read(&text, n).map(|pairs| pairs.list.iter().map(|pair| pair.source).collect::<Vec<_>>());
        assert_eq!(sources(2), Ok(vec![1, 2]));
        assert_eq!(sources(9), Ok(vec![1, 2, 3, 4, 5]));
        let broken = read(&format!("{text}{{}}"), 2);
        assert!(matches!(broken, Err(PairError::Malformed { line: 6, .. })), "{broken:?}");
    }

    #[test]
    fn what_is_broken_stops_and_names_its_line() {
        let line = |positions: &str| {
            format!(
                "\n{{\"clean\": [1, 2], \"corrupt\": [3, 2], \"answer\": [4], \"positions\": {positions}, \
                 \"positions_count_bos\": true}}"
            )
        };
        for (written, position) in
            [("3", 3), ("-4", -4), ("[1, 3]", 3), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)]
        {
            let expected = PairError::NoSuchPosition { line: 2, name: "a".to_owned(), position, len: 3 };
            assert_eq!(read(&line(&format!("{{\"a\": {written}}}")), 1), Err(expected));
        }
        assert_eq!(read(&line("{\"end\": 1}"), 1), Err(PairError::EndElsewhere { line: 2, position: 1, len: 3 }));
        assert!(read(&line("{\"end\": 2}"), 1).is_ok());
        let text = read("{\"clean\": [1], \"corrupt\": [2], \"answer\": \" a\"}", 1);
        assert_eq!(text, Err(PairError::LineNeedsTokenizer { line: 1, key: "answer" }));
        assert_eq!(read(" \n\n", 1), Err(PairError::NoLines));
        assert_eq!(read("", 1), Err(PairError::NoLines));
    }

    #[test]
    fn positions_of_another_sequence_than_the_models_are_refused() {
        let read = |clean: &str, counted: bool, prepend_bos: bool| {
            let text = format!(
                "{{\"clean\": {clean}, \"corrupt\": [3, 2], \"answer\": [4], \"positions\": {{\"a\": 1}}, \
                 \"positions_count_bos\": {counted}}}"
            );
            let reader = PairReader { tokenizer: None, vocabulary: VOCABULARY, prepend_bos, noise: false };
            reader.pairs(&text, 1).map(|pairs| pairs.list[0].clean[pairs.list[0].positions["a"][0]])
        };
        assert_eq!(read("[1, 2]", true, true), Ok(1));
        assert_eq!(read("[1, 2]", false, false), Ok(2));
        for counted in [true, false] {
            assert_eq!(read("[1, 2]", counted, !counted), Err(PairError::BosCounted { line: 1, counted }));
            // The prompt's own BOS: the same position in both readings.
            assert_eq!(read("[0, 2]", counted, false), Ok(2));
        }
        let told = PairError::BosCounted { line: 1, counted: true }.to_string();
        assert!(told.contains("run without a BOS") && told.contains("subtract 1"), "{told}");
    }

    #[test]
    fn noise_needs_no_corrupt_prompt_and_without_it_one_is_asked_for() {
        let text = "{\"clean\": [1, 2], \"answer\": [4]}\n{\"clean\": [1], \"corrupt\": [2, 3], \"answer\": [4]}";
        let reader = |noise| PairReader { tokenizer: None, vocabulary: VOCABULARY, prepend_bos: true, noise };
        let pairs = reader(true).pairs(text, 9).expect("both can be used");
        assert_eq!((pairs.list.len(), &pairs.list[0].corrupt[..], pairs.dropped), (2, &[0, 1, 2][..], vec![]));
        match reader(false).pairs(text, 9) {
            Err(PairError::Malformed { line: 1, reason, .. }) => assert!(reason.contains("`corrupt`"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_without_bounds_is_refused() {
        let bytes = MAX_LINE_BYTES + 1;
        let long = format!("\n{}", "x".repeat(bytes));
        assert_eq!(read(&long, 1), Err(PairError::LineTooLong { line: 2, bytes, most: MAX_LINE_BYTES }));
        let many = "\n".repeat(MAX_LINES + 1);
        assert_eq!(read(&many, 1), Err(PairError::TooManyLines { line: MAX_LINES + 1, most: MAX_LINES }));
        assert_eq!(read(&many[1..], 1), Err(PairError::NoLines));
    }

    #[test]
    #[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
    fn shared_text_becomes_the_tokens_of_the_suite() {
        let tokenizer = testing::shared_tokenizer();
        let vocabulary = Vocabulary { size: 50_277, bos: 0 };
        let reader = PairReader { tokenizer: Some(&tokenizer), vocabulary, prepend_bos: true, noise: false };
        let text = "\
                    {\"clean\": \"So Mary is\", \"corrupt\": \"So John is\", \
                    \"answer\": [\" she\"], \"wrong\": \" he\"}\n\
                    {\"clean\": \"So Mary is\", \"corrupt\": \"So John is\", \"answer\": \" Ouagadougou\"}\n\
                    {\"clean\": \"So Mary is\", \"corrupt\": \"So John is\", \
                    \"answer\": \" she\", \"wrong\": [\" he\", \"Laura\"]}\n\
                    {\"clean\": \"So Mary is\", \"corrupt\": \"So John is\", \"answer\": \"\"}\n\
                    {\"clean\": \"So Mary is\", \"corrupt\": \"So Ouagadougou is\", \"answer\": \" she\"}\n";
        let pairs = reader.pairs(text, 9).expect("the first can be used");
        let [pair] = &pairs.list[..] else { panic!("{pairs:?}") };
        assert_eq!(tokenizer.decode(&pair.clean).expect("known ids"), "<|endoftext|>So Mary is");
        assert_eq!((&pair.answers[..], &pair.wrongs[..], pair.positions["end"][0]), (&[703][..], &[344][..], 3));
        let told: Vec<String> = pairs.dropped.iter().map(|one| format!("{}: {}", one.source, one.reason)).collect();
        assert!(told[0].starts_with("2: answer \" Ouagadougou\" is ") && told[0].contains(" tokens ["), "{told:?}");
        assert!(!told[0].contains("space in front"), "{told:?}");
        assert!(told[1].starts_with("3: wrong \"Laura\" is 2 tokens"), "{told:?}");
        assert!(told[2].starts_with("4: answer \"\" is 0 tokens"), "{told:?}");
        assert!(matches!(pairs.dropped[3].reason, PairError::Lengths { clean: 3, .. }), "{told:?}");
        assert!(told[1].ends_with("; \" Laura\", with a space in front, is one token"), "{told:?}");
    }

    /// The string under `key` of a JSON object without escapes.
    fn field(line: &str, key: &str) -> String {
        let value: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        value[key].as_str().expect("a text").to_owned()
    }

    #[test]
    #[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
    fn shared_published_agreement_pairs_are_read_and_only_their_lengths_cost_some() {
        let tokenizer = testing::shared_tokenizer();
        for (name, kept) in [("simple_train", (413, 67)), ("nounpp_train", (1614, 306)), ("within_rc_test", (2400, 0))]
        {
            let path = testing::shared(&format!("data/feature_circuits/{name}.jsonl"));
            let text = std::fs::read_to_string(path).expect("a readable file");
            let renamed = |line: &str| {
                let [clean, corrupt, answer, wrong] =
                    ["clean_prefix", "patch_prefix", "clean_answer", "patch_answer"].map(|key| field(line, key));
                serde_json::json!({ "clean": clean, "corrupt": corrupt, "answer": answer, "wrong": wrong }).to_string()
                    + "\n"
            };
            let lines: String = text.lines().map(renamed).collect();
            let reader =
                PairReader { tokenizer: Some(&tokenizer), vocabulary: testing::SUITE, prepend_bos: true, noise: false };
            let pairs = reader.pairs(&lines, usize::MAX).expect("most can be used");
            assert_eq!((pairs.list.len(), pairs.dropped.len()), kept, "{name}");
            assert!(pairs.dropped.iter().all(|one| matches!(one.reason, PairError::Lengths { .. })));
            for pair in &pairs.list {
                let line = text.lines().nth(pair.source - 1).expect("the line it names");
                let clean = tokenizer.decode(&pair.clean[1..]).expect("known ids");
                assert_eq!((clean, pair.answers.len()), (field(line, "clean_prefix"), 1));
            }
        }
    }
}
