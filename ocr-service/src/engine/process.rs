//! Engines as processes of their own: this same program, started again as a fork server, and forked once for each engine.
//!
//! Tesseract and the image decoders are C and C++ that read strangers' bytes. In a process of its own a crash, an
//! endless loop or the system's killing for want of memory costs one request and one engine, never the service. The
//! fork server loads the trained data once; its forks share them, because none writes to them.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rustix::net::RecvFlags;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::child::SUBCOMMAND;
use super::protocol::{Ended, Forked, Order, Settings, Started};
use super::{Failure, Language, descriptor, frame};

/// Loading trained data and the first recognition take less than a second, also on a busy machine much less than this.
const START: Duration = Duration::from_mins(1);
/// For a fork server's answer, beyond what it was asked to wait itself: it has nothing else to do.
const ANSWER: Duration = Duration::from_secs(10);

/// Starts engines that are ready to read. The seam at which tests put a double that speaks the same frames.
#[async_trait]
pub trait Launcher: Send + Sync + 'static {
    async fn launch(&self) -> Result<Channel, Failure>;
}

/// A started engine: what is said to it and heard from it. Dropping it ends the engine, at the latest after a second.
pub struct Channel {
    pub(super) socket: UnixStream,
    /// None in tests whose engine is no process.
    pub(super) process: Option<EngineProcess>,
}

/// What a child's environment may hold of the service's: where libraries are, and nothing secret.
const PASSED_ON: [&str; 1] = ["LD_LIBRARY_PATH"];

/// Forks engines from a server, which is started when first needed, and again when it has ended.
pub struct EngineProcesses {
    settings: Settings,
    server: Mutex<Option<Arc<ForkServer>>>,
}

impl EngineProcesses {
    /// Engines that count as ready when one has read something in `language`; trained data lie in `data`, or where
    /// Tesseract looks for them.
    pub fn new(data: Option<PathBuf>, language: Language) -> Self {
        Self { settings: Settings { data, language }, server: Mutex::new(None) }
    }
}

#[async_trait]
impl Launcher for EngineProcesses {
    async fn launch(&self) -> Result<Channel, Failure> {
        let mut current = self.server.lock().await;
        if let Some(server) = current.as_ref() {
            match server.fork().await {
                Ok(forked) => return forked,
                Err(error) => tracing::warn!(%error, "the engines' fork server is replaced"),
            }
        }
        let server = current.insert(ForkServer::start(&self.settings).await?);
        server.fork().await.unwrap_or_else(|error| Err(cannot_start(&error)))
    }
}

fn cannot_start(error: &io::Error) -> Failure {
    Failure::Engine(format!("cannot start an engine: {error}"))
}

/// An engine that was forked. Its process id stays its own until the server was asked for its end.
pub(super) struct EngineProcess {
    server: Arc<ForkServer>,
    id: i32,
}

impl EngineProcess {
    /// Gives it `patience` to end by itself, then kills it; says how it ended.
    pub async fn end(&self, patience: Duration) -> String {
        let order =
            Order::End { id: self.id, patience_ms: patience.as_millis().try_into().unwrap_or(u64::MAX) };
        let ended: io::Result<Ended> = self.server.ask(&order, None, ANSWER + patience).await;
        ended.unwrap_or_else(|error| format!("its fork server is gone: {error}"))
    }

    /// The system ends engines whose server has ended: such an engine's end says nothing about its image.
    pub async fn has_lost_its_server(&self) -> bool {
        let mut next = [0];
        let server = self.server.line.lock().await;
        // Nothing is unread between two orders. The server's socket is closed before its engines are ended.
        let peeked =
            rustix::net::recv(server.control.as_fd(), &mut next, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        match peeked {
            Ok((_, length)) => length == 0,
            Err(error) => error != rustix::io::Errno::AGAIN,
        }
    }
}

/// A process with the trained data loaded, which forks engines and ends them. Ends with its last owner.
struct ForkServer {
    line: Mutex<Line>,
}

struct Line {
    control: UnixStream,
    process: Child,
}

impl ForkServer {
    /// One that has recognised something already.
    async fn start(settings: &Settings) -> Result<Arc<Self>, Failure> {
        let (process, mut control) = spawn().map_err(|error| cannot_start(&error))?;
        let started = async {
            frame::send(&mut control, settings, &[]).await?;
            frame::receive::<Started>(&mut control).await
        };
        let started = timeout(START, started).await;
        let mut line = Line { control, process };
        match started {
            Ok(Ok(started)) => started.map(|()| Arc::new(Self { line: Mutex::new(line) })),
            Ok(Err(_)) => {
                let status = line.last_words().await;
                Err(Failure::Engine(format!("an engine ended while it was started ({status})")))
            }
            Err(_) => Err(Failure::Engine(format!("an engine was not ready within {} s", START.as_secs()))),
        }
    }

