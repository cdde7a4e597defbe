//! What this process can afford where nobody says: engines, and memory for uploads.

use std::num::NonZeroUsize;
use std::path::Path;

/// What an engine is counted with: with two languages it idles at about 32 MiB. The largest image that is taken by default,
/// 40 million pixels in colour, and its copies need 450 MiB for as long as it is read.
const BYTES_PER_ENGINE: u64 = 512 << 20;
/// What an engine cannot do with less than: a page of A4 at 300 dpi, 8.7 million pixels, needs 98 MiB beside the 32.
const LEAST_PER_ENGINE: u64 = 128 << 20;
/// cgroup v1 says "no limit" with a number near 2^63.
const NO_LIMIT: u64 = 1 << 60;

/// What the memory limit does not carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the memory limit is {} MiB, of which uploads may take {} MiB; the rest is too little for --engines {engines}, each \
     of which needs {} MiB at least: lower --engines, --max-bodies-mib or --max-body-mib, or raise the limit",
    .limit >> 20, .bodies >> 20, LEAST_PER_ENGINE >> 20
)]
pub struct TooLittleMemory {
    limit: u64,
    bodies: u64,
    engines: NonZeroUsize,
}

/// As many engines as are `asked` for, else one for each CPU, but no more than are carried by what the memory limit leaves
/// beside so many bytes of `bodies`: a pod without a CPU limit sees all CPUs of its node.
pub fn engines(asked: Option<NonZeroUsize>, bodies: usize) -> Result<NonZeroUsize, TooLittleMemory> {
    let cpus = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let Some(limit) = memory_limit(Path::new("/sys/fs/cgroup")) else { return Ok(asked.unwrap_or(cpus)) };
    carried(asked, cpus, limit, bodies as u64)
}

fn carried(
    asked: Option<NonZeroUsize>,
    cpus: NonZeroUsize,
    limit: u64,
    bodies: u64,
) -> Result<NonZeroUsize, TooLittleMemory> {
    let left = limit.saturating_sub(bodies);
    let most = usize::try_from(left / BYTES_PER_ENGINE).unwrap_or(usize::MAX);
    let engines = asked.unwrap_or_else(|| NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN).min(cpus));
    if left / LEAST_PER_ENGINE < engines.get() as u64 {
        return Err(TooLittleMemory { limit, bodies, engines });
    }
    Ok(engines)
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

/// Bytes that this process's cgroup may use: version 2 first, then version 1.
fn memory_limit(root: &Path) -> Option<u64> {
    let files = ["memory.max", "memory/memory.limit_in_bytes"];
    let text = files.iter().find_map(|file| std::fs::read_to_string(root.join(file)).ok())?;
    text.trim().parse().ok().filter(|bytes| *bytes < NO_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::AppError;

    const MIB: u64 = 1 << 20;

    fn engines(asked: Option<usize>, cpus: usize, limit: u64, bodies: u64) -> Option<usize> {
        let asked = asked.map(|asked| NonZeroUsize::new(asked).unwrap());
        let carried = carried(asked, NonZeroUsize::new(cpus).unwrap(), limit * MIB, bodies * MIB);
        carried.ok().map(NonZeroUsize::get)
    }

    #[test]
    fn memory_bounds_the_engines_of_a_large_node_and_uploads_have_theirs_first() {
        assert_eq!(engines(None, 64, 4608, 512), Some(8));
        assert_eq!(engines(None, 64, 4096, 512), Some(7));
        assert_eq!(engines(None, 1, 4096, 512), Some(1));
        // What the chart's pods have on a node of two CPUs.
        assert_eq!((engines(None, 2, 1536, 384), engines(None, 2, 1024, 256)), (Some(2), Some(1)));
    }

    #[test]
    fn there_is_one_engine_where_it_fits_and_those_that_are_asked_for_where_they_fit() {
        assert_eq!((engines(None, 2, 256, 128), engines(None, 2, 255, 128)), (Some(1), None));
        assert_eq!((engines(Some(3), 1, 1024, 512), engines(Some(5), 8, 1024, 512)), (Some(3), None));
        assert_eq!(engines(None, 2, 512, 1024), None);
    }

    #[test]
    fn what_does_not_fit_is_told_in_numbers() {
        let engines = NonZeroUsize::new(5).unwrap();
        let error = TooLittleMemory { limit: 1024 * MIB, bodies: 512 * MIB, engines };
        let told = error.to_string();
        assert!(told.contains("1024 MiB, of which uploads may take 512 MiB"), "{told}");
        assert!(told.contains("--engines 5, each of which needs 128 MiB"), "{told}");
        assert_eq!(AppError::from(error).exit_code(), 2);
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
