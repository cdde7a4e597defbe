//! `cargo xtask bench chaos`: a worker of what `up` made is killed, stopped and paused under load, several times in a row,
//! and the targets stand beside what was measured.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::targets::{Goal, Target};
use super::traces::Traces;
use crate::chaos::{
    Abort, ChaosOptions, ChaosReport, Limits, Mode, MomentKind, Outcome, PhaseName, Ran, What, chaos,
};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::load::Policy;

/// Of load before each fault. The usual 15 s are some 300 requests, whose 99th percentile is the third slowest.
const STEADY: Duration = Duration::from_secs(30);
/// Requests that a run must have sent to say anything.
const ENOUGH: u16 = 2000;
/// The outage's 99th percentile, of the steady one.
const RATIO: f64 = 3.0;
/// From NotReady until the replacements are Ready, in seconds.
const REPLACED: f64 = 30.0;
/// How far off a prediction may be, in seconds.
const NEAR: f64 = 5.0;

#[derive(Debug, Clone)]
pub struct FaultOptions {
    pub modes: Vec<Mode>,
    /// Runs of each mode.
    pub runs: u32,
    /// Small images, so that what is asked is whether anybody is turned away.
    pub image: PathBuf,
    /// Requests a second; without it a share of what the platform can do.
    pub rate: Option<f64>,
}

/// One run, in the figures that targets are about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FaultRun {
    pub mode: Mode,
    pub outcome: Outcome,
    pub sent: f64,
    /// For good, or answered wrongly.
    pub failed: f64,
    pub lost_tries: usize,
    pub steady_p99_ms: Option<f64>,
    pub outage_p99_ms: Option<f64>,
    /// From NotReady until the replacements were Ready.
    pub replaced_seconds: Option<f64>,
    /// The largest.
    pub deviation_seconds: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Faults {
    pub runs: Vec<FaultRun>,
    /// What all of them together left otherwise than it was, a phrase each.
    pub changes: Vec<String>,
    pub targets: Vec<Target>,
}

pub async fn faults(host: &Host, options: &FaultOptions) -> Result<Faults> {
    let mut runs = Vec::new();
    let before = Traces::of(host).await?;
    for mode in &options.modes {
        for run in 1..=options.runs {
            host.events.note(format!("a worker {}, run {run} of {}", mode.participle(), options.runs));
            let Ran::Done { report, .. } = chaos(host, &chaos_options(options, *mode)).await? else {
                continue;
            };
            if report.verdict.outcome == Outcome::Interrupted {
                return Err(Error::Interrupted);
            }
            runs.push(FaultRun::of(*mode, &report));
        }
    }
    let changes = before.changes(&Traces::of(host).await?);
    let mut targets = targets(&options.modes, &runs);
    let count = number(changes.len() as u64);
    targets.push(Target::new("what all runs left otherwise", "things", Goal::AtMost(0.0), Some(count)));
    Ok(Faults { runs, changes, targets })
}

fn chaos_options(options: &FaultOptions, mode: Mode) -> ChaosOptions {
    ChaosOptions {
        what: What::Node { name: None, mode },
        rate: options.rate,
        images: Some(options.image.clone()),
        policy: Policy { failover: true, retry: true },
        timeout: Duration::from_mins(1),
        limits: Limits { max_errors: 0, max_p99_ms: None, max_p99_ratio: None },
        abort: Abort { percent: 90, p99: None },
        steady: Some(STEADY),
        requests: ENOUGH.into(),
        force: false,
        rebalance: true,
        dry_run: false,
        folder: None,
    }
}

impl FaultRun {
    fn of(mode: Mode, report: &ChaosReport) -> Self {
        let at = |kind| report.moment(kind).and_then(|moment| moment.at);
        let p99 = |name| Some(report.phase(name)?.latency?.p99_ms);
        let load = report.load.as_ref();
        let deviations = report.timeline.iter().filter_map(|moment| moment.deviation);
        Self {
            mode,
            outcome: report.verdict.outcome,
            sent: load.map_or(0.0, |load| number(load.sent)),
            failed: load.map_or(0.0, |load| number(load.counts.faults())),
            lost_tries: load.map_or(0, |load| load.lost_tries.len()),
            steady_p99_ms: p99(PhaseName::Steady),
            outage_p99_ms: p99(PhaseName::Outage),
            replaced_seconds: at(MomentKind::Ready).zip(at(MomentKind::NotReady)).map(|(to, from)| to - from),
            deviation_seconds: deviations.map(f64::abs).max_by(f64::total_cmp),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of requests")]
fn number(count: u64) -> f64 {
    count as f64
}

/// Of each mode, by its worst run.
fn targets(modes: &[Mode], runs: &[FaultRun]) -> Vec<Target> {
    let mut targets = Vec::new();
    for mode in modes {
        let of_it = || runs.iter().filter(|run| run.mode == *mode);
        let worst = |of: fn(&FaultRun) -> Option<f64>| of_it().filter_map(of).max_by(f64::total_cmp);
        let mut add = |what: &str, unit, goal, measured| {
            targets.push(Target::new(format!("{}: {what}", mode.as_str()), unit, goal, measured));
        };
        let fewest = of_it().map(|run| run.sent).min_by(f64::total_cmp);
        add("requests of a run", "requests", Goal::AtLeast(ENOUGH.into()), fewest);
        add("failed for good", "requests", Goal::AtMost(0.0), worst(|run| Some(run.failed)));
        let ratio = worst(|run| Some(run.outage_p99_ms? / run.steady_p99_ms?));
        add("p99 of the outage, of the steady one", "times", Goal::AtMost(RATIO), ratio);
        let replaced = worst(|run| run.replaced_seconds);
        add("replacements Ready after NotReady", "s", Goal::AtMost(REPLACED), replaced);
        let deviation = worst(|run| run.deviation_seconds);
        add("predictions off by", "s", Goal::AtMost(NEAR), deviation);
        let not_passed = of_it().filter(|run| run.outcome != Outcome::Passed).count();
        add("runs that did not pass", "runs", Goal::AtMost(0.0), Some(number(not_passed as u64)));
    }
    targets
}

impl Faults {
    /// An error that names the targets that were missed.
    pub fn verdict(&self) -> Result<()> {
        let missed = super::targets::missed(&self.targets);
        if missed.is_empty() {
            return Ok(());
        }
        let hint = "see the reports in .platen/reports; measure again on a machine that is idle";
        Err(Error::unhealthy(format!("missed: {}", missed.join("; ")), hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(mode: Mode, failed: f64, outage: f64) -> FaultRun {
        FaultRun {
            mode,
            outcome: Outcome::Passed,
            sent: 2500.0,
            failed,
            lost_tries: 3,
            steady_p99_ms: Some(100.0),
            outage_p99_ms: Some(outage),
            replaced_seconds: Some(20.0),
            deviation_seconds: Some(4.0),
        }
    }

    #[test]
    fn each_mode_is_held_to_its_worst_run() {
        let runs = [run(Mode::Kill, 0.0, 200.0), run(Mode::Kill, 0.0, 350.0), run(Mode::Pause, 1.0, 100.0)];
        let targets = targets(&[Mode::Kill, Mode::Pause], &runs);
        let faults = Faults { runs: runs.to_vec(), changes: Vec::new(), targets };
        let missed = faults.verdict().unwrap_err().to_string();
        assert_eq!(missed, "missed: kill: p99 of the outage, of the steady one; pause: failed for good");
    }
}
