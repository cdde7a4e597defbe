//! What a stall has really cost, computed from the schedule and the stall, and what the generator says that it cost.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Bench;
use super::answers::{Manner, Stall};
use crate::error::Result;
use crate::load::{Closed, Pattern, Schedule, Stage, open};

const LASTING: Duration = Duration::from_secs(10);
/// A tenth of the run, so that the 99th percentile lies well within it.
const MANNER: Manner = Manner {
    after: Duration::from_millis(5),
    stall: Some(Stall { at: Duration::from_secs(4), lasting: Duration::from_secs(1) }),
};
/// Requests a second, and how they arrive.
pub const RUNS: [(f64, Pattern); 5] = [
    (100.0, Pattern::Even),
    (100.0, Pattern::Poisson { seed: 1 }),
    (400.0, Pattern::Even),
    (400.0, Pattern::Poisson { seed: 2 }),
    (400.0, Pattern::Poisson { seed: 3 }),
];

/// One run at a server that stalls. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StallRun {
    /// Requests a second.
    pub rate: f64,
    pub pattern: Pattern,
    pub requests: u64,
    pub faults: u64,
    /// Sent more than 10 ms after their time.
    pub late: u64,
    pub true_p50_ms: f64,
    pub p50_ms: Option<f64>,
    pub true_p99_ms: f64,
    /// The generator's, from the time at which each request had to be sent.
    pub p99_ms: Option<f64>,
}

/// What clients that wait for their answer say of the same stall.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Uncorrected {
    pub clients: usize,
    pub requests: u64,
    pub p99_ms: Option<f64>,
    pub max_ms: Option<f64>,
}

impl StallRun {
    /// How far the generator's 99th percentile is from the true one, in percent of it.
    pub fn off_by(&self) -> Option<f64> {
        Some((self.p99_ms? / self.true_p99_ms - 1.0).abs() * 100.0)
    }
}

pub fn expected() -> Duration {
    (LASTING + Duration::from_millis(500)) * u32::try_from(RUNS.len() + 1).unwrap_or(u32::MAX)
}

pub async fn runs(bench: &Bench<'_>) -> Result<Vec<StallRun>> {
    let step = bench.host.events.step("stall", "a server that stalls for a second", Some(expected()));
    let mut runs = Vec::new();
    for (rate, pattern) in RUNS {
        step.message(format!("{rate} requests a second, {}", named(pattern)));
        runs.push(run(bench, rate, pattern).await?);
    }
    step.done();
    Ok(runs)
}

/// How requests arrive, in words.
pub fn named(pattern: Pattern) -> String {
    match pattern {
        Pattern::Even => "even".into(),
        Pattern::Poisson { seed } => format!("random, seed {seed}"),
    }
}

async fn run(bench: &Bench<'_>, rate: f64, pattern: Pattern) -> Result<StallRun> {
    let (server, fleet) = bench.start(MANNER).await?;
    let schedule = Schedule { stages: vec![Stage::steady(rate, LASTING)], pattern };
    let run = open(&Arc::new(fleet), schedule.offsets()).await;
    server.end(super::END_WITHIN).await;
    let latencies = true_latencies(schedule.offsets(), MANNER);
    Ok(StallRun {
        rate,
        pattern,
        requests: latencies.len() as u64,
        faults: run.counts.faults(),
        late: run.late,
        true_p50_ms: quantile_ms(&latencies, 50),
        p50_ms: run.latencies.quantile_ms(0.5),
        true_p99_ms: quantile_ms(&latencies, 99),
        p99_ms: run.latencies.quantile_ms(0.99),
    })
}

pub async fn uncorrected(bench: &Bench<'_>) -> Result<Uncorrected> {
    let clients = 4;
    let (server, fleet) = bench.start(MANNER).await?;
    let run = fleet.closed(Closed { clients, lasting: LASTING }).await;
    server.end(super::END_WITHIN).await;
    let summary = run.latencies.summary();
    Ok(Uncorrected {
        clients,
        requests: run.counts.good,
        p99_ms: summary.map(|it| it.p99_ms),
        max_ms: summary.map(|it| it.max_ms),
    })
}

/// From the time at which each request had to be sent until it is answered, shortest first. Nothing else takes time: on
/// the loopback device a request arrives when it is sent.
fn true_latencies(offsets: impl Iterator<Item = Duration>, manner: Manner) -> Vec<Duration> {
    let mut latencies: Vec<_> = offsets.map(|sent| manner.answered(sent).saturating_sub(sent)).collect();
    latencies.sort_unstable();
    latencies
}

/// The smallest that so many percent do not exceed, as HDR histograms define it.
fn quantile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0.0, |latency| latency.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::load::Latencies;

    #[test]
    fn of_even_arrivals_the_quantiles_are_those_of_the_ramp_down_the_stall() {
        let latencies = true_latencies(Schedule::steady(100.0, LASTING).offsets(), MANNER);
        assert_eq!(latencies.len(), 1000);
        // The first to meet the stall waits for all of it, each further one 10 ms less; ten are above the 99th percentile.
        assert!((quantile_ms(&latencies, 100) - 1005.0).abs() < 1e-6);
        assert!((quantile_ms(&latencies, 99) - 905.0).abs() < 1e-6);
        assert!((quantile_ms(&latencies, 91) - 105.0).abs() < 1e-6);
        // Nine tenths did not meet it.
        assert!((quantile_ms(&latencies, 90) - 5.0).abs() < 1e-6);
    }

    #[test]
    fn without_a_stall_every_answer_takes_the_same() {
        let manner = Manner { stall: None, ..MANNER };
        let latencies = true_latencies(Schedule::steady(100.0, LASTING).offsets(), manner);
        assert!(latencies.iter().all(|latency| *latency == MANNER.after));
    }

    proptest! {
        #[test]
        fn quantiles_are_the_histograms(seed in any::<u64>(), percent in 1_usize..=100) {
            let stages = vec![Stage::steady(100.0, LASTING)];
            let offsets = Schedule { stages, pattern: Pattern::Poisson { seed } }.offsets();
            let sorted = true_latencies(offsets, MANNER);
            let recorded: Latencies = sorted.iter().copied().collect();
            #[expect(clippy::cast_precision_loss, reason = "at most 100")]
            let of_histogram = recorded.quantile_ms(percent as f64 / 100.0).unwrap();
            let exact = quantile_ms(&sorted, percent);
            prop_assert!((of_histogram - exact).abs() <= exact * 0.002 + 0.001, "{of_histogram} {exact}");
        }
    }
}
