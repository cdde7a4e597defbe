//! What is said of runs that went well, badly, or nowhere.

use super::*;
use crate::chaos::report::{FaultReport, Phase, Prediction, Proof, Seen, Undo, UndoneStep};
use crate::load;

const LIMITS: Limits = Limits { max_errors: 0, max_p99_ms: None, max_p99_ratio: None };

fn phase(name: PhaseName, p99_ms: f64) -> Phase {
    let summary = load::Summary {
        count: 100,
        mean_ms: p99_ms,
        p50_ms: p99_ms,
        p95_ms: p99_ms,
        p99_ms,
        p999_ms: p99_ms,
        max_ms: p99_ms,
    };
    Phase {
        name,
        from: 0.0,
        to: 1.0,
        sent: 100,
        good: 100,
        failed: 0,
        lost_tries: 0,
        latency: Some(summary),
        latency_from_sending: Some(summary),
    }
}

fn moment(kind: MomentKind, at: Option<f64>, predicted: Option<f64>) -> Moment {
    let predicted = predicted.map(|at| Prediction { at, give_or_take: 1.0, because: "so".into() });
    Moment {
        kind,
        title: kind.title().into(),
        at,
        objects: at.map(|at| Seen { name: "it".into(), at }).into_iter().collect(),
        deviation: at.zip(predicted.as_ref()).map(|(at, predicted)| at - predicted.at),
        predicted,
    }
}

/// A worker killed at 10 s, its one pod replaced at 80 s, all well at 120 s.
fn well() -> ChaosReport {
    let counts = load::Counts { good: 2500, ..load::Counts::default() };
    ChaosReport {
        fault: FaultReport {
            takes: vec!["ocr/model-1".into()],
            at: Some(10.0),
            proofs: vec![Proof { what: "its container has exited".into(), holds: true, at: 10.1 }],
            ..FaultReport::default()
        },
        timeline: vec![
            moment(MomentKind::Fault, Some(10.0), None),
            moment(MomentKind::NotReady, Some(60.0), Some(62.0)),
            moment(MomentKind::Ready, Some(80.0), Some(82.0)),
            moment(MomentKind::NodeBack, Some(85.0), None),
            moment(MomentKind::AllReady, Some(120.0), None),
        ],
        phases: vec![phase(PhaseName::Steady, 100.0), phase(PhaseName::Outage, 250.0)],
        load: Some(load::Report { sent: 2500, counts, ..load::Report::default() }),
        undo: Undo {
            steps: vec![UndoneStep { title: "start c-worker".into(), done: true, error: None }],
            verified: true,
            remarks: Vec::new(),
        },
        ..ChaosReport::default()
    }
}

fn judged(report: &ChaosReport) -> Verdict {
    verdict(report, &LIMITS, &Ending::Whole)
}

fn sentence(verdict: &Verdict, name: &str) -> String {
    verdict.points.iter().find(|point| point.name == name).unwrap().sentence.clone()
}

#[test]
fn a_run_without_a_lost_request_passes_and_says_why() {
    let verdict = judged(&well());
    assert_eq!(verdict.outcome, Outcome::Passed, "{verdict:?}");
    assert_eq!(sentence(&verdict, "errors"), "0 of 2500 requests failed for good");
    assert_eq!(
        sentence(&verdict, "replacements"),
        "all replacements Ready 70.0 s after the fault, 20.0 s after NotReady"
    );
    assert!(sentence(&verdict, "p99 ratio").contains("2.5 times"), "{verdict:?}");
}

#[test]
fn one_request_that_failed_for_good_fails_it() {
    let mut report = well();
    report.load.as_mut().unwrap().counts.failed = 1;
    let verdict = judged(&report);
    assert_eq!(verdict.outcome, Outcome::Failed);
    assert_eq!(verdict.missed().count(), 1);
    assert_eq!(
        self::verdict(&report, &Limits { max_errors: 1, ..LIMITS }, &Ending::Whole).outcome,
        Outcome::Passed
    );
}

