//! Numbers and names as people read them.

use std::cmp::Ordering;
use std::collections::BTreeSet;

/// The order in which people list models: by the number of parameters in the name where both have one, else by name.
pub(crate) fn by_size(a: &str, b: &str) -> Ordering {
    let key = |name: &str| parameters(name).unwrap_or(f64::INFINITY);
    key(a).total_cmp(&key(b)).then_with(|| a.cmp(b))
}

/// The number of parameters in a model's name, such as 7e7 for `pythia-70m-deduped`.
pub(crate) fn parameters(name: &str) -> Option<f64> {
    name.split('-').find_map(|word| {
        let (digits, factor) = match word.strip_suffix(['m', 'M']) {
            Some(digits) => (digits, 1e6),
            None => (word.strip_suffix(['b', 'B'])?, 1e9),
        };
        digits.parse::<f64>().ok().filter(|number| *number > 0.0).map(|number| number * factor)
    })
}

/// The model without its seed: `pythia-70m-seed3` and `pythia-70m-seed1` are the same model.
pub(crate) fn without_seed(model: &str) -> &str {
    let (name, seed) = model.rsplit_once("-seed").unwrap_or((model, ""));
    if !seed.is_empty() && seed.bytes().all(|byte| byte.is_ascii_digit()) { name } else { model }
}

/// A value with three digits after the point, in scientific form where these would hide it; empty where there is none.
pub(crate) fn number(value: Option<f64>) -> String {
    match value {
        None => String::new(),
        Some(value) if value != 0.0 && (value.abs() < 0.001 || value.abs() >= 1e6) => format!("{value:.2e}"),
        Some(value) => format!("{value:.3}"),
    }
}

/// A value with six significant digits, without trailing zeros.
pub(crate) fn float(value: f64) -> String {
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    if rounded != 0.0 && !(1e-5..1e15).contains(&rounded.abs()) { format!("{rounded:e}") } else { rounded.to_string() }
}

/// A whole number with its digits in groups of three: 143,000.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things in words.
///
/// ```
/// use pythia_report::words::plural;
///
/// assert_eq!([1, 2, 143_000].map(|n| plural(n, "step")), ["1 step", "2 steps", "143,000 steps"]);
/// assert_eq!(["entry", "branch", "key"].map(|one| plural(0, one)), ["0 entries", "0 branches", "0 keys"]);
/// ```
pub fn plural(number: usize, one: &str) -> String {
    format!("{} {}", count(number as u64), noun(number, one))
}

/// The word for one thing, or for another number of them.
pub fn noun(number: usize, one: &str) -> String {
    match one.strip_suffix('y') {
        _ if number == 1 => one.to_owned(),
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if ["ch", "sh", "s", "x"].iter().any(|end| one.ends_with(end)) => format!("{one}es"),
        _ => format!("{one}s"),
    }
}

/// A step as a label; `the model` where there is none.
pub(crate) fn step(step: Option<i64>) -> String {
    step.map_or("the model".into(), |step| format!("step {step}"))
}

/// A head as the field writes it: `L5H1`.
pub(crate) fn head(layer: i64, head: i64) -> String {
    format!("L{layer}H{head}")
}

/// A token as people read it: its text, or its id where the model has no tokenizer.
pub(crate) fn token(text: &str, id: Option<i64>) -> String {
    match id {
        Some(id) if text.is_empty() => format!("#{id}"),
        _ => text.to_owned(),
    }
}

/// Whether a character changes the direction of its neighbours without being seen (Unicode's bidirectional formatting
/// characters).
pub(crate) const fn turns_text(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The site in a hook's full name: `z` of `blocks.3.attn.hook_z`, `resid_pre` of `blocks.0.hook_resid_pre`.
pub(crate) fn site(hook: &str) -> &str {
    let last = hook.rsplit('.').next().unwrap_or(hook);
    last.strip_prefix("hook_").unwrap_or(last)
}

/// Gives every word out once: a second `head-scores` becomes `head-scores-2`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Distinct(BTreeSet<String>);

impl Distinct {
    /// The word, with a number where it was given out already.
    pub(crate) fn word(&mut self, word: &str) -> String {
        let numbered = (2..).map(|number| format!("{word}-{number}"));
        let free = [word.to_owned()].into_iter().chain(numbered).find(|word| !self.0.contains(word));
        let free = free.unwrap_or_else(|| word.to_owned());
        self.0.insert(free.clone());
        free
    }
}

/// A word for files and links: lower case letters, digits and single hyphens; `unnamed` for a name without any of them.
pub(crate) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    match slug.trim_end_matches('-') {
        "" => "unnamed".into(),
        slug => slug.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_stand_in_the_order_of_their_sizes() {
        let mut models = vec!["pythia-1b", "nano", "pythia-70m-deduped", "pythia-1.4b", "pythia-70m", "pythia-160m"];
        models.sort_by(|a, b| by_size(a, b));
        assert_eq!(models, ["pythia-70m", "pythia-70m-deduped", "pythia-160m", "pythia-1b", "pythia-1.4b", "nano"]);
    }

    #[test]
    fn seeds_of_one_model_have_one_name() {
        assert_eq!(without_seed("pythia-70m-seed3"), "pythia-70m");
        assert_eq!(without_seed("pythia-70m"), "pythia-70m");
        assert_eq!(without_seed("my-seedling"), "my-seedling");
    }

    #[test]
    fn numbers_are_short_and_hide_nothing() {
        assert_eq!(number(Some(0.8504)), "0.850");
        assert_eq!(number(Some(-0.0000021)), "-2.10e-6");
        assert_eq!((number(Some(0.0)).as_str(), number(None).as_str()), ("0.000", ""));
        assert_eq!((count(143_000).as_str(), count(12).as_str()), ("143,000", "12"));
        assert_eq!((plural(1, "head"), plural(2400, "head")), ("1 head".into(), "2,400 heads".into()));
    }

    #[test]
    fn slugs_are_words() {
        assert_eq!(slug("head_scores · pythia-1.4b"), "head-scores-pythia-1-4b");
        assert_eq!((slug("../<x>").as_str(), slug("検").as_str()), ("x", "unnamed"));
        let mut distinct = Distinct::default();
        assert_eq!(["a", "a", "a-2", "a"].map(|word| distinct.word(word)), ["a", "a-2", "a-2-2", "a-3"]);
    }
}
