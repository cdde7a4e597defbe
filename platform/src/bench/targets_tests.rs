//! Ratios and verdicts from made-up measurements.

use super::*;
use crate::bench::report::{Cell, Closed, Hop, Processes, Reading};
use crate::load::{Counts, Latencies};

fn cell(peer: Peer, image: Picture, rate: f64, alone_ms: u64) -> Cell {
    let alone: Latencies = [std::time::Duration::from_millis(alone_ms)].into_iter().collect();
    Cell {
        peer,
        image,
        bare_rate: None,
        closed: Closed { rate, latency: None, counts: Counts::default() },
        open: None,
        alone: alone.summary(),
        memory_mb: None,
        client_cores: None,
        reading: Reading { character_error_rate: 0.1, same_as_bare: true, texts: 1 },
    }
}

fn found<'a>(targets: &'a [Target], what: &str) -> &'a Target {
    targets.iter().find(|target| target.what.contains(what)).unwrap_or_else(|| panic!("{what}: {targets:#?}"))
}

#[track_caller]
fn close(found: Option<f64>, wanted: f64) {
    assert!(found.is_some_and(|found| (found / wanted - 1.0).abs() < 0.005), "{found:?} {wanted}");
}

#[test]
fn the_same_work_is_judged_and_the_default_stands_beside_it() {
    let line = |peer, rate| cell(peer, Picture::Line, rate, 12);
    let cells = vec![
        line(Peer::Bare, 80.0),
        line(Peer::Platen, 120.0),
        line(Peer::PlatenPlain, 78.0),
        line(Peer::Flask, 7.0),
    ];
    let targets = judged(&Report { cells, ..Report::default() });
    let bare = found(&targets, "line: throughput of the bare library");
    close(bare.measured, 0.975);
    close(bare.by_default, 1.5);
    assert_eq!(bare.met, Some(true));
    let flask = found(&targets, "line: throughput of Flask");
    close(flask.measured, 11.143);
    assert_eq!(flask.met, Some(true));
}

#[test]
fn what_was_not_measured_is_neither_met_nor_missed() {
    let targets = judged(&Report {
        cells: vec![cell(Peer::PlatenPlain, Picture::Line, 78.0, 12)],
        ..Report::default()
    });
    let kserve = found(&targets, "KServe");
    assert_eq!((kserve.measured, kserve.met), (None, None));
    assert!(missed(&targets).is_empty());
    assert!(targets.iter().all(|target| !target.what.starts_with("label")), "the label was not measured");
}

#[test]
fn each_peer_is_held_against_the_bare_library_beside_it() {
    let beside =
        |peer, rate, bare_rate| Cell { bare_rate: Some(bare_rate), ..cell(peer, Picture::Line, rate, 12) };
    let cells = vec![
        beside(Peer::Bare, 100.0, 100.0),
        // The machine was at half its speed meanwhile.
        beside(Peer::PlatenPlain, 49.0, 50.0),
        beside(Peer::Flask, 7.0, 100.0),
    ];
    let report = Report { cells, ..Report::default() };
    let targets = judged(&report);
    close(found(&targets, "line: throughput of the bare library").measured, 0.98);
    close(found(&targets, "line: throughput of Flask").measured, 14.0);
    close(report.drifts().first().map(crate::bench::report::Drift::change), 0.5);
}

#[test]
fn the_tuned_target_is_held_against_the_better_peer() {
    let line = |peer, rate| cell(peer, Picture::Line, rate, 12);
    let cells =
        vec![line(Peer::PlatenPlain, 80.0), line(Peer::FlaskTuned, 10.0), line(Peer::KserveTuned, 40.0)];
    let targets = judged(&Report { cells, ..Report::default() });
    let tuned = found(&targets, "tuned");
    close(tuned.measured, 2.0);
    assert_eq!(tuned.met, Some(false));
}

#[test]
fn a_fast_single_request_with_another_text_is_a_missed_target() {
    let mut platen = cell(Peer::Platen, Picture::Label, 7.0, 150);
    let bare = cell(Peer::Bare, Picture::Label, 7.0, 300);
    let report = |platen: &Cell| Report { cells: vec![bare.clone(), platen.clone()], ..Report::default() };
    let targets = judged(&report(&platen));
    close(found(&targets, "one request").measured, 0.5);
    assert_eq!(found(&targets, "one request").met, Some(true));
    platen.reading.texts = 2;
    assert_eq!(found(&judged(&report(&platen)), "one request").met, Some(false));
}

#[test]
fn the_hop_is_a_difference_and_a_share() {
    let hop = Hop {
        image: Picture::Line,
        gateway_p50_ms: 12.4,
        direct_p50_ms: 12.0,
        gateway_rate: 96.0,
        direct_rate: 100.0,
    };
    let targets = judged(&Report { hop: Some(hop), ..Report::default() });
    close(found(&targets, "hop, p50").measured, 0.4);
    assert_eq!(missed(&targets), ["gateway hop, share of the throughput"]);
}

#[test]
fn a_wrong_answer_of_platen_is_a_missed_target() {
    let mut platen = cell(Peer::Platen, Picture::Line, 78.0, 12);
    platen.closed.counts.count(crate::load::Outcome::Wrong("nothing read".into()));
    let targets = judged(&Report { cells: vec![platen], ..Report::default() });
    assert_eq!(missed(&targets), ["Platen: failed or wrong answers"]);
}

#[test]
fn a_models_memory_and_start_are_judged() {
    let processes = vec![Processes {
        peer: Peer::Platen,
        ready_seconds: 0.8,
        idle_mb: Some(90.0),
        model_ready_seconds: Some(0.7),
        model_idle_mb: Some(81.0),
    }];
    let targets = judged(&Report { processes, ..Report::default() });
    assert_eq!(missed(&targets), ["model with kor+eng, idle memory"]);
}

#[test]
fn a_peer_that_could_not_be_measured_is_no_success() {
    assert!(Report::default().verdict().is_ok());
    let failures = vec![crate::bench::report::Failure { peer: Peer::Kserve, why: "no wheel".into() }];
    let error = Report { failures, ..Report::default() }.verdict().unwrap_err();
    assert_eq!((error.to_string().as_str(), error.exit()), ("not measured: kserve", crate::Exit::Failed));
}
