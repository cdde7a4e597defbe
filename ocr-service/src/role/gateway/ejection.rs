//! Whether an endpoint is asked: out after failures in a row, back after it has answered a probe. Time is handed in.

use std::time::{Duration, Instant};

/// One failure may be anything; this many in a row are the endpoint's.
const IN_A_ROW: u32 = 3;
/// The first stay outside; it doubles with each probe that fails.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub struct Ejection {
    /// In a row, until now.
    failures: u32,
    /// How often it was thrown out, or not let in again, since it last answered a request.
    stays: u32,
    /// Outside, and to be probed from then on.
    until: Option<Instant>,
}

impl Ejection {
    /// It answered a request: whatever it says, it works.
    pub fn answered(&mut self) {
        *self = Self::default();
    }

    /// It failed a request; whether it is thrown out with that.
    pub fn failed(&mut self, now: Instant) -> bool {
        if self.is_out() {
            // What was under way when it was thrown out tells nothing new.
            return false;
        }
        self.failures += 1;
        self.failures >= IN_A_ROW && self.throw_out(now)
    }

    /// It is known not to work; whether that was news.
    pub fn throw_out(&mut self, now: Instant) -> bool {
        let news = !self.is_out();
        if news {
            self.stay(now);
        }
        news
    }

    pub fn is_out(&self) -> bool {
        self.until.is_some()
    }

    pub fn is_probe_due(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// What a probe of an endpoint that is out has found. Back in, its next failure throws it out again.
    pub fn probed(&mut self, well: bool, now: Instant) {
        if !self.is_out() {
            return;
        }
        if well {
            self.until = None;
            self.failures = IN_A_ROW - 1;
        } else {
            self.stay(now);
        }
    }

    fn stay(&mut self, now: Instant) {
        let stay = FIRST.saturating_mul(1 << self.stays.min(16)).min(LONGEST);
        self.stays += 1;
        self.until = Some(now + stay);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn thrown_out(now: Instant) -> Ejection {
        let mut ejection = Ejection::default();
        assert!(!ejection.failed(now) && !ejection.failed(now) && ejection.failed(now));
        ejection
    }

    #[test]
    fn an_answer_between_failures_begins_the_count_anew() {
        let (mut ejection, now) = (Ejection::default(), Instant::now());
        for _ in 0..5 {
            assert!(!ejection.failed(now) && !ejection.failed(now));
            ejection.answered();
        }
    }

    #[test]
    fn each_failed_probe_doubles_the_stay_up_to_a_limit() {
        let start = Instant::now();
        let mut ejection = thrown_out(start);
        for (stays, seconds) in [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 10.0), (7, 10.0)] {
            assert_eq!(ejection.stays, stays);
            assert_eq!(ejection.until, Some(start + Duration::from_secs_f64(seconds)));
            assert!(!ejection.is_probe_due(start));
            ejection.probed(false, start);
        }
    }

    #[test]
    fn after_a_good_probe_one_failure_is_enough_and_one_answer_forgets_all() {
        let now = Instant::now();
        let mut ejection = thrown_out(now);
        ejection.probed(true, now);
        assert!(!ejection.is_out());
        assert!(ejection.failed(now));
        assert_eq!(ejection.until, Some(now + 2 * FIRST));
        ejection.probed(true, now);
        ejection.answered();
        assert!(!ejection.failed(now) && !ejection.failed(now));
    }

    #[test]
    fn what_fails_while_it_is_out_does_not_prolong_the_stay() {
        let now = Instant::now();
        let mut ejection = thrown_out(now);
        let until = ejection.until;
        assert!(!ejection.failed(now + FIRST) && !ejection.throw_out(now + FIRST));
        assert_eq!(ejection.until, until);
    }

    proptest! {
        #[test]
        fn whatever_happened_an_endpoint_that_is_out_can_be_probed_within_the_limit(steps in proptest::collection::vec(0_u8..5, 0..60)) {
            let now = Instant::now();
            let mut ejection = Ejection::default();
            for step in steps {
                match step {
                    0 => ejection.answered(),
                    1 => drop(ejection.failed(now)),
                    2 => drop(ejection.throw_out(now)),
                    3 => ejection.probed(true, now),
                    _ => ejection.probed(false, now),
                }
                prop_assert_eq!(ejection.is_probe_due(now + LONGEST), ejection.is_out());
            }
        }
    }
}
