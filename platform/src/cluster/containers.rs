//! Nodes that are containers of this machine's Docker, whoever made them.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{ListContainersOptions, StartContainerOptions};

use crate::error::{Doing, Result};
use crate::process::Cmd;

/// kind's own label on each node's container; its value is the cluster.
pub const KIND: &str = "io.x-k8s.kind.cluster";
/// minikube's; its value is the node.
pub const MINIKUBE: &str = "name.minikube.sigs.k8s.io";

/// Containers with this label, also stopped ones.
pub async fn labelled(docker: &Docker, label: String) -> Result<Vec<ContainerSummary>> {
    let options = ListContainersOptions {
        all: true,
        filters: Some(HashMap::from([("label".to_owned(), vec![label])])),
        ..ListContainersOptions::default()
    };
    docker.list_containers(Some(options)).await.doing("listing the nodes' containers")
}

/// Whether this machine has nodes that are not `ours`, by label and its value. They may ask the local registry.
pub async fn others_exist(docker: &Docker, ours: impl Fn(&str, &str) -> bool) -> Result<bool> {
    for label in [KIND, MINIKUBE] {
        let nodes = labelled(docker, label.to_owned()).await?;
        let mut values = nodes.into_iter().filter_map(|node| node.labels?.remove(label));
        if values.any(|value| !ours(label, &value)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A node's container as Docker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    Running,
    /// Its processes are frozen; Docker refuses to start it, it has to be unpaused.
    Paused,
    Stopped,
}

impl ContainerState {
    /// As a list of containers has it.
    pub fn of(listed: Option<ContainerSummaryStateEnum>) -> Self {
        match listed {
            Some(ContainerSummaryStateEnum::RUNNING) => Self::Running,
            Some(ContainerSummaryStateEnum::PAUSED) => Self::Paused,
            _ => Self::Stopped,
        }
    }
}

/// None where there is no such container any more.
pub async fn state(docker: &Docker, container: &str) -> Result<Option<ContainerState>> {
    match docker.inspect_container(container, None).await {
        Ok(found) => {
            let state = found.state.unwrap_or_default();
            // What is paused runs, in Docker's words.
            Ok(Some(match (state.paused.unwrap_or_default(), state.running.unwrap_or_default()) {
                (true, _) => ContainerState::Paused,
                (false, true) => ContainerState::Running,
                (false, false) => ContainerState::Stopped,
            }))
        }
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
        Err(error) => Err(error).doing(format!("looking at {container}")),
    }
}

pub async fn start(docker: &Docker, container: &str) -> Result<()> {
    let started = docker.start_container(container, None::<StartContainerOptions>).await;
    started.doing(format!("starting {container}"))
}

pub async fn unpause(docker: &Docker, container: &str) -> Result<()> {
    docker.unpause_container(container).await.doing(format!("unpausing {container}"))
}

/// A program in a node, by the docker command: its own arguments are still to be added.
pub fn exec(docker_host: &str, container: &str) -> Cmd {
    Cmd::new("docker").args(["exec", container]).env("DOCKER_HOST", docker_host)
}
