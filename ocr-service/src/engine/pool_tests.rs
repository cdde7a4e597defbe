//! The pool with engines that are no processes but speak the same frames; the test decides their pace.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use super::*;
use crate::engine::fixtures::{options, soon};
use crate::engine::protocol::{Request, Started};
use crate::engine::{Channel, frame};
use crate::image::Limits;

/// Engines that say what they were given, each time the test lets one. They die of "poison", find "torn" undecodable
/// and the first share of "half torn", hear nothing any more over "stubborn", and end after "farewell".
struct Double {
    /// A permit for each recognition.
    gate: Arc<Semaphore>,
    started: Started,
}

#[async_trait]
impl Launcher for Double {
    async fn launch(&self) -> Result<Channel, Failure> {
        self.started.clone()?;
        let (socket, theirs) = UnixStream::pair().unwrap();
        tokio::spawn(live(theirs, self.gate.clone()));
        Ok(Channel { socket, process: None })
    }
}

/// The double's whole life: until the other end is closed, or it dies.
async fn live(mut socket: UnixStream, gate: Arc<Semaphore>) -> io::Result<()> {
    loop {
        let (request, image) = hear(&mut socket).await?;
        // A cancellation that came too late.
        let Request::Recognize(task) = request else { continue };
        let word = String::from_utf8_lossy(&image[26..]).into_owned();
        let reply = match word.as_str() {
            "poison" => return Ok(()),
            "stubborn" => std::future::pending().await,
            "torn" => Err(Failure::Undecodable),
            "half torn" if task.share.index == 0 => Err(Failure::Undecodable),
            _ => tokio::select! {
                permit = gate.acquire() => {
                    permit.unwrap().forget();
                    Ok(Recognition { text: said(&word, task.share), layout: None })
                }
                heard = hear(&mut socket) => match heard?.0 {
                    Request::Cancel(id) => { assert_eq!(id, task.id); Err(Failure::Stopped) }
                    Request::Recognize(_) => panic!("a second task before the first is done"),
                },
            },
        };
        frame::send(&mut socket, &reply, &[]).await?;
        if word == "farewell" {
            return Ok(());
        }
    }
}

/// Frames with their bytes are read by threads in real engines; here by one that is borrowed for the frame.
async fn hear(socket: &mut UnixStream) -> io::Result<(Request, Vec<u8>)> {
    use tokio::io::AsyncReadExt;
    let (head, body) = (socket.read_u32_le().await?, socket.read_u32_le().await?);
    let mut bytes = vec![0; head as usize + body as usize];
    socket.read_exact(&mut bytes).await?;
    let image = bytes.split_off(head as usize);
    Ok((serde_json::from_slice(&bytes)?, image))
}

/// What is read in a share: the whole word in the first, but of "shared" a part in each.
fn said(word: &str, share: Share) -> String {
    match share {
        Share { index, of } if of > 1 && word == "shared" => format!("shared {index}/{of} "),
        Share { index: 0, .. } => word.to_owned(),
        Share { .. } => String::new(),
    }
}

/// Lets engines finish.
struct Gate(Arc<Semaphore>);

impl Gate {
    /// Lets one recognition be finished.
    fn open(&self) {
        self.0.add_permits(1);
    }

    fn is_used_up(&self) -> bool {
        self.0.available_permits() == 0
    }
}

async fn pool(engines: usize, places: usize) -> (Pool, Gate) {
    let gate = Arc::new(Semaphore::new(0));
    let size = PoolSize { engines: NonZeroUsize::new(engines).unwrap(), places };
    let launcher: Arc<dyn Launcher> = Arc::new(Double { gate: gate.clone(), started: Ok(()) });
    let pool = Pool::start(&launcher, size, EngineMetrics::default());
    pool.warm().await.unwrap();
    (pool, Gate(gate))
}

fn image(word: &str) -> Image {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x04\0\0\0\x04\0\x01\0".to_vec();
    bytes.extend(word.bytes());
    Image::check(Bytes::from(bytes), Limits { max_pixels: 1 << 20 }).unwrap()
}

