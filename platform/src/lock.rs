//! Files that one process at a time holds; the kernel gives a lock back when its holders end, however they end.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::error::{Doing, Error, Result};

const POLL: Duration = Duration::from_millis(100);

/// Held as long as the returned file lives; an error where another run holds it.
pub fn take(path: &Path) -> Result<File> {
    attempt(path)?.ok_or_else(|| {
        Error::machine(format!("{} is held by another run", path.display()), "wait for it to end")
    })
}

/// As [`take`]; `None` while another process holds it.
pub fn attempt(path: &Path) -> Result<Option<File>> {
    open_and_lock(path).doing(format!("locking {}", path.display()))
}

/// Held at last; `waits` is told once, where there is something to wait for.
pub async fn wait_for(path: &Path, waits: impl FnOnce()) -> io::Result<File> {
    let mut waits = Some(waits);
    loop {
        if let Some(file) = open_and_lock(path)? {
            return Ok(file);
        }
        if let Some(tell) = waits.take() {
            tell();
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The file can be read and written to by its holder, and by nobody else's account.
fn open_and_lock(path: &Path) -> io::Result<Option<File>> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_has_one_holder_and_passes_on_when_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/lock");
        let held = take(&path).unwrap();
        assert!(attempt(&path).unwrap().is_none());
        assert!(take(&path).unwrap_err().to_string().contains("held by another run"));
        let (told, waiting) = tokio::sync::oneshot::channel();
        let second = tokio::spawn(async move { wait_for(&path, || told.send(()).unwrap()).await });
        waiting.await.unwrap();
        drop(held);
        second.await.unwrap().unwrap();
    }
}
