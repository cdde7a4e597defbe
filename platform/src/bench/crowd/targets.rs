//! What the crowd's numbers have to be.

use super::Report;
use crate::bench::targets::{Goal, Target};

/// Megabytes over the last 80 % of the requests: a leak of a kilobyte and a half in each of 4000 would be more.
const MOST_GROWTH: f64 = 6.0;
/// Milliseconds.
const REFUSED_WITHIN: f64 = 20.0;
/// Milliseconds; the kubelet waits for a second.
const HEALTH_WITHIN: f64 = 100.0;

#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
pub fn judged(report: &Report) -> Vec<Target> {
    let Report { texts, memory, admission, crashes, .. } = report;
    let none =
        |what: String, count: u64| Target::new(what, "requests", Goal::AtMost(0.0), Some(count as f64));
    let images = texts.images;
    let capacity = admission.engines + admission.places;
    // An engine that was between two images takes none with it.
    let others = crashes.counts.failed - crashes.told;
    vec![
        none(format!("{images} images at once: other text than alone"), texts.counts.wrong),
        none(format!("{images} images at once: failed"), texts.counts.failed),
        none(format!("{} requests: failed", memory.requests), memory.counts.faults()),
        Target::new(
            format!("{} requests: growth over the last 80 %", memory.requests),
            "MB",
            Goal::AtMost(MOST_GROWTH),
            memory.grown_mb(),
        ),
        Target::new(
            format!("{} at once, {capacity} places: rounds with exactly one refused", capacity + 1),
            "of all",
            Goal::AtLeast(1.0),
            (admission.rounds > 0).then(|| admission.exact as f64 / admission.rounds as f64),
        ),
        Target::new(
            "refusal, at most",
            "ms",
            Goal::AtMost(REFUSED_WITHIN),
            admission.refusal.map(|summary| summary.max_ms),
        ),
        none("health endpoints meanwhile: no 200".into(), admission.unhealthy as u64),
        Target::new(
            "health endpoints meanwhile, p99",
            "ms",
            Goal::AtMost(HEALTH_WITHIN),
            admission.health.map(|summary| summary.p99_ms),
        ),
        Target::new(
            format!("{} crashes: requests that failed with their engine", crashes.crashes),
            "requests",
            Goal::AtMost(crashes.crashes as f64),
            Some(crashes.told as f64),
        ),
        none(
            "crashes: other requests that failed, or got another text".into(),
            others + crashes.counts.wrong,
        ),
        none("crashes: failed afterwards".into(), crashes.after.faults()),
        Target::new(
            "crashes: engines that are there afterwards",
            "engines",
            Goal::AtLeast(crashes.engines as f64),
            Some(crashes.engines_left as f64),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::crowd::{Admission, Crashes, Growth, Texts};
    use crate::bench::targets::missed;
    use crate::load::{Counts, Latencies, Summary};

    fn within(ms: u64) -> Option<Summary> {
        [std::time::Duration::from_millis(ms)].into_iter().collect::<Latencies>().summary()
    }

    fn good(good: u64) -> Counts {
        Counts { good, ..Counts::default() }
    }

    /// A run in which all is well.
    fn report() -> Report {
        Report {
            cores: 2,
            texts: Texts { images: 2000, different: 200, texts: 180, seconds: 1.0, counts: good(2000) },
            memory: Growth {
                requests: 5000,
                seconds: 1.0,
                counts: good(5000),
                samples: 9,
                begin_mb: Some(100.0),
                end_mb: Some(101.0),
                most_mb: Some(110.0),
            },
            admission: Admission {
                rounds: 50,
                engines: 2,
                places: 4,
                exact: 50,
                wrong: 0,
                first_fault: None,
                refusal: within(3),
                health: within(2),
                unhealthy: 0,
            },
            crashes: Crashes {
                crashes: 5,
                counts: Counts { good: 100, failed: 4, ..Counts::default() },
                told: 4,
                after: good(20),
                engines: 2,
                engines_left: 2,
            },
            targets: Vec::new(),
        }
    }

    #[track_caller]
    fn assert_missed(change: impl FnOnce(&mut Report), expected: &str) {
        let mut report = report();
        change(&mut report);
        let targets = judged(&report);
        let missed = missed(&targets);
        assert!(missed.len() == 1 && missed[0].contains(expected), "{expected}: {missed:?}");
    }

    #[test]
    fn a_run_in_which_all_is_well_misses_nothing() {
        let targets = judged(&report());
        assert!(missed(&targets).is_empty() && targets.iter().all(|target| target.met == Some(true)));
    }

    #[test]
    fn each_thing_that_goes_wrong_is_missed_by_its_name() {
        assert_missed(|it| it.texts.counts.wrong = 1, "other text than alone");
        assert_missed(|it| it.texts.counts.failed = 1, "at once: failed");
        assert_missed(|it| it.memory.counts.failed = 1, "5000 requests: failed");
        assert_missed(|it| it.memory.end_mb = Some(107.0), "growth");
        assert_missed(|it| it.admission.exact = 49, "exactly one refused");
        assert_missed(|it| it.admission.refusal = within(21), "refusal");
        assert_missed(|it| it.admission.unhealthy = 1, "no 200");
        assert_missed(|it| it.admission.health = within(200), "p99");
        assert_missed(|it| it.crashes.counts.failed = 5, "other requests");
        assert_missed(|it| it.crashes.counts.wrong = 1, "other requests");
        assert_missed(|it| it.crashes.after.failed = 1, "afterwards");
        assert_missed(|it| it.crashes.engines_left = 1, "engines that are there");
    }

    #[test]
    fn more_requests_lost_than_engines_is_missed() {
        assert_missed(|it| (it.crashes.counts.failed, it.crashes.told) = (6, 6), "with their engine");
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let mut report = report();
        report.memory.begin_mb = None;
        let targets = judged(&report);
        assert_eq!(targets.iter().filter(|target| target.met.is_none()).count(), 1);
    }
}
