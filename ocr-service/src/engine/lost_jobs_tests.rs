//! Jobs that no engine reads: what their callers are told.

use std::io;

use bytes::Bytes;
use tokio::net::UnixStream;

use super::*;
use crate::engine::options::Output;
use crate::engine::protocol::{Settings, Started};
use crate::engine::{Channel, frame};
use crate::image::Limits;

/// Engines that are ready, and then hear of the first job and say nothing.
struct Silent;

impl Launcher for Silent {
    fn launch(&self) -> io::Result<Channel> {
        let (socket, mut theirs) = UnixStream::pair()?;
        tokio::spawn(async move {
            frame::receive::<Settings>(&mut theirs).await?;
            frame::send(&mut theirs, &Started::Ok(()), &[]).await?;
            std::future::pending::<io::Result<()>>().await
        });
        Ok(Channel { socket, settings: settings(), child: None })
    }
}

fn settings() -> Settings {
    Settings { data: None, language: "eng".parse().unwrap() }
}

async fn pool(launcher: impl Launcher + 'static, places: usize) -> Pool {
    let launcher: Arc<dyn Launcher> = Arc::new(launcher);
    let size = PoolSize { engines: NonZeroUsize::MIN, places };
    let pool = Pool::start(&launcher, size, EngineMetrics::default());
    pool.warm().await.unwrap();
    pool
}

fn image() -> Image {
    let bytes = Bytes::from_static(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x01\0");
    Image::check(bytes, Limits { max_pixels: 1 }).unwrap()
}

fn options() -> Options {
    Options {
        language: "eng".parse().unwrap(),
        segmentation: None,
        preparation: Preparation::On,
        dpi: None,
        output: Output::Text,
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

/// A pool of one engine that never answers, and the reply of the job that it reads.
async fn busy() -> (Pool, Vec<Vec<Reply>>) {
    let pool = pool(Silent, 1).await;
    let running = pool.admit(&[image()], &options(), soon()).unwrap();
    while pool.shared.queue.load().running == 0 {
        tokio::task::yield_now().await;
    }
    (pool, running)
}

#[tokio::test]
async fn a_job_that_gives_its_place_away_because_it_is_late_is_answered_as_late() {
    let (pool, _running) = busy().await;
    let mut late = pool.admit(&[image()], &options(), Instant::now()).unwrap();
    let _next = pool.admit(&[image()], &options(), soon()).unwrap();
    assert_eq!(answer(late.remove(0)).await, Err(PoolError::DeadlinePassed));
}

#[tokio::test]
async fn a_job_that_gives_its_place_away_because_its_caller_left_is_counted() {
    let (pool, _running) = busy().await;
    drop(pool.admit(&[image()], &options(), soon()).unwrap());
    let _next = pool.admit(&[image()], &options(), soon()).unwrap();
    assert_eq!(pool.metrics().cancelled.get(), 1);
}
