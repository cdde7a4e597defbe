//! What runs where, and whether it is well.

mod overview;
mod services;
pub mod watch;

use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use serde::Serialize;

use crate::cluster::client::client;
use crate::cluster::{ClusterState, Endpoint, NodeState};
use crate::diagnose::{self, Scope};
use crate::error::{Doing, Result};
use crate::gitops;
use crate::host::Host;
use crate::up;

pub use overview::{Drift, Overview, Version, overview};
pub use services::{ServiceSeen, services};

#[derive(Debug, Clone, Serialize)]
pub struct StatusReport {
    /// One sentence.
    pub summary: String,
    pub healthy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterState>,
    pub workloads: Vec<Workload>,
    /// What Argo CD keeps on the cluster, where it is there.
    pub applications: Vec<gitops::Summary>,
    /// A sentence for each thing that is wrong.
    pub findings: Vec<String>,
    pub endpoints: Vec<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
}

/// A pod, or a process of the embedded provider.
#[derive(Debug, Clone, Serialize)]
pub struct Workload {
    pub node: String,
    pub name: String,
    pub ready: bool,
    /// On its way out, as a rolling update or a node's loss wants it: it no longer counts.
    pub leaving: bool,
    pub restarts: u32,
    /// A process id and port, or a namespace.
    pub place: String,
}

pub async fn status(host: &Host) -> Result<StatusReport> {
    let profile = &host.config.cluster.profile;
    let Some(record) = up::read_record(host, profile)? else {
        return Ok(StatusReport {
            summary: format!("nothing runs under the profile {profile}; start it: cargo xtask up"),
            healthy: false,
            cluster: None,
            workloads: Vec::new(),
            applications: Vec::new(),
            findings: Vec::new(),
            endpoints: Vec::new(),
            page: None,
        });
    };
    up::provider(&record.host(host), &record.choice.target)?.status().await
}

/// The nodes and Platen's pods of a Kubernetes cluster.
pub(crate) async fn kubernetes_status(
    provider: &str,
    context: &str,
    cluster: ClusterState,
    endpoints: Vec<Endpoint>,
) -> Result<StatusReport> {
    let ClusterState::Running { nodes } = &cluster else {
        let summary = match &cluster {
            ClusterState::Broken { why } => format!("{provider}: {why}; mend it: cargo xtask up"),
            ClusterState::Mismatched { why } => format!("{provider}: {why}; take it down: cargo xtask down"),
            _ => format!("{provider}: the cluster does not run; start it: cargo xtask up"),
        };
        let (workloads, findings) = (Vec::new(), Vec::new());
        return Ok(StatusReport {
            summary,
            healthy: false,
            cluster: Some(cluster),
            workloads,
            applications: Vec::new(),
            findings,
            endpoints,
            page: None,
        });
    };
    let client = client(context).await?;
    let (mut workloads, mut findings) = (Vec::new(), Vec::new());
    for namespace in up::NAMESPACES {
        let pods = Api::<Pod>::namespaced(client.clone(), namespace).list(&diagnose::ours()).await;
        let pods = pods.doing(format!("listing the pods of namespace {namespace}"))?;
        workloads.extend(pods.items.iter().map(|pod| workload(pod, namespace)));
        for finding in diagnose::explain_namespace(&client, namespace).await? {
            let finding = finding.in_context(context);
            findings.push(format!("{finding}; run: {}", finding.command));
        }
    }
    let beside: Vec<&str> = up::Component::ALL.into_iter().map(up::Component::namespace).collect();
    let found = match diagnose::explain_scope(&client, &Scope::all(&beside)).await {
        // An account of somebody else's cluster may not look there; what is there is not ours.
        Err(error) if error.is_forbidden() => Vec::new(),
        found => found?,
    };
    for finding in found {
        let finding = finding.in_context(context);
        findings.push(format!("{finding}; run: {}", finding.command));
    }
    let applications = gitops::applications(&client).await?;
    findings.extend(applications.iter().filter_map(|application| application.trouble.clone()));
    let mut told = std::collections::BTreeSet::new();
    findings.retain(|finding| told.insert(finding.clone()));
    let ready_nodes = nodes.iter().filter(|node| node.state == NodeState::Ready).count();
    let staying = workloads.iter().filter(|workload| !workload.leaving).count();
    let ready = workloads.iter().filter(|workload| workload.ready && !workload.leaving).count();
    let summary = format!(
        "{provider}, context {context}: {ready_nodes} of {} nodes Ready, {ready} of {staying} pods ready",
        nodes.len(),
    );
    let healthy = ready_nodes == nodes.len() && ready == staying && ready > 0;
    let healthy = healthy && applications.iter().all(gitops::Summary::is_well);
    let cluster = Some(cluster);
    Ok(StatusReport { summary, healthy, cluster, workloads, applications, findings, endpoints, page: None })
}

fn workload(pod: &Pod, namespace: &str) -> Workload {
    let statuses =
        pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let ready = !statuses.is_empty() && statuses.iter().all(|status| status.ready);
    Workload {
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_else(|| "-".into()),
        name: pod.metadata.name.clone().unwrap_or_default(),
        ready,
        leaving: pod.metadata.deletion_timestamp.is_some(),
        restarts: statuses.iter().map(|status| u32::try_from(status.restart_count).unwrap_or_default()).sum(),
        place: format!("namespace {namespace}"),
    }
}
