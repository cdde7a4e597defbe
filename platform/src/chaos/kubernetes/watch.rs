//! What the API server tells of nodes, pods and endpoints, turned into moments.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, select_all};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};

use super::settings;
use super::survey::{evicts, pod_facts};
use crate::chaos::fault::Fault;
use crate::chaos::report::MomentKind;
use crate::chaos::survey::Survey;
use crate::chaos::timeline::Timeline;
use crate::chaos::victim::Victim;
use crate::cluster::objects::{is_node_ready, is_pod_ready};
use crate::up::NAMESPACES;

/// The label by which a slice names its Service.
const SERVICE: &str = "kubernetes.io/service-name";
const LEASE_EVERY: Duration = Duration::from_secs(1);
/// How long the API server keeps one watch open; shorter than the client's patience with a silent connection.
const WATCH_SECONDS: u32 = 45;

#[expect(clippy::large_enum_variant, reason = "one at a time, looked at and dropped")]
enum Object {
    Node(Node),
    Pod(Pod),
    Slice(EndpointSlice),
}

/// Never ends; a watch that breaks is begun again.
pub async fn follow(client: &kube::Client, survey: &Survey, victim: &Victim, timeline: &Timeline) {
    let mut objects = select_all(streams(client));
    let mut seen = Eyes::new(survey, victim, timeline);
    let watching = async {
        while let Some(object) = objects.next().await {
            match object {
                Object::Node(node) => seen.node(&node),
                Object::Pod(pod) => seen.pod(&pod),
                Object::Slice(slice) => seen.slice(&slice),
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::join!(watching, watch_lease(client, victim, timeline));
}

fn streams(client: &kube::Client) -> Vec<BoxStream<'static, Object>> {
    let config = || watcher::Config::default().timeout(WATCH_SECONDS);
    let ours = || config().labels("app.kubernetes.io/part-of=platen");
    let mut streams = vec![objects(Api::all(client.clone()), config(), Object::Node)];
    for namespace in NAMESPACES {
        streams.push(objects(Api::namespaced(client.clone(), namespace), ours(), Object::Pod));
        streams.push(objects(Api::namespaced(client.clone(), namespace), config(), Object::Slice));
    }
    streams
}

fn objects<K>(api: Api<K>, config: watcher::Config, wrap: fn(K) -> Object) -> BoxStream<'static, Object>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
    K::DynamicType: Default,
{
    let events = kube::runtime::watcher(api, config).default_backoff();
    let objects = events.filter_map(move |event| async move {
        match event {
            Ok(Event::Apply(object) | Event::InitApply(object)) => Some(wrap(object)),
            Ok(Event::Delete(_) | Event::Init | Event::InitDone) => None,
            Err(error) => {
                tracing::debug!(%error, "a watch is begun again");
                None
            }
        }
    });
    objects.boxed()
}

/// A lease that is older than it is good for tells nobody that it is: it is looked at.
async fn watch_lease(client: &kube::Client, victim: &Victim, timeline: &Timeline) {
    let mut looks = tokio::time::interval(LEASE_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let outage = matches!(victim.fault, Fault::Node { .. })
            && timeline.at(MomentKind::Fault).is_some()
            && timeline.at(MomentKind::NodeBack).is_none();
        if !outage || timeline.at(MomentKind::LeaseStale).is_some() {
            continue;
        }
        let Ok(Some(lease)) = settings::lease(client, &victim.node).await else { continue };
        let Some(spec) = lease.spec else { continue };
        let (Some(renewed), Some(duration)) = (spec.renew_time, spec.lease_duration_seconds) else {
            continue;
        };
        if timeline.clock.now() - timeline.clock.of(renewed.0) > f64::from(duration) {
            timeline.note(MomentKind::LeaseStale, &victim.node);
        }
    }
}

/// What was seen before decides what a further sight means.
struct Eyes<'a> {
    victim: &'a Victim,
    timeline: &'a Timeline,
    /// Owners of what was hit: their new pods are replacements.
    owners: BTreeSet<String>,
    /// Pods that were seen before the fault: whatever made them, it was not the fault.
    before: BTreeSet<String>,
    /// Slices that held ready endpoints of the victim.
    served: BTreeSet<String>,
}

impl<'a> Eyes<'a> {
    fn new(survey: &Survey, victim: &'a Victim, timeline: &'a Timeline) -> Self {
        let hit = survey.pods.iter().filter(|pod| pod.ours && victim.hits(&pod.node, &pod.full_name()));
        let owners = hit.filter_map(|pod| pod.owner.clone()).collect();
        let before = survey.pods.iter().map(|pod| pod.uid.clone()).collect();
        Self { victim, timeline, owners, before, served: BTreeSet::new() }
    }

    /// Between the fault and the victim's return.
    fn is_outage(&self) -> bool {
        self.timeline.at(MomentKind::Fault).is_some() && self.timeline.at(MomentKind::NodeBack).is_none()
    }

    fn node(&mut self, node: &Node) {
        if node.metadata.name.as_deref() != Some(&self.victim.node)
            || !matches!(self.victim.fault, Fault::Node { .. })
        {
            return;
        }
        let comes_to = |kind| self.timeline.note(kind, &self.victim.node);
        if self.is_outage() {
            if !is_node_ready(node) {
                comes_to(MomentKind::NotReady);
            }
            if evicts(node) {
                comes_to(MomentKind::Taint);
            }
        } else if self.timeline.at(MomentKind::NodeBack).is_some()
            && self.timeline.at(MomentKind::NotReady).is_some()
            && is_node_ready(node)
        {
            comes_to(MomentKind::NodeReady);
        }
    }

    fn pod(&mut self, pod: &Pod) {
        let (Some(uid), Some(name)) = (pod.metadata.uid.as_deref(), pod.metadata.name.as_deref()) else {
            return;
        };
        if self.timeline.at(MomentKind::Fault).is_none() {
            self.before.insert(uid.to_owned());
        }
        if !self.is_outage() {
            return;
        }
        if self.before.contains(uid) {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
            let hit = matches!(self.victim.fault, Fault::Node { .. }) && node == self.victim.node;
            if hit && pod.metadata.deletion_timestamp.is_some() {
                self.timeline.note(MomentKind::Eviction, name);
            }
            return;
        }
        let Some(facts) = pod_facts(pod).filter(|facts| facts.ours) else { return };
        if !facts.owner.is_some_and(|owner| self.owners.contains(&owner)) {
            return;
        }
        if !facts.node.is_empty() {
            self.timeline.note(MomentKind::Scheduled, name);
        }
        let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
        let runs = |container: &k8s_openapi::api::core::v1::ContainerStatus| {
            container.state.as_ref().is_some_and(|state| state.running.is_some())
        };
        if containers.is_some_and(|all| !all.is_empty() && all.iter().all(runs)) {
            self.timeline.note(MomentKind::Started, name);
        }
        if is_pod_ready(pod) {
            self.timeline.note(MomentKind::Ready, name);
        }
    }

    fn slice(&mut self, slice: &EndpointSlice) {
        let Some(name) = slice.metadata.name.clone() else { return };
        let serves = slice.endpoints.iter().flatten().any(|endpoint| {
            let pod = endpoint.target_ref.as_ref().and_then(|it| it.name.as_deref()).unwrap_or_default();
            let pod = format!("{}/{pod}", slice.metadata.namespace.as_deref().unwrap_or_default());
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false);
            ready && self.victim.hits(endpoint.node_name.as_deref().unwrap_or_default(), &pod)
        });
        if serves {
            self.served.insert(name);
        } else if self.is_outage() && self.served.remove(&name) {
            let service = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE)).cloned();
            self.timeline.note(MomentKind::EndpointsUnready, service.unwrap_or(name));
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
