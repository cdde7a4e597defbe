//! Several doors to one service, as a load balancer in front of them would use them: asked whether they live, passed
//! over while they do not, and a request that one of them lost is sent to another.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::fault::Fault;
use super::http::{Message, client, post, successful};
use super::wire::Wire;
use super::{Closed, ClosedRun, Image, Outcome, Target, lanes};

/// Between two questions to a door.
const ASKED_EVERY: Duration = Duration::from_millis(500);
/// A door that has not answered by then has not answered.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
/// So many questions unanswered in a row, and a door is passed over.
const UNANSWERED: u32 = 2;

/// Where requests are sent.
#[derive(Debug, Clone, PartialEq)]
pub struct DoorSpec {
    pub name: String,
    /// What takes the images.
    pub url: Url,
    /// What says whether it serves.
    pub health: Url,
}

/// How a request gets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Doors that do not answer are passed over.
    pub failover: bool,
    /// What one door has lost is sent to another.
    pub retry: bool,
}

pub struct Fleet {
    doors: Arc<[Door]>,
    /// To each door the way that takes least of this machine, where its address lets it be gone.
    wires: Box<[Option<Wire>]>,
    images: Arc<[Image]>,
    /// Whether each request sends bytes that were never sent before.
    fresh: bool,
    /// Where the numbers behind the images begin: another run must not send the same bytes again.
    first: u64,
    policy: Policy,
    timeout: Duration,
    sent: AtomicU64,
    begun: Instant,
    lost: Arc<Mutex<Vec<LostTry>>>,
}

struct Door {
    spec: DoorSpec,
    /// For questions, and for what a bare connection cannot do.
    client: Client,
    lives: watch::Sender<bool>,
    /// Tries under way.
    pending: AtomicUsize,
    /// Whether the last try that ended was lost and no question was answered since: a door that refuses at once has
    /// little under way, and is not to be preferred for that.
    lost_last: AtomicBool,
    good: AtomicU64,
    tries: AtomicU64,
}

/// A try that brought nothing; the request may have got through elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LostTry {
    /// Seconds from the beginning of the run.
    pub at_seconds: f64,
    pub door: String,
    pub why: String,
}

/// What became of the tries at one door.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoorReport {
    pub name: String,
    pub url: String,
    pub tries: u64,
    pub good: u64,
}

impl Fleet {
    /// `timeout` is a whole request's, with all its tries.
    pub fn new(
        doors: Vec<DoorSpec>,
        images: Vec<Image>,
        policy: Policy,
        timeout: Duration,
    ) -> reqwest::Result<Self> {
        let door = |spec: DoorSpec| {
            let counted = || AtomicU64::new(0);
            Ok(Door {
                spec,
                client: client(timeout)?,
                lives: watch::Sender::new(true),
                pending: AtomicUsize::new(0),
                lost_last: AtomicBool::new(false),
                good: counted(),
                tries: counted(),
            })
        };
        let doors = doors.into_iter().map(door).collect::<reqwest::Result<Arc<[_]>>>()?;
        Ok(Self {
            wires: wires(&doors),
            doors,
            images: images.into(),
            fresh: true,
            first: fastrand::u64(..),
            policy,
            timeout,
            sent: AtomicU64::new(0),
            begun: Instant::now(),
            lost: Arc::default(),
        })
    }

    /// Sends the same bytes again and again, which a service may answer without reading them.
    #[must_use]
    pub fn with_repeated_bytes(self) -> Self {
        Self { fresh: false, ..self }
    }

    /// Lost tries are told by the seconds since then; without it, since the fleet was made.
    #[must_use]
    pub fn beginning_at(self, begun: Instant) -> Self {
        Self { begun, ..self }
    }

    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Asks every door again and again whether it lives; never ends.
    pub async fn look_after(&self) {
        let looks = self.doors.iter().map(Door::look_after);
        futures_util::future::join_all(looks).await;
    }

    /// A closed loop at these doors, on threads of its own.
    pub async fn closed(&self, plan: Closed) -> ClosedRun {
        lanes::closed_by(plan, |lane| self.beside(lane)).await
    }

    /// The same doors and images over connections of its own, for another thread: a connection belongs to the runtime in
    /// which it was made. Begins with another image and door than those with other numbers do.
    fn beside(&self, number: u64) -> Self {
        Self {
            doors: Arc::clone(&self.doors),
            wires: wires(&self.doors),
            images: Arc::clone(&self.images),
            first: fastrand::u64(..),
            sent: AtomicU64::new(number),
            lost: Arc::clone(&self.lost),
            ..*self
        }
    }

    pub fn doors(&self) -> Vec<DoorReport> {
        let report = |door: &Door| DoorReport {
            name: door.spec.name.clone(),
            url: door.spec.url.to_string(),
            tries: door.tries.load(Ordering::Relaxed),
            good: door.good.load(Ordering::Relaxed),
        };
        self.doors.iter().map(report).collect()
    }

    pub fn image_names(&self) -> Vec<String> {
        self.images.iter().map(|image| image.name.clone()).collect()
    }

