//! Every command line in messages, help and docs is one that the program takes.

use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory};

use super::Cli;

/// Where messages, help and docs are, counted from the root of the workspace.
const PLACES: [&str; 14] = [
    "README.md",
    "DESIGN.md",
    "CONTRIBUTING.md",
    "docs",
    "examples",
    "experiments/configs",
    "experiments/src",
    "experiments/report/src",
    "pythia-core/src",
    "pythia-core/hub/src",
    "pythia-core/files/src",
    "pythia-hooks/src",
    "pythia-probes/src",
    "tests/reference",
];

/// The files of all places with their texts.
fn texts() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut open: Vec<PathBuf> = PLACES.iter().map(|place| root.join(place)).collect();
    let mut texts = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|ending| ["rs", "md", "toml", "py"].iter().any(|known| ending == *known))
        {
            let text = fs::read_to_string(&path).expect("a text");
            let path = path.strip_prefix(&root).expect("below the root").to_owned();
            if path.file_name() != Path::new(file!()).file_name() {
                texts.push((path, text));
            }
        }
    }
    texts.sort();
    texts
}

/// A command line, and whether it is only mentioned, so that its required arguments may be left out.
#[derive(Debug, PartialEq)]
struct Found {
    words: Vec<String>,
    is_mention: bool,
}

/// The command lines of a text: in backticks, and on lines of their own.
fn found(text: &str) -> Vec<Found> {
    let text = text.replace("\\\"", "\"").replace("\\n", "\n").replace("\\\n", " ");
    let comment = |line: &str| line.trim_start().trim_start_matches("///").trim_start_matches("//!").to_owned();
    let comments: String = text.lines().map(|line| comment(line) + "\n").collect();
    let ticked = comments.split("`pythia ").skip(1).filter_map(|rest| rest.split_once('`'));
    let mentions = ticked.filter(|(command, _)| command.len() < 300 && !command.contains("\n\n"));
    let mut all: Vec<Found> = mentions
        .map(|(command, _)| Found {
            words: words(&command.split_whitespace().collect::<Vec<_>>().join(" ")),
            is_mention: true,
        })
        .collect();
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let line = line.split_once("examples!(").map_or(*line, |(_, help)| help);
        let line = line.trim_start().trim_start_matches(['"', '#']).trim_start().trim_start_matches("$ ");
        let command = line.strip_prefix("pythia ").or_else(|| line.strip_prefix("cargo run --release -- "));
        // A sentence may begin with the program's name.
        if let Some(command) = command.filter(|command| command.starts_with(|c: char| c.is_ascii_lowercase())) {
            let open = |text: &str| text.matches('"').count() % 2 == 1 || text.matches('\'').count() % 2 == 1;
            // The last line of a help text ends with the quote of the program.
            let ended = command.trim_end_matches([')', ';', ',']).strip_suffix('"').filter(|_| open(command));
            let mut whole = ended.unwrap_or(command).to_owned();
            for more in lines[at + 1..].iter().take(4) {
                if open(&whole) {
                    whole = format!("{whole} {}", more.trim());
                }
            }
            all.push(Found { words: words(&whole), is_mention: false });
        }
    }
    all.retain(|found| !found.words.is_empty());
    all
}

/// The words of a command as a shell splits them, up to what ends it, with placeholders replaced.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut begun) = (Vec::new(), String::new(), None, false);
    let mut before = ' ';
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') if begun || before == ' ' => (quote, begun) = (Some(c), true),
            // Help texts explain a command after some spaces.
            (None, ' ') if before == ' ' && !words.is_empty() => break,
            (None, ' ') if begun => {
                words.push(std::mem::take(&mut word));
                begun = false;
            }
            (None, ' ') => {}
            (None, '|' | '>' | ';' | ')' | '#' | '…' | '"' | '\'') => break,
            (None, c) => {
                word.push(c);
                begun = true;
            }
        }
        before = c;
    }
    if begun {
        words.push(word);
    }
    words.into_iter().map(|word| placed(&word)).collect()
}

/// A word with a value in the place of a placeholder.
fn placed(word: &str) -> String {
    match word.trim_end_matches([',', '.', ':']) {
        "N" | "STEP" | "SECONDS" => "1".to_owned(),
        "BYTES" | "SIZE" => "1GiB".to_owned(),
        "KEY=VALUE" => "seed=1".to_owned(),
        "KIND" => "ablation".to_owned(),
        "{}" => "value".to_owned(),
        _ => word.replace(['{', '}'], ""),
    }
}

