//! Limits at which a run is ended at once.

use std::time::Duration;

use super::traffic::Lately;

/// How far it is looked back, and how many requests it takes to say anything.
const WINDOW: Duration = Duration::from_secs(10);
const ENOUGH: f64 = 20.0;
/// At a low rate it is looked back so far that at least so many are due.
const FEWEST: f64 = 5.0;

/// What ends a run at once. Of the latest requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Abort {
    /// More than so many in a hundred not answered well.
    pub percent: u32,
    /// A 99th percentile above this.
    pub p99: Option<Duration>,
}

/// What is looked at of the latest requests, by the rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watched {
    pub window: Duration,
    /// What is unanswered for longer is not answered well.
    pub patience: Duration,
    enough: f64,
    abort: Abort,
}

impl Watched {
    pub fn new(abort: Abort, rate: f64) -> Self {
        let window = WINDOW.as_secs_f64().max(FEWEST / rate);
        Self {
            window: Duration::try_from_secs_f64(window).unwrap_or(Duration::MAX),
            patience: abort.p99.unwrap_or(WINDOW),
            enough: ENOUGH.min(rate * window / 2.0),
            abort,
        }
    }

    /// Why the run must not go on.
    pub fn too_bad(&self, lately: &Lately) -> Option<String> {
        let Lately { all, failed, overdue, p99_ms } = *lately;
        if crate::load::number(all as u64) < self.enough {
            return None;
        }
        if failed * 100 > all * self.abort.percent as usize {
            let patience = self.patience.as_secs_f64();
            let hang = if overdue > 0 {
                format!(", {overdue} of them not within {patience} s")
            } else {
                String::new()
            };
            return Some(format!("{failed} of the last {all} requests were not answered well{hang}"));
        }
        let limit = self.abort.p99?.as_secs_f64() * 1000.0;
        // One in a hundred that takes longer is the 99th percentile.
        if overdue * 100 > all {
            return Some(format!("{overdue} of the last {all} requests take more than {limit:.0} ms"));
        }
        let p99 = p99_ms.filter(|p99| *p99 > limit)?;
        Some(format!("p99 of the last {all} requests {p99:.0} ms, more than {limit:.0} ms"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERCENT: Abort = Abort { percent: 60, p99: None };

    fn lately(all: usize, failed: usize, overdue: usize) -> Lately {
        Lately { all, failed, overdue, p99_ms: Some(100.0) }
    }

    #[test]
    fn what_hangs_ends_a_run_as_what_fails_does() {
        let watched = Watched::new(PERCENT, 20.0);
        assert_eq!(watched.too_bad(&lately(100, 60, 0)), None);
        assert!(watched.too_bad(&lately(100, 61, 0)).is_some());
        let why = watched.too_bad(&lately(100, 61, 61)).unwrap();
        assert!(why.contains("61 of them not within 10 s"), "{why}");
        assert_eq!(watched.too_bad(&lately(19, 19, 0)), None, "too few to say anything");
    }

    #[test]
    fn a_slow_run_needs_fewer_requests_and_looks_back_further() {
        let of = |rate| Watched::new(PERCENT, rate);
        assert_eq!(of(20.0).window, WINDOW);
        assert!(of(1.0).too_bad(&lately(5, 5, 0)).is_some() && of(1.0).too_bad(&lately(4, 4, 0)).is_none());
        assert_eq!(of(0.1).window, Duration::from_secs(50));
        assert!(of(0.1).too_bad(&lately(3, 3, 3)).is_some());
    }

    #[test]
    fn a_limit_on_the_99th_percentile_holds_for_what_is_not_answered_yet() {
        let watched = Watched::new(Abort { percent: 100, p99: Some(Duration::from_secs(1)) }, 20.0);
        assert_eq!(watched.patience, Duration::from_secs(1));
        assert_eq!(watched.too_bad(&lately(100, 1, 1)), None);
        assert!(watched.too_bad(&lately(100, 2, 2)).is_some());
        let slow = Lately { p99_ms: Some(1001.0), ..lately(100, 0, 0) };
        assert!(watched.too_bad(&slow).unwrap().contains("1001 ms"));
    }
}
