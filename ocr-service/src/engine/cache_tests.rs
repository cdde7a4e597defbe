//! The cache with a reader whose pace and outcome the test decides.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::*;
use crate::engine::fixtures::{image, options, soon};

fn cache(limit: usize) -> Cache {
    Cache::new(limit, CacheMetrics::default())
}

/// Counts how often it reads; reads only as many times as there are permits, and says what it was given.
#[derive(Default)]
struct Reader {
    started: AtomicUsize,
    gate: Option<Semaphore>,
    metrics: EngineMetrics,
}

impl Reader {
    async fn read(&self, images: Vec<Image>) -> Result<Vec<Recognition>, PoolError> {
        self.started.fetch_add(1, Ordering::SeqCst);
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        let text = |image: &Image| String::from_utf8_lossy(&image.bytes()[26..]).into_owned();
        if images.iter().any(|image| text(image) == "poison") {
            return Err(PoolError::Crashed);
        }
        Ok(images.iter().map(|image| Recognition { text: text(image), layout: None }).collect())
    }

    fn gated() -> Self {
        Self { gate: Some(Semaphore::new(0)), ..Self::default() }
    }

    fn times(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }
}

async fn ask(
    cache: &Cache,
    reader: &Reader,
    word: &str,
    deadline: Instant,
) -> Result<Vec<Recognition>, PoolError> {
    let read = |images| reader.read(images);
    cache.one(vec![image(word)], &options("eng"), deadline, &reader.metrics, read).await
}

#[tokio::test]
async fn the_same_image_is_read_once() {
    let (cache, reader) = (cache(1 << 20), Reader::default());
    for _ in 0..3 {
        assert_eq!(ask(&cache, &reader, "word", soon()).await.unwrap()[0].text, "word");
    }
    assert_eq!((reader.times(), cache.metrics().hits.get(), cache.metrics().misses.get()), (1, 2, 1));
    assert!(cache.metrics().bytes.get() > 0);
}

#[tokio::test]
async fn another_language_is_another_result() {
    let (cache, reader) = (cache(1 << 20), Reader::default());
    for language in ["eng", "kor", "eng"] {
        let options = options(language);
        let read = |images| reader.read(images);
        cache.one(vec![image("word")], &options, soon(), &reader.metrics, read).await.unwrap();
    }
    assert_eq!(reader.times(), 2);
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let (cache, reader) = (cache(1 << 20), Reader::default());
    for _ in 0..2 {
        assert_eq!(ask(&cache, &reader, "poison", soon()).await, Err(PoolError::Crashed));
    }
    assert_eq!(reader.times(), 2);
    assert!(cache.shared.results().under_way.is_empty());
}

#[tokio::test]
async fn identical_images_at_the_same_time_are_read_once() {
    let (cache, reader) = (cache(1 << 20), Reader::gated());
    let asked = (0..8).map(|_| ask(&cache, &reader, "word", soon()));
    let asked = futures_util::future::join_all(asked);
    let open = async { reader.gate.as_ref().unwrap().add_permits(8) };
    let (answers, ()) = tokio::join!(asked, open);
    assert!(answers.into_iter().all(|answer| answer.unwrap()[0].text == "word"));
    assert_eq!(reader.times(), 1);
    assert!(cache.shared.results().under_way.is_empty());
}

#[tokio::test]
async fn who_waits_for_another_still_has_its_own_deadline() {
    let (cache, reader) = (cache(1 << 20), Reader::gated());
    let mut first = Box::pin(ask(&cache, &reader, "word", soon()));
    assert!(futures_util::poll!(&mut first).is_pending());
    let late = ask(&cache, &reader, "word", Instant::now()).await;
    assert_eq!((late, reader.times()), (Err(PoolError::DeadlinePassed), 1));
    assert_eq!(reader.metrics.expired.get(), 1);
    reader.gate.as_ref().unwrap().add_permits(1);
    assert!(first.await.is_ok());
}

#[tokio::test]
async fn when_the_first_leaves_the_second_goes_on() {
    let (cache, reader) = (cache(1 << 20), Reader::gated());
    let mut first = Box::pin(ask(&cache, &reader, "word", soon()));
    let mut second = Box::pin(ask(&cache, &reader, "word", soon()));
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());
    assert_eq!(reader.times(), 1);
    drop(first);
    reader.gate.as_ref().unwrap().add_permits(1);
    assert_eq!(second.await.unwrap()[0].text, "word");
    assert_eq!(reader.times(), 2);
    assert!(cache.shared.results().under_way.is_empty());
}

