//! The folder of what was built: each artifact appears whole or not at all, and one run at a time builds.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Doing, Result};
use crate::event::Events;
use crate::host::Host;
use crate::lock;

const STAGED: &str = ".staged-";
const BEGUN: &str = ".begun-";

/// The cache folder of this module.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

/// Held while something is built; the system releases it when the process dies.
pub struct Lock(#[expect(dead_code, reason = "held, never read")] File);

impl Store {
    pub fn new(host: &Host) -> Self {
        Self { dir: host.cache.join("mirror") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Names of all that is whole.
    pub fn folders(&self) -> BTreeSet<String> {
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return BTreeSet::new() };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect()
    }

    /// Waits until no other run builds, then clears what a killed one left half done.
    pub async fn lock(&self, events: &Events) -> Result<Lock> {
        let path = self.dir.join(".lock");
        let tell = || events.note("another run is building the same things: waiting for it");
        let file = lock::wait_for(&path, tell).await.doing(format!("locking {}", path.display()))?;
        self.clear_staged();
        Ok(Lock(file))
    }

    /// A folder to build in. Dropped without [`Store::publish`] it goes away.
    pub fn stage(&self) -> Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix(STAGED)
            .tempdir_in(&self.dir)
            .doing(format!("creating a folder in {}", self.dir.display()))
    }

    /// Gives a built folder its name.
    pub fn publish(&self, staged: tempfile::TempDir, name: &str) -> Result<PathBuf> {
        let target = self.path(name);
        let staged = staged.keep();
        std::fs::rename(&staged, &target).doing(format!("moving {} into place", target.display()))?;
        Ok(target)
    }

    /// Takes a folder out of the store at once, and removes it.
    pub fn discard(&self, name: &str) -> Result<()> {
        let gone = self.stage()?;
        let path = self.path(name);
        std::fs::rename(&path, gone.path().join("old")).doing(format!("removing {}", path.display()))
    }

    /// A folder for work that a killed run leaves for the next one; `key` says which. It is renamed into place by
    /// [`Store::publish_folder`].
    pub fn resumable(&self, key: &str) -> Result<PathBuf> {
        let plain: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
        let path = self.dir.join(format!("{BEGUN}{plain}"));
        std::fs::create_dir_all(&path).doing(format!("creating {}", path.display()))?;
        Ok(path)
    }

    /// Gives a finished folder of [`Store::resumable`] its name.
    pub fn publish_folder(&self, folder: &Path, name: &str) -> Result<()> {
        std::fs::rename(folder, self.path(name))
            .doing(format!("moving {} into place", self.path(name).display()))
    }

    /// Removes what was begun and is wanted no more. Whoever calls it holds the lock, and has finished all that is.
    pub fn clear_begun(&self) -> Result<()> {
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(BEGUN) {
                let path = entry.path();
                std::fs::remove_dir_all(&path).doing(format!("removing {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// Names of folders that were made longer ago than `age`.
    pub fn older_than(&self, age: Duration) -> BTreeSet<String> {
        let made = |name: &String| std::fs::metadata(self.path(name)).and_then(|it| it.modified()).ok();
        let is_old = |made: SystemTime| made.elapsed().is_ok_and(|since| since > age);
        self.folders().into_iter().filter(|name| made(name).is_some_and(is_old)).collect()
    }

    fn clear_staged(&self) {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for entry in entries {
            let staged = entry.file_name().to_string_lossy().starts_with(STAGED);
            if staged && !is_mounted_under(&mounts, &entry.path()) {
                // What cannot be removed now is tried again by the next run.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }
}

/// Whether anything is mounted at or below `dir`: then it must not be removed, the mount would be emptied.
fn is_mounted_under(mountinfo: &str, dir: &Path) -> bool {
    mountinfo
        .lines()
        .filter_map(|line| line.split_whitespace().nth(4))
        .any(|mount_point| Path::new(mount_point).starts_with(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store { dir: dir.path().join("mirror") };
        (dir, store)
    }

    #[tokio::test]
    async fn what_a_killed_run_left_is_cleared_and_what_is_whole_is_kept() {
        let (_dir, store) = store();
        std::fs::create_dir_all(store.path(".staged-abc/usr")).unwrap();
        std::fs::create_dir_all(store.path("programs-1234")).unwrap();
        let _lock = store.lock(&Events::silent()).await.unwrap();
        assert!(!store.path(".staged-abc").exists());
        assert_eq!(store.folders(), BTreeSet::from(["programs-1234".to_owned()]));
    }

    #[test]
    fn what_was_begun_and_is_wanted_no_more_goes_and_nothing_else() {
        let (_dir, store) = store();
        std::fs::create_dir_all(store.path("programs-1234")).unwrap();
        std::fs::write(store.resumable("sha256:1234").unwrap().join("blob"), b"x").unwrap();
        store.clear_begun().unwrap();
        assert_eq!(std::fs::read_dir(&store.dir).unwrap().count(), 1);
        assert_eq!(store.folders().len(), 1);
    }

    #[test]
    fn the_age_of_a_folder_is_that_of_its_making() {
        let (_dir, store) = store();
        std::fs::create_dir_all(store.path("programs-1234")).unwrap();
        let made = SystemTime::now() - Duration::from_hours(2);
        std::fs::File::open(store.path("programs-1234")).unwrap().set_modified(made).unwrap();
        assert_eq!(store.older_than(Duration::from_hours(1)).len(), 1);
        assert_eq!(store.older_than(Duration::from_hours(3)).len(), 0);
    }

    #[tokio::test]
    async fn a_staged_folder_appears_whole() {
        let (_dir, store) = store();
        let _lock = store.lock(&Events::silent()).await.unwrap();
        let staged = store.stage().unwrap();
        std::fs::write(staged.path().join("rootfs.tar"), b"x").unwrap();
        assert!(store.folders().is_empty());
        store.publish(staged, "base-1").unwrap();
        assert!(store.path("base-1/rootfs.tar").is_file());
    }

    #[tokio::test]
    async fn two_runs_do_not_build_at_once() {
        let (_dir, store) = store();
        let held = store.lock(&Events::silent()).await.unwrap();
        let silent = Events::silent();
        let second = tokio::time::timeout(Duration::from_millis(50), store.lock(&silent)).await;
        assert!(second.is_err());
        drop(held);
        store.lock(&Events::silent()).await.unwrap();
    }

    #[test]
    fn a_folder_with_a_mount_in_it_is_recognised() {
        let mountinfo = "36 25 0:32 / /cache/mirror/.staged-x/proc rw - proc proc rw\n";
        assert!(is_mounted_under(mountinfo, Path::new("/cache/mirror/.staged-x")));
        assert!(!is_mounted_under(mountinfo, Path::new("/cache/mirror/.staged-y")));
    }
}
