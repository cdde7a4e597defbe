//! Nodes: not answering, not ready, short of disk or memory.

use k8s_openapi::api::core::v1::{Node, NodeCondition};

use super::{Finding, short};

/// What is wrong with a node; `None` where it is ready and not short of anything.
pub fn explain_node(node: &Node) -> Option<Finding> {
    let name = node.metadata.name.as_deref()?;
    let conditions = node.status.as_ref()?.conditions.as_deref()?;
    let condition = |type_: &str| conditions.iter().find(|it| it.type_ == type_);
    let describe = || format!("kubectl describe node {name}");
    let found =
        |sentence: String, command: String| Some(Finding::new(format!("node {name}"), sentence, command));
    match condition("Ready") {
        Some(ready) if ready.status == "Unknown" => {
            let since = ready
                .last_transition_time
                .as_ref()
                .map(|time| format!(" since {}", time.0))
                .unwrap_or_default();
            return found(format!("it has not answered{since}"), start(node, name).unwrap_or_else(describe));
        }
        Some(ready) if ready.status != "True" => {
            return found(format!("it is not ready: {}", why(ready)), describe());
        }
        None => return found("it has never reported its state".into(), describe()),
        Some(_) => {}
    }
    let short_of =
        [("DiskPressure", "disk space"), ("MemoryPressure", "memory"), ("PIDPressure", "process ids")];
    for (type_, what) in short_of {
        if condition(type_).is_some_and(|it| it.status == "True") {
            return found(format!("it is short of {what}, so pods are evicted from it"), describe());
        }
    }
    None
}

fn why(condition: &NodeCondition) -> String {
    match (condition.message.as_deref(), condition.reason.as_deref()) {
        (Some(message), _) if !message.is_empty() => short(message),
        (_, Some(reason)) => reason.to_owned(),
        _ => "it does not say why".to_owned(),
    }
}

/// The nodes of kind are containers that can be started again.
fn start(node: &Node, name: &str) -> Option<String> {
    let provider = node.spec.as_ref()?.provider_id.as_deref()?;
    provider.starts_with("kind://docker/").then(|| format!("docker start {name}"))
}
