//! When requests have to be sent: rates over time, evenly spread or as strangers arrive.

use std::str::FromStr;
use std::time::Duration;

use k8s_openapi::jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A time in which the rate goes straight from one value to another; the same value twice is a steady rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Requests a second at its beginning.
    pub from: f64,
    /// Requests a second at its end.
    pub to: f64,
    pub seconds: f64,
}

impl Stage {
    pub fn steady(rate: f64, lasting: Duration) -> Self {
        Self { from: rate, to: rate, seconds: lasting.as_secs_f64() }
    }

    /// How many requests fall into it.
    fn requests(self) -> f64 {
        f64::midpoint(self.from, self.to) * self.seconds
    }

    /// Seconds from its beginning until `count` requests are due: the root of the parabola that the ramp is.
    fn due(self, count: f64) -> f64 {
        if count <= 0.0 {
            return 0.0;
        }
        let slope = (self.to - self.from) / self.seconds;
        2.0 * count / (self.from + (self.from * self.from + 2.0 * slope * count).max(0.0).sqrt())
    }
}

/// How the requests are spread over a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// The same distance between any two: runs can be compared.
    Even,
    /// Each without regard to the others, as users come; the seed makes it the same in each run.
    Poisson { seed: u64 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    pub stages: Vec<Stage>,
    pub pattern: Pattern,
}

impl Schedule {
    pub fn steady(rate: f64, lasting: Duration) -> Self {
        Self { stages: vec![Stage::steady(rate, lasting)], pattern: Pattern::Even }
    }

    pub fn lasting(&self) -> Duration {
        Duration::from_secs_f64(self.stages.iter().map(|stage| stage.seconds).sum())
    }

    /// About how many requests it has.
    pub fn requests(&self) -> f64 {
        self.stages.iter().map(|stage| stage.requests()).sum()
    }

    /// When each request has to be sent, from the beginning; at least one.
    pub fn offsets(&self) -> impl Iterator<Item = Duration> + use<> {
        let stages = self.stages.clone();
        let first = std::iter::once(Duration::ZERO);
        first.chain(counts(self.pattern).map_while(move |count| due(&stages, count)))
    }
}

/// How many requests are due when the second, third and so on is sent: 1, 2, 3, or with a Poisson process in place of
/// each one a random distance that is one in the mean. Either becomes a time by the rates.
fn counts(pattern: Pattern) -> Box<dyn Iterator<Item = f64> + Send> {
    match pattern {
        Pattern::Even => Box::new((1_u32..).map(f64::from)),
        Pattern::Poisson { seed } => {
            let mut random = fastrand::Rng::with_seed(seed);
            let steps = std::iter::repeat_with(move || -(1.0 - random.f64()).ln());
            Box::new(steps.scan(0.0, |sum, step| {
                *sum += step;
                Some(*sum)
            }))
        }
    }
}

/// When so many requests are due; `None` after the last stage.
fn due(stages: &[Stage], mut count: f64) -> Option<Duration> {
    let mut begun = 0.0;
    for stage in stages {
        // What is due at the very end is the next stage's, or nobody's.
        if count < stage.requests() * (1.0 - 1e-12) {
            return Some(Duration::from_secs_f64(begun + stage.due(count)));
        }
        count -= stage.requests();
        begun += stage.seconds;
    }
    None
}

/// A stage as it is written: `30s:50` goes within 30 seconds to 50 requests a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Towards {
    pub rate: f64,
    pub lasting: Duration,
}

impl FromStr for Towards {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no stage: write a time and a rate, for example 30s:50");
        let (lasting, rate) = text.split_once(':').ok_or_else(wrong)?;
        let lasting = duration(lasting).map_err(|_| wrong())?;
        let rate =
            rate.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate >= 0.0).ok_or_else(wrong)?;
        Ok(Self { rate, lasting })
    }
}

