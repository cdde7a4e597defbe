//! Removes what `up` made, and proves that nothing of it is left.

use serde::Serialize;

use super::provider::provider;
use super::record::{forget_record, lock_profile, read_record};
use crate::chaos;
use crate::engine;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::images;

#[derive(Debug, Clone, Copy, Default)]
pub struct DownOptions {
    /// Stop it only: data and images stay.
    pub stop: bool,
    /// Also what `up` started on the host.
    pub all: bool,
    pub dry_run: bool,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct DownReport {
    /// What was removed or stopped, a phrase each; empty: there was nothing.
    pub removed: Vec<String>,
}

pub async fn down(host: &Host, options: DownOptions) -> Result<DownReport> {
    let lock = lock_profile(host)?;
    let mut removed = match read_record(host, &host.config.cluster.profile)? {
        Some(record) => {
            let provider = provider(&record.host(host), &record.choice.target)?;
            let there = provider.remains().await?;
            if !options.dry_run {
                let title = if options.stop { "stopping" } else { "removing" };
                let step = host.events.step("down", format!("{title} {}", there.join(", ")), None);
                if options.stop { provider.stop().await } else { provider.remove().await }?;
                step.done();
            }
            if !options.dry_run && !options.stop {
                prove_nothing_left(&provider.remains().await?)?;
                forget_record(host, &host.config.cluster.profile)?;
                chaos::forget(host)?;
            }
            there
        }
        None => Vec::new(),
    };
    drop(lock);
    if options.all {
        if let engine::State::Ready(ready) = engine::observe(host).await? {
            removed.extend(images::remove(host, &ready.docker, options.dry_run).await?);
        }
        removed.extend(engine::stop_own(host, options.dry_run).await?);
    }
    Ok(DownReport { removed })
}

fn prove_nothing_left(remains: &[String]) -> Result<()> {
    if remains.is_empty() {
        return Ok(());
    }
    Err(Error::unhealthy(
        format!("still there after down: {}", remains.join(", ")),
        "run the same command again",
    ))
}
