//! The load of a run: open loop, at one rate, from before the fault until all is as it was; every request is kept.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
}

#[derive(Default)]
struct Kept {
    ends: AtomicBool,
    samples: Mutex<Vec<Sample>>,
}

/// What became of all requests.
pub struct Ended {
    pub report: load::Report,
    pub samples: Vec<Sample>,
}

impl Traffic {
    /// Its zero is the clock's.
    pub fn start(fleet: Arc<Fleet>, rate: f64, clock: Clock, tell: Step) -> Self {
        let kept = Arc::new(Kept::default());
        let task = tokio::spawn(run(Arc::clone(&fleet), rate, clock, Arc::clone(&kept), tell));
        Self { fleet, rate, clock, kept, task }
    }

    /// Of the requests that ended within the last `window`: all, those that were not answered well, and the 99th
    /// percentile of the others in milliseconds.
    pub fn lately(&self, window: Duration) -> (usize, usize, Option<f64>) {
        let since = self.clock.elapsed().saturating_sub(window);
        let samples = self.kept.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let recent: Vec<&Sample> = samples.iter().rev().take_while(|sample| sample.ended >= since).collect();
        let good = recent.iter().filter(|sample| sample.outcome == Outcome::Good);
        let latencies: Latencies = good.map(|sample| sample.latency()).collect();
        let failed = recent.iter().filter(|sample| sample.outcome != Outcome::Good).count();
        (recent.len(), failed, latencies.quantile_ms(0.99))
    }

    /// How many requests have ended.
    pub fn ended(&self) -> usize {
        self.kept.samples.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// By name.
    pub fn doors(&self) -> Vec<String> {
        self.fleet.doors().into_iter().map(|door| door.name).collect()
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
            doors: self.fleet.doors(),
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
        .map(move |number| Duration::from_secs_f64(f64::from(number) / rate))
        .take_while(move |_| !ends.ends.load(Ordering::Relaxed));
    let tally = Mutex::new(Tally::default());
    let note = |sample: &Sample| {
        tally.lock().unwrap_or_else(PoisonError::into_inner).note(sample);
        kept.samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample.clone());
    };
    let told = async {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            let line = tally.lock().unwrap_or_else(PoisonError::into_inner).line(clock.elapsed());
            tell.message(line);
        }
    };
    let run = tokio::select! {
        run = open_watched(&fleet, offsets, note) => run,
        () = fleet.look_after() => unreachable!("it never ends"),
        () = told => unreachable!("it never ends"),
    };
    tell.done();
    run
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
    use super::*;

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
}
