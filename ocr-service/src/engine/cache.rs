//! Results of images that were read before, by the images' content: the same image with the same options is read once.
//!
//! Bounded in bytes; the result that was asked for longest ago goes first. Only successes are kept. Identical images that
//! are asked for at the same time wait for the first of them, each until its own deadline, and share its failure when it
//! is the image's; they take no place in the pool's queue meanwhile, and only so many may wait.
//!
//! While the pool is full, what would take long to receive and to hash is refused without either. What is small is looked
//! up all the same: its text may be known, and costs nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::{Options, Pool, PoolError, Recognition};
use crate::image::Image;
use crate::metrics::{CacheMetrics, EngineMetrics};

/// What a result needs beside its text: key, numbers, the maps' own.
const OVERHEAD: usize = 256;
/// A word with its box in memory.
const WORD: usize = 64;

/// Bytes; received and hashed within a millisecond or two.
const SMALL: usize = 1 << 20;
/// Of those who wait for somebody else's result, whatever the image: each holds its own copy.
const MOST_WAITING: usize = 256;
/// For those that are refused because of that.
const AGAIN: Duration = Duration::from_secs(1);

/// A handle on the results; clones share them.
#[derive(Clone)]
pub struct Cache {
    shared: Arc<Shared>,
}

struct Shared {
    /// Bytes; 0 keeps nothing and makes nobody wait for anybody.
    limit: usize,
    results: Mutex<Results>,
    metrics: CacheMetrics,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    image: [u8; 32],
    options: Options,
}

impl Key {
    async fn new(image: &Image, options: &Options) -> Self {
        let bytes = image.bytes().clone();
        let image = if bytes.len() <= SMALL {
            digest(&bytes)
        } else {
            // Tens of milliseconds, in which the thread has others to serve. It fails only if hashing panics.
            let hashed = tokio::task::spawn_blocking({
                let bytes = bytes.clone();
                move || digest(&bytes)
            });
            hashed.await.unwrap_or_else(|_| digest(&bytes))
        };
        Self { image, options: options.clone() }
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[derive(Default)]
struct Results {
    kept: HashMap<Key, Kept>,
    /// From the one asked for longest ago.
    order: BTreeMap<u64, Key>,
    clock: u64,
    bytes: usize,
    under_way: HashMap<Key, UnderWay>,
    /// Beyond the first for each image.
    waiting: usize,
}

#[derive(Default)]
struct UnderWay {
    /// Who holds it reads the image; it guards how the image failed whoever read it last.
    lock: Arc<tokio::sync::Mutex<Option<PoolError>>>,
    /// Those who hold the lock or wait for it.
    turns: usize,
}

struct Kept {
    recognition: Recognition,
    bytes: usize,
    asked: u64,
}

impl Cache {
    pub fn new(limit: usize, metrics: CacheMetrics) -> Self {
        Self { shared: Arc::new(Shared { limit, results: Mutex::default(), metrics }) }
    }

    pub fn metrics(&self) -> &CacheMetrics {
        &self.shared.metrics
    }

    /// What a request whose body has `length` bytes is told before it is received, where the pool is full: not where its
    /// text may be known and is soon found.
    pub fn refused_unread(&self, pool: &Pool, length: Option<u64>) -> Option<PoolError> {
        let is_small = length.is_some_and(|length| length <= SMALL as u64);
        if self.shared.limit > 0 && is_small { None } else { pool.refused() }
    }

    /// As [`Pool::recognize`], for those images of which the result is not known.
    pub async fn recognize(
        &self,
        pool: &Pool,
        images: Vec<Image>,
        options: &Options,
        deadline: Instant,
    ) -> Result<Vec<Recognition>, PoolError> {
        let read = |images| pool.recognize(images, options, deadline);
        match images.as_slice() {
            _ if self.shared.limit == 0 => read(images).await,
            [image] => {
                let is_small = image.bytes().len() <= SMALL;
                if let Some(refused) = (!is_small).then(|| pool.refused()).flatten() {
                    return Err(refused);
                }
                self.one(images, options, deadline, pool.metrics(), read).await
            }
            _ => self.several(images, options, read).await,
        }
    }

    async fn one<R>(
        &self,
        image: Vec<Image>,
        options: &Options,
        deadline: Instant,
        metrics: &EngineMetrics,
        read: impl FnOnce(Vec<Image>) -> R,
    ) -> Result<Vec<Recognition>, PoolError>
    where
        R: Future<Output = Result<Vec<Recognition>, PoolError>>,
    {
        let Some(first) = image.first() else { return read(image).await };
        let key = Key::new(first, options).await;
        if let Some(known) = self.shared.hit(&key) {
            return Ok(vec![known]);
        }
        let turn = Turn::new(&self.shared, key).inspect_err(|_| metrics.refused.inc())?;
        let Ok(mut failure) = tokio::time::timeout_at(deadline.into(), turn.lock.lock()).await else {
            metrics.expired.inc();
            return Err(PoolError::DeadlinePassed);
        };
        // Whoever was first may have read it meanwhile.
        if let Some(known) = self.shared.hit(&turn.key) {
            return Ok(vec![known]);
        }
        if let Some(failure) = failure.clone() {
            return Err(failure);
        }
        self.shared.metrics.misses.inc();
        let found = read(image).await;
        *failure = found.as_ref().err().filter(|error| is_the_images(error)).cloned();
        let found = found?;
        if let [recognition] = found.as_slice() {
            self.shared.keep(turn.key.clone(), recognition);
        }
        Ok(found)
    }

    /// Without waiting for others: the pool takes all images of a request, or none.
    async fn several<R>(
        &self,
        images: Vec<Image>,
        options: &Options,
        read: impl FnOnce(Vec<Image>) -> R,
    ) -> Result<Vec<Recognition>, PoolError>
    where
        R: Future<Output = Result<Vec<Recognition>, PoolError>>,
    {
        let mut keys = Vec::with_capacity(images.len());
        for image in &images {
            keys.push(Key::new(image, options).await);
        }
        let known: Vec<_> = keys.iter().map(|key| self.shared.hit(key)).collect();
        let unknown: Vec<_> = images
            .into_iter()
            .zip(&known)
            .filter(|(_, known)| known.is_none())
            .map(|(image, _)| image)
            .collect();
        let read = if unknown.is_empty() { Vec::new() } else { read(unknown).await? };
        let mut read = read.into_iter();
        let together = keys.into_iter().zip(known).filter_map(|(key, known)| {
            known.or_else(|| {
                let recognition = read.next()?;
                self.shared.metrics.misses.inc();
                self.shared.keep(key, &recognition);
                Some(recognition)
            })
        });
        Ok(together.collect())
    }
}

impl Shared {
    fn results(&self) -> MutexGuard<'_, Results> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hit(&self, key: &Key) -> Option<Recognition> {
        let known = self.results().get(key)?;
        self.metrics.hits.inc();
        Some(known)
    }

    fn keep(&self, key: Key, recognition: &Recognition) {
        let mut results = self.results();
        results.insert(key, recognition, self.limit);
        self.metrics.bytes.set(i64::try_from(results.bytes).unwrap_or(i64::MAX));
    }
}

impl Results {
    fn get(&mut self, key: &Key) -> Option<Recognition> {
        let kept = self.kept.get_mut(key)?;
        self.clock += 1;
        self.order.remove(&kept.asked);
        kept.asked = self.clock;
        self.order.insert(self.clock, key.clone());
        Some(kept.recognition.clone())
    }

