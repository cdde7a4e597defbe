//! Before a fault: what still moves, of an earlier fault or a deploy, would be taken for what this one does.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::ground::Ground;
use super::survey::{PodFacts, Survey};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::wait::{Seen, until_every};

const LOOK: Duration = Duration::from_secs(1);
/// An eviction, the end of what is evicted, and the start of what replaces it.
const RESTS_WITHIN: Duration = Duration::from_mins(1);
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
        Ok(()) => {
            step.done();
            Ok(())
        }
        Err(error @ Error::TimedOut { .. }) => {
            host.events.warn(error.to_string());
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The first thing that is not at its end. A dead node, and what is on it, does not move: that is the preflight's.
async fn moving(ground: &dyn Ground) -> Result<Option<String>> {
    let Survey { nodes, pods } = ground.survey().await?;
    let is_dead = |name: &str| nodes.iter().any(|node| node.name == name && !node.ready);
    let awaited = |pod: &PodFacts| pod.ready || (pod.ours && !is_dead(&pod.node));
    let pods = pods.into_iter().map(|pod| PodFacts { ready: awaited(&pod), ..pod }).collect();
    let wanted = Survey { nodes, pods };
    let since = Timestamp::now() - SPOKE_WITHIN;
    Ok(ground.missing(&wanted, since).await?.into_iter().next())
}
