//! What a run found, as values; docs/load.schema.json describes it.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::StatusCode;
use serde::{Deserialize, Serialize};

use super::thresholds::{Checked, ERRORS};
use super::{
    Counts, DoorReport, Latencies, LostTry, OpenRun, Outcome, Policy, Sample, Schedule, Summary, number, rate,
};
use crate::error::{Error, Exit, Result};

/// The form of this document; raised when a reader of the old one would be misled.
pub(super) const VERSION: u32 = 1;
/// With more of its sends late, the machine that made the load was what was slow.
const MOST_LATE: f64 = 0.01;

/// Latencies in milliseconds, times in seconds, rates in requests a second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub version: u32,
    /// RFC 3339.
    pub begun: String,
    pub seconds: f64,
    pub schedule: Option<Schedule>,
    pub policy: Option<Policy>,
    pub doors: Vec<DoorReport>,
    pub images: Vec<String>,
    /// Whether the same bytes were sent again, which a service may answer without reading them.
    #[serde(default)]
    pub repeats_bytes: bool,
    pub sent: u64,
    pub counts: Counts,
    /// Good answers a second, of those that came before the schedule's end.
    pub rate: f64,
    /// Of good answers, from the time at which each request had to be sent.
    pub latency: Option<Summary>,
    /// The same, from the time at which each was really sent.
    pub latency_from_sending: Option<Summary>,
    /// Failed and wrong requests by what was wrong.
    pub errors: BTreeMap<String, u64>,
    /// Sent more than 10 ms after their time.
    pub late: u64,
    /// Not sent, since too many were unanswered; they are among the failed.
    pub dropped: u64,
    /// Whether so many were late that the load was not as asked for: this machine was too slow to make it.
    pub generator_was_slow: bool,
    /// Tries that brought nothing; most of their requests got through elsewhere.
    pub lost_tries: Vec<LostTry>,
    pub thresholds: Vec<Checked>,
    /// By the second in which requests had to be sent.
    pub course: Vec<Second>,
}

/// What became of the requests of one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    pub at: u64,
    pub sent: u64,
    pub good: u64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub max_ms: Option<f64>,
}

/// What is noted of a request while the run goes on.
#[derive(Debug, Default)]
pub struct Tally {
    /// The schedule's length.
    lasting: Duration,
    /// Good answers that came before the schedule's end.
    in_time: u64,
    pub errors: BTreeMap<String, u64>,
    /// Of all good answers so far.
    pub latencies: Latencies,
    /// Of good answers, with the second in which they had to be sent.
    courses: BTreeMap<u64, (u64, Vec<Duration>)>,
}

impl Tally {
    pub fn new(schedule: &Schedule) -> Self {
        Self { lasting: schedule.lasting(), ..Self::default() }
    }

    pub fn note(&mut self, sample: &Sample) {
        let (sent, good) = self.courses.entry(sample.intended.as_secs()).or_default();
        *sent += 1;
        match &sample.outcome {
            Outcome::Good => {
                self.in_time += u64::from(sample.ended <= self.lasting);
                self.latencies.record(sample.latency());
                good.push(sample.latency());
            }
            Outcome::Wrong(kind) | Outcome::Failed(kind) => {
                *self.errors.entry(kind.clone()).or_default() += 1;
            }
        }
    }

    /// One line for who watches.
    pub fn line(&self, elapsed: Duration) -> String {
        let (good, failed) = (self.latencies.histogram().len(), self.errors.values().sum::<u64>());
        let quantile = |quantile| self.latencies.quantile_ms(quantile).unwrap_or_default();
        let faults = match self.errors.iter().max_by_key(|(_, count)| **count) {
            Some((kind, _)) => format!("{failed} errors ({kind})"),
            None => "no error".into(),
        };
        let rate = rate(good, elapsed.max(Duration::from_secs(1)));
        format!(
            "{} ended, {rate:.1} good a second; p50 {:.0} ms, p99 {:.0} ms; {faults}",
            good + failed,
            quantile(0.5),
            quantile(0.99)
        )
    }

