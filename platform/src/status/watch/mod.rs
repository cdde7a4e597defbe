//! What runs where, as it changes: scenes one after the other, and what is different between two of them.

mod changes;
mod embedded;
mod health;
mod kubernetes;

use serde::Serialize;
use tokio::sync::watch::Sender;

use crate::cluster::NodeState;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::up;

pub use changes::{Change, changes};

/// One moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Scene {
    /// What is looked at.
    pub title: String,
    pub nodes: Vec<NodeSeen>,
    pub pods: Vec<PodSeen>,
    /// What the cluster itself tells of its objects, oldest first.
    pub events: Vec<EventSeen>,
    /// Why nothing can be seen right now.
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeSeen {
    pub name: String,
    pub state: NodeState,
}

/// A pod, or a process of the embedded provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PodSeen {
    /// The same as long as it is the same pod.
    pub id: String,
    pub name: String,
    /// `None`: no node has it yet.
    pub node: Option<String>,
    pub state: PodState,
    pub restarts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PodState {
    Ready,
    /// It runs, and is not ready.
    NotReady,
    /// It has not started yet.
    Starting,
    /// On its way out.
    Leaving,
    /// It ends again and again, or cannot be started.
    Failing,
    /// It did what it was for, and ended.
    Done,
}

impl PodState {
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "not ready",
            Self::Starting => "starting",
            Self::Leaving => "leaving",
            Self::Failing => "failing",
            Self::Done => "done",
        }
    }
}

/// An event of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventSeen {
    /// The same as long as it is the same, however often it happens.
    pub id: String,
    pub text: String,
    pub warning: bool,
}

/// Sends a scene whenever something has changed, until nobody looks any more.
pub async fn watch(host: &Host, scenes: Sender<Scene>) -> Result<()> {
    let profile = &host.config.cluster.profile;
    let record = up::read_record(host, profile)?.ok_or_else(|| {
        Error::unhealthy(format!("nothing runs under the profile {profile}"), "start it: cargo xtask up")
    })?;
    let host = record.host(host);
    match record.choice.target.context(profile) {
        None => embedded::watch(&host, &scenes).await,
        Some(context) => kubernetes::watch(&context, &scenes).await,
    }
}

/// Sends it where it differs from the last one.
fn show(scenes: &Sender<Scene>, scene: Scene) {
    scenes.send_if_modified(|last| {
        let differs = *last != scene;
        if differs {
            *last = scene;
        }
        differs
    });
}