async fn ask(pool: &Pool, word: &str) -> Result<Vec<Recognition>, PoolError> {
    pool.recognize(vec![image(word)], &options("eng"), soon()).await
}

/// Starts a request and gives it the time to be admitted.
async fn send(
    pool: &Pool,
    word: &'static str,
) -> tokio::task::JoinHandle<Result<Vec<Recognition>, PoolError>> {
    let before = pool.shared.queue.load();
    let task = tokio::spawn({
        let pool = pool.clone();
        async move { ask(&pool, word).await }
    });
    let admitted = |load: Load| load.running + load.waiting > before.running + before.waiting;
    until(|| admitted(pool.shared.queue.load())).await;
    task
}

/// A request whose deadline is long enough to be under way before it passes, on a machine that is busy too.
async fn runs_until_its_deadline(pool: &Pool, word: &str) -> Result<Vec<Recognition>, PoolError> {
    let (images, options) = (vec![image(word)], options("eng"));
    let under_way = until(|| pool.shared.queue.load().running == 1);
    let answer = pool.recognize(images, &options, Instant::now() + Duration::from_secs(2));
    tokio::join!(answer, under_way).0
}

async fn until(condition: impl Fn() -> bool) {
    let polled = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), polled).await.expect("it never came about");
}

fn texts(answer: Result<Vec<Recognition>, PoolError>) -> Vec<String> {
    answer.unwrap().into_iter().map(|recognition| recognition.text).collect()
}

