//! Open loop: requests are sent at a rate, whether or not earlier ones are answered, as users do. A latency counts from
//! the moment at which its request had to be sent: a service that stalls is charged for everybody whom it kept waiting,
//! not only for the one request that met the stall.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Counts, Latencies, Outcome, Target};

/// A send this long after its time is counted as late: then the machine that makes the load is what is slow.
const LATE: Duration = Duration::from_millis(10);
/// With so many unanswered, a further request is not sent, and counts as failed.
const MOST_UNANSWERED: usize = 1024;
/// What is due later is as good as never due; a clock does not reach as far as a duration does.
const NEVER: Duration = Duration::from_hours(24 * 365);

#[derive(Debug, Clone, Default)]
pub struct OpenRun {
    pub counts: Counts,
    /// Of good answers, from the intended time.
    pub latencies: Latencies,
    /// The same, from the time at which they were really sent.
    pub from_sending: Latencies,
    pub late: u64,
    /// Not sent, and among the failed.
    pub dropped: u64,
}

/// One request, as it ended; times are from the beginning of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When it had to be sent.
    pub intended: Duration,
    pub sent: Duration,
    pub ended: Duration,
    pub outcome: Outcome,
}

/// Sends a request at each of `offsets`, in order from the beginning. Ends when the last is answered.
pub async fn open<T: Target>(target: &Arc<T>, offsets: impl IntoIterator<Item = Duration>) -> OpenRun {
    open_watched(target, offsets, |_| ()).await
}

/// The same; each request is shown to `watch` as soon as it has ended.
pub async fn open_watched<T: Target>(
    target: &Arc<T>,
    offsets: impl IntoIterator<Item = Duration>,
    mut watch: impl FnMut(&Sample),
) -> OpenRun {
    let mut run = OpenRun::default();
    let mut unanswered = JoinSet::new();
    let begun = Instant::now();
    for intended in offsets {
        let mut due = pin!(tokio::time::sleep_until(begun + intended.min(NEVER)));
        loop {
            tokio::select! {
                biased;
                () = &mut due => break,
                Some(ended) = unanswered.join_next() => run.take(ended, &mut watch),
            }
        }
        if unanswered.len() >= MOST_UNANSWERED {
            // Who is behind never waits above: what is answered was not taken yet, or not even let run.
            tokio::task::yield_now().await;
            while let Some(ended) = unanswered.try_join_next() {
                run.take(ended, &mut watch);
            }
        }
        let sent = begun.elapsed();
        run.late += u64::from(sent.saturating_sub(intended) >= LATE);
        if unanswered.len() >= MOST_UNANSWERED {
            run.dropped += 1;
            let outcome = Outcome::Failed(format!("not sent: {MOST_UNANSWERED} are unanswered"));
            run.take(Ok(Sample { intended, sent, ended: sent, outcome }), &mut watch);
            continue;
        }
        let target = Arc::clone(target);
        unanswered.spawn(async move {
            let outcome = target.send().await;
            Sample { intended, sent, ended: begun.elapsed(), outcome }
        });
    }
    while let Some(ended) = unanswered.join_next().await {
        run.take(ended, &mut watch);
    }
    run
}

impl Sample {
    /// From the time at which it had to be sent.
    pub fn latency(&self) -> Duration {
        self.ended.saturating_sub(self.intended)
    }

    pub fn latency_from_sending(&self) -> Duration {
        self.ended.saturating_sub(self.sent)
    }
}

impl OpenRun {
    fn take(&mut self, ended: Result<Sample, tokio::task::JoinError>, watch: &mut impl FnMut(&Sample)) {
        match ended {
            Ok(sample) => {
                watch(&sample);
                if sample.outcome == Outcome::Good {
                    self.latencies.record(sample.latency());
                    self.from_sending.record(sample.latency_from_sending());
                }
                self.counts.count(sample.outcome);
            }
            Err(error) => self.counts.count(Outcome::Failed(format!("a request ended early: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Answers at once, but for one long stall during which everybody waits.
    struct Stalls {
        begun: Instant,
        from: Duration,
        to: Duration,
    }

    impl Target for Stalls {
        async fn send(&self) -> Outcome {
            let at = self.begun.elapsed();
            if (self.from..self.to).contains(&at) {
                tokio::time::sleep_until(self.begun + self.to).await;
            }
            Outcome::Good
        }
    }

    /// So many a second, evenly.
    fn at(rate: u32, lasting: Duration) -> impl Iterator<Item = Duration> {
        let times = (0..).map(move |sent| Duration::from_secs(1) / rate * sent);
        times.take_while(move |at| *at < lasting)
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_charged_to_everybody_who_had_to_wait() {
        let begun = Instant::now();
        let target = Arc::new(Stalls { begun, from: Duration::from_secs(4), to: Duration::from_secs(6) });
        let run = open(&target, at(10, Duration::from_secs(10))).await;
        assert_eq!(run.counts.good, 100);
        // A fifth of the requests fell into the stall; the first of them waited for all of it.
        assert!(run.latencies.quantile_ms(0.79).unwrap() < 10.0);
        assert!(run.latencies.quantile_ms(0.9).unwrap() > 900.0);
        assert!(run.latencies.quantile_ms(1.0).unwrap() > 1990.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_is_held_up_sends_late_and_counts_from_the_intended_time() {
        /// Its first request blocks the whole machine for half a second (the clock goes on, no task runs).
        struct Blocks(AtomicU32);
        impl Target for Blocks {
            async fn send(&self) -> Outcome {
                if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
                    tokio::time::advance(Duration::from_millis(500)).await;
                }
                Outcome::Good
            }
        }
        let target = Arc::new(Blocks(AtomicU32::new(0)));
        let run = open(&target, at(100, Duration::from_millis(300))).await;
        assert_eq!((run.counts.good, run.late > 20), (30, true), "{run:?}");
        assert!(run.latencies.quantile_ms(0.5).unwrap() > 200.0, "{run:?}");
        assert!(run.from_sending.quantile_ms(0.5).unwrap() < 10.0, "{run:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_is_behind_sends_what_is_due_as_long_as_it_is_answered() {
        /// Its first request takes all processors for four seconds; every other one is answered at once.
        struct Blocks(AtomicU32);
        impl Target for Blocks {
            async fn send(&self) -> Outcome {
                if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
                    tokio::time::advance(Duration::from_secs(4)).await;
                }
                Outcome::Good
            }
        }
        let target = Arc::new(Blocks(AtomicU32::new(0)));
        let run = open(&target, at(1000, Duration::from_secs(4))).await;
        assert_eq!((run.counts.good, run.dropped), (4000, 0), "{run:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_at_the_end_of_time_breaks_nothing() {
        let target = Arc::new(Stalls { begun: Instant::now(), from: Duration::ZERO, to: Duration::ZERO });
        assert_eq!(open(&target, [Duration::ZERO, Duration::MAX]).await.counts.good, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_sent_counts_as_failed() {
        struct Never;
        impl Target for Never {
            async fn send(&self) -> Outcome {
                tokio::time::sleep(Duration::from_mins(1)).await;
                Outcome::Failed("timed out".into())
            }
        }
        let run = open(&Arc::new(Never), at(500, Duration::from_secs(4))).await;
        assert_eq!((run.counts.failed, run.dropped), (2000, 976));
    }
}
