//! What is done to the platform.

use serde::{Deserialize, Serialize};

/// One fault, with its victim settled on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// A node: a container of kind or minikube, or a process group of the embedded provider.
    Node { mode: Mode },
    /// A pod removed without grace, or a process of the embedded provider killed.
    Pod,
    /// The processes of a model stopped where they are (SIGSTOP): connections stay, nothing is answered.
    Hang,
}

/// How a node goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Its programs are ended in order.
    Stop,
    /// A crash: everything ends at once.
    #[default]
    Kill,
    /// A hang: everything stays and nothing moves.
    Pause,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Pause => "pause",
        }
    }

    pub fn participle(self) -> &'static str {
        match self {
            Self::Stop => "stopped",
            Self::Kill => "killed",
            Self::Pause => "paused",
        }
    }
}
