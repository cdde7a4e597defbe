//! What of a cluster goes into the bundle: nodes, pods as they are described, their last words, events.

use futures_util::stream::{self, StreamExt};
use k8s_openapi::api::core::v1::{Container, Event, Node, Pod};
use kube::api::{Api, ListParams, LogParams};

use super::Entries;
use crate::doctor::pods::list;
use crate::doctor::world::World;
use crate::error::{Doing, Result};
use crate::redact::is_secret;

const LINES: i64 = 200;
/// Logs that are asked for at the same time.
const AT_ONCE: usize = 8;
const GONE: &str = "***";

pub async fn entries(world: &World, client: &kube::Client) -> Result<Entries> {
    let all = ListParams::default();
    let nodes = Api::<Node>::all(client.clone()).list(&all).await.doing("listing the nodes");
    let mut entries = vec![match nodes {
        Ok(nodes) => ("nodes.yaml".to_owned(), yaml(&nodes.items)),
        Err(error) => ("nodes-error.txt".to_owned(), error.to_string()),
    }];
    let events = list::<Event>(world, client, &all).await?;
    entries.push(("events.txt".into(), told(&events)));
    let mut logs = Vec::new();
    for mut pod in list::<Pod>(world, client, &all).await? {
        let (Some(name), Some(namespace)) = (pod.metadata.name.clone(), pod.metadata.namespace.clone())
        else {
            continue;
        };
        without_secrets(&mut pod);
        entries.push((format!("pods/{namespace}/{name}.yaml"), yaml(&pod)));
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        for status in statuses {
            logs.push((namespace.clone(), name.clone(), status.name.clone(), false));
            if status.restart_count > 0 {
                logs.push((namespace.clone(), name.clone(), status.name.clone(), true));
            }
        }
    }
    let fetched = stream::iter(logs).map(|(namespace, pod, container, previous)| async move {
        let params = LogParams {
            container: Some(container.clone()),
            previous,
            tail_lines: Some(LINES),
            ..LogParams::default()
        };
        let text = Api::<Pod>::namespaced(client.clone(), &namespace).logs(&pod, &params).await;
        let before = if previous { ".before" } else { "" };
        let name = format!("logs/{namespace}/{pod}/{container}{before}.log");
        (name, text.unwrap_or_else(|error| format!("it cannot be read: {error}\n")))
    });
    entries.extend(fetched.buffered(AT_ONCE).collect::<Vec<_>>().await);
    Ok(entries)
}

fn yaml(value: &impl serde::Serialize) -> String {
    serde_yaml::to_string(value).unwrap_or_else(|error| error.to_string())
}

fn told(events: &[Event]) -> String {
    let mut lines: Vec<String> = events
        .iter()
        .map(|event| {
            let time = event.last_timestamp.as_ref().map(|time| time.0.to_string()).unwrap_or_default();
            let object = &event.involved_object;
            format!(
                "{time} {} {} {}/{}: {}",
                event.reason.as_deref().unwrap_or_default(),
                object.kind.as_deref().unwrap_or_default(),
                object.namespace.as_deref().unwrap_or_default(),
                object.name.as_deref().unwrap_or_default(),
                event.message.as_deref().unwrap_or_default().replace('\n', " "),
            )
        })
        .collect();
    lines.sort();
    lines.join("\n") + "\n"
}

/// Of a variable that takes its value from a Secret only that stands in the pod; one that has it as it is loses it.
fn without_secrets(pod: &mut Pod) {
    pod.metadata.managed_fields = None;
    if let Some(annotations) = &mut pod.metadata.annotations {
        // A whole copy of the object, as it was sent.
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    let Some(spec) = &mut pod.spec else { return };
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        strip(container);
    }
}

fn strip(container: &mut Container) {
    for variable in container.env.iter_mut().flatten() {
        if variable.value.is_some() && is_secret(&variable.name) {
            variable.value = Some(GONE.into());
        }
    }
    for words in [&mut container.command, &mut container.args].into_iter().flatten() {
        for place in 1..words.len() {
            let flag = &words[place - 1];
            if flag.starts_with('-') && !flag.contains('=') && is_secret(flag) {
                words[place] = GONE.into();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_described_without_the_values_of_its_secrets() {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{\"x\": \"planted-one\"}",
            }},
            "spec": {"containers": [{
                "name": "c",
                "args": ["--token", "planted-two", "--port", "80"],
                "env": [
                    {"name": "DB_PASSWORD", "value": "planted-three"},
                    {"name": "DB_USER", "value": "somebody"},
                    {"name": "NAVER_OCR_SECRET_KEY", "valueFrom": {"secretKeyRef": {"name": "ocr-server-env", "key": "k"}}},
                ],
            }]},
        }))
        .unwrap();
        without_secrets(&mut pod);
        let text = yaml(&pod);
        assert!(!text.contains("planted"), "{text}");
        for stays in ["somebody", "ocr-server-env", "--port"] {
            assert!(text.contains(stays), "{text}");
        }
    }
}
