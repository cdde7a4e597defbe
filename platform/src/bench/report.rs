//! What a run found.

use serde::Serialize;

use super::peers::Peer;
use super::picture::Picture;
use super::plan::Options;
use super::targets::{Target, missed};
use crate::error::{Error, Result};
use crate::load::{ClosedRun, Counts, OpenRun, Summary};

/// Everything, for the table and as JSON. Latencies are in milliseconds, memory in megabytes (10^6), rates a second.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub cores: usize,
    pub clients: usize,
    pub seconds: u32,
    pub cells: Vec<Cell>,
    pub processes: Vec<Processes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<Hop>,
    /// The bare library's rates over the run: how far the machine itself is to be trusted.
    pub drift: Vec<Drift>,
    /// Peers that could not be measured, and why.
    pub failures: Vec<Failure>,
    pub targets: Vec<Target>,
}

/// One peer with one image.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    pub peer: Peer,
    pub image: Picture,
    /// The bare library's rate right before and after: a machine that becomes slower does so for both. Its own is its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bare_rate: Option<f64>,
    /// So many clients as were asked for; for the bare library, a thread for each core.
    pub closed: Closed,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<Open>,
    /// One client; for the bare library, one thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alone: Option<Summary>,
    /// The most under load, all processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<f64>,
    /// Cores that were taken by making the load: those the peer did not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cores: Option<f64>,
    pub reading: Reading,
}

/// How well the image was read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reading {
    /// Of the first answer.
    pub character_error_rate: f64,
    /// But for white space.
    pub same_as_bare: bool,
    /// Different texts (but for white space) among all right answers: one, unless load changes what is read.
    pub texts: usize,
}

#[derive(Debug, Clone, Serialize)]
pub struct Closed {
    pub rate: f64,
    pub latency: Option<Summary>,
    pub counts: Counts,
}

#[derive(Debug, Clone, Serialize)]
pub struct Open {
    pub rate: f64,
    /// From the time at which a request had to be sent.
    pub latency: Option<Summary>,
    /// From the time at which it was sent.
    pub latency_from_sending: Option<Summary>,
    pub late: u64,
    pub dropped: u64,
    pub counts: Counts,
}

/// A peer's processes, before any load.
#[derive(Debug, Clone, Serialize)]
pub struct Processes {
    pub peer: Peer,
    pub ready_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_mb: Option<f64>,
    /// Of the model server alone, where the peer has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_ready_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_idle_mb: Option<f64>,
}

/// The same processes asked by way of the gateway and directly, by turns.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Hop {
    pub image: Picture,
    pub gateway_p50_ms: f64,
    pub direct_p50_ms: f64,
    pub gateway_rate: f64,
    pub direct_rate: f64,
}

impl Hop {
    pub fn p50_ms(&self) -> f64 {
        self.gateway_p50_ms - self.direct_p50_ms
    }

    /// The share of the throughput that the gateway costs.
    pub fn cost(&self) -> f64 {
        1.0 - self.gateway_rate / self.direct_rate
    }
}

/// The slowest and the fastest that the bare library was with one image.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Drift {
    pub image: Picture,
    pub slowest: f64,
    pub fastest: f64,
}

impl Drift {
    /// As a share of the fastest.
    pub fn change(&self) -> f64 {
        1.0 - self.slowest / self.fastest
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    pub peer: Peer,
    pub why: String,
}

impl From<ClosedRun> for Closed {
    fn from(run: ClosedRun) -> Self {
        Self { rate: run.rate, latency: run.latencies.summary(), counts: run.counts }
    }
}

impl Open {
    pub fn new(rate: f64, run: OpenRun) -> Self {
        Self {
            rate,
            latency: run.latencies.summary(),
            latency_from_sending: run.from_sending.summary(),
            late: run.late,
            dropped: run.dropped,
            counts: run.counts,
        }
    }
}

/// An error that names what went wrong, if anything did; `again` measures for longer.
pub(super) fn verdict(wrong: impl Iterator<Item = String>, again: &str) -> Result<()> {
    let wrong: Vec<String> = wrong.collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::unhealthy(wrong.join("; "), format!("measure again on an idle machine, for longer: {again}")))
}

impl Report {
    pub fn new(options: &Options) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { cores, clients: options.clients, seconds: options.seconds, ..Self::default() }
    }

    pub fn cell(&self, peer: Peer, image: Picture) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.peer == peer && cell.image == image)
    }

    /// Good answers a second in the closed loop.
    pub fn rate(&self, peer: Peer, image: Picture) -> Option<f64> {
        Some(self.cell(peer, image)?.closed.rate)
    }

    /// How far the bare library's rates are apart, of images for which there are several.
    pub(super) fn drifts(&self) -> Vec<Drift> {
        let of = |image: Picture| {
            let rates: Vec<f64> = self
                .cells
                .iter()
                .filter(|cell| cell.image == image)
                .filter_map(|cell| cell.bare_rate)
                .collect();
            let slowest = rates.iter().copied().reduce(f64::min)?;
            let fastest = rates.iter().copied().reduce(f64::max)?;
            (rates.len() > 1).then_some(Drift { image, slowest, fastest })
        };
        Picture::ALL.into_iter().filter_map(of).collect()
    }

    /// An error where a target was missed or a peer could not be measured.
    pub fn verdict(&self) -> Result<()> {
        let missed = missed(&self.targets).into_iter().map(|what| format!("missed: {what}"));
        let failed = self.failures.iter().map(|failure| format!("not measured: {}", failure.peer));
        verdict(missed.chain(failed), "cargo xtask bench ocr --seconds 15")
    }

    /// How many times as many images a second, each held against the bare library beside it where it was measured.
    pub fn ratio(&self, peer: Peer, than: Peer, image: Picture) -> Option<f64> {
        let (own, other) = (self.cell(peer, image)?, self.cell(than, image)?);
        let machine = match (own.bare_rate, other.bare_rate) {
            (Some(own), Some(other)) if own > 0.0 => other / own,
            _ => 1.0,
        };
        (other.closed.rate > 0.0).then(|| own.closed.rate / other.closed.rate * machine)
    }
}
