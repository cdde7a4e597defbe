//! `deploy`: the chart of this checkout, or what was there before it, on the cluster that `up` made or was pointed at.

use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use super::record::lock_profile;
use super::recorded;
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
    },
    Chart {
        set: Option<Value>,
        direct: bool,
    },
    /// What was deployed before what is deployed now.
    Back,
}

#[derive(Debug, Clone, Serialize)]
pub struct DeployReport {
    /// One sentence on what was done, or would be.
    pub done: String,
    /// The chart's version in the registry.
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
    let what =
        if options.dry_run { Deploy::DryRun { set } } else { Deploy::Chart { set, direct: options.direct } };
    run(host, &what, "deploying the chart").await
}

/// Goes back to what was deployed before; once more goes forward again.
pub async fn roll_back(host: &Host) -> Result<DeployReport> {
    run(host, &Deploy::Back, "going back to what was deployed before").await
}

async fn run(host: &Host, what: &Deploy, title: &str) -> Result<DeployReport> {
    let begun = Instant::now();
    let _lock = lock_profile(host)?;
    let (_, provider) = recorded(host)?;
    let step = host.events.step("deploy", title, None);
    let done = provider.deploy(what, &step).await?;
    step.done();
    let version = gitops::version(host)?;
    Ok(DeployReport { done, version, elapsed_seconds: begun.elapsed().as_secs_f64() })
}
