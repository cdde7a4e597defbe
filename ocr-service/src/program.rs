//! This program, started again: as an engine, as a training.

use std::path::PathBuf;

/// Its path, also when its file has been replaced or removed since it was started.
pub fn own() -> std::io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}
