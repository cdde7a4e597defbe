//! What came when, on one clock.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use super::report::{Moment, MomentKind, Prediction, Seen};
use crate::event::Events;

/// Seconds since the beginning of the load; the wall clock is read once.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    begun: Instant,
    wall: Timestamp,
}

impl Clock {
    pub fn start() -> Self {
        Self { begun: Instant::now(), wall: Timestamp::now() }
    }

    pub fn now(self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    pub fn elapsed(self) -> Duration {
        self.begun.elapsed()
    }

    pub fn begun(self) -> Timestamp {
        self.wall
    }

    /// Its zero, for what else counts from there.
    pub fn zero(self) -> Instant {
        self.begun
    }

    /// A time that another program wrote down, which shares this machine's wall clock.
    pub fn of(self, wall: Timestamp) -> f64 {
        wall.duration_since(self.wall).as_secs_f64()
    }
}

/// Takes down what is seen and tells it at once; each thing comes to each moment once.
pub struct Timeline {
    pub clock: Clock,
    events: Events,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    seen: BTreeMap<MomentKind, Vec<Seen>>,
    predictions: BTreeMap<MomentKind, Prediction>,
}

impl Timeline {
    pub fn new(clock: Clock, events: Events) -> Self {
        Self { clock, events, inner: Mutex::default() }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn predict(&self, predictions: BTreeMap<MomentKind, Prediction>) {
        self.inner().predictions = predictions;
    }

    pub fn predicted(&self, kind: MomentKind) -> Option<Prediction> {
        self.inner().predictions.get(&kind).cloned()
    }

    /// It comes now.
    pub fn note(&self, kind: MomentKind, name: impl Into<String>) {
        self.note_at(kind, name, self.clock.now());
    }

    pub fn note_at(&self, kind: MomentKind, name: impl Into<String>, at: f64) {
        let name = name.into();
        let mut inner = self.inner();
        let seen = inner.seen.entry(kind).or_default();
        if seen.iter().any(|seen| seen.name == name) {
            return;
        }
        seen.push(Seen { name: name.clone(), at });
        let predicted = inner.predictions.get(&kind).map(|prediction| prediction.at);
        drop(inner);
        self.events.note(line(kind, &name, at, predicted));
    }

    pub fn count(&self, kind: MomentKind) -> usize {
        self.inner().seen.get(&kind).map_or(0, Vec::len)
    }

    /// When the last of its objects came to it.
    pub fn at(&self, kind: MomentKind) -> Option<f64> {
        self.inner().seen.get(&kind).and_then(|seen| last(seen))
    }

    pub fn moments(&self) -> Vec<Moment> {
        let inner = self.inner();
        let kinds: std::collections::BTreeSet<MomentKind> =
            inner.seen.keys().chain(inner.predictions.keys()).copied().collect();
        let moment = |kind: MomentKind| {
            let objects = inner.seen.get(&kind).cloned().unwrap_or_default();
            let at = last(&objects);
            let predicted = inner.predictions.get(&kind).cloned();
            let deviation = at.zip(predicted.as_ref()).map(|(at, predicted)| at - predicted.at);
            Moment { kind, title: kind.title().into(), at, objects, predicted, deviation }
        };
        kinds.into_iter().map(moment).collect()
    }
}

fn last(seen: &[Seen]) -> Option<f64> {
    seen.iter().map(|seen| seen.at).max_by(f64::total_cmp)
}

/// `  12.3 s  node NotReady: c-worker (predicted 12.0 s)`.
fn line(kind: MomentKind, name: &str, at: f64, predicted: Option<f64>) -> String {
    let predicted = predicted.map_or_else(String::new, |at| format!(" (predicted {at:.1} s)"));
    format!("{at:6.1} s  {}: {name}{predicted}", kind.title())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Recorded};

    #[test]
    fn a_moment_is_complete_with_the_last_of_its_objects_and_each_counts_once() {
        let recorded = Recorded::default();
        let timeline = Timeline::new(Clock::start(), Events::new(recorded.clone()));
        let prediction = Prediction { at: 70.0, give_or_take: 5.0, because: "so".into() };
        timeline.predict([(MomentKind::Ready, prediction)].into());
        timeline.note_at(MomentKind::Ready, "model-3", 72.5);
        timeline.note_at(MomentKind::Ready, "gateway-4", 71.0);
        timeline.note_at(MomentKind::Ready, "model-3", 90.0);
        timeline.note_at(MomentKind::Fault, "c-worker", 10.0);
        let moments = timeline.moments();
        assert_eq!(
            moments.iter().map(|moment| moment.kind).collect::<Vec<_>>(),
            [MomentKind::Fault, MomentKind::Ready]
        );
        assert_eq!(
            (moments[1].at, moments[1].deviation, moments[1].objects.len()),
            (Some(72.5), Some(2.5), 2)
        );
        assert_eq!(recorded.events().len(), 3, "each is told as it comes");
        assert!(
            matches!(&recorded.events()[0], Event::Note { message } if message == "  72.5 s  replacements Ready: model-3 (predicted 70.0 s)")
        );
    }

    #[test]
    fn what_was_predicted_and_did_not_come_has_no_time() {
        let timeline = Timeline::new(Clock::start(), Events::silent());
        let prediction = Prediction { at: 55.0, give_or_take: 5.0, because: "so".into() };
        timeline.predict([(MomentKind::NotReady, prediction)].into());
        let moments = timeline.moments();
        assert_eq!((moments[0].at, moments[0].deviation), (None, None));
    }
}
