//! Undoes what a run of chaos that was killed left behind.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::embedded::Processes;
use super::ground::Ground;
use super::journal::{Place, is_left};
use super::kubernetes::Kubernetes;
use super::report::UndoneStep;
use super::run::made;
use super::survey::Survey;
use super::undoing::Undoing;
use crate::cluster::ClusterState;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::status::status;
use crate::wait::{Seen, until};

const WELL_WITHIN: Duration = Duration::from_mins(4);

#[derive(Debug, Clone, Default, Serialize)]
pub struct Recovered {
    /// What had been done, in words; none where nothing was left.
    pub fault: Option<String>,
    pub undone: Vec<UndoneStep>,
}

/// Afterwards every node is Ready, everything on it too, and the journal is empty. Where nothing was left, nothing is done.
pub async fn recover(host: &Host) -> Result<Recovered> {
    if !is_left(host) {
        return Ok(Recovered::default());
    }
    let place = Place::take(host)?;
    let Some(journal) = place.read()? else { return Ok(Recovered::default()) };
    let (host, target, provider) = made(host)?;
    let ground: Box<dyn Ground> = match provider.context() {
        None => Box::new(Processes::new(&host)?),
        Some(context) => {
            // Of the nodes nothing needs to be known: their containers stand in the journal.
            let stopped = ClusterState::Stopped { nodes: Vec::new() };
            Box::new(Kubernetes::new(&host, &target, &context, stopped).await?)
        }
    };
    let fault = Some(journal.title.clone());
    let mut undoing = Undoing::new(&host, place, journal);
    let since = Timestamp::now();
    undoing.put_back(&*ground, 0).await;
    let undone = undoing.done();
    if let Some(step) = undone.iter().find(|step| !step.done) {
        let why = step.error.clone().unwrap_or_default();
        let what = format!("not undone: {}: {why}", step.title);
        return Err(Error::unhealthy(what, "mend what it names, then run the same command again"));
    }
    let step = host.events.step("settle", "wait until everything is Ready again", None);
    until(WELL_WITHIN, "cargo xtask status", || async {
        let awaited = match well(&host, &*ground, since).await {
            Ok(None) => return Ok(Seen::Ready(())),
            Ok(Some(awaited)) => awaited,
            // The API server may take its time as well.
            Err(error) => error.to_string(),
        };
        step.message(format!("waiting for {awaited}"));
        Ok(Seen::Awaiting(awaited))
    })
    .await?;
    step.done();
    Ok(Recovered { fault, undone })
}

/// What is still awaited.
async fn well(host: &Host, ground: &dyn Ground, since: Timestamp) -> Result<Option<String>> {
    let now = ground.survey().await?;
    let nodes = now.nodes.into_iter().map(|node| super::survey::NodeFacts { ready: true, ..node });
    let wanted = Survey { nodes: nodes.collect(), pods: Vec::new() };
    if let Some(missing) = ground.missing(&wanted, since).await?.into_iter().next() {
        return Ok(Some(missing));
    }
    // What else is wrong on the cluster was not the fault's doing.
    let status = status(host).await?;
    let pod = status.workloads.iter().find(|it| !it.ready && !it.leaving);
    let application = status.applications.iter().find(|it| !it.is_well());
    Ok(match (pod, application) {
        _ if status.workloads.is_empty() => Some(status.summary),
        (Some(pod), _) => Some(format!("{} to be ready", pod.name)),
        (None, Some(application)) => Some(format!("the Application {} to be well", application.name)),
        (None, None) => None,
    })
}
