//! Two runs side by side, and whether the second is worse.

use serde::Serialize;

use super::Summary;
use super::number;
use super::report::Report;
use crate::error::Exit;

/// Below this a difference of latencies is the machine's noise.
const NOISE_MS: f64 = 1.0;

/// One figure of both runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    pub before: Option<f64>,
    pub after: Option<f64>,
    /// After, as a multiple of before.
    pub ratio: Option<f64>,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Better,
    Same,
    Worse,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub figures: Vec<Figure>,
    /// What is different about the two runs themselves, a sentence each.
    pub remarks: Vec<String>,
    /// False where the loads were not the same: then what got worse says nothing.
    pub comparable: bool,
    pub worse: bool,
}

impl Comparison {
    pub fn exit(&self) -> Exit {
        match (self.comparable, self.worse) {
            (false, _) => Exit::Inconclusive,
            (true, true) => Exit::Failed,
            (true, false) => Exit::Done,
        }
    }
}

/// Which way a figure is better.
#[derive(Clone, Copy)]
enum Wanted {
    More,
    Less,
}

/// Figures that differ by less than `tolerance` (0.1: a tenth) are the same.
pub fn compare(before: &Report, after: &Report, tolerance: f64) -> Comparison {
    let latency = |name, of: fn(&Summary) -> f64| {
        let [before, after] = [before, after].map(|report| report.latency.as_ref().map(of));
        Figure::new(name, "ms", (before, after), |values| {
            verdict(values, Wanted::Less, (tolerance, NOISE_MS))
        })
    };
    let share = |name, unit, wanted, of: fn(&Report) -> f64| {
        let values = (Some(of(before)), Some(of(after)));
        Figure::new(name, unit, values, |values| verdict(values, wanted, (tolerance, 0.0)))
    };
    let figures = vec![
        share("rate", "1/s", Wanted::More, |report| report.rate),
        latency("p50", |latency| latency.p50_ms),
        latency("p95", |latency| latency.p95_ms),
        latency("p99", |latency| latency.p99_ms),
        share("errors", "%", Wanted::Less, error_share),
    ];
    let worse = figures.iter().any(|figure| figure.verdict == Verdict::Worse);
    let comparable = before.schedule == after.schedule
        && before.images == after.images
        && before.repeats_bytes == after.repeats_bytes
        && ![before, after].iter().any(|report| report.generator_was_slow);
    Comparison { figures, remarks: remarks(before, after), comparable, worse }
}

impl Figure {
    fn new(
        name: &'static str,
        unit: &'static str,
        values: (Option<f64>, Option<f64>),
        judge: impl Fn((Option<f64>, Option<f64>)) -> Verdict,
    ) -> Self {
        let (before, after) = values;
        let ratio =
            before.zip(after).filter(|(before, _)| *before > 0.0).map(|(before, after)| after / before);
        Self { name, unit, before, after, ratio, verdict: judge(values) }
    }
}

/// What one of them has no value for is worse on that side. Allowed is a share of the first, and no less than the second
/// of `allowed`.
fn verdict(values: (Option<f64>, Option<f64>), wanted: Wanted, allowed: (f64, f64)) -> Verdict {
    let (before, after) = match values {
        (None, None) => return Verdict::Same,
        (Some(_), None) => return Verdict::Worse,
        (None, Some(_)) => return Verdict::Better,
        (Some(before), Some(after)) => (before, after),
    };
    let (share, least) = allowed;
    let allowed = (before * share).max(least);
    let growth = match wanted {
        Wanted::Less => after - before,
        Wanted::More => before - after,
    };
    match growth {
        growth if growth > allowed => Verdict::Worse,
        growth if growth < -allowed => Verdict::Better,
        _ => Verdict::Same,
    }
}

/// In percent of what was sent.
fn error_share(report: &Report) -> f64 {
    number(report.counts.faults()) / number(report.sent.max(1)) * 100.0
}

fn remarks(before: &Report, after: &Report) -> Vec<String> {
    let both = [("first", before), ("second", after)];
    let slow = both.iter().filter(|(_, report)| report.generator_was_slow);
    let mut remarks: Vec<String> = slow
        .map(|(which, _)| format!("in the {which} run the machine was too slow to make the load"))
        .collect();
    if before.schedule != after.schedule {
        remarks.push("the two were asked for different loads".into());
    }
    if before.images != after.images {
        remarks.push("the two sent different images".into());
    }
    if before.repeats_bytes != after.repeats_bytes {
        remarks.push("only one of the two let the service answer from its cache".into());
    }
    if before.policy != after.policy {
        remarks.push("the two had different rules for failover and retry".into());
    }
    remarks
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::{Counts, Latencies, Policy};

    fn report(ms: u64, rate: f64, failed: u64) -> Report {
        let latencies: Latencies = [Duration::from_millis(ms)].into_iter().collect();
        Report {
            sent: 100,
            rate,
            counts: Counts { good: 100 - failed, failed, ..Counts::default() },
            latency: latencies.summary(),
            ..Report::default()
        }
    }

    fn verdicts(before: &Report, after: &Report) -> Vec<(&'static str, Verdict)> {
        compare(before, after, 0.1).figures.iter().map(|figure| (figure.name, figure.verdict)).collect()
    }

    #[test]
    fn a_run_is_no_worse_than_itself() {
        let comparison = compare(&report(100, 50.0, 0), &report(105, 48.0, 0), 0.1);
        assert!(!comparison.worse && comparison.remarks.is_empty(), "{comparison:?}");
    }

    #[test]
    fn slower_answers_a_lower_rate_and_errors_are_each_worse() {
        let before = report(100, 50.0, 0);
        assert_eq!(verdicts(&before, &report(120, 50.0, 0))[3], ("p99", Verdict::Worse));
        assert_eq!(verdicts(&before, &report(100, 40.0, 0))[0], ("rate", Verdict::Worse));
        assert_eq!(verdicts(&before, &report(100, 50.0, 1))[4], ("errors", Verdict::Worse));
        assert_eq!(verdicts(&before, &report(80, 60.0, 0))[0], ("rate", Verdict::Better));
    }

    #[test]
    fn a_run_without_answers_is_worse_than_one_with() {
        let none = Report { sent: 100, ..Report::default() };
        assert_eq!(compare(&report(100, 50.0, 0), &none, 0.1).exit(), Exit::Failed);
    }

    #[test]
    fn different_loads_are_said_to_be_different() {
        let other = Report { images: vec!["b.png".into()], generator_was_slow: true, ..report(100, 50.0, 0) };
        let comparison = compare(&report(100, 50.0, 0), &other, 0.1);
        assert_eq!((comparison.remarks.len(), comparison.exit()), (2, Exit::Inconclusive));
        let cached = Report { repeats_bytes: true, ..report(100, 50.0, 0) };
        let comparison = compare(&report(100, 50.0, 0), &cached, 0.1);
        assert_eq!((comparison.remarks.len(), comparison.exit()), (1, Exit::Inconclusive));
        let control =
            Report { policy: Some(Policy { failover: false, retry: false }), ..report(100, 50.0, 1) };
        let comparison = compare(&report(100, 50.0, 0), &control, 0.1);
        assert_eq!((comparison.remarks.len(), comparison.exit()), (1, Exit::Failed));
    }
}
