//! The exit codes, in one place.

use std::process::ExitCode;

/// How the command ended. Scripts and schedulers branch on these, so a number never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for exists.
    Ok = 0,
    /// The sweep went through, and some cells failed; the summary names them.
    CellsFailed = 1,
    /// The command line or the experiment file is wrong.
    Usage = 2,
    /// Input data is bad: a missing or damaged checkpoint, tokenizer or token file, or results of another experiment.
    BadInput = 3,
    /// Out of disk or memory, or a folder that cannot be written.
    Resources = 4,
    /// The hub could not be reached or asked to wait, or another process computes the same cells. The same command may
    /// succeed later.
    Temporary = 75,
    /// Stopped by SIGINT (Ctrl-C). Running the same command again resumes.
    Interrupted = 130,
    /// Stopped by SIGTERM. Running the same command again resumes.
    Terminated = 143,
}

/// The paragraph on exit codes, as a macro so that longer help texts can be put together from it.
macro_rules! help {
    () => {
        "Exit codes:
    0  everything asked for exists
    1  the run went to its end, some cells failed (each is named, with what to do)
    2  the command line or the experiment file is wrong
    3  bad input data: a missing or damaged checkpoint or file, or results of another experiment
    4  out of disk, more memory planned than there is, or a folder that cannot be written
   75  the hub could not be reached, or another process computes the same cells: the same command later
  130  stopped by SIGINT, nothing lost: the same command resumes
  143  stopped by SIGTERM, nothing lost: the same command resumes"
    };
}
pub(crate) use help;

/// A long help text: examples, then the paragraph on exit codes.
macro_rules! examples {
    ($lines:literal) => {
        concat!("Examples:\n", $lines, "\n\n", $crate::terminal::exit::help!())
    };
}
pub(crate) use examples;

/// The paragraph that help texts end with.
pub(crate) const HELP: &str = help!();

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// The exit of a process that `signal` stopped: 128 + its number, as shells have it.
    pub(crate) fn of_signal(signal: i32) -> Self {
        if signal == signal_hook::consts::SIGTERM { Exit::Terminated } else { Exit::Interrupted }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_lists_every_code() {
        let all = [
            Exit::Ok,
            Exit::CellsFailed,
            Exit::Usage,
            Exit::BadInput,
            Exit::Resources,
            Exit::Temporary,
            Exit::Interrupted,
            Exit::Terminated,
        ];
        for exit in all {
            let listed = HELP.lines().any(|line| line.trim_start().starts_with(&format!("{}  ", exit.code())));
            assert!(listed, "{exit:?}");
        }
    }

    #[test]
    fn signals_become_128_plus_their_number() {
        assert_eq!(Exit::of_signal(signal_hook::consts::SIGINT).code(), 130);
        assert_eq!(Exit::of_signal(signal_hook::consts::SIGTERM).code(), 143);
    }
}
