//! A process doubled.

#![expect(unsafe_code, reason = "whether a process may be forked is more than the compiler can see")]

use std::io;

use rustix::process::Pid;

/// Which of the two this is.
pub enum Fork {
    Parent(Pid),
    Child,
}

/// Doubles the process, which has one thread: of others the child would hold the locks for ever.
pub fn fork() -> io::Result<Fork> {
    // SAFETY: the fork server has started no thread and keeps Tesseract from it, so that nothing is held by another.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        id => Ok(Pid::from_raw(id).map_or(Fork::Child, Fork::Parent)),
    }
}
