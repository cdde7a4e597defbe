//! The pool: a fixed number of engines behind a bounded queue.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::prepare::Preparation;
use super::protocol::Share;
use super::queue::{Load, Queue, Refused};
use super::supervisor::{self, Job};
use super::{Failure, Launcher, Options, Recognition};
use crate::image::Image;
use crate::metrics::EngineMetrics;

/// How much is done at once and how much may wait.
#[derive(Clone, Copy, Debug)]
pub struct PoolSize {
    pub engines: NonZeroUsize,
    pub places: usize,
}

impl PoolSize {
    pub fn capacity(self) -> usize {
        self.engines.get() + self.places
    }
}

/// Why the pool gave no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    #[error(
        "all engines are busy and the queue is full, or longer than the request may wait; try again in {} s",
        retry_after.as_secs()
    )]
    Full { retry_after: Duration },
    #[error(
        "{asked} images in one request are more than this server ever takes at once ({capacity}); send fewer"
    )]
    NeverFits { asked: usize, capacity: usize },
    #[error("the image was not read before the request's deadline; try again when the server is less busy")]
    DeadlinePassed,
    #[error(transparent)]
    Image(Failure),
    #[error("tesseract failed: {0}")]
    Engine(String),
    #[error("the engine crashed on this image and was replaced; do not send the image again")]
    Crashed,
    #[error("the server is shutting down; try again")]
    Closed,
}

impl From<Failure> for PoolError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Undecodable => Self::Image(failure),
            // Nobody but a deadline stops an engine whose caller still listens.
            Failure::Stopped => Self::DeadlinePassed,
            Failure::Engine(message) => Self::Engine(message),
        }
    }
}

/// A handle on the engines; clones share them.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

/// What the callers and the engines' supervisors have in common.
pub(super) struct Shared {
    pub queue: Queue<Job>,
    pub metrics: EngineMetrics,
    size: PoolSize,
    warmth: watch::Sender<Warmth>,
    /// Smoothed time of one recognition in microseconds; 0 before the first.
    typical_micros: AtomicU64,
    /// How many recognitions that time was smoothed over.
    readings: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct Warmth {
    engines: usize,
    failed: Option<String>,
}

impl Pool {
    /// Starts the engines; [`Pool::warm`] tells when they are ready.
    pub fn start(launcher: &Arc<dyn Launcher>, size: PoolSize, metrics: EngineMetrics) -> Self {
        let shared = Arc::new(Shared {
            queue: Queue::new(size.capacity()),
            metrics,
            size,
            warmth: watch::Sender::new(Warmth::default()),
            typical_micros: AtomicU64::new(0),
            readings: AtomicU64::new(0),
        });
        for _ in 0..size.engines.get() {
            tokio::spawn(supervisor::run(shared.clone(), launcher.clone()));
        }
        Self { shared }
    }