/// Why the program would not take a command line.
fn refusal(found: &Found) -> Option<String> {
    let words = std::iter::once("pythia".to_owned()).chain(found.words.iter().cloned());
    let error = Cli::command().try_get_matches_from(words).err()?;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
        ErrorKind::MissingRequiredArgument | ErrorKind::MissingSubcommand if found.is_mention => None,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if found.is_mention => None,
        _ => Some(error.to_string().lines().next().unwrap_or_default().to_owned()),
    }
}

#[test]
fn every_command_line_that_is_shown_is_one_that_is_taken() {
    let (mut count, mut wrong) = (0, Vec::new());
    for (path, text) in texts() {
        for found in found(&text) {
            count += 1;
            let refused = refusal(&found);
            wrong.extend(refused.map(|why| format!("{}: pythia {}: {why}", path.display(), found.words.join(" "))));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 80, "only {count} were found");
}

#[test]
fn command_lines_are_found_and_wrong_ones_refused() {
    let text = r#"
        /// `pythia merge --out
        /// DIR` x `pythia list nothing`
        "  pythia plan exp.toml --json | jq .totals\n  pythia run
        $ pythia query out \"SELECT a
            FROM b\" # all
        $ pythia demo    see it"#;
    let all = found(text);
    let shown: Vec<String> = all.iter().map(|found| found.words.join(" ")).collect();
    let expected =
        ["merge --out DIR", "list nothing", "plan exp.toml --json", "run", "query out SELECT a FROM b", "demo"];
    assert_eq!(shown, expected);
    let refused: Vec<bool> = all.iter().map(|found| refusal(found).is_some()).collect();
    assert_eq!(refused, [false, true, false, true, false, false]);
}

/// The commands that print what stands in a file, by the file's folder or name; every command where none is known.
fn commands(path: &Path) -> Vec<Command> {
    let below = path.strip_prefix("experiments/src").unwrap_or(path);
    let named = match below.to_str().expect("a plain path") {
        path if path.starts_with("sweep/") => vec!["run", "plan"],
        path if path.starts_with("results/merge") => vec!["merge", "run"],
        path => path.strip_prefix("cli/").and_then(|path| path.split(['.', '/']).next()).into_iter().collect(),
    };
    let all = leaves(Cli::command());
    let chosen: Vec<Command> = all.iter().filter(|command| named.contains(&command.get_name())).cloned().collect();
    if chosen.is_empty() { all } else { chosen }
}

/// Every command and subcommand.
fn leaves(command: Command) -> Vec<Command> {
    let below: Vec<Command> = command.get_subcommands().cloned().flat_map(leaves).collect();
    std::iter::once(command).chain(below).collect()
}

/// `--option VALUE` in a text, where the value is a placeholder.
fn options(text: &str) -> Vec<(String, String)> {
    let each = text.split("--").skip(1).filter_map(|rest| {
        let (option, rest) = rest.split_once(' ')?;
        let value: String = rest.chars().take_while(char::is_ascii_uppercase).collect();
        let ends = rest[value.len()..].starts_with(|c: char| !c.is_ascii_alphanumeric() && c != '=');
        let is_option = !option.is_empty() && option.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        (is_option && value.len() > 1 && ends).then(|| (option.to_owned(), value))
    });
    each.collect()
}

#[test]
fn remedies_name_options_as_the_commands_have_them() {
    let takes = |arg: &Arg, value: &str| {
        let names = arg.get_value_names().unwrap_or_default();
        !arg.get_action().takes_values() || names.iter().any(|name| name == value)
    };
    let (mut count, mut wrong) = (0, Vec::new());
    for (path, text) in texts() {
        if path.extension().is_none_or(|ending| ending != "rs") {
            continue;
        }
        let commands = commands(&path);
        for (option, value) in options(&text) {
            count += 1;
            let args: Vec<&Arg> = commands
                .iter()
                .flat_map(Command::get_arguments)
                .filter(|arg| arg.get_long() == Some(option.as_str()))
                .collect();
            if args.is_empty() || !args.iter().all(|arg| takes(arg, &value)) {
                wrong.push(format!("{}: --{option} {value}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "not every command that prints this takes it so:\n{}", wrong.join("\n"));
    assert!(count > 5, "only {count} were found");
}