/// From `rate`, or without one steadily from what the first stage says.
pub fn stages(rate: Option<f64>, towards: &[Towards]) -> Result<Vec<Stage>> {
    let mut from = rate.or_else(|| Some(towards.first()?.rate)).unwrap_or_default();
    let stage = |towards: &Towards| {
        let stage = Stage { from, to: towards.rate, seconds: towards.lasting.as_secs_f64() };
        from = towards.rate;
        stage
    };
    let stages: Vec<Stage> = towards.iter().map(stage).collect();
    if stages.iter().all(|stage| stage.requests() < 1.0) {
        return Err(Error::usage(
            "in these stages no request is sent",
            "raise a rate: --stages 10s:20,30s:50",
        ));
    }
    Ok(stages)
}

/// A time as people write it: `500ms`, `20s`, `1m30s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<SignedDuration>().ok();
    let positive = parsed.filter(SignedDuration::is_positive).map(SignedDuration::unsigned_abs);
    positive.ok_or_else(|| format!("{text:?} is no time above zero: write for example 500ms, 20s or 1m30s"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offsets(stages: Vec<Stage>, pattern: Pattern) -> Vec<Duration> {
        Schedule { stages, pattern }.offsets().collect()
    }

    #[test]
    fn a_steady_rate_is_spread_evenly_over_the_time() {
        let spread = |rate, lasting| Schedule::steady(rate, lasting).offsets().collect::<Vec<_>>();
        let second = Duration::from_secs(1);
        assert_eq!(spread(4.0, second), [0, 250, 500, 750].map(Duration::from_millis));
        assert_eq!(spread(0.1, second).len(), 1);
        assert_eq!(spread(100.0, 60 * second).len(), 6000);
    }

    #[test]
    fn a_ramp_sends_as_many_as_its_area_and_ever_faster() {
        let sent = offsets(vec![Stage { from: 0.0, to: 20.0, seconds: 10.0 }], Pattern::Even);
        assert_eq!(sent.len(), 100);
        let half = sent.iter().filter(|offset| offset.as_secs_f64() < 5.0).count();
        assert_eq!(half, 25);
        assert!(sent.last().unwrap().as_secs_f64() < 10.0);
    }

    #[test]
    fn a_ramp_to_nothing_ends() {
        let sent = offsets(vec![Stage { from: 20.0, to: 0.0, seconds: 10.0 }], Pattern::Even);
        assert_eq!(sent.len(), 100);
        assert!(sent.is_sorted());
    }

    #[test]
    fn stages_follow_each_other() {
        let towards = ["1s:10", "2s:10", "1s:20"].map(|text| text.parse().unwrap());
        let stages = stages(None, &towards).unwrap();
        assert_eq!((stages[0].from, stages[2].from, stages[2].to), (10.0, 10.0, 20.0));
        assert_eq!(offsets(stages, Pattern::Even).len(), 45);
    }

    #[test]
    fn what_is_no_stage_is_refused_with_an_example() {
        for text in ["", "10", "10s", "10s:x", ":5", "-1s:5", "1s:-5", "0s:5", "1s:inf"] {
            assert!(text.parse::<Towards>().unwrap_err().contains("30s:50"), "{text}");
        }
        assert!(stages(None, &["10s:0".parse().unwrap()]).is_err());
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("1m30s").unwrap(), Duration::from_secs(90));
        assert!(duration("0s").is_err() && duration("5").is_err() && duration("-5s").is_err());
    }

    proptest! {
        #[test]
        fn strangers_come_at_the_rate_and_the_same_in_each_run(seed in any::<u64>()) {
            let stage = || vec![Stage::steady(100.0, Duration::from_secs(40))];
            let sent = offsets(stage(), Pattern::Poisson { seed });
            // Its deviation is the root of 4000.
            prop_assert!((3600..=4400).contains(&sent.len()), "{}", sent.len());
            prop_assert!(sent.is_sorted());
            prop_assert_eq!(sent, offsets(stage(), Pattern::Poisson { seed }));
        }
    }
}
