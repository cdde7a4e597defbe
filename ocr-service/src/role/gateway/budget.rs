//! How many attempts may be made beside the first ones: a share of the requests, so that models in trouble are not
//! asked ever more.

use std::time::Instant;

/// Of every ten requests one may be tried again.
const SHARE: f64 = 0.1;
/// So that a quiet gateway, which has saved nothing, can still retry.
const FLOOR_PER_SECOND: f64 = 1.0;
/// What can be saved: calm hours must not pay for a storm.
const MOST: f64 = 10.0;

/// A bucket of retries. Time is handed in.
#[derive(Debug)]
pub struct Budget {
    saved: f64,
    at: Instant,
}

impl Budget {
    pub fn new(now: Instant) -> Self {
        Self { saved: MOST, at: now }
    }

    /// A request came in.
    pub fn earn(&mut self) {
        self.saved = (self.saved + SHARE).min(MOST);
    }

    /// Whether one more attempt may be made; if so it is counted.
    pub fn spend(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.saved = (self.saved + passed * FLOOR_PER_SECOND).min(MOST);
        let enough = self.saved >= 1.0;
        if enough {
            self.saved -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// A share of this many requests, retried each, that the budget lets through at one moment.
    fn retried(requests: u32) -> u32 {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        (0..requests)
            .map(|_| {
                budget.earn();
                u32::from(budget.spend(now))
            })
            .sum()
    }

    #[test]
    fn when_every_request_fails_about_a_tenth_is_tried_again() {
        assert!((100..=112).contains(&retried(1000)), "{}", retried(1000));
    }

    #[test]
    fn a_gateway_with_one_request_a_second_can_retry_each() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        assert!((0..100).all(|second| {
            budget.earn();
            budget.spend(start + Duration::from_secs(second))
        }));
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_earns_nothing() {
        let start = Instant::now() + Duration::from_mins(1);
        let mut budget = Budget::new(start);
        while budget.spend(start) {}
        assert!(!budget.spend(start.checked_sub(Duration::from_secs(30)).unwrap()));
        assert!(!budget.spend(start));
    }

    proptest! {
        #[test]
        fn never_more_than_was_saved_earned_and_given(steps in proptest::collection::vec((any::<bool>(), 0_u64..500), 0..400)) {
            let start = Instant::now();
            let (mut budget, mut now) = (Budget::new(start), start);
            let (mut requests, mut spent) = (0_u32, 0_u32);
            for (is_request, millis) in steps {
                now += Duration::from_millis(millis);
                if is_request {
                    requests += 1;
                    budget.earn();
                } else {
                    spent += u32::from(budget.spend(now));
                }
            }
            let seconds = now.duration_since(start).as_secs_f64();
            let most = MOST + SHARE * f64::from(requests) + FLOOR_PER_SECOND * seconds;
            prop_assert!(f64::from(spent) <= most + 1e-6);
        }
    }
}
