//! Closed loop: so many clients, each sends its next request when it has the answer to its last. Shows what a service
//! can do at most; it cannot show a queue, because a slow service slows its clients.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Counts, Latencies, Outcome, Target, rate};

/// After a failure, so that a service that is gone is not asked a hundred thousand times a second.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Closed {
    pub clients: usize,
    /// No request is sent after this; those that are under way are awaited.
    pub lasting: Duration,
}

#[derive(Debug, Clone, Default)]
pub struct ClosedRun {
    /// Good answers a second, until the last answer.
    pub rate: f64,
    pub counts: Counts,
    /// Of good answers.
    pub latencies: Latencies,
}

/// Every client sends at least one request. What is under way at the end is awaited and counted, and so is its time:
/// there are more clients than a service has engines, so it stays busy until its last few answers.
pub async fn closed<T: Target>(target: &Arc<T>, plan: Closed) -> ClosedRun {
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..plan.clients {
        clients.spawn(client(Arc::clone(target), begun, plan.lasting));
    }
    let mut run = ClosedRun::default();
    while let Some(client) = clients.join_next().await {
        match client {
            Ok(client) => run.add(client),
            Err(error) => run.counts.count(Outcome::Failed(format!("a client ended early: {error}"))),
        }
    }
    run.rate = rate(run.counts.good, begun.elapsed());
    run
}

impl ClosedRun {
    /// What others did meanwhile; the rate is not theirs.
    pub(super) fn add(&mut self, (counts, latencies): (Counts, Latencies)) {
        self.counts.add(counts);
        self.latencies.add(&latencies);
    }
}

async fn client<T: Target>(target: Arc<T>, begun: Instant, lasting: Duration) -> (Counts, Latencies) {
    let (mut counts, mut latencies) = (Counts::default(), Latencies::default());
    let mut sent = Instant::now();
    loop {
        let outcome = target.send().await;
        let ended = Instant::now();
        let failed = matches!(outcome, Outcome::Failed(_));
        if outcome == Outcome::Good {
            latencies.record(ended - sent);
        }
        counts.count(outcome);
        if ended - begun >= lasting {
            return (counts, latencies);
        }
        // At the highest rate reading the clock counts.
        sent = ended;
        if failed {
            tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            sent = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    /// A service with so many engines, each takes `service` for an answer.
    struct Engines(Semaphore, Duration);

    impl Target for Engines {
        async fn send(&self) -> Outcome {
            let _engine = self.0.acquire().await;
            tokio::time::sleep(self.1).await;
            Outcome::Good
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_the_services_however_slow_it_is() {
        for service_ms in [10, 130, 290, 1900] {
            let target = Arc::new(Engines(Semaphore::new(2), Duration::from_millis(service_ms)));
            let run = closed(&target, Closed { clients: 8, lasting: Duration::from_secs(4) }).await;
            #[expect(clippy::cast_precision_loss, reason = "a small constant")]
            let capacity = 2000.0 / service_ms as f64;
            assert!((run.rate / capacity - 1.0).abs() < 0.01, "{service_ms} ms: {} of {capacity}", run.rate);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_an_engine_is_part_of_the_latency() {
        let target = Arc::new(Engines(Semaphore::new(1), Duration::from_millis(100)));
        let run = closed(&target, Closed { clients: 4, lasting: Duration::from_secs(10) }).await;
        let p50 = run.latencies.quantile_ms(0.5).unwrap();
        assert!((p50 - 400.0).abs() < 5.0, "{p50}");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_and_wrong_answers_are_counted_and_no_part_of_the_rate() {
        struct Broken;
        impl Target for Broken {
            async fn send(&self) -> Outcome {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Outcome::Failed("503".into())
            }
        }
        let run = closed(&Arc::new(Broken), Closed { clients: 2, lasting: Duration::from_secs(1) }).await;
        assert!(run.rate.abs() < f64::EPSILON && run.counts.good == 0, "{run:?}");
        assert!((20..=50).contains(&run.counts.failed), "{:?}", run.counts);
        assert_eq!(run.counts.first_fault.as_deref(), Some("503"));
    }
}
