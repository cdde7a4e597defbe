//! One thread with one engine: takes jobs, answers them, and replaces the engine when it panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::pool::{PoolError, Shared};
use super::{Engine, Factory, Failure, Options, Recognition};
use crate::image::Image;

/// Between attempts to replace an engine: long enough not to spin on a file system that has gone away.
const REBUILD_PAUSE: Duration = Duration::from_secs(1);

/// One image to be read, and where to answer.
pub(super) struct Job {
    pub image: Image,
    pub options: Options,
    pub deadline: Instant,
    pub admitted: Instant,
    pub reply: oneshot::Sender<Result<Recognition, PoolError>>,
}

impl Job {
    /// Nobody waits for the answer, or nobody may wait any longer.
    pub fn abandoned(&self) -> bool {
        self.reply.is_closed() || Instant::now() >= self.deadline
    }
}

/// The thread's whole life.
pub(super) fn run(shared: &Shared, factory: &dyn Factory) {
    let mut engine = match build(factory) {
        Ok(engine) => engine,
        Err(failure) => return shared.failed_to_start(&failure),
    };
    shared.engine_is_warm();
    while let Some((job, slot)) = shared.queue.take() {
        let Some(job) = still_wanted(shared, job) else { continue };
        shared.metrics.queue_wait.observe(job.admitted.elapsed().as_secs_f64());
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| engine.recognize(&job.image, &job.options)));
        shared.served(started.elapsed());
        // Free before the answer goes out, so that a caller who has its answer can always send the next.
        drop(slot);
        let crashed = outcome.is_err();
        let answer = match outcome {
            Ok(result) => result.map_err(PoolError::from),
            Err(_) => Err(PoolError::Crashed),
        };
        // A caller that left while its image was read needs no answer.
        let _ = job.reply.send(answer);
        if crashed {
            shared.engine_was_lost();
            let Some(replacement) = rebuild(shared, factory, engine) else { return };
            engine = replacement;
            shared.engine_is_warm();
        }
    }
}

/// The job, unless its caller has gone or its deadline has passed while it waited.
fn still_wanted(shared: &Shared, job: Job) -> Option<Job> {
    if job.reply.is_closed() {
        shared.metrics.cancelled.inc();
        return None;
    }
    if Instant::now() >= job.deadline {
        let _ = job.reply.send(Err(PoolError::DeadlinePassed));
        return None;
    }
    Some(job)
}

/// A panic while an engine is made is a failure to make it.
fn build(factory: &dyn Factory) -> Result<Box<dyn Engine>, Failure> {
    catch_unwind(AssertUnwindSafe(|| factory.build()))
        .unwrap_or_else(|_| Err(Failure::Engine("the engine panicked while it was started".into())))
}

/// A new engine in place of one that panicked; tries until there is one or the pool is closed.
fn rebuild(shared: &Shared, factory: &dyn Factory, lost: Box<dyn Engine>) -> Option<Box<dyn Engine>> {
    // Its state is unknown: taking it apart may panic again, which must not end the thread.
    let _ = catch_unwind(AssertUnwindSafe(move || drop(lost)));
    loop {
        match build(factory) {
            Ok(engine) => return Some(engine),
            Err(failure) => tracing::error!(%failure, "an engine that crashed could not be replaced yet"),
        }
        if shared.closing_within(REBUILD_PAUSE) {
            return None;
        }
    }
}

/// Starts the thread. Tesseract's layout analysis recurses, so it gets the stack of a main thread.
pub(super) fn spawn(index: usize, shared: Arc<Shared>, factory: Arc<dyn Factory>) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name(format!("engine-{index}"))
        .stack_size(8 << 20)
        .spawn(move || run(&shared, factory.as_ref()))
        .map(drop)
}
