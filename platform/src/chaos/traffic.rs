//! The load of a run: open loop, at one rate, from before the fault until all is as it was; every request is kept.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::report::{Phase, PhaseName};
use super::timeline::Clock;
use crate::error::{Error, Result};
use crate::event::Step;
use crate::load::{
    self, Closed, Fleet, Latencies, LostTry, OpenRun, Outcome, Sample, Schedule, Tally, open_watched,
};

/// To find out what the platform can do: so many clients, so long.
const CAPACITY: Closed = Closed { clients: 8, lasting: Duration::from_secs(4) };

/// Good answers a second at most, by what the platform answers now.
pub async fn capacity(fleet: &Arc<Fleet>) -> Result<f64> {
    let run = tokio::select! {
        run = fleet.closed(CAPACITY) => run,
        () = fleet.look_after() => unreachable!("it never ends"),
    };
    if run.counts.good == 0 {
        let why = run.counts.first_fault.unwrap_or_default();
        let what = format!("no request was answered well before any fault: {why}");
        return Err(Error::unhealthy(what, "see: cargo xtask status"));
    }
    Ok(run.rate)
}

/// Goes on until it is told to end.
pub struct Traffic {
    fleet: Arc<Fleet>,
    rate: f64,
    clock: Clock,
    kept: Arc<Kept>,
    task: JoinHandle<OpenRun>,
    /// Nothing is ever sent by it: it is closed when the task is at its end.
    alive: watch::Receiver<()>,
}

#[derive(Default)]
struct Kept {
    ends: AtomicBool,
    samples: Mutex<Vec<Sample>>,
}

/// What became of the requests of the last seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lately {
    /// That have ended, and that are overdue.
    pub all: usize,
    /// Not answered well, or overdue.
    pub failed: usize,
    pub overdue: usize,
    /// Of those that were answered well.
    pub p99_ms: Option<f64>,
}

/// What became of all requests.
pub struct Ended {
    pub report: load::Report,
    pub samples: Vec<Sample>,
}

impl Traffic {
    /// Its zero is the clock's, for lost tries too.
    pub fn start(fleet: Fleet, rate: f64, clock: Clock, tell: Step) -> Self {
        let (fleet, kept) = (Arc::new(fleet.beginning_at(clock.zero())), Arc::new(Kept::default()));
        let (lives, alive) = watch::channel(());
        let running = run(Arc::clone(&fleet), rate, clock, Arc::clone(&kept), tell);
        let task = tokio::spawn(async move {
            let _lives = lives;
            running.await
        });
        Self { fleet, rate, clock, kept, task, alive }
    }

    /// Ends when the load is at its end, before anybody has asked for that: what follows would pass unasked.
    pub async fn died(&self) {
        let mut alive = self.alive.clone();
        while alive.changed().await.is_ok() {}
    }

    /// Of the requests that ended within the last `window`, and of those that were due in a window before the last
    /// `patience` and have not ended.
    pub fn lately(&self, window: Duration, patience: Duration) -> Lately {
        let samples = self.kept.samples.lock().unwrap_or_else(PoisonError::into_inner);
        lately(&samples, self.rate, self.clock.elapsed(), (window, patience))
    }