#[tokio::test]
async fn the_result_asked_for_longest_ago_goes_first() {
    let room_for_two = 2 * OVERHEAD + 20;
    let (cache, reader) = (cache(room_for_two), Reader::default());
    for word in ["one", "two", "one", "three", "one"] {
        ask(&cache, &reader, word, soon()).await.unwrap();
    }
    assert_eq!(reader.times(), 3);
    ask(&cache, &reader, "two", soon()).await.unwrap();
    assert_eq!(reader.times(), 4);
    assert!(cache.shared.results().bytes <= room_for_two);
}

#[tokio::test]
async fn a_result_larger_than_the_cache_is_answered_and_not_kept() {
    let (cache, reader) = (cache(OVERHEAD), Reader::default());
    for _ in 0..2 {
        ask(&cache, &reader, "word", soon()).await.unwrap();
    }
    assert_eq!((reader.times(), cache.shared.results().bytes), (2, 0));
}

#[tokio::test]
async fn of_a_batch_only_the_unknown_images_are_read_and_the_order_stays() {
    let (cache, reader) = (cache(1 << 20), Reader::default());
    ask(&cache, &reader, "b", soon()).await.unwrap();
    let batch = ["a", "b", "c"].map(image).to_vec();
    let answer = cache
        .several(batch, &options("eng"), |images| {
            assert_eq!(images.len(), 2);
            reader.read(images)
        })
        .await;
    let texts: Vec<_> = answer.unwrap().into_iter().map(|recognition| recognition.text).collect();
    assert_eq!(texts, ["a", "b", "c"]);
}

#[tokio::test]
async fn an_image_that_crashes_an_engine_is_read_once_for_all_who_wait_for_it() {
    let (cache, reader) = (cache(1 << 20), Reader::gated());
    let asked = futures_util::future::join_all((0..8).map(|_| ask(&cache, &reader, "poison", soon())));
    let open = async { reader.gate.as_ref().unwrap().add_permits(8) };
    let (answers, ()) = tokio::join!(asked, open);
    assert!(answers.into_iter().all(|answer| answer == Err(PoolError::Crashed)));
    assert_eq!(reader.times(), 1);
    assert!(cache.shared.results().under_way.is_empty());
}

#[tokio::test]
async fn only_so_many_wait_for_somebody_elses_result() {
    let (cache, reader) = (cache(1 << 20), Reader::gated());
    let asked =
        futures_util::future::join_all((0..MOST_WAITING + 3).map(|_| ask(&cache, &reader, "word", soon())));
    let open = async { reader.gate.as_ref().unwrap().add_permits(1) };
    let (answers, ()) = tokio::join!(asked, open);
    let refused = answers.iter().filter(|answer| matches!(answer, Err(PoolError::Full { .. }))).count();
    assert_eq!((refused, answers.iter().filter(|answer| answer.is_ok()).count()), (2, MOST_WAITING + 1));
    assert_eq!(reader.metrics.refused.get(), 2);
    assert_eq!((reader.times(), cache.shared.results().waiting), (1, 0));
}

#[tokio::test]
async fn a_large_image_has_the_same_key_as_any_other_of_its_bytes() {
    let large = image(&"x".repeat(SMALL + 1));
    let key = Key::new(&large, &options("eng")).await;
    assert_eq!(key.image, digest(large.bytes()));
}

#[tokio::test]
async fn turns_that_end_at_the_same_moment_leave_nothing_behind() {
    let cache = cache(1 << 20);
    let key = Key::new(&image("word"), &options("eng")).await;
    for _ in 0..2000 {
        let turns = [(); 2].map(|()| Turn::new(&cache.shared, key.clone()).unwrap());
        let together = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            for turn in turns {
                scope.spawn(|| {
                    together.wait();
                    drop(turn);
                });
            }
        });
        assert!(cache.shared.results().under_way.is_empty());
        assert_eq!(cache.shared.results().waiting, 0);
    }
}
