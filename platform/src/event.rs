//! What happens, told as values: the command shows them as bars, log lines or JSON lines.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

/// One thing that happened. Durations are in seconds in JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// What is going to be done, told before any of it is.
    Planned {
        plan: crate::up::Plan,
    },
    /// Work that takes time began. `expected` is a rough forecast on a machine of two cores.
    StepStarted {
        id: String,
        title: String,
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds_option")]
        expected: Option<Duration>,
    },
    /// How far a step is: a sentence, and a share where one can be counted.
    StepProgress {
        id: String,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        done: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
    },
    StepFinished {
        id: String,
        title: String,
        outcome: Outcome,
        #[serde(serialize_with = "seconds")]
        elapsed: Duration,
    },
    /// Something the user must be told: what is installed, chosen or downloaded, and why.
    Note {
        message: String,
    },
    Warning {
        message: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    Failed,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1000.0).round() / 1000.0)
}

#[expect(clippy::ref_option, reason = "the signature that serde calls")]
fn seconds_option<S: serde::Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => seconds(duration, serializer),
        None => serializer.serialize_none(),
    }
}

/// Receives events; must not block for long.
pub trait Sink: Send + Sync {
    fn emit(&self, event: Event);
}

impl<T: Sink + ?Sized> Sink for Arc<T> {
    fn emit(&self, event: Event) {
        (**self).emit(event);
    }
}

/// A cheap handle on the sink, passed to everything that has something to tell.
#[derive(Clone)]
pub struct Events(Arc<dyn Sink>);

impl Events {
    pub fn new(sink: impl Sink + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Tells nobody.
    pub fn silent() -> Self {
        struct Silent;
        impl Sink for Silent {
            fn emit(&self, _: Event) {}
        }
        Self::new(Silent)
    }

    pub fn emit(&self, event: Event) {
        self.0.emit(event);
    }

    pub fn note(&self, message: impl Into<String>) {
        self.emit(Event::Note { message: message.into() });
    }

    pub fn warn(&self, message: impl Into<String>) {
        self.emit(Event::Warning { message: message.into() });
    }

    /// Begins a step; it ends as failed unless [`Step::done`] is called.
    #[must_use]
    pub fn step(&self, id: impl Into<String>, title: impl Into<String>, expected: Option<Duration>) -> Step {
        let (id, title) = (id.into(), title.into());
        self.emit(Event::StepStarted { id: id.clone(), title: title.clone(), expected });
        Step { events: self.clone(), id, title, begun: Instant::now(), outcome: Outcome::Failed }
    }
}

/// A running step. Dropped without [`Step::done`] (an early return, a panic) it tells that the step failed.
pub struct Step {
    events: Events,
    id: String,
    title: String,
    begun: Instant,
    outcome: Outcome,
}

impl Step {
    pub fn message(&self, message: impl Into<String>) {
        self.progress(message, None, None);
    }

    pub fn progress(&self, message: impl Into<String>, done: Option<u64>, total: Option<u64>) {
        self.events.emit(Event::StepProgress { id: self.id.clone(), message: message.into(), done, total });
    }

    /// Ends the step well and returns how long it took.
    pub fn done(mut self) -> Duration {
        self.outcome = Outcome::Done;
        self.begun.elapsed()
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.events.emit(Event::StepFinished {
            id: self.id.clone(),
            title: self.title.clone(),
            outcome: self.outcome,
            elapsed: self.begun.elapsed(),
        });
    }
}

/// Keeps what was told; for tests.
#[derive(Clone, Default)]
pub struct Recorded(Arc<std::sync::Mutex<Vec<Event>>>);

impl Recorded {
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().map(|events| events.clone()).unwrap_or_default()
    }
}

impl Sink for Recorded {
    fn emit(&self, event: Event) {
        if let Ok(mut events) = self.0.lock() {
            events.push(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_is_dropped_counts_as_failed() {
        let recorded = Recorded::default();
        let events = Events::new(recorded.clone());
        drop(events.step("cluster", "creating the cluster", None));
        assert!(matches!(
            recorded.events().last(),
            Some(Event::StepFinished { outcome: Outcome::Failed, id, .. }) if id == "cluster"
        ));
    }

    #[test]
    fn a_step_that_is_done_says_so_once() {
        let recorded = Recorded::default();
        Events::new(recorded.clone()).step("image", "building", None).done();
        let finished: Vec<_> =
            recorded.events().into_iter().filter(|e| matches!(e, Event::StepFinished { .. })).collect();
        assert_eq!(finished.len(), 1);
        assert!(matches!(&finished[0], Event::StepFinished { outcome: Outcome::Done, .. }));
    }
}
