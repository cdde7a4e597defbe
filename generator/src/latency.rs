//! Latencies as an HDR histogram: any percentile to three digits, whatever the number of requests.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Kept in microseconds.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

/// What is told of them, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub count: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

/// A day, in microseconds: what is longer counts as this, so that one odd value does not take memory for a year.
const LONGEST: u64 = 86_400_000_000;
/// The largest first range, in microseconds; the histogram grows beyond it by itself.
const FIRST_RANGE: u64 = 60_000_000;

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, FIRST_RANGE, 3);
        let mut histogram = histogram.unwrap_or_else(|error| unreachable!("constant bounds: {error}"));
        histogram.auto(true);
        Self(histogram)
    }
}

impl Latencies {
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).clamp(1, LONGEST);
        // Fails only for a histogram that may not grow.
        let _ = self.0.record(micros);
    }

    pub fn add(&mut self, other: &Self) {
        // Fails only for a histogram that may not grow.
        let _ = self.0.add(&other.0);
    }

    /// In milliseconds; `quantile` from 0 to 1. None where nothing was recorded.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| in_ms(self.0.value_at_quantile(quantile)))
    }

    /// The histogram itself, in microseconds.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.0
    }

    /// None where nothing was recorded.
    pub fn summary(&self) -> Option<Summary> {
        Some(Summary {
            count: self.0.len(),
            mean_ms: self.0.mean() / 1000.0,
            p50_ms: self.quantile_ms(0.5)?,
            p95_ms: self.quantile_ms(0.95)?,
            p99_ms: self.quantile_ms(0.99)?,
            p999_ms: self.quantile_ms(0.999)?,
            max_ms: in_ms(self.0.max()),
        })
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        let mut latencies = Self::default();
        durations.into_iter().for_each(|duration| latencies.record(duration));
        latencies
    }
}

/// Milliseconds of whole microseconds.
#[expect(clippy::cast_precision_loss, reason = "two to the 52 microseconds are 142 years")]
fn in_ms(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_of_a_hundred_values_are_those_values() {
        let summary = (1..=100).map(Duration::from_millis).collect::<Latencies>().summary().unwrap();
        let close =
            |found: f64, wanted: f64| assert!((found / wanted - 1.0).abs() < 0.002, "{found} {wanted}");
        close(summary.p50_ms, 50.0);
        close(summary.p99_ms, 99.0);
        close(summary.max_ms, 100.0);
        close(summary.mean_ms, 50.5);
        assert_eq!(summary.count, 100);
    }

    #[test]
    fn nothing_recorded_has_no_percentiles() {
        assert_eq!(Latencies::default().summary(), None);
    }

    #[test]
    fn what_is_longer_than_the_first_range_is_kept() {
        let latencies: Latencies = [Duration::from_mins(10)].into_iter().collect();
        assert!(latencies.quantile_ms(0.5).unwrap() > 590_000.0);
    }

    proptest! {
        #[test]
        fn a_percentile_is_within_a_thousandth_of_the_sorted_value(
            mut micros in proptest::collection::vec(1_u64..10_000_000, 1..300),
            quantile in 0.0_f64..1.0,
        ) {
            let latencies: Latencies = micros.iter().map(|micros| Duration::from_micros(*micros)).collect();
            micros.sort_unstable();
            #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss,
                reason = "a rank among at most 300")]
            let rank = ((quantile * micros.len() as f64).ceil() as usize).max(1);
            let (wanted, found) = (in_ms(micros[rank - 1]), latencies.quantile_ms(quantile).unwrap());
            prop_assert!((found - wanted).abs() <= wanted * 0.001 + 0.001, "{found} {wanted}");
        }

        #[test]
        fn adding_is_recording_both(left in proptest::collection::vec(1_u64..1_000_000, 0..50),
                                    right in proptest::collection::vec(1_u64..1_000_000, 1..50)) {
            let of = |micros: &[u64]| micros.iter().copied().map(Duration::from_micros).collect::<Latencies>();
            let mut sum = of(&left);
            sum.add(&of(&right));
            prop_assert_eq!(sum.summary(), of(&[left, right].concat()).summary());
        }
    }
}
