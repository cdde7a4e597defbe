//! One thread for each recognition.
//!
//! Tesseract's OpenMP threads fight over the CPUs as soon as two images are read at once: ten images took 459 s with
//! them and 9 s without (tesseract#3109). OpenMP reads its limit when the process is loaded, before `main`, so the only
//! way to set it from here is to start again with it.

use std::ffi::OsStr;
use std::io;

const LIMIT: &str = "OMP_THREAD_LIMIT";

/// Starts this program again with the limit, unless the environment has one. Returns only if there was no need or it
/// did not work.
pub fn limit() -> io::Result<()> {
    if std::env::var_os(LIMIT).is_some_and(|value| value != OsStr::new("")) {
        return Ok(());
    }
    restart()
}

#[cfg(unix)]
fn restart() -> io::Result<()> {
    use std::os::unix::process::CommandExt;

    let mut args = std::env::args_os();
    let mut again = std::process::Command::new(std::env::current_exe()?);
    if let Some(name) = args.next() {
        again.arg0(name);
    }
    Err(again.args(args).env(LIMIT, "1").exec())
}

#[cfg(not(unix))]
fn restart() -> io::Result<()> {
    Err(io::Error::other("set OMP_THREAD_LIMIT=1 before starting"))
}
