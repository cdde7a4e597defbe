//! How long answers have taken of late: what is much later than that is asked for elsewhere too.

use std::time::Duration;

/// So many answers are remembered.
const WINDOW: usize = 256;
/// No sooner, however quick the answers have been, unless it is configured.
pub const SOONEST: Duration = Duration::from_secs(1);
/// Times the slowest of a hundred.
const FACTOR: u32 = 3;

#[derive(Debug)]
pub struct Latencies {
    soonest: Duration,
    recent: Vec<Duration>,
    next: usize,
}

impl Latencies {
    pub fn new(soonest: Duration) -> Self {
        Self { soonest, recent: Vec::new(), next: 0 }
    }

    pub fn record(&mut self, took: Duration) {
        if self.recent.len() < WINDOW {
            self.recent.push(took);
        } else {
            self.recent[self.next] = took;
        }
        self.next = (self.next + 1) % WINDOW;
    }

    /// When an answer is late. Nothing known: as late as anything is.
    pub fn late(&self) -> Duration {
        let mut sorted = self.recent.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        let p99 = sorted.get(last * 99 / 100).copied().unwrap_or_default();
        (p99 * FACTOR).max(self.soonest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_three_times_the_99th_percentile_and_never_under_a_second() {
        let mut latencies = Latencies::new(SOONEST);
        assert_eq!(latencies.late(), SOONEST);
        latencies.record(Duration::from_millis(20));
        assert_eq!(latencies.late(), SOONEST);
        for _ in 0..20 {
            latencies.record(Duration::from_secs(2));
        }
        assert_eq!(latencies.late(), Duration::from_secs(6));
    }

    #[test]
    fn what_is_long_past_is_forgotten() {
        let mut latencies = Latencies::new(SOONEST);
        latencies.record(Duration::from_mins(1));
        for _ in 0..WINDOW {
            latencies.record(Duration::from_millis(1));
        }
        assert_eq!(latencies.late(), SOONEST);
    }
}
