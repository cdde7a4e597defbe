//! `deploy`: the chart of this checkout, or what was there before it, on the cluster that `up` made or was pointed at.

use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use super::record::lock_profile;
use super::recorded;
use crate::chaos;
use crate::error::Result;
use crate::gitops;
use crate::host::Host;

/// What the caller of `deploy` decided.
#[derive(Debug, Clone, Default)]
pub struct DeployOptions {
    /// By Helm from this machine, past Argo CD.
    pub direct: bool,
    /// Settings as `model.replicas=3`, laid over the configuration's values. Those of an earlier deploy end with this one.
    pub set: Vec<String>,
    pub dry_run: bool,
}

/// What [`Provider::deploy`](super::Provider::deploy) is to do.
#[derive(Debug, Clone)]
pub enum Deploy {
    /// Tells what would be done.
    DryRun {
        set: Option<Value>,
        direct: bool,
    },
    Chart {
        set: Option<Value>,
        direct: bool,
    },
    /// What was deployed before what is deployed now.
    Back,
}

impl Deploy {
    /// By Helm, past an Argo CD that would deliver.
    pub(super) fn is_direct(&self) -> bool {
        matches!(self, Self::DryRun { direct: true, .. } | Self::Chart { direct: true, .. })
    }

    fn of(options: &DeployOptions, set: Option<Value>) -> Self {
        let direct = options.direct;
        if options.dry_run { Self::DryRun { set, direct } } else { Self::Chart { set, direct } }
    }
}

/// What [`Provider::deploy`](super::Provider::deploy) did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// One sentence on what was done, or would be.
    pub done: String,
    /// The version of the chart that was deployed, or would be.
    pub version: String,
}

#[derive(Debug, Clone, Serialize)]
pub struct DeployReport {
    /// One sentence on what was done, or would be.
    pub done: String,
    /// The version of the chart that was deployed, or would be.
    pub version: String,
    pub elapsed_seconds: f64,
}

/// Deploys the chart of this checkout and waits until it serves.
pub async fn deploy(host: &Host, options: &DeployOptions) -> Result<DeployReport> {
    let set = if options.set.is_empty() {
        None
    } else {
        Some(gitops::set::parse(&options.set, &gitops::set::of_chart(&host.root)?)?)
    };
    run(host, &Deploy::of(options, set), "deploying the chart").await
}

/// Goes back to what was deployed before; once more goes forward again.
pub async fn roll_back(host: &Host) -> Result<DeployReport> {
    run(host, &Deploy::Back, "going back to what was deployed before").await
}

async fn run(host: &Host, what: &Deploy, title: &str) -> Result<DeployReport> {
    let begun = Instant::now();
    let _lock = lock_profile(host)?;
    chaos::warn_of_left(host);
    let (_, provider) = recorded(host)?;
    let step = host.events.step("deploy", title, None);
    let Outcome { done, version } = provider.deploy(what, &step).await?;
    step.done();
    Ok(DeployReport { done, version, elapsed_seconds: begun.elapsed().as_secs_f64() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_is_of_the_same_delivery_as_the_run() {
        for dry_run in [false, true] {
            let direct = DeployOptions { direct: true, dry_run, ..DeployOptions::default() };
            assert!(Deploy::of(&direct, None).is_direct(), "{dry_run}");
            assert!(!Deploy::of(&DeployOptions { direct: false, ..direct }, None).is_direct(), "{dry_run}");
        }
        assert!(!Deploy::Back.is_direct());
    }
}
