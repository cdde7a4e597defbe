//! Whatever ends a run, its fault is undone.

use std::sync::atomic::Ordering;

use super::*;
use crate::chaos::abort::Abort;
use crate::chaos::double::{Blow, Double};
use crate::chaos::fault::Mode;
use crate::chaos::journal::{Journal, Place};
use crate::chaos::report::{Outcome as Ended, Standing};
use crate::chaos::rest::rest;
use crate::chaos::survey::samples::three_nodes;
use crate::chaos::timeline::Clock;
use crate::chaos::verdict::Limits;
use crate::chaos::victim::What;
use crate::event::{Event, Events, Recorded};
use crate::load::{DoorSpec, Fleet, Image, Policy};

/// What ends a run early.
#[derive(Clone, Copy, PartialEq)]
enum Early {
    No,
    /// In mid-strike.
    Interrupt,
    /// Every request fails, and that is too many.
    Limit,
    /// In mid-strike nothing is sent any more.
    LoadDies,
}

fn options() -> ChaosOptions {
    ChaosOptions {
        what: What::Node { name: None, mode: Mode::Pause },
        rate: None,
        images: None,
        policy: Policy { failover: true, retry: true },
        timeout: Duration::from_secs(1),
        // Nobody answers: what is asked is what becomes of the fault.
        limits: Limits { max_errors: u64::MAX, max_p99_ms: None, max_p99_ratio: None },
        abort: Abort { percent: 100, p99: None },
        steady: None,
        requests: 0,
        force: false,
        rebalance: false,
        dry_run: false,
        folder: None,
    }
}

/// The report, whether it is still broken, and whether a journal is left.
async fn performed(blow: Blow, undo_fails: bool) -> (ChaosReport, bool, bool) {
    ended(blow, undo_fails, Early::No).await
}

async fn ended(blow: Blow, undo_fails: bool, early: Early) -> (ChaosReport, bool, bool) {
    crate::tls::install();
    let root = tempfile::tempdir().unwrap();
    let told = Recorded::default();
    let host = Host { events: Events::new(told.clone()), ..Host::bare(root.path()) };
    let ground = Double::new(blow, undo_fails, told);
    let (mut options, survey, rate) = (options(), three_nodes(), 500.0);
    if early == Early::Limit {
        (options.abort.percent, options.policy.retry) = (0, false);
    }
    let victim = options.what.aim(&survey, false).unwrap();
    let url: crate::load::Url = "http://127.0.0.1:9/".parse().unwrap();
    let door = DoorSpec { name: "c-worker".into(), url: url.clone(), health: url };
    let fleet = Fleet::new(vec![door], vec![Image::new("i", "i")], options.policy, options.timeout).unwrap();
    let clock = Clock::start();
    let step = host.events.step("load", "load", None);
    let journal = Journal::new(String::new(), String::new(), Vec::new());
    let traffic = Traffic::start(fleet, rate, clock, step);
    let load = traffic.task();
    let scene = Scene {
        host: &host,
        ground: &ground,
        options: &options,
        survey: &survey,
        victim: &victim,
        doors: 1,
        rate,
        control: 0,
        timeline: Timeline::new(clock, Events::silent()),
        traffic,
        undoing: Mutex::new(Undoing::new(&host, Place::take(&host).unwrap(), journal)),
        noted: std::sync::Mutex::default(),
    };
    let interruption = async {
        ground.begun.notified().await;
        if early == Early::LoadDies {
            load.abort();
        }
        if early != Early::Interrupt {
            std::future::pending::<()>().await;
        }
    };
    let report = scene.perform(Preflight::default(), interruption).await;
    let since = ground.since.lock().unwrap().expect("a last look");
    let undone = ground.undone.lock().unwrap().unwrap_or(clock.begun());
    assert!(since >= undone, "what was said before the fault was undone says nothing");
    let docker = ground.docker.lock().unwrap().take();
    if let Some(docker) = docker {
        docker.await.unwrap();
    }
    (report, ground.is_broken(), crate::chaos::journal::is_left(&host))
}

#[tokio::test]
async fn a_whole_run_is_undone_and_leaves_no_journal() {
    let (report, broken, left) = performed(Blow::Works, false).await;
    assert_eq!((report.verdict.outcome, broken, left), (Ended::Passed, false, false), "{:?}", report.verdict);
    assert_eq!(report.fault.proofs.len(), 2);
    let phases: Vec<PhaseName> = report.phases.iter().map(|phase| phase.name).collect();
    assert_eq!(phases, [PhaseName::Steady, PhaseName::Outage, PhaseName::Return, PhaseName::After]);
    assert!(
        report.moment(MomentKind::NodeBack).unwrap().at < report.moment(MomentKind::AllReady).unwrap().at
    );
}

