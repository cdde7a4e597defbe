//! Files: the form of a report against its schema, and what JUnit is told.

use serde_json::Value;

use super::*;
use crate::chaos::fault::{Fault, Mode};
use crate::chaos::report::{
    FaultReport, Finding, Headroom, Moment, MomentKind, Phase, PhaseName, Point, Prediction, Preflight,
    Proof, Seen, Setting, Severity, Undo, UndoneStep, VERSION, Verdict,
};
use crate::load::{self, conforms};

fn summary() -> load::Summary {
    load::Summary { count: 1, mean_ms: 1.5, p50_ms: 1.5, p95_ms: 1.5, p99_ms: 1.5, p999_ms: 1.5, max_ms: 1.5 }
}

fn preflight() -> Preflight {
    Preflight {
        findings: vec![Finding { severity: Severity::Note, sentence: "a door".into() }],
        headroom: vec![Headroom { resource: "cpu".into(), unit: "m".into(), needed: 1, free: 2, fits: true }],
    }
}

/// What a run with everything in it looks like.
fn whole() -> ChaosReport {
    let point =
        |name: &str, standing| Point { name: name.into(), standing, sentence: format!("{name} it is") };
    ChaosReport {
        version: VERSION,
        begun: "2026-01-01T00:00:00Z".into(),
        seconds: 150.5,
        provider: "kind".into(),
        profile: "platen".into(),
        fault: FaultReport {
            fault: Some(Fault::Node { mode: Mode::Kill }),
            title: "node c-worker killed".into(),
            victim: "c-worker".into(),
            node: "c-worker".into(),
            why: "as asked for".into(),
            takes: vec!["ocr/model-1".into()],
            at: Some(15.5),
            proofs: vec![Proof { what: "c-worker has exited".into(), holds: true, at: 15.75 }],
        },
        preflight: preflight(),
        settings: vec![Setting {
            name: "--node-monitor-period".into(),
            value: "5 s".into(),
            source: "not set".into(),
            is_default: true,
        }],
        timeline: vec![Moment {
            kind: MomentKind::NotReady,
            title: "node NotReady".into(),
            at: Some(65.5),
            objects: vec![Seen { name: "c-worker".into(), at: 65.5 }],
            predicted: Some(Prediction { at: 64.5, give_or_take: 5.5, because: "so".into() }),
            deviation: Some(1.5),
        }],
        phases: vec![Phase {
            name: PhaseName::Steady,
            from: 0.5,
            to: 15.5,
            sent: 2,
            good: 1,
            failed: 1,
            lost_tries: 1,
            latency: Some(summary()),
            latency_from_sending: None,
        }],
        load: Some(load::Report::default()),
        verdict: Verdict {
            outcome: Outcome::Failed,
            points: vec![
                point("errors", Standing::Missed),
                point("undo", Standing::Kept),
                point("p99 ratio", Standing::Noted),
            ],
        },
        lessons: vec!["because".into()],
        undo: Undo {
            steps: vec![UndoneStep { title: "start it".into(), done: false, error: Some("no".into()) }],
            verified: true,
            remarks: vec!["moved".into()],
        },
    }
}

#[test]
fn a_report_is_as_its_schema_says() {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/chaos.schema.json")).unwrap();
    for report in [whole(), ChaosReport { load: None, ..whole() }] {
        let report = serde_json::to_value(report).unwrap();
        conforms(&report, &schema, &schema).unwrap();
        let mut more = report.clone();
        more["timeline"][0]["state"] = 1.into();
        assert_eq!(conforms(&more, &schema, &schema).unwrap_err(), "timeline: state is not in the schema");
        let mut less = report;
        less["phases"][0].as_object_mut().unwrap().remove("lost_tries");
        assert_eq!(conforms(&less, &schema, &schema).unwrap_err(), "phases: lost_tries is not there");
    }
}

#[test]
fn what_is_written_reads_back_the_same_and_is_not_written_over() {
    let root = tempfile::tempdir().unwrap();
    let files = Folder(root.path().join("run"));
    files.ensure_free().unwrap();
    write(&files, &whole()).unwrap();
    let read: ChaosReport =
        serde_json::from_slice(&std::fs::read(files.0.join(folder::REPORT)).unwrap()).unwrap();
    assert_eq!(read, whole());
    assert_eq!(files.ensure_free().unwrap_err().exit(), crate::Exit::Usage);
}

#[test]
fn what_was_missed_is_a_failed_test_and_what_is_only_told_is_none() {
    let xml = junit(&whole()).unwrap();
    assert!(xml.contains(r#"tests="2""#) && xml.contains(r#"failures="1""#), "{xml}");
    assert!(xml.contains("errors it is"), "{xml}");
    let nothing = Verdict { outcome: Outcome::Inconclusive, points: Vec::new() };
    let xml = junit(&ChaosReport { verdict: nothing, ..whole() }).unwrap();
    assert!(xml.contains(r#"errors="1""#), "{xml}");
}
