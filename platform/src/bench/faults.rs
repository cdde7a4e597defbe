//! `cargo xtask bench chaos`: a worker of what `up` made is killed, stopped and paused under load, several times in a row,
//! and the targets stand beside what was measured.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use serde::Serialize;

use super::targets::{Goal, Target};
use super::traces::Traces;
use crate::chaos::{
    Abort, ChaosOptions, ChaosReport, Limits, Mode, MomentKind, NEAR, Outcome, PhaseName, RATIO, Ran, What,
    chaos, interrupted,
};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::load::{Policy, number};

/// Of load before each fault. The usual 15 s are some 300 requests, whose 99th percentile is the third slowest.
const STEADY: Duration = Duration::from_secs(30);
/// Requests that a run must have sent to say anything.
const ENOUGH: u16 = 2000;
/// From NotReady until the replacements are Ready, in seconds.
const REPLACED: f64 = 30.0;

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
    /// The largest; none where something was predicted and did not come.
    pub deviation_seconds: Option<f64>,
    /// Why there was no run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
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
    let mut first = None;
    let before = Traces::of(host).await?;
    // A run listens for itself; between two of them a signal would be lost.
    let mut ended = pin!(interrupted());
    for mode in &options.modes {
        for run in 1..=options.runs {
            if ended.as_mut().now_or_never().is_some() {
                return Err(Error::Interrupted);
            }
            host.events.note(format!("a worker {}, run {run} of {}", mode.participle(), options.runs));
            match chaos(host, &chaos_options(options, *mode)).await {
                Ok(Ran::Planned(_)) => {}
                Ok(Ran::Done { report, .. }) if report.verdict.outcome == Outcome::Interrupted => {
                    return Err(Error::Interrupted);
                }
                Ok(Ran::Done { report, .. }) => runs.push(FaultRun::of(*mode, &report)),
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                // What was measured before it is not lost.
                Err(error) => {
                    host.events.warn(error.to_string());
                    runs.push(FaultRun::none(*mode, &error));
                    first.get_or_insert(error);
                }
            }
        }
    }
    if let Some(error) = first.filter(|_| runs.iter().all(|run| run.error.is_some())) {
        return Err(error);
    }
    let changes = match Traces::of(host).await {
        Ok(after) => before.changes(&after),
        Err(error) => vec![format!("what is left could not be looked at: {error}")],
    };
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
        let predicted = report.timeline.iter().filter(|moment| moment.predicted.is_some());
        let deviations: Option<Vec<f64>> = predicted.map(|moment| moment.deviation.map(f64::abs)).collect();
        Self {
            mode,
            outcome: report.verdict.outcome,
            sent: load.map_or(0.0, |load| number(load.sent)),
            failed: load.map_or(0.0, |load| number(load.counts.faults())),
            lost_tries: load.map_or(0, |load| load.lost_tries.len()),
            steady_p99_ms: p99(PhaseName::Steady),
            outage_p99_ms: p99(PhaseName::Outage),
            replaced_seconds: at(MomentKind::Ready).zip(at(MomentKind::NotReady)).map(|(to, from)| to - from),
            deviation_seconds: deviations.and_then(|all| all.into_iter().max_by(f64::total_cmp)),
            error: None,
        }
    }

    /// One that did not come to be.
    fn none(mode: Mode, error: &Error) -> Self {
        Self {
            mode,
            outcome: Outcome::Failed,
            sent: 0.0,
            failed: 0.0,
            lost_tries: 0,
            steady_p99_ms: None,
            outage_p99_ms: None,
            replaced_seconds: None,
            deviation_seconds: None,
            error: Some(error.to_string()),
        }
    }
}

/// Of each mode, by its worst run; there is none worse than one without a figure: it misses the target.
fn targets(modes: &[Mode], runs: &[FaultRun]) -> Vec<Target> {
    let mut targets = Vec::new();
    for mode in modes {
        let of_it = || runs.iter().filter(|run| run.mode == *mode);
        let worst = |of: fn(&FaultRun) -> Option<f64>| {
            of_it().map(of).collect::<Option<Vec<f64>>>()?.into_iter().max_by(f64::total_cmp)
        };
        let mut add = |what: &str, unit, goal, measured| {
            let target = Target::new(format!("{}: {what}", mode.as_str()), unit, goal, measured);
            let met = target.met.or(of_it().next().map(|_| false));
            targets.push(Target { met, ..target });
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
    use crate::chaos::{Moment, Prediction};

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
            error: None,
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

    fn missed(runs: &[FaultRun]) -> String {
        let targets = targets(&[Mode::Kill], runs);
        let faults = Faults { runs: runs.to_vec(), changes: Vec::new(), targets };
        faults.verdict().unwrap_err().to_string()
    }

    #[test]
    fn a_figure_that_is_missing_is_the_worst_of_all() {
        let without = FaultRun { replaced_seconds: None, ..run(Mode::Kill, 0.0, 100.0) };
        let runs = [run(Mode::Kill, 0.0, 100.0), without];
        assert_eq!(missed(&runs), "missed: kill: replacements Ready after NotReady");
    }

    #[test]
    fn where_something_that_was_predicted_did_not_come_no_deviation_is_told() {
        let moment = |kind: MomentKind, at: Option<f64>| Moment {
            kind,
            title: kind.title().into(),
            at,
            objects: Vec::new(),
            predicted: Some(Prediction { at: 60.0, give_or_take: 1.0, because: String::new() }),
            deviation: at.map(|at| at - 60.0),
        };
        let seen = moment(MomentKind::NotReady, Some(58.0));
        let of = |timeline| FaultRun::of(Mode::Kill, &ChaosReport { timeline, ..ChaosReport::default() });
        assert_eq!(of(vec![seen.clone()]).deviation_seconds, Some(2.0));
        let gone = moment(MomentKind::Ready, None);
        assert_eq!(of(vec![seen, gone]).deviation_seconds, None);
    }

    #[test]
    fn a_run_that_did_not_come_to_be_did_not_pass_and_hides_no_other() {
        let none = FaultRun::none(Mode::Kill, &Error::unhealthy("c-worker is not Ready", ""));
        let missed = missed(&[run(Mode::Kill, 0.0, 100.0), none]);
        assert!(
            missed.contains("runs that did not pass") && missed.contains("requests of a run"),
            "{missed}"
        );
    }
}
