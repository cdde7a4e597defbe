//! Before a fault: what still moves, of an earlier fault or a deploy, would be taken for what this one does.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::ground::Ground;
use super::survey::{NodeFacts, PodFacts, Survey};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::wait::{Seen, until_every};

const LOOK: Duration = Duration::from_secs(1);
/// An eviction, the end of what is evicted, and the start of what replaces it.
const RESTS_WITHIN: Duration = Duration::from_mins(2);
/// A node whose lease is older is on its way to NotReady.
const SPOKE_WITHIN: Duration = Duration::from_secs(40);

/// Waits until nothing moves any more. What still does in the end is told, and judged by the preflight.
pub async fn wait_for_rest(host: &Host, ground: &dyn Ground) -> Result<()> {
    rest(host, ground, RESTS_WITHIN, LOOK).await
}

pub(super) async fn rest(host: &Host, ground: &dyn Ground, within: Duration, look: Duration) -> Result<()> {
    if moving(ground).await?.is_none() {
        return Ok(());
    }
    let step = host.events.step("rest", "wait until nothing moves any more", None);
    let waited = until_every(look, within, "see: cargo xtask status", async || {
        let Some(awaited) = moving(ground).await? else { return Ok(Seen::Ready(())) };
        step.message(format!("waiting for {awaited}"));
        Ok(Seen::Awaiting(awaited))
    });
    match waited.await {
        Err(error @ Error::TimedOut { .. }) => host.events.warn(error.to_string()),
        waited => waited?,
    }
    step.done();
    Ok(())
}

/// The first thing that is not at its end.
async fn moving(ground: &dyn Ground) -> Result<Option<String>> {
    let now = ground.survey().await?;
    let nodes = now.nodes.into_iter().map(|node| NodeFacts { ready: true, ..node });
    let pods = now.pods.into_iter().map(|pod| PodFacts { ready: pod.ready || pod.ours, ..pod });
    let wanted = Survey { nodes: nodes.collect(), pods: pods.collect() };
    let since = Timestamp::now() - SPOKE_WITHIN;
    Ok(ground.missing(&wanted, since).await?.into_iter().next())
}
