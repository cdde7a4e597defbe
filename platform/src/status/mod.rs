//! What runs where, and whether it is well.

mod overview;
mod services;
pub mod watch;

use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use serde::Serialize;

use crate::cluster::client::client;
use crate::cluster::objects::is_pod_ready;
use crate::cluster::{ClusterState, Endpoint, Node, NodeState};
use crate::diagnose::{self, Finding, Scope};
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

/// The nodes and Platen's pods of a Kubernetes cluster. `beside`: namespaces of what Platen runs there beside the service.
pub(crate) async fn kubernetes_status(
    provider: &str,
    context: &str,
    cluster: ClusterState,
    endpoints: Vec<Endpoint>,
    beside: &[&str],
) -> Result<StatusReport> {
    let silent = |summary: String, cluster: ClusterState| StatusReport {
        summary,
        healthy: false,
        cluster: Some(cluster),
        workloads: Vec::new(),
        applications: Vec::new(),
        findings: Vec::new(),
        endpoints: endpoints.clone(),
        page: None,
    };
    match cluster {
        ClusterState::Absent => {
            Ok(silent(format!("{provider}: there is no cluster; make it: cargo xtask up"), cluster))
        }
        ClusterState::Broken { ref why } => {
            Ok(silent(format!("{provider}: {why}; mend it: cargo xtask up"), cluster))
        }
        ClusterState::Mismatched { ref why } => {
            Ok(silent(format!("{provider}: {why}; take it down: cargo xtask down"), cluster))
        }
        ClusterState::Running { ref nodes } => {
            let report = silent(format!("{provider}, context {context}"), cluster.clone());
            what_runs(report, context, nodes, beside).await
        }
        ClusterState::Stopped { ref nodes } if nodes.iter().any(|node| node.state == NodeState::Ready) => {
            let report = silent(format!("{provider}, context {context}"), cluster.clone());
            let mut seen = what_runs(report, context, nodes, beside).await?;
            seen.summary.push_str("; not all of it runs, start it: cargo xtask up");
            seen.healthy = false;
            Ok(seen)
        }
        ClusterState::Stopped { .. } => {
            Ok(silent(format!("{provider}: the cluster does not run; start it: cargo xtask up"), cluster))
        }
    }
}

/// Fills in what the API server tells.
async fn what_runs(
    report: StatusReport,
    context: &str,
    nodes: &[Node],
    beside: &[&str],
) -> Result<StatusReport> {
    let client = client(context).await?;
    let mut workloads = Vec::new();
    for namespace in up::NAMESPACES {
        let pods = Api::<Pod>::namespaced(client.clone(), namespace).list(&diagnose::ours()).await;
        let pods = pods.doing(format!("listing the pods of namespace {namespace}"))?;
        workloads.extend(pods.items.iter().map(|pod| workload(pod, namespace)));
    }
    let mut found = diagnose::explain_scope(&client, &Scope::ours(&up::NAMESPACES)).await?;
    found.extend(diagnose::explain_scope(&client, &Scope::all(beside).that_stay()).await?);
    let troubled = found.iter().any(|finding| finding.lasting);
    let sentence = |finding: Finding| {
        let finding = finding.in_context(context);
        format!("{finding}; run: {}", finding.command)
    };
    let mut findings: Vec<String> = found.into_iter().map(sentence).collect();
    let applications = gitops::applications(&client).await?;
    findings.extend(applications.iter().filter_map(|application| application.trouble.clone()));
    let mut told = std::collections::BTreeSet::new();
    findings.retain(|finding| told.insert(finding.clone()));
    let ready_nodes = nodes.iter().filter(|node| node.state == NodeState::Ready).count();
    let staying = workloads.iter().filter(|workload| !workload.leaving).count();
    let ready = workloads.iter().filter(|workload| workload.ready && !workload.leaving).count();
    let all = nodes.len();
    let summary =
        format!("{}: {ready_nodes} of {all} nodes Ready, {ready} of {staying} pods ready", report.summary);
    let healthy = ready_nodes == all && ready == staying && ready > 0 && !troubled;
    let healthy = healthy && applications.iter().all(gitops::Summary::is_well);
    Ok(StatusReport { summary, healthy, workloads, applications, findings, ..report })
}

fn workload(pod: &Pod, namespace: &str) -> Workload {
    let statuses =
        pod.status.as_ref().and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    Workload {
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_else(|| "-".into()),
        name: pod.metadata.name.clone().unwrap_or_default(),
        // A dead node's kubelet tells no more of its containers; the pod's own condition is the API server's.
        ready: is_pod_ready(pod),
        leaving: pod.metadata.deletion_timestamp.is_some(),
        restarts: statuses.iter().map(|status| u32::try_from(status.restart_count).unwrap_or_default()).sum(),
        place: format!("namespace {namespace}"),
    }
}
