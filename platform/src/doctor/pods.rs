//! What runs: the API server, nodes and pods of a cluster, or the embedded processes.

use std::time::Duration;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams, LogParams};

use super::report::{Finding, Severity, Verdict};
use super::world::{Cluster, World, namespaces};
use crate::cluster::ClusterState;
use crate::cluster::containers::{self, ContainerState};
use crate::cluster::embedded::Embedded;
use crate::diagnose;
use crate::engine::State;
use crate::error::{Doing, Result};
use crate::up::Target;

/// Of more crashed containers than this the last words are not fetched: one cause mostly explains all.
const MOST_LOGS: usize = 12;
/// A container that was killed for its memory and runs again is told for so long.
const LATELY: Duration = Duration::from_mins(10);
/// What the kubelet answers in place of a log that is gone.
const NO_LOG: &str = "unable to retrieve container logs";

pub async fn processes(world: &World) -> Result<Verdict> {
    if world.made != Some(Target::Embedded) {
        return Ok(Verdict::Skipped("none was started under this profile".into()));
    }
    let embedded = Embedded::new(&world.host)?;
    let found = |object: String, sentence: String| {
        Verdict::Found(vec![Finding::new(Severity::Error, object, sentence, "cargo xtask up")])
    };
    match embedded.observe(None).await {
        ClusterState::Stopped { .. } => Ok(found("embedded nodes".into(), "they are stopped".into())),
        ClusterState::Broken { why } | ClusterState::Mismatched { why } => {
            Ok(found("embedded nodes".into(), why))
        }
        ClusterState::Absent | ClusterState::Running { .. } => {
            let roles = embedded.roles().await;
            let late = roles.iter().filter(|role| !role.ready).map(|role| {
                let how = match role.pid {
                    Some(pid) => format!("it runs (pid {pid}) and is not ready on port {}", role.port),
                    None => format!("it does not run; it was started {} times", role.restarts + 1),
                };
                let log = embedded.log(&role.node, role.role);
                let command = format!("tail {}", log.display());
                Finding::new(Severity::Error, format!("{} on {}", role.role.name(), role.node), how, command)
            });
            Ok(Verdict::of(late.collect(), format!("{} run and are ready", roles.len())))
        }
    }
}

pub async fn api(world: &World) -> Result<Verdict> {
    match &world.cluster {
        Cluster::None(why) => Ok(Verdict::Skipped(why.clone())),
        Cluster::Answers { context, client } => {
            let version = client.apiserver_version().await.doing("asking the API server for its version")?;
            Ok(Verdict::Passed(format!("{context}: Kubernetes {}", version.git_version)))
        }
        Cluster::Silent { context, unusable: true, .. } => {
            Ok(Verdict::Unknown(format!("the context {context} cannot be used")))
        }
        Cluster::Silent { context, why, .. } => {
            let refused = why.contains("Unauthorized") || why.contains("401");
            let (sentence, command) = if refused {
                (
                    "the API server does not know who asks".to_owned(),
                    format!("kubectl --context {context} auth whoami"),
                )
            } else if world.owns_the_cluster() {
                (format!("the API server does not answer: {why}"), "cargo xtask up".to_owned())
            } else {
                (
                    format!("the API server does not answer: {why}"),
                    format!("kubectl --context {context} cluster-info"),
                )
            };
            Ok(Verdict::Found(vec![Finding::new(
                Severity::Error,
                format!("cluster {context}"),
                sentence,
                command,
            )]))
        }
    }
}

pub async fn nodes(world: &World) -> Result<Verdict> {
    let (client, context) = match world.cluster() {
        Ok(cluster) => cluster,
        Err(verdict) => return Ok(verdict),
    };
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
    let nodes = nodes.doing("listing the nodes")?.items;
    let findings = nodes.iter().filter_map(diagnose::explain_node);
    let mut findings: Vec<Finding> =
        findings.map(|found| Finding::of(found, Severity::Error, context)).collect();
    for finding in &mut findings {
        unpause(world, finding).await;
    }
    Ok(Verdict::of(findings, format!("{} are Ready and short of nothing", nodes.len())))
}

/// A node whose container is paused is not started but made to go on.
async fn unpause(world: &World, finding: &mut Finding) {
    let (State::Ready(ready), Some(name)) = (&world.engine, finding.command.strip_prefix("docker start "))
    else {
        return;
    };
    let state = containers::state(&ready.docker, name).await.ok().flatten();
    if state == Some(ContainerState::Paused) {
        finding.command = format!("docker unpause {name}");
    }
}

