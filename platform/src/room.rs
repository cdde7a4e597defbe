//! Whether this machine has room for what is to be done, asked before anything is begun.

use std::path::Path;

use crate::error::{Error, Result};

const GIB: u64 = 1 << 30;

/// What something takes on this machine, in GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    pub disk_gib: u64,
    pub memory_gib: u64,
}

/// What there is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Free {
    disk: u64,
    memory: u64,
}

/// An error that names what is short; `dir` is where most of the disk is needed.
pub fn ensure(needs: Needs, dir: &Path, purpose: &str) -> Result<()> {
    // What cannot be measured is not held against the machine.
    let free = Free { disk: free_disk(dir).unwrap_or(u64::MAX), memory: free_memory().unwrap_or(u64::MAX) };
    judge(needs, free, dir, purpose)
}

fn judge(needs: Needs, free: Free, dir: &Path, purpose: &str) -> Result<()> {
    let short = |what: &str, free: u64, wanted: u64| {
        format!("{purpose} needs {wanted} GiB of {what}, and {:.1} GiB are free", to_gib(free))
    };
    if free.disk < needs.disk_gib * GIB {
        let what = short(&format!("disk at {}", dir.display()), free.disk, needs.disk_gib);
        return Err(Error::machine(what, "free disk space, or put the cache elsewhere: PLATEN_CACHE=DIR"));
    }
    if free.memory < needs.memory_gib * GIB {
        let what = short("memory", free.memory, needs.memory_gib);
        return Err(Error::machine(what, "end other programs, or ask for fewer nodes: --nodes 1"));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn to_gib(bytes: u64) -> f64 {
    bytes as f64 / GIB as f64
}

fn free_disk(dir: &Path) -> Option<u64> {
    let existing = dir.ancestors().find(|dir| dir.exists())?;
    disk(existing).map(|(free, _)| free)
}

/// How much of a folder's file system is free for this user, and how much that is with what is used, in bytes: what is
/// kept for root, or beyond a quota, is neither.
pub fn disk(dir: &Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    Some((stat.f_bavail * stat.f_frsize, (used + stat.f_bavail) * stat.f_frsize))
}

fn free_memory() -> Option<u64> {
    memory().map(|(free, _)| free)
}

/// How much memory can be had without swapping, and how much there is, in bytes.
pub fn memory() -> Option<(u64, u64)> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    Some((system.available_memory(), system.total_memory()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exit;

    const NEEDS: Needs = Needs { disk_gib: 8, memory_gib: 3 };

    #[test]
    fn what_is_short_is_named_with_how_much_there_is() {
        let dir = Path::new("/cache");
        let full = judge(NEEDS, Free { disk: GIB, memory: 9 * GIB }, dir, "a cluster").unwrap_err();
        assert_eq!(full.exit(), Exit::Machine);
        assert!(full.to_string().contains("8 GiB of disk at /cache, and 1.0 GiB are free"), "{full}");
        let small = judge(NEEDS, Free { disk: 9 * GIB, memory: GIB }, dir, "a cluster").unwrap_err();
        assert!(small.to_string().contains("3 GiB of memory"), "{small}");
    }

    #[test]
    fn a_machine_with_room_passes() {
        judge(NEEDS, Free { disk: 9 * GIB, memory: 9 * GIB }, Path::new("/"), "a cluster").unwrap();
        assert!(free_disk(Path::new("/no/such/folder/yet")).is_some());
    }
}
