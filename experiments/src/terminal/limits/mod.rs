//! The memory that this process may still take: what the machine has free, and the limits of the job.
//!
//! Schedulers and containers limit a job in four ways, and each is looked at: control groups (versions 1 and 2),
//! `ulimit -v`, `ulimit -d`, and the variables that Slurm sets, which count even where it does not enforce them.

mod cgroup;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use pythia_files::Environment;
use rustix::process::{Resource, getrlimit};

/// Bytes that the process may take, and what says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemoryBound {
    pub(crate) bytes: u64,
    pub(crate) by: MemoryLimit,
}

/// What bounds memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MemoryLimit {
    /// The experiment or the command line.
    Asked,
    /// What the machine has free.
    Free,
    /// A control group, whose folder this is.
    Cgroup(PathBuf),
    /// A limit of the process, as the shell's command shows it.
    Ulimit(&'static str),
    /// What Slurm has granted, by these variables.
    Slurm(&'static str),
}

impl fmt::Display for MemoryLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("the key or option `memory`"),
            Self::Free => f.write_str("the machine's free memory"),
            Self::Cgroup(folder) => write!(f, "the control group {}", folder.display()),
            Self::Ulimit(command) => write!(f, "`{command}`"),
            Self::Slurm(variables) => f.write_str(variables),
        }
    }
}

impl MemoryBound {
    /// The smallest bound of this process; `None` where the system tells none.
    pub(crate) fn of_process() -> Option<Self> {
        let free = free().map(|bytes| Self { bytes, by: MemoryLimit::Free });
        let root = Path::new("/");
        let cgroups = cgroup::bounds(root);
        let all = free.into_iter().chain(cgroups).chain(ulimits(root)).chain(slurm(&Environment::of_process()));
        all.min_by_key(|bound| bound.bytes)
    }
}

/// Bytes that the machine has free; `None` where the system does not tell.
fn free() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory_specifics(sysinfo::MemoryRefreshKind::nothing().with_ram());
    Some(system.available_memory()).filter(|&bytes| bytes > 0)
}

/// What the limits of the process leave, less what it has already.
fn ulimits(root: &Path) -> Vec<MemoryBound> {
    let status = fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
    let limit = |resource| getrlimit(resource).current;
    let rows = [(limit(Resource::As), "VmSize:", "ulimit -v"), (limit(Resource::Data), "VmData:", "ulimit -d")];
    rows.into_iter().filter_map(|(limit, used, command)| ulimit(limit?, &status, used, command)).collect()
}

/// `status` is `/proc/self/status`; its line `used` says what counts towards the limit, in kB.
fn ulimit(limit: u64, status: &str, used: &str, command: &'static str) -> Option<MemoryBound> {
    let line = status.lines().find_map(|line| line.strip_prefix(used));
    let used: u64 = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0);
    Some(MemoryBound { bytes: limit.saturating_sub(used << 10), by: MemoryLimit::Ulimit(command) })
}

/// What Slurm has granted on this machine, in MiB; a grant of 0 is all that the machine has.
fn slurm(environment: &Environment) -> Option<MemoryBound> {
    let number = |name: &str| environment.var(name)?.to_str()?.parse::<u64>().ok().filter(|number| *number > 0);
    let node = || Some((number("SLURM_MEM_PER_NODE")?, "SLURM_MEM_PER_NODE"));
    let cpus = || {
        let cpus = number("SLURM_CPUS_ON_NODE").unwrap_or(1);
        Some((number("SLURM_MEM_PER_CPU")?.saturating_mul(cpus), "SLURM_MEM_PER_CPU times SLURM_CPUS_ON_NODE"))
    };
    let gpus = || {
        let gpus = number("SLURM_GPUS_ON_NODE").unwrap_or(1);
        Some((number("SLURM_MEM_PER_GPU")?.saturating_mul(gpus), "SLURM_MEM_PER_GPU times SLURM_GPUS_ON_NODE"))
    };
    let (mib, variables) = node().or_else(cpus).or_else(gpus)?;
    Some(MemoryBound { bytes: mib.saturating_mul(1 << 20), by: MemoryLimit::Slurm(variables) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_how_much_memory_there_is() {
        let bound = MemoryBound::of_process().expect("a bound");
        assert!(bound.bytes > 1 << 20, "{bound:?}");
        assert!(free().is_some_and(|free| free >= bound.bytes || bound.by == MemoryLimit::Free));
    }

    #[test]
    fn slurm_grants_memory_by_node_by_core_or_by_gpu() {
        let granted = |vars: &[(&str, &str)]| slurm(&Environment::of(vars.iter().copied(), None));
        let mib = |bytes: u64, by| Some(MemoryBound { bytes: bytes << 20, by: MemoryLimit::Slurm(by) });
        assert_eq!(granted(&[("SLURM_MEM_PER_NODE", "4000")]), mib(4000, "SLURM_MEM_PER_NODE"));
        let by_core = "SLURM_MEM_PER_CPU times SLURM_CPUS_ON_NODE";
        assert_eq!(granted(&[("SLURM_MEM_PER_CPU", "500"), ("SLURM_CPUS_ON_NODE", "6")]), mib(3000, by_core));
        assert_eq!(granted(&[("SLURM_MEM_PER_CPU", "500")]), mib(500, by_core));
        let by_gpu = "SLURM_MEM_PER_GPU times SLURM_GPUS_ON_NODE";
        assert_eq!(granted(&[("SLURM_MEM_PER_GPU", "7"), ("SLURM_GPUS_ON_NODE", "2")]), mib(14, by_gpu));
        for nothing in [&[][..], &[("SLURM_MEM_PER_NODE", "0")], &[("SLURM_MEM_PER_NODE", "much")]] {
            assert_eq!(granted(nothing), None);
        }
        let huge = u64::MAX.to_string();
        assert!(granted(&[("SLURM_MEM_PER_CPU", &huge), ("SLURM_CPUS_ON_NODE", &huge)]).is_some());
    }

    #[test]
    fn a_limit_of_the_process_counts_what_it_has_already() {
        let status = "Name:\tpythia\nVmPeak:\t 900 kB\nVmSize:\t  300 kB\nVmData:\t 10 kB\n";
        let left = |limit, used| ulimit(limit, status, used, "ulimit -v").expect("a bound").bytes;
        assert_eq!(left(1 << 20, "VmSize:"), (1024 - 300) << 10);
        assert_eq!(left(1 << 20, "VmData:"), (1024 - 10) << 10);
        assert_eq!((left(1 << 10, "VmSize:"), left(7, "VmNone:")), (0, 7));
    }
}