pub async fn pods(world: &World) -> Result<Verdict> {
    let (client, context) = match world.cluster() {
        Ok(cluster) => cluster,
        Err(verdict) => return Ok(verdict),
    };
    // An experiment's pod ends, well or not; its user is told which.
    let no_experiments = ListParams::default().labels("app.kubernetes.io/component!=experiment");
    let all = ListParams::default();
    let (pods, events) =
        tokio::join!(list::<Pod>(world, client, &no_experiments), list::<Event>(world, client, &all));
    let (mut pods, events) = (pods?, events?);
    // An account that may not see the nodes still learns what is wrong with the pods.
    let nodes = Api::<Node>::all(client.clone()).list(&all).await;
    let nodes = nodes.map(|list| list.items).unwrap_or_default();
    add_last_words(client, &mut pods).await;
    let since = Timestamp::now().checked_sub(LATELY).unwrap_or_default();
    let lately = pods.iter().flat_map(|pod| diagnose::killed_since(pod, since));
    let findings = diagnose::explain_pods(&pods, &events, &nodes).into_iter().chain(lately).map(|found| {
        let severity = if found.lasting { Severity::Error } else { Severity::Warning };
        Finding::of(found, severity, context)
    });
    Ok(Verdict::of(findings.collect(), format!("{} pods, none in trouble", pods.len())))
}

/// Everything in a cluster that is Platen's; of another's, what is in Platen's namespaces and may be seen.
pub(super) async fn list<K>(world: &World, client: &kube::Client, params: &ListParams) -> Result<Vec<K>>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let kind = K::plural(&()).into_owned();
    if world.owns_the_cluster() {
        let all = Api::<K>::all(client.clone()).list(params).await;
        return Ok(all.doing(format!("listing the {kind}"))?.items);
    }
    let (mut found, mut refused) = (None, None);
    for namespace in namespaces() {
        let listed = Api::<K>::namespaced(client.clone(), namespace).list(params).await;
        match listed.doing(format!("listing the {kind} of namespace {namespace}")) {
            Err(error) if error.is_forbidden() => refused = Some(error),
            listed => found.get_or_insert_with(Vec::new).extend(listed?.items),
        }
    }
    match (found, refused) {
        (None, Some(refused)) => Err(refused),
        (found, _) => Ok(found.unwrap_or_default()),
    }
}

/// A container that says nothing to the kubelet says it to its log: the last line of a crashed one is taken from there.
async fn add_last_words(client: &kube::Client, pods: &mut [Pod]) {
    let silent: Vec<(usize, String, bool)> = pods
        .iter()
        .enumerate()
        .flat_map(|(place, pod)| {
            statuses(pod).filter(|it| is_silent_crash(it)).map(move |it| (place, it.name.clone(), runs(it)))
        })
        .take(MOST_LOGS)
        .collect();
    let fetched = silent.iter().map(|(place, container, previous)| {
        let (name, namespace) = (&pods[*place].metadata.name, &pods[*place].metadata.namespace);
        let api = Api::<Pod>::namespaced(client.clone(), namespace.as_deref().unwrap_or("default"));
        let name = name.clone().unwrap_or_default();
        async move {
            let params = LogParams {
                container: Some(container.clone()),
                previous: *previous,
                tail_lines: Some(20),
                limit_bytes: Some(16 << 10),
                ..LogParams::default()
            };
            api.logs(&name, &params).await.unwrap_or_default()
        }
    });
    let logs = join_all(fetched).await;
    for ((place, container, _), log) in silent.iter().zip(logs) {
        let last = log.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with(NO_LOG));
        if let Some(last) = last {
            say(&mut pods[*place], container, last);
        }
    }
}

/// Then what ended is the one before.
fn runs(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| {
        status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
    })
}

fn is_silent_crash(status: &ContainerStatus) -> bool {
    let ended = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        let ended = state.as_ref().and_then(|state| state.terminated.as_ref());
        ended.is_some_and(|it| {
            it.exit_code != 0 && it.message.as_deref().is_none_or(|text| text.trim().is_empty())
        })
    };
    !status.ready && (ended(&status.state) || ended(&status.last_state))
}

/// Puts the words where the kubelet would have put them.
fn say(pod: &mut Pod, container: &str, words: &str) {
    let Some(status) = pod.status.as_mut() else { return };
    let all = status.init_container_statuses.iter_mut().flatten();
    for it in all.chain(status.container_statuses.iter_mut().flatten()).filter(|it| it.name == container) {
        for state in [&mut it.state, &mut it.last_state] {
            if let Some(ended) = state.as_mut().and_then(|state| state.terminated.as_mut()) {
                ended.message = Some(words.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn crashed(message: Option<&str>) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ocr"},
            "spec": {"containers": [{"name": "c"}]},
            "status": {"containerStatuses": [{
                "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 3,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 7, "message": message}},
            }]},
        }))
        .unwrap()
    }

    #[test]
    fn the_words_of_a_log_stand_in_the_sentence() {
        let mut pod = crashed(None);
        assert!(statuses(&pod).all(is_silent_crash));
        say(&mut pod, "c", "no such file: /model");
        let found = diagnose::explain_pods(std::slice::from_ref(&pod), &[], &[]);
        assert_eq!(
            found[0].sentence,
            "container c ended with exit code 7, 3 restarts so far; its last words: no such file: /model"
        );
    }

    #[test]
    fn the_log_of_one_that_told_the_kubelet_is_not_asked_for() {
        assert!(!statuses(&crashed(Some("told"))).any(is_silent_crash));
    }
}