#[test]
fn a_fault_that_did_not_happen_is_inconclusive_however_well_all_went() {
    let mut report = well();
    report.fault.proofs[0].holds = false;
    assert_eq!(judged(&report).outcome, Outcome::Inconclusive);
    report.fault.proofs.clear();
    assert_eq!(judged(&report).outcome, Outcome::Inconclusive);
}

#[test]
fn the_ratio_of_latencies_decides_only_where_it_is_asked_for() {
    let mut report = well();
    report.phases[1] = phase(PhaseName::Outage, 900.0);
    assert_eq!(judged(&report).outcome, Outcome::Passed);
    let asked = Limits { max_p99_ratio: Some(3.0), ..LIMITS };
    assert_eq!(verdict(&report, &asked, &Ending::Whole).outcome, Outcome::Failed);
    report.load.as_mut().unwrap().generator_was_slow = true;
    assert_eq!(verdict(&report, &asked, &Ending::Whole).outcome, Outcome::Inconclusive);
    assert_eq!(judged(&report).outcome, Outcome::Passed, "no limit on latency was asked for");
}

#[test]
fn a_replacement_that_did_not_come_fails_it() {
    let mut report = well();
    report.timeline[2] = moment(MomentKind::Ready, None, Some(82.0));
    assert_eq!(sentence(&judged(&report), "replacements"), "0 of 1 replacements became Ready");
    assert_eq!(judged(&report).outcome, Outcome::Failed);
}

#[test]
fn a_prediction_that_is_far_off_is_told_and_fails_nothing() {
    let mut report = well();
    report.timeline[1] = moment(MomentKind::NotReady, Some(70.0), Some(62.0));
    let verdict = judged(&report);
    assert_eq!(
        sentence(&verdict, "predictions"),
        "1 of 2 predictions within 5 s; node NotReady came 8.0 s later"
    );
    assert_eq!(verdict.outcome, Outcome::Passed);
}

#[test]
fn what_is_not_undone_fails_it_and_names_the_command_that_undoes_it() {
    let mut report = well();
    report.undo.steps[0].done = false;
    report.undo.verified = false;
    let verdict = judged(&report);
    assert_eq!(verdict.outcome, Outcome::Failed);
    assert!(sentence(&verdict, "undo").contains("cargo xtask chaos --recover"));
}

#[test]
fn an_early_end_does_not_hide_that_something_is_not_undone() {
    let mut report = well();
    report.undo.steps[0].done = false;
    let endings = [Ending::Interrupted, Ending::Aborted("so".into()), Ending::Refused("so".into())];
    for ending in endings {
        let verdict = verdict(&report, &LIMITS, &ending);
        assert_eq!(verdict.outcome, Outcome::Failed, "{ending:?}");
        assert!(verdict.missed().any(|sentence| sentence.contains("chaos --recover")), "{verdict:?}");
    }
}

#[test]
fn a_fault_that_was_refused_is_inconclusive() {
    let verdict = verdict(&well(), &LIMITS, &Ending::Refused("no such container".into()));
    assert_eq!(verdict.outcome, Outcome::Inconclusive);
    assert_eq!(sentence(&verdict, "end"), "the fault could not be done: no such container");
}

#[test]
fn an_interrupted_and_an_aborted_run_say_so() {
    assert_eq!(verdict(&well(), &LIMITS, &Ending::Interrupted).outcome, Outcome::Interrupted);
    let aborted = verdict(&well(), &LIMITS, &Ending::Aborted("60 of 80 requests failed".into()));
    assert_eq!(aborted.outcome, Outcome::Aborted);
    assert!(aborted.missed().any(|sentence| sentence.contains("60 of 80")));
}

