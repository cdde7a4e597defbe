//! What the numbers have to be, beside what they are.

use serde::Serialize;

use super::peers::Peer;
use super::picture::Picture;
use super::report::Report;

/// The bound of a number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

/// One line: what is wanted, and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    pub what: String,
    pub unit: &'static str,
    pub goal: Goal,
    /// None where a peer that it needs was not measured, or a run gave no figure.
    pub measured: Option<f64>,
    /// The same number for Platen as it is by default, where `measured` is that of the same work as the others'.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_default: Option<f64>,
    /// None where it was not measured.
    pub met: Option<bool>,
}

impl Target {
    pub(super) fn new(
        what: impl Into<String>,
        unit: &'static str,
        goal: Goal,
        measured: Option<f64>,
    ) -> Self {
        let met = measured.map(|value| goal.is_met(value));
        Self { what: what.into(), unit, goal, measured, by_default: None, met }
    }

    fn with_default(self, by_default: Option<f64>) -> Self {
        Self { by_default, ..self }
    }
}

/// The bounds of the issue "the OCR service, whole and faster than anything it replaces".
const OF_BARE: f64 = 0.95;
/// The image, and how many times as fast as Flask, as KServe, and as the better of both when tuned.
const OF_PEERS: [(Picture, f64, f64, f64); 2] =
    [(Picture::Line, 10.0, 20.0, 4.0), (Picture::Label, 6.0, 12.0, 1.5)];

/// Every target with its measurement. Only images that were measured.
pub fn judged(report: &Report) -> Vec<Target> {
    let mut targets = throughput(report);
    targets.extend(alone(report));
    targets.extend(hop(report));
    targets.extend(processes(report));
    targets.push(faults(report));
    targets
}

/// The names of those that were missed.
pub fn missed(targets: &[Target]) -> Vec<&str> {
    targets.iter().filter(|target| target.met == Some(false)).map(|target| target.what.as_str()).collect()
}

fn throughput(report: &Report) -> Vec<Target> {
    let against = |than: Peer, image: Picture, bound: f64, what: String| {
        let measured = report.ratio(Peer::PlatenPlain, than, image);
        Target::new(what, "times", Goal::AtLeast(bound), measured).with_default(report.ratio(
            Peer::Platen,
            than,
            image,
        ))
    };
    let mut targets: Vec<_> = images(report)
        .map(|image| {
            against(Peer::Bare, image, OF_BARE, format!("{image}: throughput of the bare library's"))
        })
        .collect();
    for (image, flask, kserve, tuned) in
        OF_PEERS.into_iter().filter(|row| images(report).any(|it| it == row.0))
    {
        let line = |peer: &str| format!("{image}: throughput of {peer}'s");
        targets.push(against(Peer::Flask, image, flask, line("Flask")));
        targets.push(against(Peer::Kserve, image, kserve, line("KServe")));
        let peers = [Peer::FlaskTuned, Peer::KserveTuned];
        let rate = |peer: &Peer| report.rate(*peer, image).unwrap_or_default();
        let better = peers.into_iter().max_by(|one, other| rate(one).total_cmp(&rate(other)));
        let better = better.unwrap_or(Peer::FlaskTuned);
        targets.push(against(better, image, tuned, line("the better tuned peer")));
    }
    targets
}

/// One request on the idle machine: the default, because what is shared between idle engines is what it prepares.
fn alone(report: &Report) -> Option<Target> {
    let image = Picture::Label;
    let median = |peer| Some(report.cell(peer, image)?.alone?.p50_ms);
    let ratio = |peer| Some(median(peer)? / median(Peer::Bare)?);
    report.cell(Peer::Platen, image)?;
    let what = "label: one request, of one bare thread's time; same text idle and loaded";
    let mut target = Target::new(what, "times", Goal::AtMost(0.65), ratio(Peer::Platen));
    let texts = report.cell(Peer::Platen, image).map_or(0, |cell| cell.reading.texts);
    target.met = target.met.map(|met| met && texts == 1);
    Some(target)
}

fn hop(report: &Report) -> Vec<Target> {
    let Some(hop) = report.hop else { return Vec::new() };
    vec![
        Target::new("gateway hop, p50", "ms", Goal::AtMost(1.0), Some(hop.p50_ms())),
        Target::new("gateway hop, share of the throughput", "%", Goal::AtMost(3.0), Some(hop.cost() * 100.0)),
    ]
}

fn processes(report: &Report) -> Vec<Target> {
    let Some(platen) = report.processes.iter().find(|it| it.peer == Peer::Platen) else { return Vec::new() };
    vec![
        Target::new("model with kor+eng, idle memory", "MB", Goal::AtMost(80.0), platen.model_idle_mb),
        Target::new("model, start to ready", "s", Goal::AtMost(1.0), platen.model_ready_seconds),
    ]
}

fn faults(report: &Report) -> Target {
    let ours = report.cells.iter().filter(|cell| cell.peer.is_platen());
    let faults = ours
        .map(|cell| cell.closed.counts.faults() + cell.open.as_ref().map_or(0, |open| open.counts.faults()));
    let faults: Vec<u64> = faults.collect();
    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    let measured = (!faults.is_empty()).then(|| faults.iter().sum::<u64>() as f64);
    Target::new("Platen: failed or wrong answers", "requests", Goal::AtMost(0.0), measured)
}

fn images(report: &Report) -> impl Iterator<Item = Picture> {
    Picture::ALL.into_iter().filter(|image| report.cells.iter().any(|cell| cell.image == *image))
}

#[cfg(test)]
#[path = "targets_tests.rs"]
mod tests;