#[tokio::test]
async fn a_fault_that_fails_half_way_is_undone_told_and_inconclusive() {
    let (report, broken, left) = performed(Blow::Fails, false).await;
    assert_eq!((report.verdict.outcome, broken, left), (Ended::Inconclusive, false, false));
    assert!(matches!(report.exit(), Ok(crate::Exit::Inconclusive)), "{report:?}");
    assert!(report.verdict.missed().any(|sentence| sentence.contains("no such container")), "{report:?}");
}

#[tokio::test]
async fn a_panic_in_mid_fault_is_undone_told_and_inconclusive() {
    let (report, broken, left) = performed(Blow::Panics, false).await;
    assert_eq!((report.verdict.outcome, broken, left), (Ended::Inconclusive, false, false));
    assert!(report.undo.verified);
    assert!(report.verdict.missed().any(|sentence| sentence.contains("a fault of this program")));
}

#[tokio::test]
async fn what_nobody_answers_any_more_is_told_and_ends_no_run() {
    let (report, broken, left) = performed(Blow::Blinds, false).await;
    assert_eq!((report.verdict.outcome, broken, left), (Ended::Passed, false, false), "{:?}", report.verdict);
    assert_eq!(report.fault.proofs.len(), 1, "the second look was answered");
    let remarks = report.verdict.points.iter().filter(|point| point.name == "remark");
    assert_eq!(remarks.filter(|remark| remark.standing == Standing::Noted).count(), 2);
}

#[tokio::test]
async fn a_load_that_dies_ends_the_run_which_then_says_nothing() {
    let (report, broken, left) = ended(Blow::TakesItsTime, false, Early::LoadDies).await;
    assert_eq!((report.verdict.outcome, broken, left), (Ended::Inconclusive, false, false));
    assert!(report.verdict.missed().any(|sentence| sentence.contains("the load ended")), "{report:?}");
}

#[tokio::test]
async fn what_cannot_be_undone_stays_in_the_journal() {
    let (report, broken, left) = performed(Blow::Works, true).await;
    assert_eq!((report.verdict.outcome, broken, left), (Ended::Failed, true, true));
    assert!(report.verdict.missed().any(|sentence| sentence.contains("chaos --recover")), "{report:?}");
}

#[tokio::test]
async fn a_panic_beside_the_run_is_undone_and_told() {
    let (report, broken, left) = performed(Blow::WatcherPanics, false).await;
    // Whether the fault was seen before is decided by who is quicker.
    let outcome = report.verdict.outcome;
    assert!(matches!(outcome, Ended::Inconclusive | Ended::Failed), "{outcome:?}");
    assert!(report.undo.verified && !broken && !left);
    assert!(
        report.verdict.missed().any(|sentence| sentence.contains("a fault of this program")),
        "{report:?}"
    );
}

#[tokio::test]
async fn an_interrupted_strike_is_awaited_and_then_undone() {
    let (report, broken, left) = ended(Blow::TakesItsTime, false, Early::Interrupt).await;
    assert_eq!((report.verdict.outcome, broken, left), (Ended::Interrupted, false, false));
    assert!(report.undo.verified, "{report:?}");
}

#[tokio::test]
async fn a_strike_that_a_limit_ends_is_awaited_and_then_undone() {
    let (report, broken, left) = ended(Blow::TakesItsTime, false, Early::Limit).await;
    assert_eq!((report.verdict.outcome, broken, left), (Ended::Aborted, false, false));
    assert!(report.undo.verified, "{report:?}");
}

#[tokio::test]
async fn an_interrupted_run_that_cannot_be_undone_is_a_failure() {
    let (report, broken, left) = ended(Blow::TakesItsTime, true, Early::Interrupt).await;
    assert_eq!((report.verdict.outcome, broken, left), (Ended::Failed, true, true));
    assert!(report.exit().unwrap_err().to_string().contains("chaos --recover"));
}

#[tokio::test]
async fn a_fault_waits_until_nothing_moves_and_what_moves_for_ever_is_told() {
    let told = Recorded::default();
    let root = tempfile::tempdir().unwrap();
    let host = Host { events: Events::new(told.clone()), ..Host::bare(root.path()) };
    let ground = Double::new(Blow::Works, false, told.clone());
    let (look, long) = (Duration::from_millis(5), Duration::from_secs(20));
    rest(&host, &ground, long, look).await.unwrap();
    assert!(told.events().is_empty(), "nothing is waited for: {:?}", told.events());

    ground.broken.store(true, Ordering::SeqCst);
    let mends = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        ground.broken.store(false, Ordering::SeqCst);
    };
    let (waited, ()) = tokio::join!(rest(&host, &ground, long, look), mends);
    waited.unwrap();

    ground.broken.store(true, Ordering::SeqCst);
    rest(&host, &ground, Duration::from_millis(20), look).await.unwrap();
    let last = told.events().into_iter().rev().find_map(|event| match event {
        Event::Warning { message } => Some(message),
        _ => None,
    });
    assert!(last.expect("a warning").contains("c-worker2"));
}