    /// In the order in which they were lost.
    pub fn lost_tries(&self) -> Vec<LostTry> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn try_all(&self, number: u64, image: &Image) -> Result<Bytes, Fault> {
        let unique = self.first.wrapping_add(number).to_le_bytes();
        let message = image.message(if self.fresh { &unique } else { &[] });
        let most = if self.policy.retry { self.doors.len().max(2) } else { 1 };
        // What hangs at the only door has nowhere else to go.
        let may_leave = self.policy.failover && self.policy.retry && self.doors.len() > 1;
        let mut tried = Vec::new();
        loop {
            let chosen = self.choose(number, &tried);
            let (door, wire) = (&self.doors[chosen], self.wires[chosen].as_ref());
            tried.push(chosen);
            let asked = door.ask(wire, message, may_leave).await;
            let Err(fault) = asked else { return asked };
            self.note_lost(door, &fault);
            if tried.len() >= most || !fault.may_pass_elsewhere() {
                return Err(fault);
            }
        }
    }

    /// By turns; with failover, of those that live the one that has least under way: a door that hangs is passed over
    /// before the questions have found out. Where none lives, among all, since then the questions may be what fails.
    fn choose(&self, turn: u64, tried: &[usize]) -> usize {
        let turn = usize::try_from(turn).unwrap_or_default().wrapping_add(tried.len());
        let count = self.doors.len();
        let mut by_turns = (0..count).map(|step| turn.wrapping_add(step) % count);
        let chosen = if self.policy.failover {
            by_turns.min_by_key(|&door| {
                let is_tried = tried.contains(&door);
                let door = &self.doors[door];
                let lost_last = door.lost_last.load(Ordering::Relaxed);
                (!*door.lives.borrow(), is_tried, lost_last, door.pending.load(Ordering::Relaxed))
            })
        } else {
            by_turns.next()
        };
        chosen.unwrap_or_default()
    }

    fn note_lost(&self, door: &Door, fault: &Fault) {
        let lost = LostTry {
            at_seconds: self.begun.elapsed().as_secs_f64(),
            door: door.spec.name.clone(),
            why: fault.kind.to_string(),
        };
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).push(lost);
    }
}

impl Fleet {
    async fn outcome(&self) -> Outcome {
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let image = &self.images[usize::try_from(number).unwrap_or_default() % self.images.len()];
        match tokio::time::timeout(self.timeout, self.try_all(number, image)).await {
            Err(_) => Outcome::Failed(super::fault::Kind::TimedOut.to_string()),
            Ok(Err(fault)) => Outcome::Failed(fault.kind.to_string()),
            Ok(Ok(body)) => image.judge(&body).map_or_else(Outcome::Wrong, |()| Outcome::Good),
        }
    }

    /// The body of an async function is compiled by whoever awaits it, and elsewhere nothing is optimised: behind a
    /// pointer it is compiled here.
    fn compiled_outcome(&self) -> BoxFuture<'_, Outcome> {
        self.outcome().boxed()
    }
}

impl Target for Fleet {
    fn send(&self) -> impl Future<Output = Outcome> + Send {
        self.compiled_outcome()
    }
}

fn wires(doors: &[Door]) -> Box<[Option<Wire>]> {
    doors.iter().map(|door| Wire::to(&door.spec.url)).collect()
}

impl Door {
    /// The answer; with `may_leave` no longer awaited when the door is found dead.
    async fn ask(&self, wire: Option<&Wire>, message: Message<'_>, may_leave: bool) -> Result<Bytes, Fault> {
        self.tries.fetch_add(1, Ordering::Relaxed);
        let _pending = Pending::enter(&self.pending);
        let answer = if may_leave && *self.lives.borrow() {
            let mut lives = self.lives.subscribe();
            tokio::select! {
                answer = self.post(wire, message) => answer,
                // Of a node that hangs nothing is heard, until the questions tell.
                _ = lives.wait_for(|lives| !lives) => Err(Fault::door_lost()),
            }
        } else {
            self.post(wire, message).await
        };
        let lost = answer.as_ref().is_err_and(Fault::may_pass_elsewhere);
        self.lost_last.store(lost, Ordering::Relaxed);
        if answer.is_ok() {
            self.good.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    async fn post(&self, wire: Option<&Wire>, message: Message<'_>) -> Result<Bytes, Fault> {
        if let Some(wire) = wire {
            let (status, body) = wire.post(message).await?;
            if !status.is_redirection() {
                return successful(status, body);
            }
        }
        post(&self.client, &self.spec.url, &message.payload()).await
    }

    async fn look_after(&self) {
        let mut ticks = tokio::time::interval(ASKED_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut unanswered = 0;
        loop {
            ticks.tick().await;
            let asked = self.client.get(self.spec.health.clone()).timeout(ANSWERS_WITHIN).send().await;
            // Who does not know the question answers all the same.
            let serves = asked.is_ok_and(|answer| !answer.status().is_server_error());
            unanswered = if serves { 0 } else { unanswered + 1 };
            if serves {
                self.lost_last.store(false, Ordering::Relaxed);
            }
            let lives = unanswered < UNANSWERED;
            self.lives.send_if_modified(|known| std::mem::replace(known, lives) != lives);
        }
    }
}

/// A try under way, also one that is given up.
struct Pending<'a>(&'a AtomicUsize);

impl<'a> Pending<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "fleet_tests.rs"]
mod tests;
