//! One engine's supervisor: gives it jobs, holds it to their deadlines, and replaces it when it dies or does not stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::sync::oneshot;
use tokio::time::{timeout, timeout_at};

use super::pool::{PoolError, Shared, time_left};
use super::protocol::{Reply, Request, Share, Task};
use super::{Channel, Failure, Launcher, Options, Recognition, frame};
use crate::image::Image;

/// Between attempts to replace an engine: long enough not to spin on a file system that has gone away.
const REBUILD_PAUSE: Duration = Duration::from_secs(1);
/// For an engine to stop by itself: it looks between two lines of text, and cannot look while it analyses the layout.
const GRACE: Duration = Duration::from_millis(200);
/// So many engines may end before they have taken a job; what ends more of them is perhaps the job.
const MOST_MISSED: usize = 3;
/// For an engine that crashed to be gone by itself, so that the log can say of what.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// One image to be read, or a share of it, and where to answer.
pub(super) struct Job {
    pub image: Image,
    pub options: Options,
    pub share: Share,
    pub deadline: Instant,
    pub admitted: Instant,
    /// Engines that ended before they had taken it.
    pub missed: usize,
    /// Whether a job of its request has failed: then the request has, and nobody waits for the others.
    pub failed: Arc<AtomicBool>,
    pub reply: oneshot::Sender<Result<Recognition, PoolError>>,
}

impl Job {
    /// Nobody waits for the answer, or nobody may wait any longer.
    pub fn abandoned(&self) -> bool {
        self.reply.is_closed() || Instant::now() >= self.deadline
    }

    /// Nobody waits for the answer although there still could be one.
    pub fn caller_has_gone(&self) -> bool {
        self.reply.is_closed() && Instant::now() < self.deadline && !self.failed.load(Ordering::Relaxed)
    }
}

/// Why an engine has to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// It ended by itself, or says what it should not.
    Crashed,
    /// It ended before it had taken its job, or with its fork server: the job is not to blame.
    Absent,
    /// It did not stop when it had to.
    Stuck,
}

/// The supervisor's whole life.
pub(super) async fn run(shared: Arc<Shared>, launcher: Arc<dyn Launcher>) {
    let mut engine = match Engine::start(launcher.as_ref()).await {
        Ok(engine) => engine,
        Err(failure) => return shared.failed_to_start(&failure),
    };
    loop {
        shared.engine_is_warm();
        let Some(lost) = serve(&shared, &mut engine).await else { return };
        shared.engine_was_lost();
        match lost {
            Lost::Crashed | Lost::Absent => shared.metrics.crashed.inc(),
            Lost::Stuck => shared.metrics.killed.inc(),
        }
        let status = engine.end(lost).await;
        tracing::warn!(?lost, status, "an engine is replaced");
        let Some(replacement) = rebuild(&shared, launcher.as_ref()).await else { return };
        engine = replacement;
    }
}

/// Gives jobs to the engine until it is lost, or until there are no more.
async fn serve(shared: &Shared, engine: &mut Engine) -> Option<Lost> {
    loop {
        let (job, slot) = tokio::select! {
            // An engine that is known to have ended takes no job.
            biased;
            () = engine.speaks_or_ends() => return Some(Lost::Crashed),
            taken = shared.queue.take() => taken?,
        };
        let Some(mut job) = shared.still_wanted(job) else { continue };
        shared.metrics.queue_wait.observe(job.admitted.elapsed().as_secs_f64());
        let started = Instant::now();
        let mut outcome = engine.recognize(&mut job).await;
        if matches!(outcome, Err(Lost::Crashed)) {
            outcome = Err(engine.blame().await);
        }
        if matches!(outcome, Err(Lost::Absent)) && job.missed < MOST_MISSED {
            job.missed += 1;
            slot.give_back(job);
            return Some(Lost::Absent);
        }
        match &outcome {
            Ok(Ok(_)) => shared.served(started.elapsed()),
            Ok(Err(Failure::Stopped)) | Err(Lost::Stuck) => shared.count_given_up(&job),
            Ok(Err(_)) | Err(_) => {}
        }
        // Before the answer: it ends the wait for the request's other jobs.
        if !matches!(outcome, Ok(Ok(_))) && !job.reply.is_closed() {
            job.failed.store(true, Ordering::Relaxed);
        }
        // Free before the answer goes out, so that a caller who has its answer can always send the next.
        drop(slot);
        let (answer, lost) = match outcome {
            Ok(reply) => (reply.map_err(PoolError::from), None),
            Err(Lost::Stuck) => (Err(PoolError::DeadlinePassed), Some(Lost::Stuck)),
            Err(lost) => (Err(PoolError::Crashed), Some(lost)),
        };
        // A caller that left while its image was read needs no answer.
        let _ = job.reply.send(answer);
        if lost.is_some() {
            return lost;
        }
    }
}