    /// How many requests have ended.
    pub fn ended(&self) -> usize {
        self.kept.samples.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// By name.
    pub fn doors(&self) -> Vec<String> {
        self.fleet.doors().into_iter().map(|door| door.name).collect()
    }

    #[cfg(test)]
    pub fn task(&self) -> tokio::task::AbortHandle {
        self.task.abort_handle()
    }

    /// In the order in which they were lost.
    pub fn lost_tries(&self) -> Vec<LostTry> {
        self.fleet.lost_tries()
    }

    /// No more is sent; what is under way is awaited.
    pub async fn end(mut self) -> Result<Ended> {
        let lasting = self.clock.elapsed();
        self.kept.ends.store(true, Ordering::Relaxed);
        let run = (&mut self.task).await.map_err(|error| {
            Error::unhealthy(format!("the load ended early: {error}"), "run the same command again")
        })?;
        let samples = std::mem::take(&mut *self.kept.samples.lock().unwrap_or_else(PoisonError::into_inner));
        let schedule = Schedule::steady(self.rate, lasting);
        let mut tally = Tally::new(&schedule);
        for sample in &samples {
            tally.note(sample);
        }
        let report = load::Report {
            schedule: Some(schedule),
            policy: Some(self.fleet.policy()),
            doors: self.fleet.doors(),
            images: self.fleet.image_names(),
            lost_tries: self.fleet.lost_tries(),
            ..load::Report::new(self.clock.begun().to_string(), self.clock.elapsed(), &run, tally)
        };
        Ok(Ended { report, samples })
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(fleet: Arc<Fleet>, rate: f64, clock: Clock, kept: Arc<Kept>, tell: Step) -> OpenRun {
    let ends = Arc::clone(&kept);
    let offsets = (0_u32..)
        .map_while(move |number| Duration::try_from_secs_f64(f64::from(number) / rate).ok())
        .take_while(move |_| !ends.ends.load(Ordering::Relaxed));
    let tally = Mutex::new(Tally::default());
    let note = |sample: &Sample| {
        tally.lock().unwrap_or_else(PoisonError::into_inner).note(sample);
        kept.samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample.clone());
    };
    let run = tokio::select! {
        run = open_watched(&fleet, offsets, note) => run,
        () = fleet.look_after() => unreachable!("it never ends"),
        () = load::told(&tally, clock.zero(), &tell) => unreachable!("it never ends"),
    };
    tell.done();
    run
}

fn lately(samples: &[Sample], rate: f64, now: Duration, (window, patience): (Duration, Duration)) -> Lately {
    let since = now.saturating_sub(window);
    let recent: Vec<&Sample> = samples.iter().rev().take_while(|sample| sample.ended >= since).collect();
    let good = recent.iter().filter(|sample| sample.outcome == Outcome::Good);
    let latencies: Latencies = good.map(|sample| sample.latency()).collect();
    let failed = recent.iter().filter(|sample| sample.outcome != Outcome::Good).count();
    let overdue = overdue(samples, rate, now.saturating_sub(patience), window);
    Lately {
        all: recent.len() + overdue,
        failed: failed + overdue,
        overdue,
        p99_ms: latencies.quantile_ms(0.99),
    }
}

/// Of the requests that were due within `window` before `until`, how many have not ended. By their numbers, which at a
/// steady rate are known without asking the sender.
fn overdue(samples: &[Sample], rate: f64, until: Duration, window: Duration) -> usize {
    let from = until.saturating_sub(window);
    let due = whole((from.as_secs_f64() * rate).ceil())..whole((until.as_secs_f64() * rate).ceil());
    let ended = samples.iter().rev().take_while(|sample| sample.ended >= from);
    let number = |sample: &Sample| whole((sample.intended.as_secs_f64() * rate).round());
    due.len().saturating_sub(ended.filter(|sample| due.contains(&number(sample))).count())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the number of a request")]
fn whole(number: f64) -> usize {
    number as usize
}

/// Parts of a run by their beginnings, each until the next one's, the last until `end`.
pub fn phases(begun: &[(PhaseName, f64)], end: f64, samples: &[Sample], lost: &[LostTry]) -> Vec<Phase> {
    let ends = begun.iter().skip(1).map(|(_, from)| *from).chain([end]);
    std::iter::zip(begun, ends).map(|((name, from), to)| phase(*name, (*from, to), samples, lost)).collect()
}

fn phase(name: PhaseName, (from, to): (f64, f64), samples: &[Sample], lost: &[LostTry]) -> Phase {
    let within = |at: f64| (from..to).contains(&at);
    let ours: Vec<&Sample> = samples.iter().filter(|it| within(it.intended.as_secs_f64())).collect();
    let good: Vec<&&Sample> = ours.iter().filter(|sample| sample.outcome == Outcome::Good).collect();
    let latencies = good.iter().map(|sample| sample.latency()).collect::<Latencies>();
    let from_sending = good.iter().map(|sample| sample.latency_from_sending()).collect::<Latencies>();
    Phase {
        name,
        from,
        to,
        sent: ours.len() as u64,
        good: good.len() as u64,
        failed: (ours.len() - good.len()) as u64,
        lost_tries: lost.iter().filter(|lost| within(lost.at_seconds)).count() as u64,
        latency: latencies.summary(),
        latency_from_sending: from_sending.summary(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::event::Events;
    use crate::load::{DoorSpec, Image, Policy};

    pub fn sample(intended: f64, took: f64, outcome: Outcome) -> Sample {
        let intended = Duration::from_secs_f64(intended);
        let sent = intended + Duration::from_millis(1);
        Sample { intended, sent, ended: intended + Duration::from_secs_f64(took), outcome }
    }

    #[test]
    fn a_request_belongs_to_the_phase_in_which_it_had_to_be_sent() {
        let samples = [
            sample(1.0, 0.1, Outcome::Good),
            // Sent before the fault, and hit by it.
            sample(9.9, 2.0, Outcome::Good),
            sample(10.0, 5.0, Outcome::Failed("timed out".into())),
            sample(12.0, 0.3, Outcome::Good),
            sample(25.0, 0.1, Outcome::Wrong("wrong text".into())),
        ];
        let lost = [LostTry { at_seconds: 11.0, door: "d".into(), why: "refused".into() }];
        let begun = [(PhaseName::Steady, 0.0), (PhaseName::Outage, 10.0), (PhaseName::After, 20.0)];
        let phases = phases(&begun, 30.0, &samples, &lost);
        let counts: Vec<_> = phases.iter().map(|it| (it.sent, it.good, it.failed, it.lost_tries)).collect();
        assert_eq!(counts, [(2, 2, 0, 0), (2, 1, 1, 1), (1, 0, 1, 0)]);
        assert!((phases[0].latency.unwrap().max_ms - 2000.0).abs() < 3.0);
        assert!((phases[1].latency.unwrap().p99_ms - 300.0).abs() < 1.0);
        assert!((phases[1].latency_from_sending.unwrap().p99_ms - 299.0).abs() < 1.0);
        assert_eq!((phases[2].from, phases[2].to, phases[2].latency), (20.0, 30.0, None));
    }

    #[test]
    fn what_hangs_is_seen_although_it_has_not_ended() {
        // Two a second, answered at once until all hangs from second 20 on.
        let answered: Vec<Sample> =
            (0..40).map(|number| sample(f64::from(number) / 2.0, 0.1, Outcome::Good)).collect();
        let at = |seconds| {
            lately(
                &answered,
                2.0,
                Duration::from_secs(seconds),
                (Duration::from_secs(10), Duration::from_secs(10)),
            )
        };
        assert_eq!((at(20).all, at(20).failed), (20, 0));
        assert_eq!((at(25).all, at(25).failed), (10, 0), "nothing is overdue yet");
        assert_eq!((at(35).all, at(35).overdue, at(35).failed, at(35).p99_ms), (10, 10, 10, None));
        assert_eq!(at(60).overdue, 20, "those of one window, however long it hangs");
    }

    fn closed_door() -> Fleet {
        crate::tls::install();
        let url: load::Url = "http://127.0.0.1:9/".parse().unwrap();
        let door = DoorSpec { name: "closed".into(), url: url.clone(), health: url };
        let policy = Policy { failover: false, retry: false };
        Fleet::new(vec![door], vec![Image::new("i", "i")], policy, Duration::from_secs(5)).unwrap()
    }

    fn step() -> Step {
        Events::silent().step("load", "load", None)
    }

    #[tokio::test]
    async fn lost_tries_are_on_the_clock_of_the_run_whenever_its_doors_were_made() {
        let long_ago = tokio::time::Instant::now().checked_sub(Duration::from_secs(100)).unwrap();
        let fleet = closed_door().beginning_at(long_ago);
        let traffic = Traffic::start(fleet, 100.0, Clock::start(), step());
        while traffic.ended() == 0 {
            tokio::task::yield_now().await;
        }
        let report = traffic.end().await.unwrap().report;
        assert!(!report.lost_tries.is_empty());
        assert!(report.lost_tries.iter().all(|lost| lost.at_seconds < 60.0), "{:?}", report.lost_tries);
        assert_eq!((report.policy.unwrap().retry, &report.images[..]), (false, &["i".to_owned()][..]));
    }

    #[tokio::test]
    async fn a_load_that_dies_is_noticed() {
        let traffic = Traffic::start(closed_door(), 100.0, Clock::start(), step());
        assert!(traffic.died().now_or_never().is_none(), "it goes on");
        traffic.task().abort();
        tokio::time::timeout(Duration::from_secs(10), traffic.died()).await.unwrap();
    }
}
