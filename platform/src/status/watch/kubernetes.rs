//! Nodes, pods and events of a cluster, as the API server tells of their changes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll, select_all};
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::watch::Sender;

use super::health::{self, Health, Pauses, Stream};
use super::{EventSeen, NodeSeen, PodSeen, PodState, Scene, show};
use crate::cluster::NodeState;
use crate::cluster::client::client;
use crate::cluster::objects::{is_node_ready, is_pod_ready};
use crate::error::Result;
use crate::up::{Component, NAMESPACES};

/// So many of the cluster's events are kept.
const EVENTS: usize = 200;
/// The server ends a quiet watch after so many seconds, before this client takes its silence for a failure.
const WATCH_SECONDS: u32 = 45;

/// One change, of whichever kind.
enum Told {
    Node(Box<watcher::Result<watcher::Event<Node>>>),
    Pod(&'static str, Box<watcher::Result<watcher::Event<Pod>>>),
    Event(&'static str, Box<watcher::Result<watcher::Event<Event>>>),
}

/// What is known of the cluster.
#[derive(Default)]
struct Known {
    nodes: Listed<NodeSeen>,
    /// By namespace, so that a new listing of one forgets no other's.
    pods: BTreeMap<&'static str, Listed<PodSeen>>,
    events: BTreeMap<String, (Timestamp, EventSeen)>,
    health: Health,
}

/// What one stream tells of, by unique id. A new listing takes effect at its end, as a whole.
struct Listed<T> {
    known: BTreeMap<String, T>,
    listing: BTreeMap<String, T>,
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), listing: BTreeMap::new() }
    }
}

impl<T> Listed<T> {
    fn learn<K>(&mut self, told: watcher::Event<K>, seen: impl FnOnce(&K) -> (String, T)) {
        match told {
            watcher::Event::Init => self.listing.clear(),
            watcher::Event::InitApply(object) => self.listing.extend([seen(&object)]),
            watcher::Event::InitDone => self.known = std::mem::take(&mut self.listing),
            watcher::Event::Apply(object) => self.known.extend([seen(&object)]),
            watcher::Event::Delete(object) => {
                self.known.remove(&seen(&object).0);
            }
        }
    }
}

pub async fn watch(context: &str, scenes: &Sender<Scene>) -> Result<()> {
    let client = client(context).await?;
    let title = format!("context {context}");
    let begun = Timestamp::now();
    let mut told = streams(&client);
    let mut known = Known { health: Health::awaiting(told.len()), ..Known::default() };
    let mut looks = tokio::time::interval(health::LOOK);
    loop {
        tokio::select! {
            next = told.next() => match next {
                Some(next) => known.learn(next, begun, Instant::now()),
                None => return Ok(()),
            },
            _ = looks.tick() => known.health.forget(Instant::now()),
            () = scenes.closed() => return Ok(()),
        }
        // The first listings together are the first scene.
        if known.health.is_settled() {
            show(scenes, known.scene(&title));
        }
    }
}

fn streams(client: &kube::Client) -> SelectAll<BoxStream<'static, Told>> {
    let nodes = follow(Api::<Node>::all(client.clone())).map(|told| Told::Node(Box::new(told))).boxed();
    let in_namespaces = namespaces().flat_map(|namespace| {
        let pods = follow(Api::<Pod>::namespaced(client.clone(), namespace));
        let events = follow(Api::<Event>::namespaced(client.clone(), namespace));
        [
            pods.map(move |told| Told::Pod(namespace, Box::new(told))).boxed(),
            events.map(move |told| Told::Event(namespace, Box::new(told))).boxed(),
        ]
    });
    select_all(std::iter::once(nodes).chain(in_namespaces))
}

fn namespaces() -> impl Iterator<Item = &'static str> {
    let all = NAMESPACES.into_iter().chain(Component::ALL.map(Component::namespace));
    // Several components may share one.
    all.collect::<BTreeSet<_>>().into_iter()
}

/// For ever: a connection that breaks is made again.
fn follow<K>(api: Api<K>) -> BoxStream<'static, watcher::Result<watcher::Event<K>>>
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watcher(api, watcher::Config::default().timeout(WATCH_SECONDS)).backoff(Pauses).boxed()
}

