//! Load on a service and what became of it: closed loop (clients that wait for their answer), open loop (a rate that
//! does not wait), latencies in HDR histograms; and what `cargo xtask load` makes of it.

mod closed;
mod compare;
mod fault;
mod files;
mod fleet;
mod http;
mod images;
mod latency;
mod open;
mod report;
mod run;
mod schedule;
mod thresholds;
mod wire;

use std::time::Duration;

pub use reqwest::Url;
use serde::{Deserialize, Serialize};

pub use self::http::{HttpTarget, Judge, Payload, client};
pub use closed::{Closed, ClosedRun, closed};
pub use compare::{Comparison, Figure, Verdict, compare};
pub use fault::Fault;
pub use files::read_report;
#[cfg(test)]
pub(crate) use files::tests::conforms;
pub use fleet::{DoorReport, DoorSpec, Fleet, LostTry, Policy};
pub use images::Image;
pub use latency::{Latencies, Summary};
pub use open::{OpenRun, Sample, open, open_watched};
pub(crate) use report::Tally;
pub use report::{Report, Second};
pub use run::{LoadOptions, load};
pub(crate) use run::{doors, images_or_sample, learn};
pub use schedule::{Pattern, Schedule, Stage, Towards, duration, stages};
pub use thresholds::{Checked, Thresholds};

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Good,
    /// Answered as if all were well, and not with what it had to be.
    Wrong(String),
    /// Refused, broken off or timed out.
    Failed(String),
}

/// What is loaded. Each call is one request, from its sending to the last byte of its answer.
pub trait Target: Send + Sync + 'static {
    fn send(&self) -> impl Future<Output = Outcome> + Send;
}

/// Requests counted by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub good: u64,
    pub wrong: u64,
    pub failed: u64,
    /// The first thing that went wrong, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_fault: Option<String>,
}

impl Counts {
    pub fn count(&mut self, outcome: Outcome) {
        let fault = match outcome {
            Outcome::Good => {
                self.good += 1;
                return;
            }
            Outcome::Wrong(fault) => {
                self.wrong += 1;
                fault
            }
            Outcome::Failed(fault) => {
                self.failed += 1;
                fault
            }
        };
        self.first_fault.get_or_insert(fault);
    }

    pub fn add(&mut self, other: Self) {
        self.good += other.good;
        self.wrong += other.wrong;
        self.failed += other.failed;
        self.first_fault = self.first_fault.take().or(other.first_fault);
    }

    pub fn faults(&self) -> u64 {
        self.wrong + self.failed
    }
}

/// A number of events, to calculate with.
#[expect(clippy::cast_precision_loss, reason = "no run has two to the 52 requests")]
pub(crate) fn number(events: u64) -> f64 {
    events as f64
}

/// Events a second.
fn rate(events: u64, within: Duration) -> f64 {
    number(events) / within.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fault_is_kept() {
        let mut counts = Counts::default();
        for outcome in [Outcome::Good, Outcome::Wrong("a".into()), Outcome::Failed("b".into())] {
            counts.count(outcome);
        }
        let expected = Counts { good: 1, wrong: 1, failed: 1, first_fault: Some("a".into()) };
        assert_eq!(counts, expected);
        assert_eq!(counts.faults(), 2);
    }
}
