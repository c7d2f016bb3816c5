//! The process that made a file, so that files of processes that have ended can be told from files in use.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

/// A process: machine, number and start time. Its text, `MACHINE-PID-START`, can be part of a file name.
///
/// The number alone is not enough, because systems reuse numbers, and several machines or containers may share a
/// disk. The start time counts from boot, so setting the clock does not change it.
///
/// Start times are read from `/proc`, so only Linux tells whether a process has ended. On other systems
/// [`is_gone`](Self::is_gone) is never true: what a killed process leaves behind counts as in use, and stays until
/// someone removes it.
///
/// ```
/// use pythia_files::Owner;
///
/// let name = Owner::new_name();
/// let owner = Owner::of_name(&name).expect("made by this process");
/// assert_eq!(&owner, Owner::me());
/// assert!(owner.is_local() && !owner.is_gone());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// An id of this boot of this machine or container, 16 hexadecimal digits.
    machine: String,
    pid: u32,
    /// The start of the process, in the kernel's ticks since boot; 0 if the system does not tell it.
    start: u64,
}

impl Owner {
    /// This process.
    pub fn me() -> &'static Self {
        static ME: OnceLock<Owner> = OnceLock::new();
        ME.get_or_init(|| {
            let pid = std::process::id();
            let start = start_of(pid).flatten().unwrap_or(0);
            Self { machine: machine(), pid, start }
        })
    }

    /// This process and a number that it has not used before, `MACHINE-PID-START-N`.
    pub fn new_name() -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        format!("{}-{}", Self::me(), NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The owner in a name that [`Owner::new_name`] made.
    pub fn of_name(name: &str) -> Option<Self> {
        name.rsplit_once('-').filter(|(_, count)| count.parse::<u64>().is_ok())?.0.parse().ok()
    }

    /// Whether the process is known to have ended. Nothing is known about processes of other machines, nor about any
    /// process where the system has no `/proc`.
    pub fn is_gone(&self) -> bool {
        let me = Self::me();
        // Without the start of this process the system does not give that of others.
        let knows = me.start != 0 && self.machine == me.machine;
        knows && start_of(self.pid).is_some_and(|start| start != Some(self.start))
    }

    /// Whether the process belongs to this boot of this machine, so that [`is_gone`](Self::is_gone) can know.
    pub fn is_local(&self) -> bool {
        self.machine == Self::me().machine
    }

    /// Whether this process no longer uses its file at `path`: it has ended, or it is one of another machine and has
    /// not written to the file for longer than `silence`. A file whose time cannot be read counts as in use.
    pub fn has_abandoned(&self, path: &Path, silence: Duration) -> bool {
        let written = || fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
        let is_silent = |then| SystemTime::now().duration_since(then).is_ok_and(|age| age > silence);
        self.is_gone() || (!self.is_local() && written().is_ok_and(is_silent))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.machine, self.pid, self.start)
    }
}

impl FromStr for Owner {
    /// The text is not an owner.
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let [machine, pid, start] = text.split('-').collect::<Vec<_>>()[..] else { return Err(()) };
        let is_machine = machine.len() == 16 && machine.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (pid, start) = (pid.parse().map_err(drop)?, start.parse().map_err(drop)?);
        if is_machine { Ok(Self { machine: machine.to_owned(), pid, start }) } else { Err(()) }
    }
}

/// This boot of this machine and, in a container, its own numbering of processes.
fn machine() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let name = std::env::var_os("HOSTNAME").unwrap_or_default();
    let name = if boot.is_empty() { name } else { Default::default() };
    let digest = Sha256::digest(format!("{boot}{}{}", space.display(), name.display()));
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The host name, reduced to characters that are valid in file names; `host` if the system does not tell it.
pub fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let clean: String = name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    if clean.is_empty() { "host".into() } else { clean }
}

/// The start of a process: `None` if the system does not tell it, `Some(None)` for a process that has ended, also if
/// nobody has waited for it.
fn start_of(pid: u32) -> Option<Option<u64>> {
    if !fs::exists("/proc/self/stat").unwrap_or(false) {
        return None;
    }
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return Some(None) };
    // The command's name is in brackets and may contain any character. After the last bracket follow the state, 18
    // numbers, and the start.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let dead = matches!(fields.first(), None | Some(&("Z" | "X")));
    Some(fields.get(19).and_then(|start| start.parse().ok()).filter(|_| !dead))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn names_are_unique_and_tell_their_owner() {
        let (one, two) = (Owner::new_name(), Owner::new_name());
        assert_ne!(one, two);
        assert_eq!(Owner::of_name(&one).as_ref(), Some(Owner::me()));
        for text in ["", "-", "a-1-2-3", "0123456789abcdef-1-2", "0123456789abcdef-1-2-x", "0123456789abcdef-x-2-3"] {
            assert_eq!(Owner::of_name(text), None, "{text}");
        }
    }

    #[test]
    fn ended_processes_are_told_from_running_ones() {
        assert!(!Owner::me().is_gone());
        if !cfg!(target_os = "linux") {
            return;
        }
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        let pid = child.id();
        let owner = Owner { pid, start: start_of(pid).flatten().unwrap(), ..Owner::me().clone() };
        assert!(!owner.is_gone());
        // The same number at another time is another process.
        assert!(Owner { start: owner.start + 1, ..owner.clone() }.is_gone());
        assert!(!Owner { machine: "0".repeat(16), start: 1, ..owner.clone() }.is_gone());
        child.kill().unwrap();
        while !owner.is_gone() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(owner.is_gone());
    }
}
