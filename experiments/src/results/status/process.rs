//! Whether a process of this machine still lives.

use std::fs;

/// Seconds by which the clocks of the journal and of the system may differ.
const SLACK: u64 = 5;

/// Ticks of the system's clock in a second: what Linux tells every program, whatever its own clock does.
const TICKS: u64 = 100;

/// Whether the process that began its run at `began`, in seconds since 1970, is still there. A later process with the same number
/// is another one. Where the system does not say, nobody is there.
pub(super) fn is_alive(pid: u32, began: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let boot = || fs::read_to_string("/proc/stat").ok();
    stat.and_then(|stat| started(&stat, &boot()?)).is_some_and(|started| started <= began + SLACK)
}

/// When a process was started, from its own line and the system's table; none for one that is dead and not yet buried.
fn started(stat: &str, boot: &str) -> Option<u64> {
    // The second field is the program's name in parentheses, which may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    let ticks: u64 = fields.nth(18)?.parse().ok()?;
    let boot: u64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + ticks / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    #[test]
    fn the_start_is_found_behind_any_name() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 12345 1 2";
        assert_eq!(started(stat, "cpu 1 2\nbtime 1000\n"), Some(1000 + 123));
        assert_eq!(started(&stat.replace(" S ", " Z "), "btime 1000"), None);
        assert_eq!(started("42 (a", "btime 1000"), None);
        assert_eq!(started(stat, ""), None);
    }

    #[test]
    fn this_process_lives_and_an_earlier_one_with_its_number_does_not() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        assert!(is_alive(std::process::id(), now));
        assert!(
            !is_alive(std::process::id(), now - 1_000_000),
            "the machine has not been up that long, or this process"
        );
        assert!(!is_alive(u32::MAX, now));
    }
}
