//! Open loop: requests are sent at a rate, whether or not earlier ones are answered, as users do. A latency counts from
//! the moment at which its request had to be sent: a service that stalls is charged for everybody whom it kept waiting,
//! not only for the one request that met the stall.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Counts, Latencies, Outcome, Target};

/// A send this long after its time is counted as late: then the machine that makes the load is what is slow.
const LATE: Duration = Duration::from_millis(10);
/// With so many unanswered, a further request is not sent, and counts as failed.
const MOST_UNANSWERED: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Open {
    /// Requests a second.
    pub rate: f64,
    pub lasting: Duration,
}

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

/// At least one request. Ends when the last is answered.
pub async fn open<T: Target>(target: &Arc<T>, plan: Open) -> OpenRun {
    let mut run = OpenRun::default();
    let mut unanswered = JoinSet::new();
    let begun = Instant::now();
    for offset in offsets(plan) {
        let intended = begun + offset;
        tokio::time::sleep_until(intended).await;
        while let Some(ended) = unanswered.try_join_next() {
            run.take(ended);
        }
        run.late += u64::from(intended.elapsed() >= LATE);
        if unanswered.len() >= MOST_UNANSWERED {
            run.dropped += 1;
            run.counts.count(Outcome::Failed(format!("not sent: {MOST_UNANSWERED} are unanswered")));
            continue;
        }
        let target = Arc::clone(target);
        unanswered.spawn(async move {
            let sent = Instant::now();
            let outcome = target.send().await;
            Ended { outcome, from_intended: intended.elapsed(), from_sending: sent.elapsed() }
        });
    }
    while let Some(ended) = unanswered.join_next().await {
        run.take(ended);
    }
    run
}

struct Ended {
    outcome: Outcome,
    from_intended: Duration,
    from_sending: Duration,
}

impl OpenRun {
    fn take(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok(ended) => {
                if ended.outcome == Outcome::Good {
                    self.latencies.record(ended.from_intended);
                    self.from_sending.record(ended.from_sending);
                }
                self.counts.count(ended.outcome);
            }
            Err(error) => self.counts.count(Outcome::Failed(format!("a request ended early: {error}"))),
        }
    }
}

/// When each request has to be sent, from the beginning: evenly, so that runs can be compared.
fn offsets(plan: Open) -> impl Iterator<Item = Duration> {
    let interval = 1.0 / plan.rate.max(1e-3);
    let times = (0_u32..).map(move |number| Duration::from_secs_f64(f64::from(number) * interval));
    times.take_while(move |offset| offset.is_zero() || *offset < plan.lasting)
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

    #[test]
    fn requests_are_spread_evenly_over_the_time() {
        let plan = Open { rate: 4.0, lasting: Duration::from_secs(1) };
        assert_eq!(offsets(plan).collect::<Vec<_>>(), [0, 250, 500, 750].map(Duration::from_millis));
        let slow = Open { rate: 0.1, lasting: Duration::from_secs(1) };
        assert_eq!(offsets(slow).count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_charged_to_everybody_who_had_to_wait() {
        let begun = Instant::now();
        let target = Arc::new(Stalls { begun, from: Duration::from_secs(4), to: Duration::from_secs(6) });
        let run = open(&target, Open { rate: 10.0, lasting: Duration::from_secs(10) }).await;
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
        let run = open(&target, Open { rate: 100.0, lasting: Duration::from_millis(300) }).await;
        assert_eq!((run.counts.good, run.late > 20), (30, true), "{run:?}");
        assert!(run.latencies.quantile_ms(0.5).unwrap() > 200.0, "{run:?}");
        assert!(run.from_sending.quantile_ms(0.5).unwrap() < 10.0, "{run:?}");
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
        let run = open(&Arc::new(Never), Open { rate: 500.0, lasting: Duration::from_secs(4) }).await;
        assert_eq!((run.counts.failed, run.dropped), (2000, 976));
    }
}
