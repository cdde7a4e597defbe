//! Whatever ends a run, its fault is undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::chaos::fault::Mode;
use crate::chaos::ground::Pace;
use crate::chaos::journal::{Journal, Place};
use crate::chaos::report::Outcome as Ended;
use crate::chaos::rest::rest;
use crate::chaos::run::Abort;
use crate::chaos::survey::samples::three_nodes;
use crate::chaos::timeline::Clock;
use crate::chaos::verdict::Limits;
use crate::chaos::victim::What;
use crate::event::{Event, Events, Recorded};
use crate::load::{DoorSpec, Fleet, Image, Policy};

/// What goes wrong at the fault.
#[derive(Clone, Copy, PartialEq)]
enum Blow {
    Works,
    Fails,
    Panics,
    /// Whoever watches what follows does.
    WatcherPanics,
    /// As Docker's: it goes on whether or not its client waits for it, here until after the run was ended early.
    TakesItsTime,
}

/// What ends a run early.
#[derive(Clone, Copy, PartialEq)]
enum Early {
    No,
    /// In mid-strike.
    Interrupt,
    /// Every request fails, and that is too many.
    Limit,
}

/// A cluster of three nodes that is broken and mended by a flag.
struct Double {
    blow: Blow,
    undo_fails: bool,
    broken: Arc<AtomicBool>,
    told: Recorded,
    begun: Notify,
    /// Docker, at work.
    docker: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Double {
    fn new(blow: Blow, undo_fails: bool, told: Recorded) -> Self {
        let (broken, begun) = (Arc::default(), Notify::new());
        Self { blow, undo_fails, broken, told, begun, docker: std::sync::Mutex::default() }
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }
}

/// Breaks it a moment after the run was ended early.
async fn break_late(told: Recorded, broken: Arc<AtomicBool>) {
    let early =
        |event: &Event| matches!(event, Event::Warning { message } if message.contains("ended early"));
    let deadline = Instant::now() + Duration::from_secs(20);
    while !told.events().iter().any(early) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    broken.store(true, Ordering::SeqCst);
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
    async fn ensure_possible(&self, _: &Victim) -> Result<()> {
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
        self.begun.notify_one();
        if self.blow == Blow::TakesItsTime {
            let docker = tokio::spawn(break_late(self.told.clone(), Arc::clone(&self.broken)));
            *self.docker.lock().unwrap() = Some(docker);
            while !self.is_broken() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            return Ok(());
        }
        self.broken.store(true, Ordering::SeqCst);
        match self.blow {
            Blow::Fails => Err(Error::unhealthy("docker kill: no such container", "")),
            Blow::Panics => panic!("in mid-fault"),
            _ => Ok(()),
        }
    }
    async fn proofs(&self, _: &Victim, _: &[UndoStep]) -> Result<Vec<(String, bool)>> {
        Ok(vec![("it is broken".into(), self.broken.load(Ordering::SeqCst))])
    }
    async fn late_proofs(&self, _: &Victim, _: Timestamp) -> Result<Vec<(String, bool)>> {
        Ok(vec![("it still was".into(), self.broken.load(Ordering::SeqCst))])
    }
    async fn follow(&self, _: &Survey, _: &Victim, _: &Timeline) {
        if self.blow == Blow::WatcherPanics {
            while !self.is_broken() {
                tokio::task::yield_now().await;
            }
            panic!("at what it saw");
        }
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
        Pace {
            steady: short,
            proven_within: Duration::from_secs(10),
            awaits: None,
            hold: short,
            settles_within: short,
        }
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
    let (mut options, survey, mut rate) = (options(), three_nodes(), 1.0);
    if early == Early::Limit {
        (options.abort.percent, options.policy.retry, rate) = (0, false, 200.0);
    }
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
        rate,
        control: 0,
        timeline: Timeline::new(clock, Events::silent()),
        traffic: Traffic::start(Arc::new(fleet), rate, clock, step),
        undoing: Mutex::new(Undoing::new(&host, Place::take(&host).unwrap(), journal)),
        noted: std::sync::Mutex::default(),
    };
    let interruption = async {
        ground.begun.notified().await;
        if early != Early::Interrupt {
            std::future::pending::<()>().await;
        }
    };
    let report = scene.perform(Preflight::default(), interruption).await;
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
async fn a_panic_in_mid_fault_is_undone_and_told() {
    let (report, broken, left) = performed(Blow::Panics, false).await;
    assert_eq!((report.verdict.outcome, broken, left), (Ended::Failed, false, false));
    assert!(report.undo.verified);
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
    assert_eq!((report.verdict.outcome, broken, left), (Ended::Failed, false, false));
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