    fn course(self) -> Vec<Second> {
        let second = |(at, (sent, good)): (u64, (u64, Vec<Duration>))| {
            let count = good.len() as u64;
            let summary = good.into_iter().collect::<Latencies>().summary();
            Second {
                at,
                sent,
                good: count,
                p50_ms: summary.map(|summary| summary.p50_ms),
                p99_ms: summary.map(|summary| summary.p99_ms),
                max_ms: summary.map(|summary| summary.max_ms),
            }
        };
        self.courses.into_iter().map(second).collect()
    }
}

impl Report {
    /// What the run itself says; where its requests went is the caller's to add. `elapsed`: until the last answer.
    pub fn new(begun: String, elapsed: Duration, run: &OpenRun, tally: Tally) -> Self {
        let sent = run.counts.good + run.counts.faults();
        Self {
            version: VERSION,
            begun,
            seconds: elapsed.as_secs_f64(),
            sent,
            counts: run.counts.clone(),
            rate: rate(tally.in_time, tally.lasting),
            latency: run.latencies.summary(),
            latency_from_sending: run.from_sending.summary(),
            errors: tally.errors.clone(),
            late: run.late,
            dropped: run.dropped,
            generator_was_slow: number(run.late) / number(sent.max(1)) > MOST_LATE,
            course: tally.course(),
            ..Self::default()
        }
    }

    /// What the service failed or answered wrongly, as far as that can be told: where this machine was too slow, what was not
    /// sent is its own.
    pub(crate) fn errors_of_service(&self) -> u64 {
        let own = if self.generator_was_slow { self.dropped } else { 0 };
        self.counts.faults().saturating_sub(own)
    }

    /// Whether the service missed a limit: see [`Report::verdict`].
    pub(super) fn is_missed(&self, checked: &Checked) -> bool {
        let services_own = checked.name == ERRORS && number(self.errors_of_service()) > checked.limit;
        !checked.passed && (!self.generator_was_slow || services_own)
    }

    /// How it ended. Where this machine was too slow to make the load, latencies and rate are its own, and so are requests
    /// that it did not send: then only errors of the service can miss a limit.
    pub fn verdict(&self) -> Result<Exit> {
        let missed = self.thresholds.iter().filter(|checked| self.is_missed(checked));
        let missed: Vec<String> = missed.map(Checked::sentence).collect();
        if !missed.is_empty() {
            return Err(Error::unhealthy(missed.join("; "), self.advice()));
        }
        if self.counts.good == 0 {
            let why = self.counts.first_fault.clone().unwrap_or_default();
            let hint = "see: cargo xtask status";
            return Err(Error::unhealthy(format!("no request was answered well: {why}"), hint));
        }
        Ok(if self.generator_was_slow { Exit::Inconclusive } else { Exit::Done })
    }

