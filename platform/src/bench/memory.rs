//! The memory of a peer: the proportional set size of its processes and all that they started, so that pages which
//! several of them share are counted once.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

const LOOK: Duration = Duration::from_secs(2);

/// Megabytes; none where the system does not tell (it is Linux that does).
pub fn of_trees(roots: &[u32]) -> Option<f64> {
    let proc = Path::new("/proc");
    let parents = parents(proc);
    let sizes: Vec<u64> = family(roots, &parents).into_iter().filter_map(|pid| pss_kib(proc, pid)).collect();
    #[expect(clippy::cast_precision_loss, reason = "two to the 52 KiB are more than there are")]
    let megabytes = sizes.iter().sum::<u64>() as f64 * 1024.0 / 1e6;
    (!sizes.is_empty()).then_some(megabytes)
}

/// The most that they had while `work` went on, looked at every other second, and what the work gave.
pub async fn watched<T>(roots: Vec<u32>, work: impl Future<Output = T>) -> (T, Option<f64>) {
    let mut work = std::pin::pin!(work);
    let mut ticks = tokio::time::interval(LOOK);
    let mut most: Option<f64> = None;
    loop {
        tokio::select! {
            done = &mut work => return (done, most),
            _ = ticks.tick() => {
                let roots = roots.clone();
                // Reading it takes the kernel milliseconds; the load goes on meanwhile.
                let seen = tokio::task::spawn_blocking(move || of_trees(&roots));
                tokio::select! {
                    done = &mut work => return (done, most),
                    seen = seen => most = larger(most, seen.ok().flatten()),
                }
            }
        }
    }
}

/// The processes below `pid` that started none themselves: those that do the work.
pub fn leaves(pid: u32) -> Vec<u32> {
    let parents = parents(Path::new("/proc"));
    let is_parent = |pid: &u32| parents.values().any(|parent| parent == pid);
    let mut leaves: Vec<u32> =
        family(&[pid], &parents).into_iter().filter(|it| *it != pid && !is_parent(it)).collect();
    leaves.sort_unstable();
    leaves
}

fn larger(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}

/// The parent of each process.
fn parents(proc: &Path) -> HashMap<u32, u32> {
    let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = std::fs::read_to_string(proc.join(format!("{pid}/stat"))).ok()?;
        Some((pid, parent(&stat)?))
    })
    .collect()
}

/// The fourth field (proc_pid_stat(5)); the second is a name in parentheses that may hold anything.
fn parent(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// The roots and all their descendants.
fn family(roots: &[u32], parents: &HashMap<u32, u32>) -> HashSet<u32> {
    let mut family: HashSet<u32> = roots.iter().copied().collect();
    loop {
        let is_child = |pid: &u32, parent: &u32| family.contains(parent) && !family.contains(pid);
        let children: Vec<u32> =
            parents.iter().filter(|(pid, parent)| is_child(pid, parent)).map(|(pid, _)| *pid).collect();
        if children.is_empty() {
            return family;
        }
        family.extend(children);
    }
}

fn pss_kib(proc: &Path, pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(proc.join(format!("{pid}/smaps_rollup"))).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent("7 (a) b (c) S 42 7 7"), Some(42));
        assert_eq!(parent("nonsense"), None);
    }

    #[test]
    fn a_family_is_the_roots_and_all_below_them() {
        let parents = HashMap::from([(2, 1), (3, 2), (4, 3), (5, 1), (6, 99)]);
        assert_eq!(family(&[2, 6], &parents), HashSet::from([2, 3, 4, 6]));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_a_size() {
        assert!(of_trees(&[std::process::id()]).unwrap() > 1.0);
    }
}
