//! The status as text.

use super::{CellCounts, CellEvent, ExperimentStatus, Process, Status};
use crate::terminal::human;

/// Characters of a foreign text that are shown.
const LONGEST: usize = 300;

/// Damaged parts that are named.
const DAMAGED: usize = 3;

impl Status {
    /// The lines for a person.
    pub(crate) fn lines(&self) -> Vec<String> {
        let other = self.other_versions.first().map(|other| clean(&format!("warning: {other}")));
        let none = self.experiments.is_empty().then(|| "No run has started here yet.".to_owned());
        let damaged = self.damaged.iter().take(DAMAGED).map(|part| clean(&format!("warning: {part}")));
        let others = self.damaged.len().saturating_sub(DAMAGED);
        let others = (others > 0).then(|| format!("warning: also damaged: {}", human::plural(others, "more part")));
        let warnings = other.into_iter().chain(damaged).chain(others);
        warnings.chain(none).chain(self.experiments.iter().flat_map(ExperimentStatus::lines)).collect()
    }
}

impl ExperimentStatus {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.first(), format!("  {}", self.at_work())];
        lines.extend(self.last.as_ref().map(|last| format!("  last: {}", said(last))));
        lines.extend(self.notes.iter().map(|note| format!("  note: {note}")));
        lines.extend(self.errors.iter().map(|error| format!("  failed: {}", said(error))));
        lines
    }

    fn first(&self) -> String {
        let cells = &self.cells;
        let share = 100.0 * cells.done as f64 / cells.total.max(1) as f64;
        let other = "of another version, which no command here reads";
        let more = [
            (cells.other_version, other),
            (cells.failed, "failed"),
            (cells.left_out, "left out"),
            (cells.left(), "to do"),
        ];
        let more = more.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!(", {count} {word}"));
        let more: String = more.collect();
        format!("{}: {} of {} done ({share:.0} %){more}", self.name, cells.done, human::plural(cells.total, "cell"))
    }

    fn at_work(&self) -> String {
        if self.processes.is_empty() {
            let hint = match self.cells {
                CellCounts { other_version: 1.., .. } => "; run the experiment again with --fresh or another --out",
                cells if cells.left() > 0 => "; run the experiment again to resume",
                _ => "",
            };
            return format!("No run is active{hint}.");
        }
        let processes: Vec<String> = self.processes.iter().map(process).collect();
        let rate = self.cells_per_minute.map(|rate| format!(", {rate:.1} cells a minute"));
        let left = self.seconds_left.map(|seconds| format!(", about {} left", human::seconds(seconds)));
        format!("running: {}{}{}", processes.join(", "), rate.unwrap_or_default(), left.unwrap_or_default())
    }
}

fn process(process: &Process) -> String {
    let Process { host, pid, seconds, silent, .. } = process;
    match process.here {
        true => format!("process {pid} for {}", whole(*seconds)),
        false => format!("process {pid} on {host}, last active {} ago", whole(*silent)),
    }
}

fn said(noted: &CellEvent) -> String {
    let error = noted.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    format!("{}, {} ago{error}", noted.cell, whole(noted.seconds_ago))
}

/// A time that is known to the second.
fn whole(seconds: u64) -> String {
    if seconds < 100 { format!("{seconds} s") } else { human::seconds(seconds as f64) }
}

/// A text from a file made safe for a terminal: one line, no control characters, bounded length.
pub(crate) fn clean(text: &str) -> String {
    let shown = |c: char| if c.is_control() || is_format(c) { '\u{fffd}' } else { c };
    let mut clean: String = text.trim().chars().map(|c| if c == '\n' { ' ' } else { shown(c) }).take(LONGEST).collect();
    if text.trim().chars().nth(LONGEST).is_some() {
        clean.push('…');
    }
    clean
}

/// Marks that change the direction of text.
fn is_format(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