/// A new engine in place of a lost one; tries until there is one or the pool is closed.
async fn rebuild(shared: &Shared, launcher: &dyn Launcher) -> Option<Engine> {
    loop {
        match Engine::start(launcher).await {
            Ok(engine) => return Some(engine),
            Err(failure) => tracing::error!(%failure, "an engine that was lost could not be replaced yet"),
        }
        if timeout(REBUILD_PAUSE, shared.queue.closed()).await.is_ok() {
            return None;
        }
    }
}

/// A started engine, and the number of the task that it was given last.
struct Engine {
    channel: Channel,
    task: u64,
}

impl Engine {
    /// An engine that has recognised something already.
    async fn start(launcher: &dyn Launcher) -> Result<Self, Failure> {
        Ok(Self { channel: launcher.launch().await?, task: 0 })
    }

    /// The engine's reply to `job`; after the job's deadline, or when nobody waits any more, it has [`GRACE`] to stop.
    async fn recognize(&mut self, job: &mut Job) -> Result<Reply, Lost> {
        self.task += 1;
        let (mut from, mut to) = self.channel.socket.split();
        let remaining = time_left(job.deadline);
        let task = Task {
            id: self.task,
            options: job.options.clone(),
            remaining_ms: u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX),
            share: job.share,
        };
        let request = Request::Recognize(task);
        let sent = frame::send(&mut to, &request, job.image.bytes());
        let sent = timeout_at((job.deadline + GRACE).into(), sent).await;
        sent.map_err(|_| Lost::Stuck)?.map_err(|_| Lost::Absent)?;
        let reply = frame::receive::<Reply>(&mut from);
        tokio::pin!(reply);
        tokio::select! {
            reply = &mut reply => return reply.map_err(|error| ended(&error)),
            () = job.reply.closed() => {}
            () = tokio::time::sleep_until(job.deadline.into()) => {}
        }
        let stopped = async {
            frame::send(&mut to, &Request::Cancel(self.task), &[]).await?;
            reply.await
        };
        timeout(GRACE, stopped).await.map_err(|_| Lost::Stuck)?.map_err(|_| Lost::Crashed)
    }

    /// An engine that was given nothing has nothing to say: it ended, or is not to be trusted.
    async fn speaks_or_ends(&mut self) {
        let _ = self.channel.socket.read_u8().await;
    }

    /// What its crash was: the system ends engines whose fork server has ended.
    async fn blame(&self) -> Lost {
        match &self.channel.process {
            Some(process) if process.has_lost_its_server().await => Lost::Absent,
            _ => Lost::Crashed,
        }
    }

    /// Ends it, and says how it ended.
    async fn end(&self, lost: Lost) -> String {
        let Some(process) = &self.channel.process else { return "no process".into() };
        process.end(if lost == Lost::Stuck { Duration::ZERO } else { LAST_WORDS }).await
    }
}

/// A Unix socket that is closed with something unread in it is reset: the engine had not read its whole job.
fn ended(error: &std::io::Error) -> Lost {
    if error.kind() == std::io::ErrorKind::ConnectionReset { Lost::Absent } else { Lost::Crashed }
}
