//! The run itself: steady load, fault, outage, return, steady load again; and its end, however it comes.

use std::panic::AssertUnwindSafe;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::FutureExt;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::fault::Fault;
use super::ground::{Ground, Pace};
use super::journal::UndoStep;
use super::lessons::lessons;
use super::predict::{Timings, predict};
use super::report::{ChaosReport, MomentKind, PhaseName, Preflight, Proof, Setting, Undo, VERSION, Verdict};
use super::run::{ChaosOptions, fault_report, with_client};
use super::survey::Survey;
use super::timeline::Timeline;
use super::traffic::{Ended, Traffic, phases};
use super::undoing::Undoing;
use super::verdict::{Ending, verdict};
use super::victim::Victim;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::load::{LostTry, Outcome};

const LOOK: Duration = Duration::from_millis(250);
/// A look at everything takes the API server some work.
const SETTLE_LOOK: Duration = Duration::from_secs(1);
/// A fault that does not show by then did not happen.
const PROVEN_WITHIN: Duration = Duration::from_secs(10);
/// What was to end the outage and is so much later than predicted is no longer awaited.
const PATIENCE: f64 = 60.0;
/// Without a prediction.
const LONGEST_OUTAGE: f64 = 150.0;
/// After a run that ended early; it may have waited long enough already.
const SETTLES_AT_ONCE: Duration = Duration::from_secs(90);
/// What a rolling update leaves behind is gone by then.
const LEAVE_WITHIN: Duration = Duration::from_secs(90);
/// Limits at which a run is ended look back so far, and need so many requests.
const WINDOW: Duration = Duration::from_secs(10);
const ENOUGH: usize = 20;

pub struct Scene<'a> {
    pub host: &'a Host,
    pub ground: &'a dyn Ground,
    pub options: &'a ChaosOptions,
    pub survey: &'a Survey,
    pub victim: &'a Victim,
    pub doors: usize,
    pub rate: f64,
    /// So many of the steps to be undone are those of a control run: they are undone at the very end.
    pub control: usize,
    pub timeline: Timeline,
    pub traffic: Traffic,
    pub undoing: Mutex<Undoing>,
    pub noted: std::sync::Mutex<Noted>,
}

/// What is taken down on the way, whatever ends it.
#[derive(Default)]
pub struct Noted {
    phases: Vec<(PhaseName, f64)>,
    proofs: Vec<Proof>,
    settings: Vec<Setting>,
    timings: Option<Timings>,
}

