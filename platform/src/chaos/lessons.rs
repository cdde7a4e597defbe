//! Why it took as long as it did, in sentences made of the measured values.

use super::predict::Timings;
use super::report::{Moment, MomentKind};
use super::survey::DEFAULT_TOLERATION;

pub fn lessons(timeline: &[Moment], timings: &Timings) -> Vec<String> {
    let at = |kind| timeline.iter().find(|moment: &&Moment| moment.kind == kind).and_then(|moment| moment.at);
    let Some(fault) = at(MomentKind::Fault) else { return Vec::new() };
    let mut lessons = Vec::new();
    let Some(cluster) = &timings.cluster else {
        if let (Some(started), Some(ready)) = (at(MomentKind::Started), at(MomentKind::Ready)) {
            lessons.push(format!(
                "the supervisor had started all of it again {:.1} s after the fault, and it was ready {:.1} s after that",
                started - fault,
                ready - started
            ));
        }
        return lessons;
    };
    // A client that goes on to ask a dead door finds out nothing, and nothing is predicted of it.
    let found_out = timeline.iter().find(|moment| moment.kind == MomentKind::LastFailedTry);
    if let Some(lost) = found_out.filter(|moment| moment.predicted.is_some()).and_then(|moment| moment.at) {
        lessons.push(format!(
            "the client had found out {:.1} s after the fault which door was dead; Kubernetes needs far longer, so that \
             what has to answer all the while must find out by itself, as the gateways do",
            lost - fault
        ));
    }
    let (Some(not_ready), Some(evicted)) = (at(MomentKind::NotReady), at(MomentKind::Eviction)) else {
        return lessons;
    };
    let ready = at(MomentKind::Ready).unwrap_or(evicted);
    lessons.push(format!(
        "of the {:.1} s from the fault until the replacements were Ready, {:.1} s passed until the node was called \
         NotReady (a grace of {:.0} s, looked at every {:.0} s), {:.1} s until the last of its pods was evicted (which \
         tolerates it for {:.0} s), {:.1} s until the new ones were started and Ready",
        ready - fault,
        not_ready - fault,
        cluster.grace,
        cluster.monitor,
        evicted - not_ready,
        timings.toleration,
        ready - evicted
    ));
    let by_default = f64::from(DEFAULT_TOLERATION);
    if timings.toleration < by_default {
        let by_default = ready - fault + by_default - (evicted - not_ready);
        lessons.push(format!(
            "why five minutes elsewhere: a pod that says nothing tolerates a dead node for {DEFAULT_TOLERATION} s; with \
             that it would have been {by_default:.0} s here ({:.1} s to NotReady, {DEFAULT_TOLERATION} s of toleration, \
             {:.1} s to start)",
            not_ready - fault,
            ready - evicted
        ));
    }
    lessons
}

#[cfg(test)]
mod tests {
    use super::super::predict::tests::timings;
    use super::super::timeline::{Clock, Timeline};
    use super::*;
    use crate::event::Events;

    fn moments(times: &[(MomentKind, f64)]) -> Vec<Moment> {
        let timeline = Timeline::new(Clock::start(), Events::silent());
        for (kind, at) in times {
            timeline.note_at(*kind, "it", *at);
        }
        timeline.moments()
    }

    #[test]
    fn the_five_minutes_are_explained_by_what_was_measured() {
        let times = [
            (MomentKind::Fault, 10.0),
            (MomentKind::NotReady, 58.0),
            (MomentKind::Eviction, 74.0),
            (MomentKind::Ready, 80.0),
        ];
        let lessons = lessons(&moments(&times), &timings());
        assert_eq!(lessons.len(), 2, "{lessons:#?}");
        assert!(
            lessons[0].contains("of the 70.0 s") && lessons[0].contains("48.0 s passed"),
            "{}",
            lessons[0]
        );
        // 48 s + 300 s + 6 s.
        assert!(lessons[1].contains("354 s here (48.0 s to NotReady"), "{}", lessons[1]);
    }

    #[test]
    fn a_run_without_a_fault_teaches_nothing() {
        assert!(lessons(&moments(&[(MomentKind::NotReady, 1.0)]), &timings()).is_empty());
    }
}
