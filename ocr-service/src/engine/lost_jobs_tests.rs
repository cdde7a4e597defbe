//! Jobs that no engine reads: what their callers are told.

use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::engine::fixtures::{image, options, soon};
use crate::engine::protocol::{self, Request};
use crate::engine::{Channel, frame};

/// Engines that are ready, and then hear of the first job and say nothing.
struct Silent;

#[async_trait]
impl Launcher for Silent {
    async fn launch(&self) -> Result<Channel, Failure> {
        let (socket, theirs) = UnixStream::pair().unwrap();
        tokio::spawn(async move {
            let _open = theirs;
            std::future::pending::<()>().await;
        });
        Ok(Channel { socket, process: None })
    }
}

async fn pool(launcher: impl Launcher + 'static, places: usize) -> Pool {
    let launcher: Arc<dyn Launcher> = Arc::new(launcher);
    let size = PoolSize { engines: NonZeroUsize::MIN, places };
    let pool = Pool::start(&launcher, size, EngineMetrics::default());
    pool.warm().await.unwrap();
    pool
}

/// A pool of one engine that never answers, and the reply of the job that it reads.
async fn busy() -> (Pool, Vec<Vec<Reply>>) {
    let pool = pool(Silent, 1).await;
    let running = pool.admit(&[image("")], &options("eng"), soon()).unwrap();
    while pool.shared.queue.load().running == 0 {
        tokio::task::yield_now().await;
    }
    (pool, running)
}

#[tokio::test]
async fn a_job_that_gives_its_place_away_because_it_is_late_is_answered_as_late() {
    let (pool, _running) = busy().await;
    let mut late = pool.admit(&[image("")], &options("eng"), Instant::now()).unwrap();
    let _next = pool.admit(&[image("")], &options("eng"), soon()).unwrap();
    assert_eq!(answer(late.remove(0)).await, Err(PoolError::DeadlinePassed));
}

#[tokio::test]
async fn a_job_that_gives_its_place_away_because_its_caller_left_is_counted() {
    let (pool, _running) = busy().await;
    drop(pool.admit(&[image("")], &options("eng"), soon()).unwrap());
    let _next = pool.admit(&[image("")], &options("eng"), soon()).unwrap();
    assert_eq!(pool.metrics().cancelled.get(), 1);
}

/// The first engines end with a job in their socket that they have not read, so many of them; the others read it.
struct Leaving {
    left: AtomicUsize,
    /// They end although they have read it.
    by_the_job: bool,
}

#[async_trait]
impl Launcher for Leaving {
    async fn launch(&self) -> Result<Channel, Failure> {
        let (socket, mut theirs) = UnixStream::pair().unwrap();
        let leaves = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let (leaves, reads) = (leaves.is_ok(), self.by_the_job);
        tokio::spawn(async move {
            if leaves && !reads {
                // Of the job's first byte alone: the rest stays unread.
                return theirs.read_u8().await.map(drop);
            }
            frame::receive::<Request>(&mut theirs).await?;
            if leaves {
                return Ok(());
            }
            let read: protocol::Reply = Ok(Recognition { text: "read".into(), layout: None });
            frame::send(&mut theirs, &read, &[]).await
        });
        Ok(Channel { socket, process: None })
    }
}

async fn read_with(left: usize, by_the_job: bool) -> Result<String, PoolError> {
    let pool = pool(Leaving { left: AtomicUsize::new(left), by_the_job }, 0).await;
    let answer = pool.recognize(vec![image("")], &options("eng"), soon()).await;
    answer.map(|mut read| read.remove(0).text)
}

#[tokio::test]
async fn a_job_that_an_engine_did_not_take_before_it_ended_is_given_to_the_next() {
    assert_eq!(read_with(2, false).await, Ok("read".into()));
}

#[tokio::test]
async fn a_job_that_an_engine_ended_of_is_not_given_to_another() {
    assert_eq!(read_with(1, true).await, Err(PoolError::Crashed));
}

#[tokio::test]
async fn a_job_that_no_engine_lives_to_take_is_given_up() {
    assert_eq!(read_with(usize::MAX, false).await, Err(PoolError::Crashed));
}

/// Engines that announce a reply of 8 GiB.
struct Boasting;

#[async_trait]
impl Launcher for Boasting {
    async fn launch(&self) -> Result<Channel, Failure> {
        let (socket, mut theirs) = UnixStream::pair().unwrap();
        tokio::spawn(async move {
            frame::receive::<Request>(&mut theirs).await?;
            theirs.write_u64_le(u64::MAX).await?;
            std::future::pending::<std::io::Result<()>>().await
        });
        Ok(Channel { socket, process: None })
    }
}

#[tokio::test]
async fn an_engine_that_announces_more_than_any_reply_counts_as_crashed() {
    let pool = pool(Boasting, 0).await;
    let answer = pool.recognize(vec![image("")], &options("eng"), soon()).await;
    assert_eq!((answer, pool.metrics().crashed.get()), (Err(PoolError::Crashed), 1));
}
