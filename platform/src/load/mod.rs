//! Load on a service and what became of it: what `cargo xtask load` makes of the load generator, schedules, limits and reports.

mod compare;
mod files;
mod images;
mod report;
mod run;
mod schedule;
mod thresholds;

use std::time::Duration;

pub(crate) use generator::number;
use generator::rate;
pub use generator::{
    Closed, ClosedRun, Counts, DoorReport, DoorSpec, Fault, Fleet, HttpTarget, Image, Judge, Latencies,
    LostTry, OpenRun, Outcome, Payload, Policy, Sample, Summary, Target, closed, open, open_watched,
};
pub use reqwest::Url;

pub use compare::{Comparison, Figure, Verdict, compare};
pub use files::read_report;
#[cfg(test)]
pub(crate) use files::tests::conforms;
pub(crate) use report::Tally;
pub use report::{Report, Second};
pub use run::{LoadOptions, load};
pub(crate) use run::{doors, fleet, images_or_sample, learn, told};
pub use schedule::{Pattern, Schedule, Stage, Towards, duration, stages};
pub use thresholds::{Checked, Thresholds};

use crate::error::{Doing, Result};

/// A client that keeps its connections and uses no proxy; `timeout` is a whole request's.
pub fn client(timeout: Duration) -> Result<reqwest::Client> {
    generator::client(timeout).doing("preparing the HTTP client")
}
