//! Plots as HTML and SVG that need nothing else: curves over time or over quantiles, on scales with round numbers.

mod axis;
mod draw;
mod lines;
pub(crate) mod unit;

use std::time::Duration;

use serde::Serialize;

pub(crate) use axis::{clock, moments};
pub(crate) use draw::{Band, Frame, add, bands, escaped, spot, x, y};
pub(crate) use lines::{Curve, Lines, spark, steps, told};

/// What is shown from left to right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Seconds, or what `clock` says.
    pub start: f64,
    pub end: f64,
    /// Between two points.
    pub step: f64,
    pub clock: Clock,
}

/// What stands under a plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Seconds since 1970, as a time of day.
    Utc,
    /// As seconds since the start of a run.
    FromStart,
    /// Nines: 0 is none of all, 1 is 90 %, 2 is 99 %.
    Quantile,
}

impl Range {
    pub fn length(&self) -> Duration {
        Duration::from_secs_f64(self.end - self.start)
    }

    /// Where a moment lies, from 0 to 1.
    pub(crate) fn share(&self, time: f64) -> f64 {
        (time - self.start) / (self.end - self.start)
    }
}
