//! Waiting until every node is Ready by the API server's word.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::client::client;
use super::objects::{alive_since, ready_nodes};
use super::{ClusterState, NodeState};
use crate::error::Result;
use crate::event::Step;
use crate::wait::{self, Seen};

/// Calls those of the nodes that run Ready which the API server of this context calls so. Where it does not answer, none is.
pub async fn mark(context: &str, state: &mut ClusterState) {
    let (ClusterState::Running { nodes } | ClusterState::Stopped { nodes }) = state else { return };
    if nodes.iter().all(|node| node.state == NodeState::Stopped) {
        return;
    }
    let asked = async { ready_nodes(&client(context).await?).await };
    let ready = asked.await.unwrap_or_default();
    for node in nodes {
        if node.state != NodeState::Stopped && ready.contains(&node.name) {
            node.state = NodeState::Ready;
        }
    }
}

/// Waits until all of `wanted` are Ready, and each has spoken after `since`.
pub async fn wait(
    context: &str,
    wanted: &[String],
    within: Duration,
    since: Timestamp,
    tell: &Step,
) -> Result<()> {
    wait::until(within, "cargo xtask status", || async {
        let ready = ready_and_alive(context, since).await.unwrap_or_default();
        let late: Vec<&str> =
            wanted.iter().filter(|name| !ready.contains(name)).map(String::as_str).collect();
        if late.is_empty() {
            return Ok(Seen::Ready(()));
        }
        let awaited = format!("node {} to be Ready", late.join(", "));
        tell.message(format!("waiting for {awaited}"));
        Ok(Seen::Awaiting(awaited))
    })
    .await
}

async fn ready_and_alive(context: &str, since: Timestamp) -> Result<Vec<String>> {
    let client = client(context).await?;
    let alive = alive_since(&client, since).await?;
    let ready = ready_nodes(&client).await?;
    Ok(ready.into_iter().filter(|name| alive.contains(name)).collect())
}
