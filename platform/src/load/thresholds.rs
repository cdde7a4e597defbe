//! What a run has to keep to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::number;
use super::report::Report;

/// The name of the limit on requests that went wrong.
pub(super) const ERRORS: &str = "errors";

/// The limits that were asked for. Latencies count from the time at which a request had to be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Thresholds {
    pub max_p50: Option<Duration>,
    pub max_p95: Option<Duration>,
    pub max_p99: Option<Duration>,
    /// Requests that failed or were answered wrongly.
    pub max_errors: Option<u64>,
    /// Good answers a second.
    pub min_rate: Option<f64>,
}

/// A limit beside what was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checked {
    pub name: String,
    pub limit: f64,
    /// `None` where nothing was answered well, which keeps to no limit.
    pub seen: Option<f64>,
    pub unit: String,
    pub passed: bool,
}

impl Thresholds {
    pub fn check(&self, report: &Report) -> Vec<Checked> {
        let latency = report.latency.as_ref();
        let at_most = |name: &str, unit: &str, limit: Option<f64>, seen: Option<f64>| {
            limit.map(|limit| Checked::new(name, unit, (limit, seen), |seen, limit| seen <= limit))
        };
        let ms = |limit: Option<Duration>| limit.map(|limit| limit.as_secs_f64() * 1000.0);
        let errors = at_most(ERRORS, "", self.max_errors.map(number), Some(number(report.counts.faults())));
        let rate = (report.counts.good > 0).then_some(report.rate);
        let rate = self
            .min_rate
            .map(|limit| Checked::new("rate", "1/s", (limit, rate), |seen, limit| seen >= limit));
        [
            at_most("p50", "ms", ms(self.max_p50), latency.map(|latency| latency.p50_ms)),
            at_most("p95", "ms", ms(self.max_p95), latency.map(|latency| latency.p95_ms)),
            at_most("p99", "ms", ms(self.max_p99), latency.map(|latency| latency.p99_ms)),
            errors,
            rate,
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Checked {
    fn new(name: &str, unit: &str, values: (f64, Option<f64>), keeps: impl Fn(f64, f64) -> bool) -> Self {
        let (limit, seen) = values;
        let passed = seen.is_some_and(|seen| keeps(seen, limit));
        Self { name: name.into(), limit, seen, unit: unit.into(), passed }
    }

    /// In words, for a message.
    pub fn sentence(&self) -> String {
        let seen = self.seen.map_or_else(|| "nothing".into(), |seen| format!("{seen:.1}"));
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        let than = if self.name == "rate" { "at least" } else { "at most" };
        format!("{} {seen}{unit}, wanted {than} {:.1}{unit}", self.name, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Counts, Latencies};

    fn report(faults: u64) -> Report {
        let latencies: Latencies = (1..=100).map(Duration::from_millis).collect();
        let counts = Counts { good: 100, failed: faults, ..Counts::default() };
        Report { rate: 50.0, counts, latency: latencies.summary(), ..Report::default() }
    }

    #[test]
    fn each_limit_is_held_against_what_was_seen() {
        let thresholds = Thresholds {
            max_p50: Some(Duration::from_millis(60)),
            max_p99: Some(Duration::from_millis(90)),
            max_errors: Some(0),
            min_rate: Some(49.0),
            ..Thresholds::default()
        };
        let checked = thresholds.check(&report(1));
        let passed: Vec<_> = checked.iter().map(|checked| (checked.name.as_str(), checked.passed)).collect();
        assert_eq!(passed, [("p50", true), ("p99", false), ("errors", false), ("rate", true)]);
        assert_eq!(checked[2].sentence(), "errors 1.0, wanted at most 0.0");
    }

    #[test]
    fn a_run_without_a_good_answer_keeps_to_no_limit() {
        let thresholds = Thresholds {
            max_p99: Some(Duration::from_secs(1)),
            min_rate: Some(0.0),
            ..Thresholds::default()
        };
        assert!(thresholds.check(&Report::default()).iter().all(|checked| !checked.passed));
    }

    #[test]
    fn nothing_asked_is_nothing_checked() {
        assert_eq!(Thresholds::default().check(&report(5)), []);
    }
}
