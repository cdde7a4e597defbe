//! Engines as child processes of the service: this same program, started again as an engine.
//!
//! Tesseract and the image decoders are C and C++ that read strangers' bytes. In a process of its own a crash, an
//! endless loop or the system's killing for want of memory costs one request and one engine, never the service.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::Language;
use super::child::SUBCOMMAND;
use super::protocol::Settings;

/// Starts engines. The seam at which tests put a double that speaks the same frames.
pub trait Launcher: Send + Sync + 'static {
    fn launch(&self) -> io::Result<Channel>;
}

/// A started engine: what is said to it and heard from it. Dropping it ends the engine, whatever that is doing.
pub struct Channel {
    pub(super) socket: UnixStream,
    pub(super) settings: Settings,
    /// None in tests whose engine is no process.
    pub(super) child: Option<Child>,
}

/// What an engine's environment may hold of the service's: where libraries are, and nothing secret.
const PASSED_ON: [&str; 1] = ["LD_LIBRARY_PATH"];

/// Starts this program as an engine.
#[derive(Clone, Debug)]
pub struct EngineProcess {
    settings: Settings,
}

impl EngineProcess {
    /// An engine that counts as ready when it has read something in `language`; trained data lie in `data`, or where
    /// Tesseract looks for them.
    pub fn new(data: Option<PathBuf>, language: Language) -> Self {
        Self { settings: Settings { data, language } }
    }
}

impl Launcher for EngineProcess {
    fn launch(&self) -> io::Result<Channel> {
        let (ours, theirs) = BlockingStream::pair()?;
        ours.set_nonblocking(true)?;
        let passed_on = PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let child = Command::new(own_program()?)
            .arg0("ocr-service")
            .arg(SUBCOMMAND)
            .env_clear()
            .envs(passed_on)
            // Tesseract's OpenMP threads fight over the CPUs as soon as two images are read at once: ten images took
            // 459 s with them and 9 s without (tesseract#3109). OpenMP reads this when the process is loaded.
            .env("OMP_THREAD_LIMIT", "1")
            // One heap for two threads of which one only waits: less memory.
            .env("MALLOC_ARENA_MAX", "1")
            // Both directions: whatever a library may print does not get between the frames, and the end of the
            // service, however sudden, is the end of the engine's input.
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // Ctrl-C in a terminal is for the service, which finishes what its engines are at.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Channel {
            socket: UnixStream::from_std(ours)?,
            settings: self.settings.clone(),
            child: Some(child),
        })
    }
}

/// This program, also when its file has been replaced or removed since it was started.
pub fn own_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}
