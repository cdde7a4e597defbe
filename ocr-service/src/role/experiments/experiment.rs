//! An experiment as it is recorded, and what is known of its Job.

use super::parameters::{Epochs, ExperimentId, LearningRate};

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    pub id: ExperimentId,
    pub learning_rate: LearningRate,
    pub epochs: Epochs,
}

#[cfg(test)]
impl Asked {
    /// For tests that go by its name.
    pub(super) fn named(id: &str) -> Self {
        let (learning_rate, epochs) = ("0.001".parse().unwrap(), "20".parse().unwrap());
        Self { id: id.parse().unwrap(), learning_rate, epochs }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Recorded; whether its Job is there is not known yet.
    Creating,
    /// The Job waits for a place.
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl State {
    const ALL: [Self; 5] = [Self::Creating, Self::Pending, Self::Running, Self::Succeeded, Self::Failed];

    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// What is known of a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    /// One word of who says so: Kubernetes' reason, or ours.
    pub reason: Option<String>,
    pub message: Option<String>,
    pub exit_code: Option<i32>,
}

impl Status {
    pub fn of(state: State) -> Self {
        Self { state, reason: None, message: None, exit_code: None }
    }

    pub fn failed(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), message: Some(message.into()), ..Self::of(State::Failed) }
    }
}

/// A row of the database.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    pub id: String,
    pub learning_rate: f64,
    pub epoch: i64,
    pub status: Status,
    /// [`Owner`](super::owner::Owner), as it is recorded.
    pub owner: Option<String>,
    /// How often its owner has said that it is there; nothing where that says nothing.
    pub beats: Option<i64>,
    /// Milliseconds since 1970, UTC.
    pub created_ms: i64,
    pub finished_ms: Option<i64>,
}

pub fn now_ms() -> i64 {
    k8s_openapi::jiff::Timestamp::now().as_millisecond()
}