    fn insert(&mut self, key: Key, recognition: &Recognition, limit: usize) {
        let bytes = bytes_of(recognition);
        if bytes > limit {
            return;
        }
        self.clock += 1;
        let kept = Kept { recognition: recognition.clone(), bytes, asked: self.clock };
        self.order.insert(self.clock, key.clone());
        self.bytes += bytes;
        if let Some(older) = self.kept.insert(key, kept) {
            self.order.remove(&older.asked);
            self.bytes -= older.bytes;
        }
        while self.bytes > limit {
            let Some((_, oldest)) = self.order.pop_first() else { return };
            self.bytes -= self.kept.remove(&oldest).map_or(0, |kept| kept.bytes);
        }
    }
}

/// The same image would fail again, and may cost another engine.
fn is_the_images(error: &PoolError) -> bool {
    matches!(error, PoolError::Crashed | PoolError::Image(_) | PoolError::Engine(_))
}

fn bytes_of(recognition: &Recognition) -> usize {
    let lines = recognition.layout.iter().flat_map(|layout| &layout.blocks);
    let lines = lines.flat_map(|block| &block.paragraphs).flat_map(|paragraph| &paragraph.lines);
    let words = lines.map(|line| WORD + line.words.iter().map(|word| WORD + word.text.len()).sum::<usize>());
    OVERHEAD + recognition.text.len() + words.sum::<usize>()
}

/// A place among those who want the same image read; the lock lives as long as anyone has one.
struct Turn<'a> {
    shared: &'a Shared,
    key: Key,
    lock: Arc<tokio::sync::Mutex<Option<PoolError>>>,
}

impl<'a> Turn<'a> {
    /// Refused where too many wait already: nobody knows for how long they do.
    fn new(shared: &'a Shared, key: Key) -> Result<Self, PoolError> {
        let mut results = shared.results();
        let is_first = !results.under_way.contains_key(&key);
        if !is_first && results.waiting >= MOST_WAITING {
            return Err(PoolError::Full { retry_after: AGAIN });
        }
        results.waiting += usize::from(!is_first);
        let under_way = results.under_way.entry(key.clone()).or_default();
        under_way.turns += 1;
        let lock = under_way.lock.clone();
        drop(results);
        Ok(Self { shared, key, lock })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut results = self.shared.results();
        let Some(under_way) = results.under_way.get_mut(&self.key) else { return };
        under_way.turns -= 1;
        if under_way.turns == 0 {
            results.under_way.remove(&self.key);
        } else {
            // Whoever has its result makes room for one that waits, which is the first now.
            results.waiting -= 1;
        }
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
