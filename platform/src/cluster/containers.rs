//! Nodes that are containers of this machine's Docker, whoever made them.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptions;

use crate::error::{Doing, Result};

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
