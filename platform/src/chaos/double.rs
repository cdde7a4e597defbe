//! A cluster for tests: broken and mended by a flag.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::fault::Fault;
use super::ground::{Ground, Pace};
use super::journal::UndoStep;
use super::predict::Timings;
use super::report::Setting;
use super::survey::Survey;
use super::survey::samples::three_nodes;
use super::timeline::{Clock, Timeline};
use super::victim::Victim;
use crate::error::{Error, Result};
use crate::event::{Event, Recorded, Step};

/// What goes wrong at the fault.
#[derive(Clone, Copy, PartialEq)]
pub enum Blow {
    Works,
    Fails,
    Panics,
    /// Whoever watches what follows does.
    WatcherPanics,
    /// As Docker's: it goes on whether or not its client waits for it, here until after the run was ended early.
    TakesItsTime,
    /// It takes the API server with it: nothing that is asked afterwards is answered, and the first look at it fails.
    Blinds,
}

/// A cluster of three nodes that is broken and mended by a flag.
pub struct Double {
    blow: Blow,
    undo_fails: bool,
    pub broken: Arc<AtomicBool>,
    told: Recorded,
    pub begun: Notify,
    /// A look at what shows the fault was made.
    looked: AtomicBool,
    /// When it was mended last.
    pub undone: Mutex<Option<Timestamp>>,
    /// What the last look at everything counted from.
    pub since: Mutex<Option<Timestamp>>,
    /// Docker, at work.
    pub docker: Mutex<Option<JoinHandle<()>>>,
}

impl Double {
    pub fn new(blow: Blow, undo_fails: bool, told: Recorded) -> Self {
        let (broken, begun, looked) = (Arc::default(), Notify::new(), AtomicBool::default());
        let (undone, since, docker) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { blow, undo_fails, broken, told, begun, looked, undone, since, docker }
    }

    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    fn ensure_seen(&self) -> Result<()> {
        let blind = self.blow == Blow::Blinds && self.is_broken();
        if blind { Err(Error::unhealthy("connection refused", "")) } else { Ok(()) }
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
        self.ensure_seen()?;
        Ok((Timings { cluster: None, ..super::predict::tests::timings() }, Vec::new()))
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
    async fn without_retries(&self, _: &Step) -> Result<()> {
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
        if !self.looked.swap(true, Ordering::SeqCst) {
            self.ensure_seen()?;
        }
        Ok(vec![("it is broken".into(), self.broken.load(Ordering::SeqCst))])
    }
    async fn late_proofs(&self, _: &Victim, _: Timestamp) -> Result<Vec<(String, bool)>> {
        self.ensure_seen()?;
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
        *self.undone.lock().unwrap() = Some(Timestamp::now());
        Ok(())
    }
    async fn missing(&self, _: &Survey, since: Timestamp) -> Result<Vec<String>> {
        *self.since.lock().unwrap() = Some(since);
        Ok(if self.broken.load(Ordering::SeqCst) { vec!["c-worker2".into()] } else { Vec::new() })
    }
    async fn displaced(&self, _: &Survey) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    async fn rebalance(&self, _: &Survey, _: &Step) -> Result<()> {
        Ok(())
    }
    fn pace(&self, _: Fault, _: &Survey, _: &Victim) -> Pace {
        let short = Duration::from_millis(10);
        Pace {
            steady: short,
            proven_within: Duration::from_secs(10),
            awaits: None,
            hold: 5 * short,
            settles_within: short,
        }
    }
}
