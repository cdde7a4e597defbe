//! A process that was started, told from a later one with the same id.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    pub pid: u32,
    /// Seconds since the epoch, as the kernel has it; 0 where it had ended before it could be asked.
    pub started: u64,
}

impl Started {
    pub fn of(pid: u32) -> Self {
        Self { pid, started: start_time(pid).unwrap_or_default() }
    }

    pub fn is_alive(self) -> bool {
        start_time(self.pid) == Some(self.started)
    }
}

/// When a live process started; a zombie counts as dead.
fn start_time(pid: u32) -> Option<u64> {
    use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};
    let pid = Pid::from_u32(pid);
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, ProcessRefreshKind::nothing());
    let process = system.process(pid)?;
    (process.status() != ProcessStatus::Zombie).then(|| process.start_time())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_process_that_runs_is_alive_and_a_later_one_with_its_id_is_not_it() {
        let own = Started::of(std::process::id());
        assert!(own.is_alive());
        assert!(!Started { started: own.started + 1, ..own }.is_alive());
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let started = Started::of(child.id());
        assert!(started.is_alive());
        child.kill().unwrap();
        // Not waited for: it stays in the table of processes.
        let begun = Instant::now();
        while started.is_alive() {
            assert!(begun.elapsed() < Duration::from_secs(10), "still alive after its kill");
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