    /// A service refuses what it has no room for: where one in a hundred is refused it is not broken, and was asked for more than
    /// it can do.
    fn advice(&self) -> String {
        const REFUSED: generator::Kind = generator::Kind::Status(StatusCode::SERVICE_UNAVAILABLE);
        let refused = self.errors.get(&REFUSED.to_string()).copied().unwrap_or_default();
        let is_most = self.errors.values().all(|count| *count <= refused);
        if !is_most || refused * 100 < self.sent || self.counts.good == 0 {
            return "see which requests and doors: the report".into();
        }
        let cached =
            if self.repeats_bytes { "" } else { ", or for what its cache may answer: --repeat-bytes" };
        format!(
            "{refused} were refused with 503, as by a service that has too much to do; it answered {:.1} a second: ask \
             for less (--rate){cached}",
            self.rate
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Thresholds;

    fn sample(intended_ms: u64, took_ms: u64, outcome: Outcome) -> Sample {
        let intended = Duration::from_millis(intended_ms);
        Sample { intended, sent: intended, ended: intended + Duration::from_millis(took_ms), outcome }
    }

    #[test]
    fn requests_are_told_by_the_second_in_which_they_had_to_be_sent() {
        let mut tally = Tally::default();
        for sample in [
            sample(100, 2500, Outcome::Good),
            sample(900, 10, Outcome::Failed("timed out".into())),
            sample(1100, 20, Outcome::Good),
        ] {
            tally.note(&sample);
        }
        assert!(tally.line(Duration::from_secs(4)).contains("1 errors (timed out)"));
        let course = tally.course();
        assert_eq!(
            course.iter().map(|second| (second.sent, second.good)).collect::<Vec<_>>(),
            [(2, 1), (1, 1)]
        );
        assert!((course[0].max_ms.unwrap() - 2500.0).abs() < 3.0);
    }

    #[test]
    fn the_rate_is_of_answers_within_the_schedule() {
        let schedule = Schedule::steady(1.0, Duration::from_secs(4));
        let mut tally = Tally::new(&schedule);
        for sample in [sample(0, 10, Outcome::Good), sample(3000, 60_000, Outcome::Good)] {
            tally.note(&sample);
        }
        let report = Report::new(String::new(), Duration::from_secs(63), &OpenRun::default(), tally);
        assert!((report.rate - 0.25).abs() < 1e-9, "{}", report.rate);
    }

    fn run(late: u64, failed: u64) -> OpenRun {
        OpenRun { counts: Counts { good: 100, failed, ..Counts::default() }, late, ..OpenRun::default() }
    }

    fn report(late: u64, failed: u64) -> Report {
        let report = Report::new(String::new(), Duration::from_secs(1), &run(late, failed), Tally::default());
        let limits = Thresholds { max_errors: Some(0), min_rate: Some(1000.0), ..Thresholds::default() };
        Report { thresholds: limits.check(&report), ..report }
    }

    #[test]
    fn a_run_whose_sends_were_late_says_so() {
        assert!(!report(1, 0).generator_was_slow);
        assert!(report(2, 0).generator_was_slow);
    }

    #[test]
    fn a_slow_sender_fails_no_limit_but_the_services_errors_do() {
        let missed = report(0, 0).verdict().unwrap_err();
        assert!(missed.to_string().contains("rate"), "{missed}");
        assert_eq!(report(50, 0).verdict().unwrap(), Exit::Inconclusive);
        let failed = report(50, 1).verdict().unwrap_err();
        assert!(
            failed.to_string().contains("errors 1.0") && !failed.to_string().contains("rate"),
            "{failed}"
        );
        let dropped = Report { dropped: 1, ..report(50, 1) };
        assert_eq!(dropped.verdict().unwrap(), Exit::Inconclusive);
    }

    #[test]
    fn what_was_refused_is_told_from_what_failed() {
        let run = |timeouts: u64, repeats_bytes| {
            let refused = generator::Kind::Status(StatusCode::SERVICE_UNAVAILABLE);
            let errors = [(refused.to_string(), 7), (generator::Kind::TimedOut.to_string(), timeouts)].into();
            Report { repeats_bytes, errors, ..report(0, 7) }
        };
        let hint = |run: Report| run.verdict().unwrap_err().hint().unwrap_or_default();
        let refused = hint(run(1, false));
        assert!(refused.contains("7 were refused") && refused.contains("cache"), "{refused}");
        assert!(!hint(run(1, true)).contains("cache"));
        assert!(hint(run(8, false)).contains("which requests"));
        let few = Report { sent: 701, ..run(1, false) };
        assert!(hint(few).contains("which requests"));
        let dead = Report { counts: Counts { good: 0, ..Counts::default() }, ..run(0, false) };
        assert!(hint(dead).contains("which requests"), "what answers nobody is not short of room");
    }

    #[test]
    fn a_run_without_limits_fails_only_without_a_good_answer() {
        let without = |good| Report { counts: Counts { good, ..Counts::default() }, ..Report::default() };
        assert_eq!(without(1).verdict().unwrap(), Exit::Done);
        assert_eq!(without(0).verdict().unwrap_err().exit(), Exit::Failed);
    }
}