#[test]
fn a_run_that_asked_nothing_during_its_fault_is_inconclusive() {
    let silent = ChaosReport { load: None, ..well() };
    assert_eq!(judged(&silent).outcome, Outcome::Inconclusive);
    let mut idle = well();
    idle.phases[1].sent = 0;
    assert_eq!(judged(&idle).outcome, Outcome::Inconclusive);
    assert_eq!(sentence(&judged(&idle), "errors"), "no request was sent during the outage");
    let limit = Limits { max_p99_ms: Some(500.0), ..LIMITS };
    assert_eq!(
        verdict(&idle, &limit, &Ending::Whole).outcome,
        Outcome::Inconclusive,
        "no limit is missed by it"
    );
    // Sent before the fault, and hit by it.
    idle.load.as_mut().unwrap().counts.failed = 1;
    assert_eq!(judged(&idle).outcome, Outcome::Failed);
    idle.load.as_mut().unwrap().counts.failed = 0;
    idle.phases.pop();
    assert_eq!(judged(&idle).outcome, Outcome::Inconclusive);
}

#[test]
fn a_limit_on_latencies_is_missed_where_nothing_was_answered_well() {
    let mut report = well();
    report.phases[1].latency = None;
    assert_eq!(judged(&report).outcome, Outcome::Passed, "no limit was asked for");
    for asked in [Limits { max_p99_ms: Some(500.0), ..LIMITS }, Limits { max_p99_ratio: Some(3.0), ..LIMITS }]
    {
        let verdict = verdict(&report, &asked, &Ending::Whole);
        assert_eq!(verdict.outcome, Outcome::Failed, "{verdict:?}");
        assert!(verdict.missed().any(|sentence| sentence.contains("has no answer")), "{verdict:?}");
    }
    let mut report = well();
    report.phases[0].latency = None;
    let asked = Limits { max_p99_ratio: Some(3.0), ..LIMITS };
    assert_eq!(verdict(&report, &asked, &Ending::Whole).outcome, Outcome::Failed);
}

#[test]
fn what_a_slow_machine_did_not_send_is_no_failure_and_no_success() {
    let mut report = well();
    let load = report.load.as_mut().unwrap();
    (load.counts.failed, load.dropped) = (7, 7);
    assert_eq!(judged(&report).outcome, Outcome::Failed, "it kept up: the service did not");
    report.load.as_mut().unwrap().generator_was_slow = true;
    assert_eq!(judged(&report).outcome, Outcome::Inconclusive);
    assert!(sentence(&judged(&report), "errors").contains("7 were not sent by this machine"));
    report.load.as_mut().unwrap().counts.failed = 8;
    assert_eq!(judged(&report).outcome, Outcome::Failed, "one of them was the service's");
}

#[test]
fn a_node_without_anything_to_replace_is_held_to_no_replacement() {
    let mut report = well();
    report.fault.takes.clear();
    report.timeline[2] = moment(MomentKind::Ready, None, Some(82.0));
    let verdict = judged(&report);
    assert_eq!(verdict.outcome, Outcome::Passed, "{verdict:?}");
    assert!(verdict.points.iter().all(|point| point.name != "replacements"), "{verdict:?}");
}

#[test]
fn a_predicted_moment_that_did_not_come_is_off() {
    let mut report = well();
    report.timeline[1] = moment(MomentKind::NotReady, None, Some(62.0));
    assert_eq!(
        sentence(&judged(&report), "predictions"),
        "1 of 2 predictions within 5 s; node NotReady did not come"
    );
    let early = verdict(&report, &LIMITS, &Ending::Interrupted);
    assert_eq!(sentence(&early, "predictions"), "1 of 1 predictions within 5 s");
}

#[test]
fn what_broke_before_the_fault_was_seen_is_inconclusive_where_all_is_as_it_was() {
    let broken = Ending::Broken("the API server does not answer".into());
    assert_eq!(verdict(&well(), &LIMITS, &broken).outcome, Outcome::Failed);
    let mut report = well();
    report.fault.proofs.clear();
    assert_eq!(verdict(&report, &LIMITS, &broken).outcome, Outcome::Inconclusive);
    report.undo.verified = false;
    assert_eq!(verdict(&report, &LIMITS, &broken).outcome, Outcome::Failed);
}
