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
pub use pod::explain_pod;
pub use rollout::{heartbeat, unready};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Kind and name, as `pod ocr/model-server-7d4b9-x2x1c`.
    pub object: String,
    /// What is wrong with it and why, without a full stop.
    pub sentence: String,
    /// What to type next.
    pub command: String,
}

impl Finding {
    fn new(object: impl Into<String>, sentence: impl Into<String>, command: impl Into<String>) -> Self {
        Self { object: object.into(), sentence: sentence.into(), command: command.into() }
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

/// Platen's own objects: a namespace can hold those of others beside them. An experiment's pod ends, well or not, and its
/// user is told which by `GET /test/{experiment_id}`: the platform is no less healthy for it.
pub fn ours() -> ListParams {
    ListParams::default().labels("app.kubernetes.io/part-of=platen,app.kubernetes.io/component!=experiment")
}

/// Everything that is wrong with Platen's pods of a namespace, and with the nodes under them. Nothing is found where all
/// is well or only has not finished starting.
pub async fn explain_namespace(client: &kube::Client, namespace: &str) -> Result<Vec<Finding>> {
    let all = ListParams::default();
    let pods = Api::<Pod>::namespaced(client.clone(), namespace).list(&ours()).await;
    let pods = pods.doing(format!("listing the pods of namespace {namespace}"))?.items;
    let events = Api::<Event>::namespaced(client.clone(), namespace).list(&all).await;
    let events = events.doing(format!("listing the events of namespace {namespace}"))?.items;
    let nodes = Api::<Node>::all(client.clone()).list(&all).await.doing("listing the nodes")?.items;
    Ok(explain(&pods, &events, &nodes))
}

/// As [`explain_namespace`], from objects at hand.
pub fn explain(pods: &[Pod], events: &[Event], nodes: &[Node]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = nodes.iter().filter_map(explain_node).collect();
    findings.extend(pod::not_created(events, pods));
    for it in pods {
        findings.extend(explain_pod(it, events, nodes));
    }
    findings
}

/// Adds to a time-out what was not ready in these namespaces and why; other results pass unchanged.
pub async fn explained<T>(client: &kube::Client, namespaces: &[&str], result: Result<T>) -> Result<T> {
    let Err(Error::TimedOut { awaited, waited, hint }) = result else { return result };
    let mut findings: Vec<Finding> = Vec::new();
    for namespace in namespaces {
        // The time-out is the error to tell; that its cause could not be read as well must not replace it.
        for finding in explain_namespace(client, namespace).await.unwrap_or_default() {
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
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
