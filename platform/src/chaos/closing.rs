//! The end of a run, however it came: the load is ended, everything looked at, and the report made.

use std::sync::PoisonError;
use std::time::Duration;

use futures_util::FutureExt;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::ground::Ground;
use super::lessons::lessons;
use super::report::{
    ChaosReport, FaultReport, MomentKind, Phase, PhaseName, Preflight, Standing, Undo, VERSION, Verdict,
};
use super::scene::{LOOK, Scene};
use super::signals::interrupted;
use super::survey::Survey;
use super::timeline::Timeline;
use super::traffic::{Ended, phases};
use super::verdict::{Ending, point, verdict};
use crate::error::{Error, Result};
use crate::event::Events;
use crate::load::{self, Outcome};

/// What a rolling update leaves behind is gone by then.
const LEAVE_WITHIN: Duration = Duration::from_secs(90);

impl Scene<'_> {
    /// The load is ended, all is looked at once more, and the report made. Ctrl-C ends what is only awaited; what has to be
    /// undone is undone all the same.
    pub(super) async fn close(self, preflight: Preflight, ending: Ending) -> ChaosReport {
        let Self {
            host, ground, options, survey, victim, timeline, traffic, undoing, noted, control, ..
        } = self;
        let hurry = interrupted().shared();
        let end = timeline.clock.now();
        let ended = tokio::select! {
            ended = traffic.end() => ended,
            () = hurry.clone() => Err(Error::unhealthy("the last requests were not awaited", "let it end by itself")),
        };
        if let (Ok(ended), Some(fault)) = (&ended, timeline.at(MomentKind::Fault)) {
            note_failures(&timeline, ended, fault);
        }
        let noted = noted.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut undoing = undoing.into_inner();
        // A node that spoke before its fault was undone has said nothing of how it is now.
        let mended = noted.mended.filter(|_| undoing.left().is_none());
        undoing.put_back(ground, 0).await;
        let since = mended.unwrap_or_else(Timestamp::now);
        let mut undo = Undo { steps: undoing.done(), ..Undo::default() };
        // Gateways that got their own arguments back leave in order, and a node that was only just undone has to speak
        // first: both take their time.
        let is_late = control > 0 || (mended.is_none() && undoing.left().is_none());
        let patience = if is_late { LEAVE_WITHIN } else { Duration::ZERO };
        let missing = tokio::select! {
            missing = still_missing(ground, survey, since, patience) => missing,
            () = hurry.clone() => vec!["everything to be Ready, which was not looked at to its end".into()],
        };
        undo.verified = missing.is_empty();
        undo.remarks = missing.into_iter().map(|missing| format!("still waiting for {missing}")).collect();
        undo.remarks.extend(ground.displaced(survey).await.unwrap_or_default());
        let moments = timeline.moments();
        let lessons = noted.timings.as_ref().map(|timings| lessons(&moments, timings)).unwrap_or_default();
        let (load, phases) = parts(ended, &noted.phases, end, &host.events);
        let at = timeline.at(MomentKind::Fault);
        let fault = FaultReport { at, proofs: noted.proofs, ..victim.report(survey) };
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
        let hurried = hurry.peek().is_some() && ending == Ending::Whole;
        let ending = if hurried { Ending::Interrupted } else { ending };
        let mut said = verdict(&report, &options.limits, &ending);
        said.points.extend(noted.remarks.into_iter().map(|it| point("remark", Standing::Noted, it)));
        ChaosReport { verdict: said, ..report }
    }
}

/// The load, and the parts of the run as its requests saw them; none where it is not known what became of them.
fn parts(
    ended: Result<Ended>,
    begun: &[(PhaseName, f64)],
    end: f64,
    events: &Events,
) -> (Option<load::Report>, Vec<Phase>) {
    match ended {
        Ok(Ended { report, samples }) => {
            let phases = phases(begun, end, &samples, &report.lost_tries);
            (Some(report), phases)
        }
        Err(error) => {
            events.warn(error.to_string());
            (None, Vec::new())
        }
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
