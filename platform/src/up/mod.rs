//! From a bare machine to a serving platform: observe the world, plan what is missing, apply it, verify that nothing
//! is missing any more. Every run starts from what it finds, so any run can be repeated.

mod apps;
mod choose;
mod compare;
mod delivery;
mod deploy;
mod docker_plan;
mod docker_provider;
mod down;
mod embedded_provider;
mod env_secrets;
mod existing_found;
mod existing_provider;
mod existing_rights;
mod kind_provider;
mod maker;
mod minikube_provider;
mod parts;
mod plan;
mod provider;
mod record;
mod rollback;
mod secrets;
mod source;
mod spread;
mod stack;

use std::time::Instant;

use serde::Serialize;

use crate::chaos;
use crate::cluster::Endpoint;
use crate::config::{NodeCount, ProfileName};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::{ports, room};

pub use apps::NAMESPACES;
pub use choose::{Choice, Target, choose, supply};
pub use deploy::{Deploy, DeployOptions, DeployReport, Outcome, deploy, roll_back};
pub use down::{DownOptions, DownReport, down};
pub use plan::{Action, Plan, StepId};
pub use provider::{Provider, provider};
pub(crate) use record::lock_profile;
pub use record::{UpRecord, contexts, forget_record, read_record};
pub use stack::Component;

/// The world moves meanwhile: of a node that has just come back, pods are told to be ready that are not. What is found
/// missing after all steps is done again, and what is missing even then is an error.
const ROUNDS: u32 = 3;

/// What the caller of `up` decided beyond the configuration.
#[derive(Debug, Clone, Default)]
pub struct UpOptions {
    pub dry_run: bool,
    /// As many nodes as asked for on the command line; it is in the configuration as well.
    pub nodes: Option<NodeCount>,
    /// Nothing but these steps; empty: all.
    pub only: Vec<StepId>,
    pub skip: Vec<StepId>,
    /// Whether a cluster that is not as asked for is deleted and made anew.
    pub recreate: bool,
    /// End programs of others that have the ports that are needed.
    pub free_ports: bool,
}

/// How a run of `up` ended.
#[derive(Debug, Clone, Serialize)]
pub struct UpReport {
    pub plan: Plan,
    /// Whether the plan was carried out; false after a dry run.
    pub applied: bool,
    /// Whether all steps were asked for: only then does it serve for certain.
    pub whole: bool,
    pub endpoints: Vec<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    pub elapsed_seconds: f64,
}

/// The doors to the gateway of what `up` made.
pub fn endpoints(host: &Host) -> Result<Vec<Endpoint>> {
    Ok(recorded(host)?.1.endpoints())
}

/// Where the Prometheus of what `up` made answers.
pub async fn prometheus(host: &Host) -> Result<String> {
    let (profile, provider) = recorded(host)?;
    provider.prometheus().await?.ok_or_else(|| {
        Error::unhealthy(
            format!("there is no Prometheus in the profile {profile}"),
            "name another: --prometheus URL",
        )
    })
}

/// The provider of what `up` made, and its profile.
pub(crate) fn recorded(host: &Host) -> Result<(ProfileName, Box<dyn Provider>)> {
    let profile = host.config.cluster.profile.clone();
    let record = read_record(host, &profile)?.ok_or_else(|| {
        Error::unhealthy(format!("nothing runs under the profile {profile}"), "start it: cargo xtask up")
    })?;
    let provider = provider(&record.host(host), &record.choice.target)?;
    Ok((profile, provider))
}

pub async fn up(host: &Host, options: &UpOptions) -> Result<UpReport> {
    let begun = Instant::now();
    let _lock = lock_profile(host)?;
    chaos::warn_of_left(host);
    let recorded = made(host, read_record(host, &host.config.cluster.profile)?).await?;
    let settled = recorded.as_ref().map_or_else(|| host.clone(), |record| record.settle(host, options.nodes));
    let host = &settled;
    host.config.ports.check(host.config.cluster.nodes)?;
    let choice = choose::choose_for(host, recorded).await?;
    let mut provider = provider(host, &choice.target)?;
    if options.recreate {
        provider.recreate()?;
    }
    let provider = provider;
    let wanted = |action: &Action| {
        (options.only.is_empty() || options.only.contains(&action.step))
            && !options.skip.contains(&action.step)
    };
    let actions = provider.missing().await?.into_iter().filter(wanted).collect();
    let plan = Plan::new(choice, actions);
    host.events.emit(crate::event::Event::Planned { plan: plan.clone() });
    let report = |applied| UpReport {
        plan: plan.clone(),
        applied,
        whole: options.only.is_empty() && options.skip.is_empty(),
        endpoints: provider.endpoints(),
        page: provider.page(),
        elapsed_seconds: begun.elapsed().as_secs_f64(),
    };
    if options.dry_run {
        return Ok(report(false));
    }
    if let Some(needs) = provider.needs(&plan.actions) {
        room::ensure(needs, &host.cache, &format!("the provider {}", plan.choice.target.name()))?;
    }
    if plan.actions.iter().any(|action| action.step == StepId::Cluster) {
        ports::release(host, &ports_of(host, &plan.choice.target), options.free_ports).await?;
    }
    record::write_record(host, &plan.choice)?;
    let mut actions = plan.actions.clone();
    for _ in 0..ROUNDS {
        for action in &actions {
            let step = host.events.step(action.step.name(), &action.title, Some(action.expected));
            provider.apply(action.step, &step).await?;
            step.done();
        }
        if actions.is_empty() {
            break;
        }
        actions = provider.missing().await?.into_iter().filter(wanted).collect();
    }
    verify(actions)?;
    Ok(report(true))
}

/// What is about to be listened on here.
fn ports_of(host: &Host, target: &Target) -> Vec<(u16, String)> {
    let (ports, nodes) = (&host.config.ports, host.config.cluster.nodes);
    match target {
        Target::Embedded => ports.of_processes(nodes),
        Target::Kind { .. } | Target::Minikube { .. } => ports.of_containers(nodes),
        Target::Existing { .. } => Vec::new(),
    }
}

/// A record counts when something of it is there: a run that failed before it made anything binds nobody.
async fn made(host: &Host, recorded: Option<UpRecord>) -> Result<Option<UpRecord>> {
    let Some(record) = recorded else { return Ok(None) };
    let there = provider(&record.host(host), &record.choice.target)?.may_remain().await?;
    Ok(there.then_some(record))
}

/// After all steps nothing may be missing: a step that claims to be done and is not is found here.
fn verify(still_missing: Vec<Action>) -> Result<()> {
    match still_missing.into_iter().next() {
        None => Ok(()),
        Some(action) => Err(Error::unhealthy(
            format!("after all steps this is still to be done: {} ({})", action.title, action.why),
            "run the same command again; if it stays so: cargo xtask status",
        )),
    }
}
