//! Nodes, pods and events of a cluster, as the API server tells of their changes.

use std::collections::BTreeMap;
use std::fmt::Debug;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll, select_all};
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::watch::Sender;

use super::{EventSeen, NodeSeen, PodSeen, PodState, Scene, show};
use crate::cluster::NodeState;
use crate::cluster::client::client;
use crate::error::Result;
use crate::up::{Component, NAMESPACES};

/// So many of the cluster's events are kept.
const EVENTS: usize = 200;

/// One change, of whichever kind.
enum Told {
    Node(Box<watcher::Result<watcher::Event<Node>>>),
    Pod(&'static str, Box<watcher::Result<watcher::Event<Pod>>>),
    Event(Box<watcher::Result<watcher::Event<Event>>>),
}

/// What is known of the cluster, by unique id.
#[derive(Default)]
struct Known {
    nodes: BTreeMap<String, NodeSeen>,
    /// With the namespace that it was told by, so that a new beginning of that one forgets no other's.
    pods: BTreeMap<String, (&'static str, PodSeen)>,
    events: BTreeMap<String, (Timestamp, EventSeen)>,
    trouble: Option<String>,
}

pub async fn watch(context: &str, scenes: &Sender<Scene>) -> Result<()> {
    let client = client(context).await?;
    let title = format!("context {context}");
    let begun = Timestamp::now();
    let mut told = streams(&client);
    let mut known = Known::default();
    loop {
        tokio::select! {
            next = told.next() => match next {
                Some(next) => known.learn(next, begun),
                None => return Ok(()),
            },
            () = scenes.closed() => return Ok(()),
        }
        show(scenes, known.scene(&title));
    }
}

fn streams(client: &kube::Client) -> SelectAll<BoxStream<'static, Told>> {
    let nodes = follow(Api::<Node>::all(client.clone())).map(|told| Told::Node(Box::new(told))).boxed();
    let namespaces = NAMESPACES.into_iter().chain(Component::ALL.map(Component::namespace));
    let in_namespaces = namespaces.flat_map(|namespace| {
        let pods = follow(Api::<Pod>::namespaced(client.clone(), namespace));
        let events = follow(Api::<Event>::namespaced(client.clone(), namespace));
        [
            pods.map(move |told| Told::Pod(namespace, Box::new(told))).boxed(),
            events.map(|told| Told::Event(Box::new(told))).boxed(),
        ]
    });
    select_all(std::iter::once(nodes).chain(in_namespaces))
}

/// For ever: a connection that breaks is made again, with growing pauses.
fn follow<K>(api: Api<K>) -> BoxStream<'static, watcher::Result<watcher::Event<K>>>
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watcher(api, watcher::Config::default()).default_backoff().boxed()
}

impl Known {
    fn learn(&mut self, told: Told, begun: Timestamp) {
        let result = match told {
            Told::Node(told) => told.map(|event| self.node(event)),
            Told::Pod(namespace, told) => told.map(|event| self.pod(namespace, event)),
            Told::Event(told) => told.map(|event| self.event(event, begun)),
        };
        self.trouble = result.err().map(|error| format!("the cluster does not answer: {error}"));
    }

    fn node(&mut self, told: watcher::Event<Node>) {
        match told {
            watcher::Event::Init => self.nodes.clear(),
            watcher::Event::InitApply(node) | watcher::Event::Apply(node) => {
                let seen =
                    NodeSeen { name: node.metadata.name.clone().unwrap_or_default(), state: state_of(&node) };
                self.nodes.insert(seen.name.clone(), seen);
            }
            watcher::Event::Delete(node) => {
                self.nodes.remove(&node.metadata.name.unwrap_or_default());
            }
            watcher::Event::InitDone => {}
        }
    }

    fn pod(&mut self, namespace: &'static str, told: watcher::Event<Pod>) {
        match told {
            watcher::Event::Init => self.pods.retain(|_, (of, _)| *of != namespace),
            watcher::Event::InitApply(pod) | watcher::Event::Apply(pod) => {
                let seen = seen(&pod);
                self.pods.insert(seen.id.clone(), (namespace, seen));
            }
            watcher::Event::Delete(pod) => {
                self.pods.remove(&pod.metadata.uid.unwrap_or_default());
            }
            watcher::Event::InitDone => {}
        }
    }

    /// Events outlive what they tell of for an hour: what happened before the view began is no news.
    fn event(&mut self, told: watcher::Event<Event>, begun: Timestamp) {
        let (watcher::Event::InitApply(event) | watcher::Event::Apply(event)) = told else { return };
        let time = event.last_timestamp.as_ref().map(|time| time.0);
        let time = time.or(event.event_time.as_ref().map(|time| time.0)).unwrap_or(begun);
        if time < begun {
            return;
        }
        let object = &event.involved_object;
        let what = format!(
            "{} {}: {}",
            object.kind.as_deref().unwrap_or_default().to_lowercase(),
            object.name.as_deref().unwrap_or_default(),
            event.message.as_deref().unwrap_or_default().lines().next().unwrap_or_default(),
        );
        let text = format!("{} {what}", event.reason.as_deref().unwrap_or_default());
        let id = event.metadata.uid.clone().unwrap_or_default();
        let warning = event.type_.as_deref() == Some("Warning");
        self.events.insert(id.clone(), (time, EventSeen { id, text, warning }));
        if self.events.len() > EVENTS {
            let oldest = self.events.iter().min_by_key(|(_, (time, _))| *time).map(|(id, _)| id.clone());
            oldest.map(|id| self.events.remove(&id));
        }
    }

