//! Memory limits of control groups.
//!
//! A process is in a group of each hierarchy, and the limits of all groups above count too. `/proc/self/cgroup` has the
//! groups, and `/proc/self/mountinfo` where their folders are. In a container that may be another place than
//! the name of the group says.

use std::fs;
use std::path::{Path, PathBuf};

use super::{MemoryBound, MemoryLimit};

/// Larger values are no limits: version 1 writes the largest number of pages where there is none.
const NO_LIMIT: u64 = 1 << 60;

/// The files of a group.
struct Version {
    limits: &'static [&'static str],
    usage: &'static str,
    /// The line of `memory.stat` with the bytes of files that were not read lately; they are given up when memory is
    /// needed.
    unused: &'static str,
}

const V1: Version =
    Version { limits: &["memory.limit_in_bytes"], usage: "memory.usage_in_bytes", unused: "total_inactive_file " };
/// Above `memory.high` a group is slowed down until almost nothing moves, so it counts as a limit.
const V2: Version =
    Version { limits: &["memory.max", "memory.high"], usage: "memory.current", unused: "inactive_file " };

/// What each group that has a limit leaves. `root` is `/`, or the root of a test.
pub(super) fn bounds(root: &Path) -> Vec<MemoryBound> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let (groups, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
    groups
        .lines()
        .flat_map(|line| folders(root, line, &mounts))
        .filter_map(|(version, folder)| version.bound(&folder))
        .collect()
}

/// The folders of a group and of those above it. A line is `4:memory:/a/b`, or `0::/a/b` in version 2.
fn folders(root: &Path, line: &str, mounts: &str) -> Vec<(&'static Version, PathBuf)> {
    let [_, controllers, group] = line.splitn(3, ':').collect::<Vec<_>>()[..] else { return Vec::new() };
    let version = match controllers {
        "" => &V2,
        _ if controllers.split(',').any(|name| name == "memory") => &V1,
        _ => return Vec::new(),
    };
    let Some(mount) = mounts.lines().find_map(|line| Mount::parse(line).filter(|mount| mount.is_of(version))) else {
        return Vec::new();
    };
    let top = root.join(mount.at.trim_start_matches('/'));
    // In a container the mount may begin at the group itself, or the group may be named as seen from outside.
    let below = Path::new(group).strip_prefix(&mount.begins).unwrap_or(Path::new(""));
    let below = if top.join(below).is_dir() { below } else { Path::new("") };
    below.ancestors().map(|folder| (version, top.join(folder))).collect()
}

/// A line of `/proc/self/mountinfo`.
struct Mount {
    kind: String,
    options: String,
    /// The group that the mount begins at.
    begins: String,
    at: String,
}

impl Mount {
    /// Reads `32 31 0:35 BEGINS AT OPTIONS… - KIND SOURCE OPTIONS`.
    fn parse(line: &str) -> Option<Self> {
        let (place, what) = line.split_once(" - ")?;
        let (mut place, mut what) = (place.split(' ').skip(3), what.split(' '));
        let (begins, at) = (unescaped(place.next()?), unescaped(place.next()?));
        let (kind, options) = (what.next()?.to_owned(), what.nth(1).unwrap_or_default().to_owned());
        Some(Self { kind, options, begins, at })
    }

    fn is_of(&self, version: &Version) -> bool {
        match version.usage == V2.usage {
            true => self.kind == "cgroup2",
            false => self.kind == "cgroup" && self.options.split(',').any(|option| option == "memory"),
        }
    }
}

/// A path in which the kernel has written spaces and the like as `\040`.
fn unescaped(text: &str) -> String {
    let replace = |text: String, (code, c): (&str, &str)| text.replace(code, c);
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")].into_iter().fold(text.to_owned(), replace)
}

