//! The pool with a fake engine whose pace the test decides.

use std::sync::Mutex;
use std::sync::mpsc;

use bytes::Bytes;

use super::*;
use crate::engine::Engine;
use crate::engine::prepare::Preparation;
use crate::image::Limits;

/// Says what it was given when the test lets it, and panics on "poison".
struct Gated(Arc<Mutex<mpsc::Receiver<()>>>);

impl Engine for Gated {
    fn recognize(&mut self, image: &Image, _: &Options) -> Result<Recognition, Failure> {
        let word = String::from_utf8_lossy(&image.bytes()[26..]).into_owned();
        assert!(word != "poison", "this engine dies of it");
        if word == "torn" {
            return Err(Failure::Undecodable);
        }
        self.0.lock().unwrap().recv().unwrap();
        Ok(Recognition { text: word })
    }
}

impl Factory for Gated {
    fn build(&self) -> Result<Box<dyn Engine>, Failure> {
        Ok(Box::new(Gated(self.0.clone())))
    }
}

struct Broken;

impl Factory for Broken {
    fn build(&self) -> Result<Box<dyn Engine>, Failure> {
        Err(Failure::Engine("no trained data".into()))
    }
}

fn pool(engines: usize, places: usize) -> (Pool, mpsc::Sender<()>) {
    let (gate, wait) = mpsc::channel();
    let size = PoolSize { engines: NonZeroUsize::new(engines).unwrap(), places };
    let factory: Arc<dyn Factory> = Arc::new(Gated(Arc::new(Mutex::new(wait))));
    (Pool::start(&factory, size, EngineMetrics::default()).unwrap(), gate)
}

fn image(word: &str) -> Image {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x01\0".to_vec();
    bytes.extend(word.bytes());
    Image::check(Bytes::from(bytes), Limits { max_pixels: 1 }).unwrap()
}

fn options() -> Options {
    Options { language: "eng".parse().unwrap(), segmentation: None, preparation: Preparation::Off }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

async fn ask(pool: &Pool, word: &str) -> Result<Vec<Recognition>, PoolError> {
    pool.recognize(vec![image(word)], &options(), soon()).await
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
    let (pool, gate) = pool(2, 3);
    let mut admitted = Vec::new();
    for _ in 0..5 {
        admitted.push(send(&pool, "word").await);
    }
    assert!(matches!(ask(&pool, "sixth").await, Err(PoolError::Full { .. })));
    // All at once: either engine may take a token, so no one token is for one task.
    for _ in &admitted {
        gate.send(()).unwrap();
    }
    for task in admitted {
        assert_eq!(texts(task.await.unwrap()), ["word"]);
    }
    gate.send(()).unwrap();
    assert_eq!(texts(ask(&pool, "seventh").await), ["seventh"]);
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back() {
    let (pool, _gate) = pool(1, 0);
    pool.shared.served(Duration::from_millis(2500));
    let _running = send(&pool, "word").await;
    let refused = ask(&pool, "next").await.unwrap_err();
    assert_eq!(refused, PoolError::Full { retry_after: Duration::from_secs(3) });
}

#[tokio::test]
async fn an_answer_frees_its_place_before_the_caller_has_it() {
    let (pool, gate) = pool(1, 0);
    for _ in 0..200 {
        gate.send(()).unwrap();
        assert_eq!(texts(ask(&pool, "again").await), ["again"]);
    }
}

#[tokio::test]
async fn a_request_whose_deadline_passes_while_it_waits_is_never_read() {
    let (pool, gate) = pool(1, 1);
    let running = send(&pool, "first").await;
    let late = pool.recognize(vec![image("late")], &options(), Instant::now()).await;
    assert_eq!(late, Err(PoolError::DeadlinePassed));
    gate.send(()).unwrap();
    running.await.unwrap().unwrap();
    until(|| pool.shared.queue.load() == Load { running: 0, waiting: 0 }).await;
    assert!(gate.send(()).is_ok());
    assert_eq!(
        texts(ask(&pool, "next").await),
        ["next"],
        "the gate's one token was not used up by the late one"
    );
}

#[tokio::test]
async fn a_caller_that_leaves_gives_its_place_to_the_next() {
    let (pool, gate) = pool(1, 1);
    let running = send(&pool, "first").await;
    let waiting = send(&pool, "leaves").await;
    waiting.abort();
    let _ = waiting.await;
    let next = tokio::spawn({
        let pool = pool.clone();
        async move { ask(&pool, "next").await }
    });
    gate.send(()).unwrap();
    gate.send(()).unwrap();
    assert_eq!(texts(running.await.unwrap()), ["first"]);
    assert_eq!(texts(next.await.unwrap()), ["next"]);
}

#[tokio::test]
async fn a_crash_fails_its_own_request_only_and_the_engine_is_replaced() {
    let (pool, gate) = pool(1, 3);
    gate.send(()).unwrap();
    let (poison, healthy) = tokio::join!(ask(&pool, "poison"), ask(&pool, "healthy"));
    assert_eq!(poison, Err(PoolError::Crashed));
    assert_eq!(texts(healthy), ["healthy"]);
    until(|| pool.is_ready()).await;
}

#[tokio::test]
async fn a_torn_image_is_the_senders_fault_and_costs_no_engine() {
    let (pool, _gate) = pool(1, 0);
    assert_eq!(ask(&pool, "torn").await, Err(PoolError::Image(Failure::Undecodable)));
    assert!(pool.is_ready());
}

#[tokio::test]
async fn a_batch_keeps_its_order_and_one_that_never_fits_says_so() {
    let (pool, gate) = pool(1, 2);
    let batch = |words: &[&str]| words.iter().map(|word| image(word)).collect::<Vec<_>>();
    for _ in 0..3 {
        gate.send(()).unwrap();
    }
    let answer = pool.recognize(batch(&["a", "b", "c"]), &options(), soon()).await;
    assert_eq!(texts(answer), ["a", "b", "c"]);
    let answer = pool.recognize(batch(&["a", "b", "c", "d"]), &options(), soon()).await;
    assert_eq!(answer, Err(PoolError::NeverFits { asked: 4, capacity: 3 }));
}

#[tokio::test]
async fn a_pool_that_cannot_start_says_why() {
    let size = PoolSize { engines: NonZeroUsize::MIN, places: 0 };
    let factory: Arc<dyn Factory> = Arc::new(Broken);
    let pool = Pool::start(&factory, size, EngineMetrics::default()).unwrap();
    assert_eq!(pool.warm().await, Err("no trained data".into()));
    assert!(!pool.is_ready());
}

#[tokio::test]
async fn a_closed_pool_finishes_what_it_took_and_takes_no_more() {
    let (pool, gate) = pool(1, 1);
    pool.warm().await.unwrap();
    let running = send(&pool, "last").await;
    pool.close();
    assert_eq!(ask(&pool, "late").await, Err(PoolError::Closed));
    gate.send(()).unwrap();
    assert_eq!(texts(running.await.unwrap()), ["last"]);
}
