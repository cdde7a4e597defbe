//! Memory over thousands of requests: whether it stays where it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;

use super::pictures::DIFFERENT;
use super::{Crowd, RATE, texts};
use crate::bench::memory;
use crate::error::Result;
use crate::load::{Counts, Outcome, Target};

/// Clients that each wait for their answer: fewer than there are places.
const CLIENTS: usize = 8;
const LOOK: Duration = Duration::from_millis(500);
/// What comes before is the allocators' and caches' own warming up.
const WARM: f64 = 0.2;

#[derive(Debug, Clone, Serialize)]
pub struct Growth {
    pub requests: usize,
    pub seconds: f64,
    pub counts: Counts,
    pub samples: usize,
    /// Megabytes of all processes (proportional set size) where the last 80 % begin, at the end, and at the most.
    pub begin_mb: Option<f64>,
    pub end_mb: Option<f64>,
    pub most_mb: Option<f64>,
}

impl Growth {
    pub fn grown_mb(&self) -> Option<f64> {
        Some(self.end_mb? - self.begin_mb?)
    }
}

/// Megabytes after so many requests.
type Sample = (usize, f64);

pub async fn measure(crowd: &Crowd<'_>, requests: usize) -> Result<Growth> {
    let expected = Duration::from_secs(requests as u64 / RATE);
    let step = crowd.step("memory", format!("memory over {requests} requests"), expected);
    let running = crowd.start("memory", CLIENTS).await?;
    let targets = (0..DIFFERENT).map(|index| texts::target(crowd, &running, index, None).map(Arc::new));
    let targets: Arc<[_]> = targets.collect::<Result<_>>()?;
    let sent = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (targets, sent) = (Arc::clone(&targets), Arc::clone(&sent));
        clients.spawn(async move {
            let mut counts = Counts::default();
            loop {
                let index = sent.fetch_add(1, Ordering::Relaxed);
                if index >= requests {
                    return counts;
                }
                counts.count(targets[index % DIFFERENT].send().await);
            }
        });
    }
    let (mut counts, mut samples) = (Counts::default(), Vec::new());
    let mut ticks = tokio::time::interval(LOOK);
    let pids = running.pids();
    loop {
        tokio::select! {
            ended = clients.join_next() => match ended {
                None => break,
                Some(Ok(client)) => counts.add(client),
                Some(Err(error)) => counts.count(Outcome::Failed(error.to_string())),
            },
            _ = ticks.tick() => {
                let pids = pids.clone();
                let seen = tokio::task::spawn_blocking(move || memory::of_trees(&pids)).await;
                let done = sent.load(Ordering::Relaxed).min(requests);
                samples.extend(seen.ok().flatten().map(|megabytes| (done, megabytes)));
                step.progress("reading", u64::try_from(done).ok(), u64::try_from(requests).ok());
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    running.end().await;
    step.done();
    let most_mb = samples.iter().map(|sample| sample.1).reduce(f64::max);
    let (begin_mb, end_mb) = line(&samples, requests).unzip();
    Ok(Growth { requests, seconds, counts, samples: samples.len(), begin_mb, end_mb, most_mb })
}

/// Where the straight line through the samples of the last 80 % begins and ends (least squares): a sample's own moment,
/// in which an image is in memory or is not, counts little.
#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
fn line(samples: &[Sample], requests: usize) -> Option<(f64, f64)> {
    let (begin, end) = (requests as f64 * WARM, requests as f64);
    let warm: Vec<_> =
        samples.iter().map(|(done, mb)| (*done as f64, *mb)).filter(|(done, _)| *done >= begin).collect();
    if warm.len() < 3 {
        return None;
    }
    let count = warm.len() as f64;
    let mean_x = warm.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = warm.iter().map(|(_, y)| y).sum::<f64>() / count;
    let spread = warm.iter().map(|(x, _)| (x - mean_x).powi(2)).sum::<f64>();
    let slope = warm.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / spread.max(f64::EPSILON);
    let at = |x: f64| mean_y + slope * (x - mean_x);
    Some((at(begin), at(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_before_the_last_80_percent_is_no_growth() {
        let samples: Vec<Sample> =
            (0..=100).map(|done| (done, if done < 20 { 50.0 } else { 100.0 })).collect();
        let (begin, end) = line(&samples, 100).unwrap();
        assert!((begin - 100.0).abs() < 1e-6 && (end - 100.0).abs() < 1e-6, "{begin} {end}");
    }

    #[test]
    fn a_leak_is_seen_through_noise() {
        let noise = |done: usize| if done.is_multiple_of(2) { 5.0 } else { -5.0 };
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let samples: Vec<Sample> =
            (0..=1000).map(|done| (done, 100.0 + done as f64 / 100.0 + noise(done))).collect();
        let (begin, end) = line(&samples, 1000).unwrap();
        assert!((end - begin - 8.0).abs() < 0.2, "{begin} {end}");
    }

    #[test]
    fn too_few_samples_say_nothing() {
        assert_eq!(line(&[(30, 1.0), (90, 1.0)], 100), None);
    }
}
