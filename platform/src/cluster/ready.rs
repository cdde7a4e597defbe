//! Waiting until every node is Ready by the API server's word.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::client::client;
use super::objects::{alive_since, ready_nodes};
use crate::error::Result;
use crate::event::Step;
use crate::wait::{self, Seen};

/// Names of the nodes that the API server of this context calls Ready.
pub async fn names(context: &str) -> Result<Vec<String>> {
    ready_nodes(&client(context).await?).await
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
