//! Entries of a folder of checkpoints whose names are nearly those of steps.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::error::StoreError;
use super::layout::{entries, looks_like_checkpoint};
use crate::suite::Step;

/// An entry of a folder of checkpoints that is not read, although its name resembles that of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MisnamedStep {
    /// Where the entry is.
    pub path: PathBuf,
    /// What keeps it from being read.
    pub problem: NameProblem,
}

/// Why an entry is not read as a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameProblem {
    /// It has the name of a step and is a file.
    NotAFolder,
    /// It means this step, in another spelling.
    Spelling(Step),
    /// It means this step, which is there under its own name too.
    Taken(Step),
    /// It begins like a step, and its number cannot be read.
    NoNumber,
}

impl fmt::Display for MisnamedStep {
    /// What is wrong, and which name would do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.problem {
            NameProblem::NotAFolder => write!(f, "{path} is not read as a step: it is a file, and a step is a folder"),
            NameProblem::Spelling(step) => write!(f, "{path} is not read as a step: rename it to {step}"),
            NameProblem::Taken(step) => {
                write!(f, "{path} is not read as a step: its name means {step}, which is there too")
            }
            NameProblem::NoNumber => {
                write!(f, "{path} is not read as a step: rename it to step and a number up to {}", u32::MAX)
            }
        }
    }
}

/// The entries of a folder that resemble steps and are none, in order of their names.
pub(super) fn misnamed_in(dir: &Path, steps: &[Step]) -> Result<Vec<MisnamedStep>, StoreError> {
    let steps: BTreeSet<Step> = steps.iter().copied().collect();
    let mut found = Vec::new();
    for (name, path) in entries(dir)? {
        // Only a regular file is certainly no checkpoint's folder.
        let is_file = fs::metadata(&path).is_ok_and(|meta| !meta.is_dir());
        let problem = match (of_name(&name), is_file) {
            (Likeness::Exact, true) => NameProblem::NotAFolder,
            (Likeness::Near(step), false) if steps.contains(&step) => NameProblem::Taken(step),
            (Likeness::Near(step), false) => NameProblem::Spelling(step),
            (Likeness::Number(step), false) if looks_like_checkpoint(&path) => match steps.contains(&step) {
                true => NameProblem::Taken(step),
                false => NameProblem::Spelling(step),
            },
            (Likeness::NoNumber, false) => NameProblem::NoNumber,
            _ => continue,
        };
        found.push(MisnamedStep { path, problem });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// How a name resembles that of a step.
#[derive(Debug, PartialEq)]
enum Likeness {
    /// It is `stepN`.
    Exact,
    /// It has a word for steps and a number.
    Near(Step),
    /// It is a number.
    Number(Step),
    /// It begins with `step` and a digit, and goes on otherwise.
    NoNumber,
    None,
}

/// Words that trainers put in front of the number.
const WORDS: [&str; 6] = ["step", "checkpoint", "ckpt", "iteration", "iter", "update"];

fn of_name(name: &str) -> Likeness {
    if name.starts_with("step") && name.parse::<Step>().is_ok() {
        return Likeness::Exact;
    }
    let lower = name.to_ascii_lowercase();
    // The number follows the last word: `global_step512`, `epoch=1-step=512`, `checkpoint-512`.
    let number = WORDS.iter().filter_map(|word| Some(&lower[lower.rfind(word)? + word.len()..]));
    let number = number.min_by_key(|rest| rest.len());
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let step = |text: &str| text.parse().ok().map(Step::from_label);
    match number.map(|rest| rest.trim_start_matches(['s', '-', '_', '=', '.', '+', ' ', '#'])) {
        Some(rest) if digits(rest) => step(rest).map_or(Likeness::NoNumber, Likeness::Near),
        Some(_) if lower.strip_prefix("step").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) => {
            Likeness::NoNumber
        }
        Some(_) => Likeness::None,
        None if digits(&lower) => step(&lower).map_or(Likeness::None, Likeness::Number),
        None => Likeness::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_resemble_steps_are_told_from_others() {
        for name in [
            "step0512",
            "step_512",
            "step-512",
            "Step512",
            "STEP512",
            "step 512",
            "steps512",
            "checkpoint-512",
            "checkpoint_512",
            "global_step512",
            "globalstep512",
            "epoch=1-step=512",
            "iter_0000512",
            "ckpt512",
        ] {
            assert_eq!(of_name(name), Likeness::Near(Step::from_label(512)), "{name}");
        }
        assert_eq!(of_name("512"), Likeness::Number(Step::from_label(512)));
        for name in ["step1k", "step512.bak", "step99999999999", "checkpoint-99999999999"] {
            assert_eq!(of_name(name), Likeness::NoNumber, "{name}");
        }
        for name in ["tokenizer.json", "stepsize", "logs", "checkpoint-best", "run5", "step", "my512", ""] {
            assert_eq!(of_name(name), Likeness::None, "{name}");
        }
        assert_eq!(of_name("step512"), Likeness::Exact);
    }
}
