//! What is wrong with an object of the cluster: one sentence, and one command that mends it or shows more.

mod image;
mod node;
mod pending;
mod pod;
mod rollout;
#[cfg(test)]
mod tests;

use std::fmt;

use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{Api, ListParams};
use serde::Serialize;

use crate::error::{Doing, Error, Result};
pub use node::explain_node;
pub use pod::{explain_pod, killed_since};
pub use rollout::{Workload, heartbeat, unready, workloads};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Kind and name, as `pod ocr/model-server-7d4b9-x2x1c`.
    pub object: String,
    /// What is wrong with it and why, without a full stop.
    pub sentence: String,
    /// What to type next.
    pub command: String,
    /// It does not mend itself by waiting.
    #[serde(skip)]
    pub lasting: bool,
}

impl Finding {
    fn new(object: impl Into<String>, sentence: impl Into<String>, command: impl Into<String>) -> Self {
        Self { object: object.into(), sentence: sentence.into(), command: command.into(), lasting: false }
    }

    #[must_use]
    fn lasting(mut self) -> Self {
        self.lasting = true;
        self
    }

    /// The same finding with a command that works whatever context is current.
    #[must_use]
    pub fn in_context(mut self, context: &str) -> Self {
        if let Some(rest) = self.command.strip_prefix("kubectl ") {
            self.command = format!("kubectl --context {context} {rest}");
        }
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.sentence)
    }
}

impl From<Finding> for Error {
    fn from(finding: Finding) -> Self {
        Self::unhealthy(finding.to_string(), format!("run: {}", finding.command))
    }
}

/// Platen's own objects: a namespace can hold those of others beside them. An experiment's pod ends, well or not, and its
/// user is told which by `GET /test/{experiment_id}`: the platform is no less healthy for it.
pub fn ours() -> ListParams {
    ListParams::default().labels("app.kubernetes.io/part-of=platen,app.kubernetes.io/component!=experiment")
}

/// Whose objects are looked at, and in which namespaces.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    namespaces: &'a [&'a str],
    objects: ListParams,
}

impl<'a> Scope<'a> {
    /// Platen's own.
    pub fn ours(namespaces: &'a [&'a str]) -> Self {
        Self { namespaces, objects: ours() }
    }

    /// Whatever is there: in a namespace that holds one component.
    pub fn all(namespaces: &'a [&'a str]) -> Self {
        Self { namespaces, objects: ListParams::default() }
    }

    /// Without the pods that have ended in failure, which their owners have long replaced.
    #[must_use]
    pub fn that_stay(mut self) -> Self {
        self.objects = self.objects.fields("status.phase!=Failed");
        self
    }
}

/// Everything that is wrong with the pods of a scope, and with the nodes under them. Nothing is found where all is well or
/// only has not finished starting.
pub async fn explain_scope(client: &kube::Client, scope: &Scope<'_>) -> Result<Vec<Finding>> {
    let all = ListParams::default();
    let (mut pods, mut events) = (Vec::new(), Vec::new());
    for namespace in scope.namespaces {
        let found = Api::<Pod>::namespaced(client.clone(), namespace).list(&scope.objects).await;
        pods.extend(found.doing(format!("listing the pods of namespace {namespace}"))?.items);
        let found = Api::<Event>::namespaced(client.clone(), namespace).list(&all).await;
        events.extend(found.doing(format!("listing the events of namespace {namespace}"))?.items);
    }
    let nodes = Api::<Node>::all(client.clone()).list(&all).await.doing("listing the nodes")?.items;
    Ok(explain(&pods, &events, &nodes))
}

/// The first of them that does not mend itself by waiting.
pub async fn lasting(client: &kube::Client, scope: &Scope<'_>) -> Result<Option<Finding>> {
    Ok(explain_scope(client, scope).await?.into_iter().find(|finding| finding.lasting))
}

/// As [`explain_scope`], from objects at hand.
pub fn explain(pods: &[Pod], events: &[Event], nodes: &[Node]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = nodes.iter().filter_map(explain_node).collect();
    findings.extend(explain_pods(pods, events, nodes));
    findings
}

/// As [`explain`], of the pods alone.
pub fn explain_pods(pods: &[Pod], events: &[Event], nodes: &[Node]) -> Vec<Finding> {
    let mut findings = pod::not_created(events, pods);
    for it in pods {
        findings.extend(explain_pod(it, events, nodes));
    }
    findings
}

/// Adds to a time-out what was not ready in this scope and why; other results pass unchanged.
pub async fn explained<T>(client: &kube::Client, scope: &Scope<'_>, result: Result<T>) -> Result<T> {
    let Err(Error::TimedOut { awaited, waited, hint }) = result else { return result };
    // The time-out is the error to tell; that its cause could not be read as well must not replace it.
    let findings = explain_scope(client, scope).await.unwrap_or_default();
    let Some(first) = findings.first() else { return Err(Error::TimedOut { awaited, waited, hint }) };
    let hint = format!("run: {}", first.command);
    let why: Vec<String> = findings.iter().map(ToString::to_string).collect();
    Err(Error::TimedOut { awaited: format!("{awaited}: {}", why.join("; ")), waited, hint })
}

/// The first line, cut where a message goes on and on.
fn short(text: &str) -> String {
    const LONGEST: usize = 240;
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.trim_end_matches('.').to_owned(),
    }
}
