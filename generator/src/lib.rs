//! The load generator: closed loop (clients that wait for their answer), open loop (a rate that does not wait), a fleet of
//! doors with failover, latencies in HDR histograms.
//!
//! A crate of its own because it is optimised also where everything else is not (`[profile.dev.package]`): it runs on the
//! machine that is measured, and what it takes, the service does not have.

#![forbid(unsafe_code)]

mod answer;
mod closed;
mod fault;
mod fleet;
mod http;
mod image;
mod lanes;
mod latency;
mod open;
mod wire;

use std::time::Duration;

pub use self::http::{HttpTarget, Judge, Payload, client, post};
pub use closed::{Closed, ClosedRun, closed};
pub use fault::{Fault, Kind};
pub use fleet::{DoorReport, DoorSpec, Fleet, LostTry, Policy};
pub use image::{Image, text_of};
pub use latency::{Latencies, Summary};
pub use open::{OpenRun, Sample, open, open_watched};
use serde::{Deserialize, Serialize};

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
pub fn number(events: u64) -> f64 {
    events as f64
}

/// Events a second.
pub fn rate(events: u64, within: Duration) -> f64 {
    number(events) / within.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// So that clients can be made: what `main` does for the whole process.
    pub fn install_tls() {
        // An error only says that it is installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }

    /// The next request of [`Payload::form`] on a connection, whole; none once the client has left.
    pub async fn next_form(stream: &mut tokio::net::TcpStream) -> Option<String> {
        let mut request = Vec::new();
        while let Ok(1..) = stream.read_buf(&mut request).await {
            if request.ends_with(b"--\r\n") {
                return Some(String::from_utf8_lossy(&request).into_owned());
            }
        }
        None
    }

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
