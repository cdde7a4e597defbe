//! The run itself: steady load, fault, outage, return, steady load again; and its end, however it comes.

use std::panic::AssertUnwindSafe;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::FutureExt;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::abort::Watched;
use super::fault::Fault;
use super::ground::{Ground, Pace};
use super::journal::UndoStep;
use super::predict::{Timings, predict};
use super::report::{ChaosReport, MomentKind, PhaseName, Preflight, Proof, Setting};
use super::run::ChaosOptions;
use super::signals::interrupted;
use super::strike::Strike;
use super::survey::Survey;
use super::timeline::Timeline;
use super::traffic::Traffic;
use super::undoing::Undoing;
use super::verdict::Ending;
use super::victim::Victim;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::load::LostTry;

pub(super) const LOOK: Duration = Duration::from_millis(250);
/// A look at everything takes the API server some work.
const SETTLE_LOOK: Duration = Duration::from_secs(1);
/// What was to end the outage and is so much later than predicted is no longer awaited.
const PATIENCE: f64 = 60.0;
/// Without a prediction.
const LONGEST_OUTAGE: f64 = 150.0;
/// After a run that ended early; it may have waited long enough already.
const SETTLES_AT_ONCE: Duration = Duration::from_secs(90);
/// What an API server that went with the victim will not answer is not waited for any longer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// For so long all is answered as quickly as usual, or within so many milliseconds, before pods are moved.
const CALM: Duration = Duration::from_secs(3);
const CALM_MS: f64 = 500.0;
/// Then they are moved all the same.
const CALM_WITHIN: Duration = Duration::from_mins(1);

