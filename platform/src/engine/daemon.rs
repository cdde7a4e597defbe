//! A process that Platen started, told from a later one with the same id.

use serde::{Deserialize, Serialize};

/// A process that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    pub pid: u32,
    /// Clock ticks from the machine's start to the process's; absent in older records.
    #[serde(default)]
    pub started: Option<u64>,
}

impl Daemon {
    pub fn of(pid: u32) -> Self {
        Self { pid, started: stat(pid).and_then(|stat| stat.started) }
    }

    pub fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| self.is(&stat))
    }

    fn is(self, stat: &Stat) -> bool {
        let same = match self.started {
            Some(started) => stat.started == Some(started),
            None => stat.name == "dockerd",
        };
        same && stat.runs
    }
}

/// What the kernel says of a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    /// A zombie does not run.
    runs: bool,
    /// Clock ticks from the machine's start to the process's.
    started: Option<u64>,
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads a `/proc/PID/stat` (proc_pid_stat(5)): `pid (name) state …`, the start time as field 22; the name may hold
/// anything.
fn parse_stat(stat: &str) -> Option<Stat> {
    const STATE: usize = 3;
    const STARTED: usize = 22;
    let (open, close) = stat.find('(').zip(stat.rfind(')'))?;
    let fields: Vec<&str> = stat[close + 1..].split_whitespace().collect();
    Some(Stat {
        name: stat[open + 1..close].to_owned(),
        runs: !matches!(*fields.first()?, "Z" | "X"),
        started: fields.get(STARTED - STATE).and_then(|ticks| ticks.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_and_another_program_under_the_same_number_do_not_count_as_running() {
        let is = |started, stat: &str| Daemon { pid: 7, started }.is(&parse_stat(stat).unwrap());
        assert!(is(None, "7 (dockerd) S 1 7"));
        assert!(!is(None, "7 (dockerd) Z 1 7"));
        assert!(!is(None, "7 (a) b) S 1 7"));
        let at_99 = "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 99 0";
        assert_eq!(parse_stat(at_99).unwrap().name, "a) b");
        assert!(is(Some(99), at_99) && !is(Some(98), at_99));
    }
}
