//! `pythia new`: a commented experiment file for a kind of probe, from the schema.

use crate::cli::failure::Failure;
use crate::config::{self, KeyDoc};
use crate::terminal::exit::{self, Exit};

/// Print a commented experiment file for a kind of probe, to start from
///
/// Every key stands in it with its meaning, its type and its default. Keys that can be left out are commented out.
/// `pythia list probes` shows the kinds.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    /// The kind of probe
    kind: String,
}

const LONG_HELP: &str = exit::examples!(
    "  pythia new head_scores > exp.toml
  pythia new activation_patching > exp.toml"
);

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let kind = config::probe_kind(&args.kind)?;
    super::print_bytes(text(kind).as_bytes())?;
    Ok(Exit::Ok)
}

/// Columns of the text.
const WIDTH: usize = 100;

/// The file. Lines that begin with `#key = ` are keys with their defaults; `# ` begins an explanation.
fn text(kind: &str) -> String {
    let mut lines = vec![
        format!("# An experiment with the probe {kind}, for `pythia run FILE`. `pythia validate FILE` checks it."),
        "# A key after a bare `#` is left out and has the value that stands there: remove the `#` to change it.".into(),
    ];
    lines.extend(section(&config::experiment_keys(), &|key| value_of_file(kind, key)));
    lines.extend(["".into(), "[[probe]]".into()]);
    lines.extend(section(&config::probe_keys(kind), &|key| value_of_probe(kind, key)));
    lines.join("\n") + "\n"
}

/// What a new file says for a key that must be given; `None` for the others.
fn value_of_file(kind: &str, key: &str) -> Option<String> {
    Some(match key {
        "name" => format!("\"{kind}\""),
        "seed" => "0".into(),
        "prepend_bos" => "true".into(),
        "models" => "[\"pythia-70m\"]".into(),
        "steps" => "\"log\"".into(),
        _ => return None,
    })
}

/// The same for a key of the probe. The pairs are those that need no tokenizer, so that the file is right before
/// anything is fetched.
fn value_of_probe(kind: &str, key: &str) -> Option<String> {
    Some(match key {
        "kind" => format!("\"{kind}\""),
        "pairs" => "{ task = \"induction\", n = 32 }".into(),
        "source_step" => "143000".into(),
        "runs" => "{ without_head = [{ hook = \"z.0\", heads = [0], edit = \"zero\" }] }".into(),
        _ => return None,
    })
}

/// The keys of a table, those that are given first.
fn section(keys: &[KeyDoc], value: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut keys: Vec<&KeyDoc> = keys.iter().filter(|key| key.name != "probe").collect();
    keys.sort_by_key(|key| (value(&key.name).is_none(), key.name != "kind", key.name != "name", &key.name));
    keys.into_iter().flat_map(|key| entry(key, value(&key.name))).collect()
}

/// A key: what it means, what it takes, and its line.
fn entry(key: &KeyDoc, given: Option<String>) -> Vec<String> {
    let mut lines = vec![String::new()];
    lines.extend(explained(key, ""));
    let line = match (given, &key.default) {
        (Some(value), _) => Some(format!("{} = {value}", key.name)),
        (None, Some(default)) => Some(format!("#{} = {default}", key.name)),
        (None, None) => None,
    };
    lines.extend(line);
    lines
}

/// The explanation of a key and of those within it.
fn explained(key: &KeyDoc, indent: &str) -> Vec<String> {
    let allowed = if key.allowed.is_empty() { String::new() } else { format!(": {}", key.allowed.join(", ")) };
    let words = format!("{} ({}{allowed}): {}", key.name, key.takes, key.doc);
    let mut lines = wrapped(&words, &format!("# {indent}"));
    let within = key.keys.iter().chain(&key.entries);
    lines.extend(within.flat_map(|key| explained(key, &format!("{indent}    "))));
    lines
}

/// The words in lines that begin alike.
fn wrapped(words: &str, start: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{start}{word}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolved::ResolvedExperiment;
    use pythia_hub::Lock;
    use pythia_probes::ProbeSpec;

    fn parsed(text: &str) -> config::Experiment {
        config::parse("new.toml", text, &[]).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
    }

    /// The probe of an experiment as JSON, with every default.
    fn spec(experiment: &config::Experiment) -> serde_json::Value {
        serde_json::to_value(&experiment.probes[0].spec).expect("JSON")
    }

    #[test]
    fn a_new_file_of_every_kind_is_right_before_anything_is_fetched() {
        for kind in ProbeSpec::KINDS {
            let experiment = parsed(&text(kind.name));
            assert_eq!((experiment.name.as_str(), experiment.probes[0].spec.kind()), (kind.name, kind.name));
            let cache = std::path::Path::new("no/such/cache");
            let resolved = ResolvedExperiment::open(experiment, &Lock::default(), cache);
            assert!(resolved.is_ok(), "{}: {}", kind.name, resolved.err().map(|e| e.to_string()).unwrap_or_default());
        }
    }

    #[test]
    fn the_keys_that_are_left_out_have_the_values_that_stand_there() {
        for kind in ProbeSpec::KINDS {
            let whole = text(kind.name);
            let keys: Vec<&str> =
                whole.lines().filter(|line| line.starts_with('#') && !line.starts_with("# ")).collect();
            assert!(!keys.is_empty(), "{whole}");
            for key in keys {
                let changed = whole.replacen(&format!("\n{key}\n"), &format!("\n{}\n", &key[1..]), 1);
                assert_ne!(changed, whole, "{key}");
                assert_eq!(spec(&parsed(&changed)), spec(&parsed(&whole)), "{}: {key}", kind.name);
            }
        }
    }

    #[test]
    fn every_key_is_explained() {
        for kind in ProbeSpec::KINDS {
            let whole = text(kind.name);
            for key in config::probe_keys(kind.name).iter().chain(&config::experiment_keys()) {
                let start = format!("\n# {} (", key.name);
                assert!(key.name == "probe" || whole.contains(&start), "{}: {start:?}\n{whole}", kind.name);
            }
            assert!(whole.lines().all(|line| line.chars().count() <= 120), "{whole}");
        }
    }
}