#[tokio::test]
async fn with_two_engines_and_three_places_the_sixth_request_is_refused_at_once() {
    let (pool, gate) = pool(2, 3).await;
    let mut admitted = Vec::new();
    for _ in 0..5 {
        admitted.push(send(&pool, "word").await);
    }
    assert!(matches!(ask(&pool, "sixth").await, Err(PoolError::Full { .. })));
    // Enough for all at once, and for shares: any engine may take any.
    gate.0.add_permits(20);
    for task in admitted {
        assert_eq!(texts(task.await.unwrap()), ["word"]);
    }
    assert_eq!(texts(ask(&pool, "seventh").await), ["seventh"]);
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back() {
    let (pool, _gate) = pool(1, 0).await;
    pool.shared.served(Duration::from_millis(2500));
    let _running = send(&pool, "word").await;
    let refused = ask(&pool, "next").await.unwrap_err();
    assert_eq!(refused, PoolError::Full { retry_after: Duration::from_secs(3) });
}

/// A pool of one engine that is at its first image, which has read so many others, in 10 s each.
async fn at_work(readings: u64) -> (Pool, Gate) {
    let (pool, gate) = pool(1, 9).await;
    for _ in 0..readings {
        pool.shared.served(Duration::from_secs(10));
    }
    send(&pool, "first").await;
    until(|| pool.shared.queue.load().running == 1).await;
    (pool, gate)
}

async fn hurried(pool: &Pool) -> Result<Vec<Recognition>, PoolError> {
    let deadline = Instant::now() + Duration::from_millis(50);
    pool.recognize(vec![image("hurried")], &options("eng"), deadline).await
}

#[tokio::test]
async fn a_request_with_too_much_ahead_of_it_for_its_deadline_is_refused_at_once() {
    let (pool, _gate) = at_work(ENOUGH_READINGS).await;
    let _patient = [send(&pool, "second").await, send(&pool, "third").await];
    assert!(matches!(hurried(&pool).await, Err(PoolError::Full { .. })));
    assert_eq!((pool.metrics().refused.get(), pool.metrics().expired.get()), (1, 0));
}

#[tokio::test]
async fn a_request_is_not_refused_for_its_deadline_where_nobody_waits_or_too_little_is_known() {
    let (pool, _gate) = at_work(ENOUGH_READINGS).await;
    for _ in 0..2 {
        assert_eq!(hurried(&pool).await, Err(PoolError::DeadlinePassed), "the one before waits no more");
    }
    let (pool, _gate) = at_work(ENOUGH_READINGS - 1).await;
    let _patient = send(&pool, "second").await;
    assert_eq!(hurried(&pool).await, Err(PoolError::DeadlinePassed));
}

#[tokio::test]
async fn an_answer_frees_its_place_before_the_caller_has_it() {
    let (pool, gate) = pool(1, 0).await;
    for _ in 0..200 {
        gate.open();
        assert_eq!(texts(ask(&pool, "again").await), ["again"]);
    }
}

#[tokio::test]
async fn a_request_whose_deadline_passes_while_it_waits_is_never_read() {
    let (pool, gate) = pool(1, 1).await;
    let running = send(&pool, "first").await;
    let late = pool.recognize(vec![image("late")], &options("eng"), Instant::now()).await;
    assert_eq!(late, Err(PoolError::DeadlinePassed));
    gate.open();
    running.await.unwrap().unwrap();
    until(|| pool.shared.queue.load() == Load { running: 0, waiting: 0 }).await;
    assert!(gate.is_used_up());
    assert_eq!((pool.metrics().expired.get(), pool.metrics().cancelled.get()), (1, 0));
    gate.open();
    assert_eq!(texts(ask(&pool, "next").await), ["next"], "the late one did not use it up");
}

#[tokio::test]
async fn a_caller_that_leaves_gives_its_place_to_the_next() {
    let (pool, gate) = pool(1, 1).await;
    let running = send(&pool, "first").await;
    let waiting = send(&pool, "leaves").await;
    waiting.abort();
    let _ = waiting.await;
    let next = tokio::spawn({
        let pool = pool.clone();
        async move { ask(&pool, "next").await }
    });
    gate.open();
    gate.open();
    assert_eq!(texts(running.await.unwrap()), ["first"]);
    assert_eq!(texts(next.await.unwrap()), ["next"]);
}

#[tokio::test]
async fn a_crash_fails_its_own_request_only_and_the_engine_is_replaced() {
    let (pool, gate) = pool(1, 3).await;
    gate.open();
    let (poison, healthy) = tokio::join!(ask(&pool, "poison"), ask(&pool, "healthy"));
    assert_eq!(poison, Err(PoolError::Crashed));
    assert_eq!(texts(healthy), ["healthy"]);
    until(|| pool.is_ready()).await;
}

#[tokio::test]
async fn a_torn_image_is_the_senders_fault_and_costs_no_engine() {
    let (pool, _gate) = pool(1, 0).await;
    assert_eq!(ask(&pool, "torn").await, Err(PoolError::Image(Failure::Undecodable)));
    assert!(pool.is_ready());
}

#[tokio::test]
async fn a_batch_keeps_its_order_and_one_that_never_fits_says_so() {
    let (pool, gate) = pool(1, 2).await;
    let batch = |words: &[&str]| words.iter().map(|word| image(word)).collect::<Vec<_>>();
    for _ in 0..3 {
        gate.open();
    }
    let answer = pool.recognize(batch(&["a", "b", "c"]), &options("eng"), soon()).await;
    assert_eq!(texts(answer), ["a", "b", "c"]);
    let answer = pool.recognize(batch(&["a", "b", "c", "d"]), &options("eng"), soon()).await;
    assert_eq!(answer, Err(PoolError::NeverFits { asked: 4, capacity: 3 }));
}

#[tokio::test]
async fn a_pool_that_cannot_start_says_why() {
    let size = PoolSize { engines: NonZeroUsize::MIN, places: 0 };
    let started = Err(Failure::Engine("no trained data".into()));
    let launcher: Arc<dyn Launcher> = Arc::new(Double { gate: Arc::new(Semaphore::new(0)), started });
    let pool = Pool::start(&launcher, size, EngineMetrics::default());
    assert_eq!(pool.warm().await, Err("no trained data".into()));
    assert!(!pool.is_ready());
}

#[tokio::test]
async fn a_deadline_ends_the_work_and_keeps_the_engine() {
    let (pool, gate) = pool(1, 0).await;
    assert_eq!(runs_until_its_deadline(&pool, "slow").await, Err(PoolError::DeadlinePassed));
    until(|| pool.shared.queue.load().running == 0).await;
    gate.open();
    assert_eq!(texts(ask(&pool, "next").await), ["next"]);
    let metrics = pool.metrics();
    assert_eq!((metrics.expired.get(), metrics.killed.get(), metrics.cancelled.get()), (1, 0, 0));
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_work_and_keeps_the_engine() {
    let (pool, gate) = pool(1, 0).await;
    let running = send(&pool, "leaves").await;
    until(|| pool.shared.queue.load().running == 1).await;
    running.abort();
    until(|| pool.shared.queue.load().running == 0).await;
    gate.open();
    assert_eq!(texts(ask(&pool, "next").await), ["next"]);
    let metrics = pool.metrics();
    assert_eq!((metrics.cancelled.get(), metrics.killed.get(), metrics.expired.get()), (1, 0, 0));
}

#[tokio::test]
async fn an_engine_that_does_not_stop_is_replaced() {
    let (pool, gate) = pool(1, 1).await;
    assert_eq!(runs_until_its_deadline(&pool, "stubborn").await, Err(PoolError::DeadlinePassed));
    gate.open();
    assert_eq!(texts(ask(&pool, "next").await), ["next"]);
    assert_eq!((pool.metrics().killed.get(), pool.metrics().crashed.get()), (1, 0));
}

#[tokio::test]
async fn an_engine_that_ends_while_it_has_nothing_to_do_is_replaced_and_no_request_fails() {
    let (pool, gate) = pool(1, 0).await;
    gate.open();
    assert_eq!(texts(ask(&pool, "farewell").await), ["farewell"]);
    until(|| pool.metrics().crashed.get() == 1 && pool.is_ready()).await;
    gate.open();
    assert_eq!(texts(ask(&pool, "next").await), ["next"]);
}

#[tokio::test]
async fn one_image_is_shared_by_the_engines_that_have_nothing_to_do_and_joined_in_order() {
    let (pool, gate) = pool(3, 0).await;
    until(|| pool.shared.queue.idle() == 3).await;
    let shared = send(&pool, "shared").await;
    assert_eq!(pool.shared.queue.load().running + pool.shared.queue.load().waiting, 3);
    gate.0.add_permits(3);
    assert_eq!(texts(shared.await.unwrap()), ["shared 0/3 shared 1/3 shared 2/3 "]);
}

#[tokio::test]
async fn a_shared_image_uses_one_place_and_the_next_is_not_shared_with_busy_engines() {
    let (pool, gate) = pool(2, 0).await;
    until(|| pool.shared.queue.idle() == 2).await;
    let shared = send(&pool, "shared").await;
    let alone = send(&pool, "shared").await;
    assert!(matches!(ask(&pool, "third").await, Err(PoolError::Full { .. })));
    gate.0.add_permits(3);
    assert_eq!(texts(shared.await.unwrap()), ["shared 0/2 shared 1/2 "]);
    assert_eq!(texts(alone.await.unwrap()), ["shared"]);
}

#[tokio::test]
async fn what_is_given_up_because_another_share_failed_has_no_caller_that_left() {
    let (pool, _gate) = pool(2, 0).await;
    until(|| pool.shared.queue.idle() == 2).await;
    assert_eq!(ask(&pool, "half torn").await, Err(PoolError::Image(Failure::Undecodable)));
    until(|| pool.shared.queue.load() == Load { running: 0, waiting: 0 }).await;
    assert_eq!(pool.metrics().cancelled.get(), 0);
}

#[tokio::test]
async fn a_closed_pool_finishes_what_it_took_and_takes_no_more() {
    let (pool, gate) = pool(1, 1).await;
    pool.warm().await.unwrap();
    let running = send(&pool, "last").await;
    pool.close();
    assert_eq!(ask(&pool, "late").await, Err(PoolError::Closed));
    gate.open();
    assert_eq!(texts(running.await.unwrap()), ["last"]);
}
