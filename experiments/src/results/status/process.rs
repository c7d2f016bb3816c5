//! Whether a process of this machine is alive.

use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

/// Seconds by which the clocks of the journal and of the system may differ.
const SLACK: u64 = 5;

/// Whether the process that began its run at `began`, in seconds since 1970, still runs. A process of the same number
/// that started later is another one, and a zombie has ended. Where the system does not tell, it counts as ended.
pub(super) fn is_alive(pid: u32, began: u64) -> bool {
    let (pid, mut system) = (Pid::from_u32(pid), System::new());
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, ProcessRefreshKind::nothing());
    let process = system.process(pid).filter(|process| process.status() != ProcessStatus::Zombie);
    process.is_some_and(|process| process.start_time() <= began + SLACK)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    fn now() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
    }

    #[test]
    fn this_process_lives_and_an_earlier_one_with_its_number_does_not() {
        let me = std::process::id();
        assert!(is_alive(me, now()));
        assert!(!is_alive(me, now() - 1_000_000), "the machine has not been up that long, or this process");
        assert!(!is_alive(u32::MAX, now()));
    }

    #[cfg(unix)]
    #[test]
    fn a_process_that_nobody_waited_for_has_ended() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        assert!(is_alive(child.id(), now()));
        child.kill().unwrap();
        while is_alive(child.id(), now()) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