    /// The outer error: this server is of no more use. The inner one: it is, and has its reason.
    async fn fork(self: &Arc<Self>) -> io::Result<Result<Channel, Failure>> {
        let (ours, theirs) = BlockingStream::pair()?;
        ours.set_nonblocking(true)?;
        let forked: Forked = self.ask(&Order::Fork, Some(theirs.into()), ANSWER).await?;
        let id = match forked {
            Ok(id) => id,
            Err(failure) => return Ok(Err(failure)),
        };
        let process = Some(EngineProcess { server: self.clone(), id });
        Ok(Ok(Channel { socket: UnixStream::from_std(ours)?, process }))
    }

    /// The answer to `order`. A server that gives none is killed: its next answer would be that to this order.
    async fn ask<T: DeserializeOwned>(
        &self,
        order: &Order,
        passed: Option<OwnedFd>,
        patience: Duration,
    ) -> io::Result<T> {
        let mut line = self.line.lock().await;
        let answer = async {
            frame::send(&mut line.control, order, &[]).await?;
            if let Some(passed) = passed {
                descriptor::send(&line.control, &passed).await?;
            }
            frame::receive(&mut line.control).await
        };
        let answer = timeout(patience, answer).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if answer.is_err() {
            let _ = line.control.shutdown().await;
            let _ = line.process.start_kill();
        }
        answer
    }
}

impl Line {
    /// How the process ended, of which nothing is expected any more.
    async fn last_words(&mut self) -> String {
        // One that has crashed is gone in a moment, and then its status says of what.
        match timeout(Duration::from_millis(500), self.process.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            _ => "killed".into(),
        }
    }
}

/// This program as a fork server.
fn spawn() -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = BlockingStream::pair()?;
    ours.set_nonblocking(true)?;
    let process = Command::new(own_program()?)
        .arg0("ocr-service")
        .arg(SUBCOMMAND)
        .env_clear()
        .envs(passed_on())
        // Tesseract's OpenMP threads fight over the CPUs as soon as two images are read at once: ten images took
        // 459 s with them and 9 s without (tesseract#3109). OpenMP reads this when the process is loaded. And a
        // process with threads cannot be forked safely.
        .env("OMP_THREAD_LIMIT", "1")
        // One heap for two threads of which one only waits: less memory.
        .env("MALLOC_ARENA_MAX", "1")
        // What one image took is kept for the next: by default a letter's 10 MB go back to the system and are asked for
        // anew, page by page, for each image. Larger parts than the first, and more at the end than the second, do go
        // back.
        .env("MALLOC_MMAP_THRESHOLD_", (8 << 20).to_string())
        .env("MALLOC_TRIM_THRESHOLD_", (32 << 20).to_string())
        // Both directions: whatever a library may print does not get between the frames, and the end of the
        // service, however sudden, is the end of the engine's input.
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        // Ctrl-C in a terminal is for the service, which finishes what its engines are at.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    Ok((process, UnixStream::from_std(ours)?))
}

/// The part of this process's environment that its children get.
pub fn passed_on() -> impl Iterator<Item = (&'static str, OsString)> {
    PASSED_ON.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// This program, also when its file has been replaced or removed since it was started.
pub fn own_program() -> io::Result<PathBuf> {
    if cfg!(target_os = "linux") { Ok("/proc/self/exe".into()) } else { std::env::current_exe() }
}