    /// Waits until every engine has recognised something; the error is that of the first that could not be started.
    pub async fn warm(&self) -> Result<(), String> {
        let all = self.shared.size.engines.get();
        let mut warmth = self.shared.warmth.subscribe();
        let settled = warmth.wait_for(|warmth| warmth.failed.is_some() || warmth.engines == all).await;
        match settled.ok().and_then(|warmth| warmth.failed.clone()) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// At least one engine can work.
    pub fn is_ready(&self) -> bool {
        self.shared.warmth.borrow().engines > 0
    }

    /// Reads all images, on as many engines as are free. All are admitted, or none.
    pub async fn recognize(
        &self,
        images: Vec<Image>,
        options: &Options,
        deadline: Instant,
    ) -> Result<Vec<Recognition>, PoolError> {
        let replies = self.admit(&images, options, deadline)?;
        let answers = futures_util::future::try_join_all(replies.into_iter().map(answer));
        // The caller gets its answer at its deadline even if an engine is still at it.
        let answers = tokio::time::timeout_at(deadline.into(), answers).await;
        let answers = answers.unwrap_or(Err(PoolError::DeadlinePassed));
        if answers == Err(PoolError::DeadlinePassed) {
            self.shared.metrics.expired.inc();
        }
        answers
    }

    /// What one more request would be told at this moment, where it would be refused: so that its image need not be
    /// received. Counted as refused.
    pub fn refused(&self) -> Option<PoolError> {
        let load = self.shared.queue.full(Job::abandoned)?;
        self.shared.metrics.refused.inc();
        Some(PoolError::Full { retry_after: self.shared.retry_after(load) })
    }

    /// The images that one request may have at most.
    pub fn capacity(&self) -> usize {
        self.shared.size.capacity()
    }

    /// Takes no more images; those already taken are finished.
    pub fn close(&self) {
        self.shared.queue.close();
    }

    /// Closes, and waits until no engine is at work, but no longer than `patience`.
    ///
    /// Engines that are still at work then end with the process.
    pub async fn finish(&self, patience: Duration) {
        self.close();
        let idle = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(10));
            while self.shared.queue.load().running > 0 {
                ticks.tick().await;
            }
        };
        if tokio::time::timeout(patience, idle).await.is_err() {
            tracing::warn!("an engine is still at work and is cut off");
        }
    }

    pub fn metrics(&self) -> &EngineMetrics {
        &self.shared.metrics
    }

    /// Brings the gauges up to date; called when they are read, so that the hot path need not.
    pub fn observe(&self) {
        let load = self.shared.queue.load();
        self.shared.metrics.set_load(load.running, load.waiting);
    }

    /// The replies to come, for each image those of its shares in order.
    fn admit(
        &self,
        images: &[Image],
        options: &Options,
        deadline: Instant,
    ) -> Result<Vec<Vec<Reply>>, PoolError> {
        let (asked, capacity) = (images.len(), self.capacity());
        if asked > capacity {
            return Err(PoolError::NeverFits { asked, capacity });
        }
        let mut replies = Vec::with_capacity(asked);
        let failed = Arc::new(AtomicBool::new(false));
        let jobs = |idle: usize| {
            let is_shared = asked == 1 && images.iter().all(|image| is_worth_sharing(image, options));
            let of = if is_shared { idle.clamp(1, MAX_SHARES) } else { 1 };
            let shares = |image: &Image| {
                (0..of).map(|index| job(image, options, deadline, Share { index, of }, &failed)).unzip()
            };
            let (jobs, answers) = images.iter().map(shares).unzip();
            replies = answers;
            jobs
        };
        // A place that leads to nothing but a passed deadline is none: another model may still have time for it.
        let soon_enough = |ahead| self.shared.known_wait(ahead) / UNEVEN <= time_left(deadline);
        let discard = |job| drop(self.shared.still_wanted(job));
        let admitted = self.shared.queue.admit(asked, soon_enough, Job::abandoned, discard, jobs);
        admitted.map_err(|refused| match refused {
            Refused::Closed => PoolError::Closed,
            Refused::Full(load) => {
                self.shared.metrics.refused.inc();
                PoolError::Full { retry_after: self.shared.retry_after(load) }
            }
        })?;
        Ok(replies)
    }
}

/// Images differ, and what waits may be smaller than what was read: only who would wait so many times too long is refused.
const UNEVEN: u32 = 2;
/// Recognitions after which their typical time is known: the first counts for a hundredth of it then.
const ENOUGH_READINGS: u64 = 32;

/// Over how many idle engines one image is spread at most: each prepares the whole image before it reads its share.
const MAX_SHARES: usize = 4;

/// Pixels. What is smaller is read sooner by one engine alone than it is prepared twice.
const LEAST_SHARED: u64 = 200_000;

/// Large, and cut into regions: as it was sent an image is one.
fn is_worth_sharing(image: &Image, options: &Options) -> bool {
    image.pixels() >= LEAST_SHARED && options.segmentation.is_none() && options.preparation == Preparation::On
}

pub(super) fn time_left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

type Reply = oneshot::Receiver<Result<Recognition, PoolError>>;

