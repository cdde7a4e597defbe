//! Plots as HTML and SVG that need nothing else: curves over time, on scales with round numbers.

mod axis;
mod draw;
mod lines;
pub(crate) mod unit;

use std::time::Duration;

use serde::Serialize;

pub(crate) use axis::clock;
pub(crate) use draw::{Band, Frame, add, bands, escaped, x, y};
pub(crate) use lines::{Curve, Lines, spark, steps, told};

/// What time is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Seconds, since 1970 or since the start of a run.
    pub start: f64,
    pub end: f64,
    /// Between two points.
    pub step: f64,
    pub clock: Clock,
}

/// How moments are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    Utc,
    /// As seconds since the start of a run.
    FromStart,
}

impl Range {
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.end - self.start)
    }

    /// Where a moment lies, from 0 to 1.
    fn place(&self, time: f64) -> f64 {
        (time - self.start) / (self.end - self.start)
    }
}
