//! Whatever ends a run, its fault is undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::chaos::fault::Mode;
use crate::chaos::ground::Pace;
use crate::chaos::journal::{Journal, Place};
use crate::chaos::report::Outcome as Ended;
use crate::chaos::run::Abort;
use crate::chaos::survey::samples::three_nodes;
use crate::chaos::timeline::Clock;
use crate::chaos::verdict::Limits;
use crate::chaos::victim::What;
use crate::config::Config;
use crate::event::Events;
use crate::load::{DoorSpec, Fleet, Image, Policy};
use crate::process::Processes;

/// What goes wrong at the fault.
#[derive(Clone, Copy, PartialEq)]
enum Strike {
    Works,
    Fails,
    Panics,
}

/// A cluster of three nodes that is broken and mended by a flag.
struct Double {
    strike: Strike,
    undo_fails: bool,
    broken: AtomicBool,
}

#[async_trait::async_trait]
impl Ground for Double {
    fn provider(&self) -> &'static str {
        "double"
    }
    async fn survey(&self) -> Result<Survey> {
        Ok(three_nodes())
    }
    async fn timings(&self, _: &Survey, _: &Victim, _: Clock) -> Result<(Timings, Vec<Setting>)> {
        Ok((Timings { cluster: None, ..crate::chaos::predict::tests::timings() }, Vec::new()))
    }
    fn ensure_possible(&self, _: Fault) -> Result<()> {
        Ok(())
    }
    async fn undo_of(&self, victim: &Victim) -> Result<Vec<UndoStep>> {
        Ok(vec![UndoStep::StartContainer { container: victim.name.clone() }])
    }
    async fn undo_of_control(&self) -> Result<Vec<UndoStep>> {
        Ok(Vec::new())
    }
    async fn without_retries(&self, _: &crate::event::Step) -> Result<()> {
        Ok(())
    }
    async fn strike(&self, _: &Victim) -> Result<()> {
        self.broken.store(true, Ordering::SeqCst);
        match self.strike {
            Strike::Works => Ok(()),
            Strike::Fails => Err(Error::unhealthy("docker kill: no such container", "")),
            Strike::Panics => panic!("in mid-fault"),
        }
    }
    async fn proofs(&self, _: &Victim, _: &[UndoStep]) -> Result<Vec<(String, bool)>> {
        Ok(vec![("it is broken".into(), self.broken.load(Ordering::SeqCst))])
    }
    async fn late_proofs(&self, _: &Victim, _: Timestamp) -> Result<Vec<(String, bool)>> {
        Ok(vec![("it still was".into(), self.broken.load(Ordering::SeqCst))])
    }
    async fn follow(&self, _: &Survey, _: &Victim, _: &Timeline) {
        std::future::pending::<()>().await;
    }
    async fn undo(&self, _: &UndoStep) -> Result<()> {
        if self.undo_fails {
            return Err(Error::unhealthy("docker start: no", ""));
        }
        self.broken.store(false, Ordering::SeqCst);
        Ok(())
    }
    async fn missing(&self, _: &Survey, _: Timestamp) -> Result<Vec<String>> {
        Ok(if self.broken.load(Ordering::SeqCst) { vec!["c-worker2".into()] } else { Vec::new() })
    }
    async fn displaced(&self, _: &Survey) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    async fn rebalance(&self, _: &Survey, _: &crate::event::Step) -> Result<()> {
        Ok(())
    }
    fn pace(&self, _: Fault, _: &Survey, _: &Victim) -> Pace {
        let short = Duration::from_millis(10);
        Pace { steady: short, awaits: None, hold: short, settles_within: short }
    }
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
        force: false,
        rebalance: false,
        dry_run: false,
        folder: None,
    }
}

/// The report, whether it is still broken, and whether a journal is left.
async fn performed(strike: Strike, undo_fails: bool) -> (ChaosReport, bool, bool) {
    crate::tls::install();
    let root = tempfile::tempdir().unwrap();
    let host = Host {
        processes: Processes::system(),
        events: Events::silent(),
        root: root.path().to_owned(),
        cache: root.path().to_owned(),
        config: Config::default(),
        may_install: false,
        login: None,
    };
    let ground = Double { strike, undo_fails, broken: AtomicBool::new(false) };
    let (options, survey) = (options(), three_nodes());
    let victim = options.what.aim(&survey, false).unwrap();
    let url: crate::load::Url = "http://127.0.0.1:9/".parse().unwrap();
    let door = DoorSpec { name: "c-worker".into(), url: url.clone(), health: url };
    let fleet = Fleet::new(vec![door], vec![Image::new("i", "i")], options.policy, options.timeout).unwrap();
    let clock = Clock::start();
    let step = host.events.step("load", "load", None);
    let journal = Journal::new(String::new(), String::new(), Vec::new());
    let scene = Scene {
        host: &host,
        ground: &ground,
        options: &options,
        survey: &survey,
        victim: &victim,
        doors: 1,
        rate: 1.0,
        control: 0,
        timeline: Timeline::new(clock, Events::silent()),
        traffic: Traffic::start(Arc::new(fleet), 1.0, clock, step),
        undoing: Mutex::new(Undoing::new(&host, Place::take(&host).unwrap(), journal)),
        noted: std::sync::Mutex::default(),
    };
    let report = scene.perform(Preflight::default()).await;
    (report, ground.broken.load(Ordering::SeqCst), crate::chaos::journal::is_left(&host))
}

#[tokio::test]
async fn a_whole_run_is_undone_and_leaves_no_journal() {
    let (report, broken, left) = performed(Strike::Works, false).await;
    assert_eq!((report.verdict.outcome, broken, left), (Ended::Passed, false, false), "{:?}", report.verdict);
    assert_eq!(report.fault.proofs.len(), 2);
    let phases: Vec<PhaseName> = report.phases.iter().map(|phase| phase.name).collect();
    assert_eq!(phases, [PhaseName::Steady, PhaseName::Outage, PhaseName::Return, PhaseName::After]);
    assert!(
        report.moment(MomentKind::NodeBack).unwrap().at < report.moment(MomentKind::AllReady).unwrap().at
    );
}

#[tokio::test]
async fn a_fault_that_fails_half_way_is_undone_and_told() {
    let (report, broken, left) = performed(Strike::Fails, false).await;
    assert_eq!((report.verdict.outcome, broken, left), (Ended::Failed, false, false));
    assert!(report.verdict.missed().any(|sentence| sentence.contains("no such container")), "{report:?}");
}

#[tokio::test]
async fn a_panic_in_mid_fault_is_undone_and_told() {
    let (report, broken, left) = performed(Strike::Panics, false).await;
    assert_eq!((report.verdict.outcome, broken, left), (Ended::Failed, false, false));
    assert!(report.undo.verified);
}

#[tokio::test]
async fn what_cannot_be_undone_stays_in_the_journal() {
    let (report, broken, left) = performed(Strike::Works, true).await;
    assert_eq!((report.verdict.outcome, broken, left), (Ended::Failed, true, true));
    assert!(report.verdict.missed().any(|sentence| sentence.contains("chaos --recover")), "{report:?}");
}