impl Scene<'_> {
    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> f64 {
        self.timeline.clock.now()
    }

    fn enter(&self, phase: PhaseName) {
        let at = if phase == PhaseName::Steady { 0.0 } else { self.now() };
        self.noted().phases.push((phase, at));
    }

    fn pace(&self) -> Pace {
        let pace = self.ground.pace(self.victim.fault, self.survey, self.victim);
        Pace { steady: self.options.steady.unwrap_or(pace.steady), ..pace }
    }

    /// From the first request to the report; whatever happens on the way, the fault is undone.
    pub async fn perform(self, preflight: Preflight) -> ChaosReport {
        let ending = tokio::select! {
            played = AssertUnwindSafe(self.play()).catch_unwind() => match played {
                Ok(Ok(())) => Ending::Whole,
                Ok(Err(error)) => Ending::Broken(error.to_string()),
                Err(_) => Ending::Broken("a fault of this program (see its message above)".into()),
            },
            () = self.ground.follow(self.survey, self.victim, &self.timeline) => unreachable!("it never ends"),
            why = self.watch_limits() => Ending::Aborted(why),
            () = interrupted() => Ending::Interrupted,
        };
        if ending != Ending::Whole {
            self.host.events.warn("ended early: the fault is undone now");
            self.undoing.lock().await.put_back(self.ground, self.control).await;
            // Another Ctrl-C goes on without waiting.
            tokio::select! {
                settled = self.settle(self.pace().settles_within.min(SETTLES_AT_ONCE)) => drop(settled),
                () = interrupted() => {}
            }
        }
        self.note_last_tries();
        self.close(preflight, &ending).await
    }

    async fn play(&self) -> Result<()> {
        let pace = self.pace();
        self.enter(PhaseName::Steady);
        tokio::time::sleep(pace.steady).await;
        self.foresee(self.now()).await?;
        let undo = self.ground.undo_of(self.victim).await?;
        self.undoing.lock().await.add(&self.victim.title(), undo.clone())?;
        let (fault, at) = (Timestamp::now(), self.now());
        self.enter(PhaseName::Outage);
        self.timeline.note(MomentKind::Fault, &self.victim.name);
        self.ground.strike(self.victim).await?;
        let proven = self.prove(&undo).await?;
        if proven {
            // A lease may have been renewed until the very last moment; nothing of what follows was seen yet.
            self.foresee(at).await?;
            self.outlast(&pace).await;
            let late = self.ground.late_proofs(self.victim, fault).await?;
            self.noted().proofs.extend(self.proofs(late));
        }
        self.bring_back(&undo).await;
        self.settle(pace.settles_within).await?;
        if !proven {
            return Ok(());
        }
        if self.options.rebalance {
            let step = self.host.events.step("rebalance", "spread the pods again", None);
            self.ground.rebalance(self.survey, &step).await?;
            step.done();
        }
        self.enter(PhaseName::After);
        tokio::time::sleep(pace.steady).await;
        Ok(())
    }

    /// What is to be expected of a fault at this time, by the settings as they are now.
    async fn foresee(&self, at: f64) -> Result<()> {
        let (timings, settings) = self.ground.timings(self.survey, self.victim, self.timeline.clock).await?;
        let timings = with_client(timings, self.doors, self.rate, self.victim, self.options.policy);
        self.timeline.predict(predict(self.victim.fault, &timings, at));
        let mut noted = self.noted();
        (noted.settings, noted.timings) = (settings, Some(timings));
        Ok(())
    }

    fn proofs(&self, found: Vec<(String, bool)>) -> Vec<Proof> {
        let at = self.now();
        found.into_iter().map(|(what, holds)| Proof { what, holds, at }).collect()
    }

    /// Looks until it shows that the fault happened, or it is clear that it did not.
    async fn prove(&self, undo: &[UndoStep]) -> Result<bool> {
        let begun = Instant::now();
        loop {
            let proofs = self.proofs(self.ground.proofs(self.victim, undo).await?);
            let holds = !proofs.is_empty() && proofs.iter().all(|proof| proof.holds);
            if holds || begun.elapsed() > PROVEN_WITHIN {
                self.noted().proofs = proofs;
                return Ok(holds);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits for what ends the outage; later than that by much is not awaited.
    async fn outlast(&self, pace: &Pace) {
        if let Some((kind, count)) = pace.awaits {
            let predicted = self.timeline.predicted(kind);
            let until =
                predicted.map_or(self.now() + LONGEST_OUTAGE, |it| it.at + it.give_or_take + PATIENCE);
            while self.timeline.count(kind) < count && self.now() < until {
                tokio::time::sleep(LOOK).await;
                self.note_first_try();
            }
            if self.timeline.count(kind) < count {
                self.host.events.warn(format!("{}: not within the time that was predicted", kind.title()));
            }
        }
        tokio::time::sleep(pace.hold).await;
    }

    /// The victim is let back; what a supervisor brings back by itself is only told.
    async fn bring_back(&self, undo: &[UndoStep]) {
        self.note_last_tries();
        self.enter(PhaseName::Return);
        self.undoing.lock().await.put_back(self.ground, self.control).await;
        if undo.iter().any(|step| !matches!(step, UndoStep::AwaitRestart { .. })) {
            self.timeline.note(MomentKind::NodeBack, &self.victim.name);
        }
    }

    /// Waits until all is as it was.
    async fn settle(&self, within: Duration) -> Result<()> {
        let since = Timestamp::now();
        let step = self.host.events.step("settle", "wait until everything is Ready again", None);
        let begun = Instant::now();
        loop {
            // An API server that does not answer for a moment is one more thing that is missing.
            let missing = match self.ground.missing(self.survey, since).await {
                Ok(missing) => missing,
                Err(error) => vec![error.to_string()],
            };
            if missing.is_empty() {
                self.timeline.note(MomentKind::AllReady, self.ground.provider());
                step.done();
                return Ok(());
            }
            let awaited = missing.join(", ");
            if begun.elapsed() > within {
                return Err(Error::timed_out(awaited, begun.elapsed(), "see: cargo xtask status"));
            }
            step.message(format!("waiting for {awaited}"));
            tokio::time::sleep(SETTLE_LOOK).await;
        }
    }

    /// Ends with a sentence when what is answered is so bad that the run must not go on.
    async fn watch_limits(&self) -> String {
        let abort = self.options.abort;
        loop {
            tokio::time::sleep(LOOK).await;
            let (all, failed, p99) = self.traffic.lately(WINDOW);
            if all < ENOUGH {
                continue;
            }
            if failed * 100 > all * abort.percent as usize {
                return format!("{failed} of the last {all} requests were not answered well");
            }
            let limit = abort.p99.map(|limit| limit.as_secs_f64() * 1000.0);
            if let Some((p99, limit)) = p99.zip(limit).filter(|(p99, limit)| p99 > limit) {
                return format!("p99 of the last {all} requests {p99:.0} ms, more than {limit:.0} ms");
            }
        }
    }

    fn outage(&self) -> Option<(f64, f64)> {
        let from = self.timeline.at(MomentKind::Fault)?;
        let noted = self.noted();
        let to = noted.phases.iter().find(|(name, _)| *name == PhaseName::Return);
        Some((from, to.map_or(f64::INFINITY, |(_, at)| *at)))
    }

    /// Tries that were lost while the victim was away; where it is a door, at that door.
    fn lost_in_outage(&self) -> Vec<LostTry> {
        let Some((from, to)) = self.outage() else { return Vec::new() };
        let is_door = self.traffic.doors().contains(&self.victim.node);
        let node = is_door && matches!(self.victim.fault, Fault::Node { .. });
        let tries =
            self.traffic.lost_tries().into_iter().filter(|lost| !node || lost.door == self.victim.node);
        tries.filter(|lost| (from..to).contains(&lost.at_seconds)).collect()
    }

    fn note_try(&self, kind: MomentKind, lost: Option<&LostTry>) {
        if let Some(lost) = lost.filter(|_| self.timeline.at(kind).is_none()) {
            self.timeline.note_at(kind, format!("{}: {}", lost.door, lost.why), lost.at_seconds);
        }
    }

    fn note_first_try(&self) {
        self.note_try(MomentKind::FirstFailedTry, self.lost_in_outage().first());
    }

    fn note_last_tries(&self) {
        self.note_first_try();
        self.note_try(MomentKind::LastFailedTry, self.lost_in_outage().last());
    }

    /// The load is ended, all is looked at once more, and the report made.
    async fn close(self, preflight: Preflight, ending: &Ending) -> ChaosReport {
        let Self {
            host, ground, options, survey, victim, timeline, traffic, undoing, noted, control, ..
        } = self;
        let end = timeline.clock.now();
        let ended = traffic.end().await;
        if let (Ok(ended), Some(fault)) = (&ended, timeline.at(MomentKind::Fault)) {
            note_failures(&timeline, ended, fault);
        }
        let mut undoing = undoing.into_inner();
        undoing.put_back(ground, 0).await;
        let mut undo = Undo { steps: undoing.done(), ..Undo::default() };
        // Gateways that got their own arguments back leave in order, which takes its time.
        let patience = if control > 0 { LEAVE_WITHIN } else { Duration::ZERO };
        let missing = still_missing(ground, survey, timeline.clock.begun(), patience).await;
        undo.verified = missing.is_empty();
        undo.remarks = missing.into_iter().map(|missing| format!("still waiting for {missing}")).collect();
        undo.remarks.extend(ground.displaced(survey).await.unwrap_or_default());
        let noted = noted.into_inner().unwrap_or_else(PoisonError::into_inner);
        let moments = timeline.moments();
        let lessons = noted.timings.as_ref().map(|timings| lessons(&moments, timings)).unwrap_or_default();
        let (load, phases) = match ended {
            Ok(Ended { report, samples }) => {
                let phases = phases(&noted.phases, end, &samples, &report.lost_tries);
                (Some(report), phases)
            }
            Err(error) => {
                host.events.warn(error.to_string());
                (None, Vec::new())
            }
        };
        let mut fault = fault_report(survey, victim);
        (fault.at, fault.proofs) = (timeline.at(MomentKind::Fault), noted.proofs);
        let report = ChaosReport {
            version: VERSION,
            begun: timeline.clock.begun().to_string(),
            seconds: timeline.clock.now(),
            provider: ground.provider().into(),
            profile: host.config.cluster.profile.to_string(),
            fault,
            preflight,
            settings: noted.settings,
            timeline: moments,
            phases,
            load,
            verdict: Verdict::default(),
            lessons,
            undo,
        };
        ChaosReport { verdict: verdict(&report, &options.limits, ending), ..report }
    }
}

/// Looks again and again, for as long as there is patience.
async fn still_missing(
    ground: &dyn Ground,
    before: &Survey,
    since: Timestamp,
    patience: Duration,
) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let missing = ground.missing(before, since).await.unwrap_or_else(|error| vec![error.to_string()]);
        if missing.is_empty() || begun.elapsed() >= patience {
            return missing;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Requests that nobody answered well, from the fault on, by when their clients learned of it.
fn note_failures(timeline: &Timeline, ended: &Ended, fault: f64) {
    let failed = ended.samples.iter().filter_map(|sample| {
        let (Outcome::Failed(why) | Outcome::Wrong(why)) = &sample.outcome else { return None };
        let at = sample.ended.as_secs_f64();
        (at >= fault).then_some((at, why))
    });
    let mut failed: Vec<(f64, &String)> = failed.collect();
    failed.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ends =
        [(MomentKind::FirstFailedRequest, failed.first()), (MomentKind::LastFailedRequest, failed.last())];
    for (kind, found) in ends {
        if let Some((at, why)) = found {
            timeline.note_at(kind, why.as_str(), *at);
        }
    }
}

/// Ends at Ctrl-C, SIGTERM, and when the terminal goes away.
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => drop(signal.recv().await),
        // Where no handler can be had, the signal ends this process, and the journal is left.
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}

#[cfg(test)]
#[path = "scene_tests.rs"]
mod tests;