/// Said of a panic.
pub(super) const OWN_FAULT: &str = "a fault of this program (see its message above)";

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
    pub(super) phases: Vec<(PhaseName, f64)>,
    pub(super) proofs: Vec<Proof>,
    pub(super) settings: Vec<Setting>,
    pub(super) timings: Option<Timings>,
    /// When the fault was last undone.
    pub(super) mended: Option<Timestamp>,
    /// What could not be looked at. A sentence each.
    pub(super) remarks: Vec<String>,
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

    /// From the first request to the report; whatever happens on the way, the fault is undone. `stop` ends it early.
    pub async fn perform(self, preflight: Preflight, stop: impl Future<Output = ()>) -> ChaosReport {
        let mut strike = Strike::new(self.ground.strike(self.victim));
        let acted = AssertUnwindSafe(self.act(&mut strike, stop)).catch_unwind().await;
        let ending = acted.unwrap_or_else(|_| Ending::Broken(OWN_FAULT.into()));
        if ending != Ending::Whole {
            self.host.events.warn("ended early: the fault is undone now");
            self.see_through(&mut strike).await;
            self.put_back().await;
            // Another Ctrl-C goes on without waiting.
            tokio::select! {
                settled = self.settle(self.pace().settles_within.min(SETTLES_AT_ONCE)) => drop(settled),
                () = interrupted() => {}
            }
        }
        self.note_last_tries();
        self.close(preflight, ending).await
    }

    /// Until it is over, one way or another.
    async fn act(&self, strike: &mut Strike<'_>, stop: impl Future<Output = ()>) -> Ending {
        tokio::select! {
            played = self.play(strike) => played.unwrap_or_else(|error| Ending::Broken(error.to_string())),
            () = self.ground.follow(self.survey, self.victim, &self.timeline) => unreachable!("it never ends"),
            why = self.watch_limits() => Ending::Aborted(why),
            () = self.traffic.died() => Ending::Broken("the load ended before it was told to".into()),
            () = stop => Ending::Interrupted,
        }
    }

    /// A strike that is under way goes on without its client: what is undone before its end is broken after it.
    async fn see_through(&self, strike: &mut Strike<'_>) {
        if !strike.is_under_way() {
            return;
        }
        let step = self.host.events.step("strike", "wait for the end of what was begun", None);
        match AssertUnwindSafe(strike.go_on()).catch_unwind().await {
            Ok(Ok(())) => drop(step.done()),
            Ok(Err(error)) => self.host.events.warn(error.to_string()),
            Err(_) => self.host.events.warn(OWN_FAULT),
        }
    }

    async fn play(&self, strike: &mut Strike<'_>) -> Result<Ending> {
        let pace = self.pace();
        self.enter(PhaseName::Steady);
        tokio::time::sleep(pace.steady).await;
        let usual = self.traffic.lately(pace.steady, pace.steady).p99_ms;
        self.foresee(self.now()).await?;
        let undo = self.ground.undo_of(self.victim).await?;
        self.undoing.lock().await.add(&self.victim.title(), undo.clone())?;
        let at = self.now();
        self.enter(PhaseName::Outage);
        self.timeline.note(MomentKind::Fault, &self.victim.name);
        if let Err(error) = strike.go_on().await {
            return Ok(Ending::Refused(error.to_string()));
        }
        let struck = Timestamp::now();
        let proven = self.prove(&undo, pace.proven_within).await?;
        if proven {
            self.foresee_again(at).await;
            self.outlast(&pace).await;
            self.prove_late(struck).await;
        }
        self.bring_back(&undo).await;
        self.settle(pace.settles_within).await?;
        if !proven {
            return Ok(Ending::Whole);
        }
        if self.options.rebalance {
            self.calm_down(usual).await;
            let step = self.host.events.step("rebalance", "spread the pods again", None);
            self.ground.rebalance(self.survey, &step).await?;
            step.done();
        }
        self.enter(PhaseName::After);
        tokio::time::sleep(pace.steady).await;
        while self.traffic.ended() < self.options.requests {
            tokio::time::sleep(LOOK).await;
        }
        Ok(Ending::Whole)
    }

    /// What is to be expected of a fault at this time, by the settings as they are now.
    async fn foresee(&self, at: f64) -> Result<()> {
        let (timings, settings) = self.ground.timings(self.survey, self.victim, self.timeline.clock).await?;
        let timings = timings.with_client(self.doors, self.rate, self.victim, self.options.policy);
        self.timeline.predict(predict(self.victim.fault, &timings, at));
        let mut noted = self.noted();
        (noted.settings, noted.timings) = (settings, Some(timings));
        Ok(())
    }

    /// A lease may have been renewed until the very last moment; nothing of what follows was seen yet. Where that cannot be
    /// asked any more, what was foreseen before stands.
    async fn foresee_again(&self, at: f64) {
        let again = tokio::time::timeout(ANSWERS_WITHIN, self.foresee(at)).await;
        if !matches!(again, Ok(Ok(()))) {
            self.remark(
                "predictions are from before the fault: what they are made from was not readable after it",
            );
        }
    }

    fn remark(&self, sentence: impl Into<String>) {
        self.noted().remarks.push(sentence.into());
    }

    fn proofs(&self, found: Vec<(String, bool)>) -> Vec<Proof> {
        let at = self.now();
        found.into_iter().map(|(what, holds)| Proof { what, holds, at }).collect()
    }

    /// Looks until it shows that the fault happened, or it is clear that it did not. What cannot be looked at for a moment
    /// is not seen yet.
    async fn prove(&self, undo: &[UndoStep], within: Duration) -> Result<bool> {
        let begun = Instant::now();
        loop {
            let over = begun.elapsed() > within;
            match self.ground.proofs(self.victim, undo).await {
                Ok(found) => {
                    let proofs = self.proofs(found);
                    let holds = !proofs.is_empty() && proofs.iter().all(|proof| proof.holds);
                    if holds || over {
                        self.noted().proofs = proofs;
                        return Ok(holds);
                    }
                }
                Err(error) if over => return Err(error),
                Err(_) => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What only shows over a time; where nobody answers any more, the first proof has to do.
    async fn prove_late(&self, struck: Timestamp) {
        let late = tokio::time::timeout(ANSWERS_WITHIN, self.ground.late_proofs(self.victim, struck)).await;
        match late {
            Ok(Ok(late)) => {
                let proofs = self.proofs(late);
                self.noted().proofs.extend(proofs);
            }
            Ok(Err(error)) => self.remark(format!("whether the fault lasted was not looked at: {error}")),
            Err(_) => self.remark("whether the fault lasted was not looked at: nobody answers"),
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
        self.put_back().await;
        if undo.iter().any(|step| !matches!(step, UndoStep::AwaitRestart { .. })) {
            self.timeline.note(MomentKind::NodeBack, &self.victim.name);
        }
    }

    /// Undoes the fault; a control run is undone at the very end.
    async fn put_back(&self) {
        self.undoing.lock().await.put_back(self.ground, self.control).await;
        self.noted().mended = Some(Timestamp::now());
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

    /// Waits until what had piled up is worked off: pods that are moved meanwhile would cost requests. `usual`: the 99th
    /// percentile of the steady phase in milliseconds.
    async fn calm_down(&self, usual: Option<f64>) {
        let step = self.host.events.step("calm", "wait until what had piled up is worked off", None);
        let enough = usual.map_or(CALM_MS, |usual| CALM_MS.max(2.0 * usual));
        let begun = Instant::now();
        while begun.elapsed() < CALM_WITHIN {
            let lately = self.traffic.lately(CALM, CALM);
            if lately.failed == 0 && lately.p99_ms.is_some_and(|p99| p99 <= enough) {
                break;
            }
            tokio::time::sleep(SETTLE_LOOK).await;
        }
        step.done();
    }

    /// Ends with a sentence when what is answered is so bad that the run must not go on.
    async fn watch_limits(&self) -> String {
        let watched = Watched::new(self.options.abort, self.rate);
        loop {
            tokio::time::sleep(LOOK).await;
            let lately = self.traffic.lately(watched.window, watched.patience);
            if let Some(why) = watched.too_bad(&lately) {
                return why;
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
}

#[cfg(test)]
#[path = "scene_tests.rs"]
mod tests;