impl Version {
    /// What a group leaves of its limit; `None` if it has none.
    fn bound(&self, folder: &Path) -> Option<MemoryBound> {
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
        let limit = self.limits.iter().filter_map(|name| number(name)).min().filter(|limit| *limit < NO_LIMIT)?;
        let stat = read("memory.stat").unwrap_or_default();
        let unused = stat.lines().find_map(|line| line.strip_prefix(self.unused)?.trim().parse().ok()).unwrap_or(0);
        let used = number(self.usage).unwrap_or(0).saturating_sub(unused);
        Some(MemoryBound { bytes: limit.saturating_sub(used), by: MemoryLimit::Cgroup(folder.to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    /// A root with these files.
    fn root(name: &str, files: &[(&str, &str)]) -> Scratch {
        let scratch = Scratch::new(name);
        for (path, text) in files {
            let path = scratch.0.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("create");
            fs::write(path, text).expect("write");
        }
        scratch
    }

    /// The bounds, with the folders counted from the root.
    fn found(scratch: &Scratch) -> Vec<(u64, String)> {
        let shown = |bound: MemoryBound| match bound.by {
            MemoryLimit::Cgroup(folder) => {
                (bound.bytes, folder.strip_prefix(&scratch.0).expect("below the root").display().to_string())
            }
            other => panic!("{other:?}"),
        };
        bounds(&scratch.0).into_iter().map(shown).collect()
    }

    const V2_MOUNT: &str = "31 23 0:28 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn version_2_counts_every_group_above_and_what_is_in_use() {
        let group = "sys/fs/cgroup/system.slice/job_7";
        let scratch = root(
            "cgroup-2",
            &[
                ("proc/self/cgroup", "0::/system.slice/job_7/step_0\n"),
                ("proc/self/mountinfo", V2_MOUNT),
                (&format!("{group}/step_0/memory.max"), "max\n"),
                (&format!("{group}/memory.max"), "8000000000\n"),
                (&format!("{group}/memory.high"), "7000000000\n"),
                (&format!("{group}/memory.current"), "1000000000\n"),
                (&format!("{group}/memory.stat"), "anon 5\ninactive_file 600000000\nactive_file 9\n"),
                ("sys/fs/cgroup/system.slice/memory.max", "32000000000\n"),
            ],
        );
        let expected =
            [(6_600_000_000, "sys/fs/cgroup/system.slice/job_7"), (32_000_000_000, "sys/fs/cgroup/system.slice")];
        assert_eq!(found(&scratch), expected.map(|(bytes, folder)| (bytes, folder.to_owned())));
    }

    #[test]
    fn version_1_has_the_memory_controller_among_others() {
        let mounts = "32 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      33 31 0:32 / /cg/mem\\040ory rw - cgroup cgroup rw,memory\n";
        let scratch = root(
            "cgroup-1",
            &[
                ("proc/self/cgroup", "5:cpu:/x\n4:hugetlb,memory:/slurm/uid_1/job_2\n0::/\n"),
                ("proc/self/mountinfo", mounts),
                ("cg/mem ory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("cg/mem ory/slurm/uid_1/job_2/memory.limit_in_bytes", "4000000\n"),
                ("cg/mem ory/slurm/uid_1/job_2/memory.usage_in_bytes", "3000000\n"),
                ("cg/mem ory/slurm/uid_1/job_2/memory.stat", "inactive_file 1\ntotal_inactive_file 500000\n"),
            ],
        );
        assert_eq!(found(&scratch), [(1_500_000, "cg/mem ory/slurm/uid_1/job_2".to_owned())]);
    }

    #[test]
    fn in_a_container_the_mount_is_the_group() {
        for (begins, group) in [("/docker/ab", "/docker/ab"), ("/", "/docker/ab"), ("/docker/ab", "/../..")] {
            let mounts = format!("33 31 0:32 {begins} /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
            let files = [
                ("proc/self/cgroup", &*format!("0::{group}\n")),
                ("proc/self/mountinfo", &mounts),
                ("sys/fs/cgroup/memory.max", "1000\n"),
                ("sys/fs/cgroup/memory.current", "3000\n"),
            ];
            let scratch = root("cgroup-container", &files);
            assert_eq!(found(&scratch), [(0, "sys/fs/cgroup".to_owned())], "{begins} {group}");
        }
    }

    #[test]
    fn without_groups_there_is_no_bound() {
        assert_eq!(found(&root("cgroup-none", &[])), []);
        let damaged = [("proc/self/cgroup", "0:\n::\nx\n4:memory:/a\n"), ("proc/self/mountinfo", "- \n1 2 3 4 5\n")];
        assert_eq!(found(&root("cgroup-damaged", &damaged)), []);
    }
}