    fn scene(&self, title: &str) -> Scene {
        let mut pods: Vec<PodSeen> = self.pods.values().map(|(_, pod)| pod.clone()).collect();
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        let mut events: Vec<&(Timestamp, EventSeen)> = self.events.values().collect();
        events.sort_by_key(|(time, _)| *time);
        Scene {
            title: title.into(),
            nodes: self.nodes.values().cloned().collect(),
            pods,
            events: events.into_iter().map(|(_, event)| event.clone()).collect(),
            trouble: self.trouble.clone(),
        }
    }
}

fn state_of(node: &Node) -> NodeState {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True");
    if ready { NodeState::Ready } else { NodeState::NotReady }
}

fn seen(pod: &Pod) -> PodSeen {
    let status = pod.status.as_ref();
    let containers = status.and_then(|it| it.container_statuses.as_deref()).unwrap_or_default();
    PodSeen {
        id: pod.metadata.uid.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        state: pod_state(pod, containers),
        restarts: containers.iter().map(|it| u32::try_from(it.restart_count).unwrap_or_default()).sum(),
    }
}

fn pod_state(pod: &Pod, containers: &[ContainerStatus]) -> PodState {
    let status = pod.status.as_ref();
    let phase = status.and_then(|it| it.phase.as_deref());
    let is_ready = status.and_then(|it| it.conditions.as_deref()).unwrap_or_default();
    let is_ready = is_ready.iter().any(|it| it.type_ == "Ready" && it.status == "True");
    let hopeless = |it: &ContainerStatus| {
        let waiting = it.state.as_ref().and_then(|state| state.waiting.as_ref());
        let reason = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
        reason.ends_with("BackOff")
            || reason.starts_with("Err")
            || reason.ends_with("Error")
            || reason == "InvalidImageName"
    };
    let runs = |it: &ContainerStatus| it.state.as_ref().is_some_and(|state| state.running.is_some());
    match phase {
        _ if pod.metadata.deletion_timestamp.is_some() => PodState::Leaving,
        Some("Succeeded") => PodState::Done,
        Some("Failed") => PodState::Failing,
        _ if containers.iter().any(hopeless) => PodState::Failing,
        _ if is_ready => PodState::Ready,
        _ if containers.iter().any(runs) => PodState::NotReady,
        _ => PodState::Starting,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, more: &serde_json::Value) -> Pod {
        let mut text =
            json!({"metadata": {"uid": uid, "name": uid}, "spec": {"nodeName": "worker", "containers": []}});
        text["status"] = more.clone();
        serde_json::from_value(text).unwrap()
    }

    fn ready() -> serde_json::Value {
        json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
    }

    #[test]
    fn each_state_has_its_word() {
        let waiting = |reason: &str| {
            json!({"phase": "Pending", "containerStatuses": [{
                "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 2,
                "state": {"waiting": {"reason": reason}},
            }]})
        };
        let state = |status: &serde_json::Value| seen(&pod("a", status)).state;
        assert_eq!(state(&ready()), PodState::Ready);
        assert_eq!(state(&waiting("ImagePullBackOff")), PodState::Failing);
        assert_eq!(state(&waiting("ContainerCreating")), PodState::Starting);
        assert_eq!(state(&json!({"phase": "Succeeded"})), PodState::Done);
        let mut leaving = pod("a", &ready());
        leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-21T05:00:00Z")).unwrap();
        assert_eq!(seen(&leaving).state, PodState::Leaving);
    }

    #[test]
    fn a_new_beginning_of_one_namespace_forgets_no_other() {
        let mut known = Known::default();
        let begun = Timestamp::now();
        let mut tell = |namespace, event| known.learn(Told::Pod(namespace, Box::new(Ok(event))), begun);
        tell("ocr", watcher::Event::Apply(pod("a", &ready())));
        tell("backend", watcher::Event::Apply(pod("b", &ready())));
        tell("ocr", watcher::Event::Init);
        tell("ocr", watcher::Event::InitApply(pod("c", &ready())));
        let names: Vec<String> = known.scene("").pods.into_iter().map(|pod| pod.name).collect();
        assert_eq!(names, ["b", "c"]);
    }

    #[test]
    fn what_happened_before_the_view_began_is_no_news() {
        let event = |time: &str| -> Event {
            serde_json::from_value(json!({
                "metadata": {"uid": time}, "reason": "Killing", "message": "Stopping container",
                "involvedObject": {"kind": "Pod", "name": "a"}, "lastTimestamp": time, "type": "Normal",
            }))
            .unwrap()
        };
        let mut known = Known::default();
        let begun: Timestamp = "2026-11-21T05:00:00Z".parse().unwrap();
        for time in ["2026-11-21T04:00:00Z", "2026-11-21T06:00:00Z"] {
            known.learn(Told::Event(Box::new(Ok(watcher::Event::Apply(event(time))))), begun);
        }
        let events = known.scene("").events;
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].text, "Killing pod a: Stopping container");
    }
}
