//! What this process can afford where nobody says: engines, and memory for uploads.

use std::num::NonZeroUsize;
use std::path::Path;

/// An engine with two languages idles at about 32 MiB. The largest image that is taken by default, 40 million pixels in
/// colour, and its copies need 450 MiB for as long as it is read.
const BYTES_PER_ENGINE: u64 = 512 << 20;
/// cgroup v1 says "no limit" with a number near 2^63.
const NO_LIMIT: u64 = 1 << 60;

/// One for each CPU, but no more than the memory limit carries: a pod without a CPU limit sees all CPUs of its node.
pub fn engines() -> NonZeroUsize {
    let cpus = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    affordable(cpus, memory_limit(Path::new("/sys/fs/cgroup")))
}

/// Where no limit is set, or a generous one.
const MOST_FOR_BODIES: u64 = 512 << 20;

/// Bytes for all requests' bodies together: a quarter, since a body is copied on its way, and more than bodies is in
/// memory.
pub fn bodies() -> usize {
    quarter(memory_limit(Path::new("/sys/fs/cgroup")))
}

fn quarter(limit: Option<u64>) -> usize {
    let bytes = limit.map_or(MOST_FOR_BODIES, |limit| (limit / 4).min(MOST_FOR_BODIES));
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn affordable(cpus: NonZeroUsize, memory: Option<u64>) -> NonZeroUsize {
    let carried = memory.and_then(|bytes| usize::try_from(bytes / BYTES_PER_ENGINE).ok());
    carried.map_or(cpus, |carried| NonZeroUsize::new(carried).unwrap_or(NonZeroUsize::MIN).min(cpus))
}

/// Bytes that this process's cgroup may use: version 2 first, then version 1.
fn memory_limit(root: &Path) -> Option<u64> {
    let files = ["memory.max", "memory/memory.limit_in_bytes"];
    let text = files.iter().find_map(|file| std::fs::read_to_string(root.join(file)).ok())?;
    text.trim().parse().ok().filter(|bytes| *bytes < NO_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engines_for(cpus: usize, memory: Option<u64>) -> usize {
        affordable(NonZeroUsize::new(cpus).unwrap(), memory).get()
    }

    #[test]
    fn memory_bounds_the_engines_of_a_large_node() {
        assert_eq!(engines_for(64, Some(4 << 30)), 8);
        assert_eq!(engines_for(2, Some(1 << 30)), 2);
        assert_eq!(engines_for(64, None), 64);
        assert_eq!(engines_for(4, Some(1 << 20)), 1);
    }

    #[test]
    fn uploads_have_a_quarter_of_the_limit_and_no_more_than_is_sensible() {
        assert_eq!(quarter(Some(256 << 20)), 64 << 20);
        assert_eq!((quarter(None), quarter(Some(64 << 30))), (512 << 20, 512 << 20));
    }

    #[test]
    fn both_versions_of_cgroups_are_read_and_no_limit_is_none() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(memory_limit(root.path()), None);
        std::fs::create_dir(root.path().join("memory")).unwrap();
        let old = root.path().join("memory/memory.limit_in_bytes");
        std::fs::write(&old, "9223372036854771712\n").unwrap();
        assert_eq!(memory_limit(root.path()), None);
        std::fs::write(&old, "1073741824\n").unwrap();
        assert_eq!(memory_limit(root.path()), Some(1 << 30));
        std::fs::write(root.path().join("memory.max"), "max\n").unwrap();
        assert_eq!(memory_limit(root.path()), None);
    }
}