impl Known {
    fn learn(&mut self, told: Told, begun: Timestamp, now: Instant) {
        match told {
            Told::Node(told) => {
                let Some(event) = self.health.hear(Stream::Nodes, *told, now) else { return };
                self.nodes.learn(event, |node| {
                    let name = node.metadata.name.clone().unwrap_or_default();
                    (name.clone(), NodeSeen { name, state: state_of(node) })
                });
            }
            Told::Pod(namespace, told) => {
                let Some(event) = self.health.hear(Stream::Pods(namespace), *told, now) else { return };
                self.pods.entry(namespace).or_default().learn(event, |pod| {
                    let pod = seen(pod);
                    (pod.id.clone(), pod)
                });
            }
            Told::Event(namespace, told) => {
                let Some(event) = self.health.hear(Stream::Events(namespace), *told, now) else { return };
                self.event(event, begun);
            }
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
        let mut pods: Vec<PodSeen> =
            self.pods.values().flat_map(|listed| listed.known.values().cloned()).collect();
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        let mut events: Vec<&(Timestamp, EventSeen)> = self.events.values().collect();
        events.sort_by_key(|(time, _)| *time);
        Scene {
            title: title.into(),
            nodes: self.nodes.known.values().cloned().collect(),
            pods,
            events: events.into_iter().map(|(_, event)| event.clone()).collect(),
            trouble: self.health.trouble(),
        }
    }
}

fn state_of(node: &Node) -> NodeState {
    if is_node_ready(node) { NodeState::Ready } else { NodeState::NotReady }
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
        _ if is_pod_ready(pod) => PodState::Ready,
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

    fn tell(known: &mut Known, namespace: &'static str, event: watcher::Event<Pod>) -> Vec<String> {
        known.learn(Told::Pod(namespace, Box::new(Ok(event))), Timestamp::now(), Instant::now());
        known.scene("").pods.into_iter().map(|pod| pod.name).collect()
    }

    #[test]
    fn a_new_listing_takes_effect_at_its_end_and_of_its_own_namespace_alone() {
        let mut known = Known::default();
        tell(&mut known, "ocr", watcher::Event::Apply(pod("a", &ready())));
        tell(&mut known, "ocr", watcher::Event::Apply(pod("c", &ready())));
        tell(&mut known, "backend", watcher::Event::Apply(pod("b", &ready())));
        let before = known.scene("");
        tell(&mut known, "ocr", watcher::Event::Init);
        let half = tell(&mut known, "ocr", watcher::Event::InitApply(pod("c", &ready())));
        assert_eq!(half, ["a", "b", "c"]);
        assert_eq!(super::super::changes(&before, &known.scene("")), [], "half a list is no news");
        // The connection breaks there, and the listing begins anew.
        tell(&mut known, "ocr", watcher::Event::Init);
        tell(&mut known, "ocr", watcher::Event::InitApply(pod("d", &ready())));
        assert_eq!(tell(&mut known, "ocr", watcher::Event::InitDone), ["b", "d"]);
        assert_eq!(tell(&mut known, "ocr", watcher::Event::Delete(pod("d", &ready()))), ["b"]);
    }

    #[test]
    fn there_is_no_scene_before_every_stream_has_told_its_first_listing() {
        let mut known = Known { health: Health::awaiting(2), ..Known::default() };
        for event in [watcher::Event::Init, watcher::Event::InitApply(pod("a", &ready()))] {
            tell(&mut known, "ocr", event);
        }
        tell(&mut known, "ocr", watcher::Event::InitDone);
        tell(&mut known, "backend", watcher::Event::Init);
        assert!(!known.health.is_settled());
        assert_eq!(tell(&mut known, "backend", watcher::Event::InitDone), ["a"]);
        assert!(known.health.is_settled());
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
            let told = Box::new(Ok(watcher::Event::Apply(event(time))));
            known.learn(Told::Event("ocr", told), begun, Instant::now());
        }
        let events = known.scene("").events;
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].text, "Killing pod a: Stopping container");
    }
}