fn job(
    image: &Image,
    options: &Options,
    deadline: Instant,
    share: Share,
    failed: &Arc<AtomicBool>,
) -> (Job, Reply) {
    let (reply, answer) = oneshot::channel();
    let (image, options, failed) = (image.clone(), options.clone(), failed.clone());
    (Job { image, options, share, deadline, admitted: Instant::now(), missed: 0, failed, reply }, answer)
}

/// What the shares of one image say together.
async fn answer(shares: Vec<Reply>) -> Result<Recognition, PoolError> {
    let mut parts = futures_util::future::try_join_all(shares.into_iter().map(part)).await?.into_iter();
    let mut whole = parts.next().unwrap_or_default();
    for part in parts {
        whole.text.push_str(&part.text);
        if let (Some(layout), Some(below)) = (&mut whole.layout, part.layout) {
            layout.append(below);
        }
    }
    Ok(whole)
}

/// A job that was dropped unanswered was dropped because the pool closed.
async fn part(reply: Reply) -> Result<Recognition, PoolError> {
    reply.await.unwrap_or(Err(PoolError::Closed))
}

impl Shared {
    pub fn engine_is_warm(&self) {
        self.warmth.send_modify(|warmth| warmth.engines += 1);
    }

    pub fn engine_was_lost(&self) {
        self.warmth.send_modify(|warmth| warmth.engines -= 1);
    }

    pub fn failed_to_start(&self, failure: &Failure) {
        self.warmth.send_modify(|warmth| {
            warmth.failed.get_or_insert_with(|| failure.to_string());
        });
    }

    /// The job, unless its caller has gone or its deadline has passed while it waited: then it is answered and counted.
    pub fn still_wanted(&self, job: Job) -> Option<Job> {
        if job.reply.is_closed() {
            self.count_given_up(&job);
            return None;
        }
        if Instant::now() >= job.deadline {
            let _ = job.reply.send(Err(PoolError::DeadlinePassed));
            return None;
        }
        Some(job)
    }

    /// Counts a job that was given up, if that was because its caller has gone.
    pub fn count_given_up(&self, job: &Job) {
        if job.caller_has_gone() {
            self.metrics.cancelled.inc();
        }
    }

    /// Remembers how long one recognition took: an eighth of the new, seven of the old.
    pub fn served(&self, took: Duration) {
        self.metrics.recognition.observe(took.as_secs_f64());
        let new = u64::try_from(took.as_micros()).unwrap_or(u64::MAX / 8);
        let old = self.typical_micros.load(Ordering::Relaxed);
        let smoothed = if old == 0 { new } else { old - old / 8 + new / 8 };
        // Two engines that finish together may lose one sample: good enough for a hint.
        self.typical_micros.store(smoothed, Ordering::Relaxed);
        self.readings.fetch_add(1, Ordering::Relaxed);
    }

    /// About when a place will be free, in whole seconds as HTTP wants it, at least one.
    fn retry_after(&self, load: Load) -> Duration {
        let micros = self.typical_micros_of(load.running + load.waiting);
        Duration::from_secs(micros.div_ceil(1_000_000).clamp(1, 60))
    }

    /// How long the engines will be at what is ahead of a request, as far as is known; what they are at already is not
    /// counted, because it may end at any moment. Nothing, until enough was read to know.
    fn known_wait(&self, ahead: usize) -> Duration {
        if self.readings.load(Ordering::Relaxed) < ENOUGH_READINGS {
            return Duration::ZERO;
        }
        Duration::from_micros(self.typical_micros_of(ahead))
    }

    /// Of so many jobs on all engines together.
    fn typical_micros_of(&self, jobs: usize) -> u64 {
        let jobs = u64::try_from(jobs).unwrap_or(u64::MAX);
        let engines = u64::try_from(self.size.engines.get()).unwrap_or(1);
        self.typical_micros.load(Ordering::Relaxed).saturating_mul(jobs) / engines
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "lost_jobs_tests.rs"]
mod lost_jobs;
