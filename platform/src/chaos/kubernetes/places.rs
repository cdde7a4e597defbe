//! Whether everything is as it was before a fault, and at its place.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams};

use crate::chaos::survey::{PodFacts, Survey};
use crate::diagnose;
use crate::error::{Doing, Result};
use crate::event::Step;
use crate::up::NAMESPACES;
use crate::wait::{Seen, until};

/// One pod that leaves, drained, and the one that replaces it.
const MOVED_WITHIN: Duration = Duration::from_mins(2);

/// Of each owner, how many pods are ready on each node.
type Places<'a> = BTreeMap<(&'a str, &'a str), BTreeMap<&'a str, usize>>;

fn places(survey: &Survey) -> Places<'_> {
    let mut places = Places::new();
    for pod in survey.pods.iter().filter(|pod| pod.ready) {
        let Some(owner) = pod.owner.as_deref() else { continue };
        *places.entry((&pod.namespace, owner)).or_default().entry(&pod.node).or_default() += 1;
    }
    places
}

/// `alive`: nodes that spoke since the victim came back, where that can be seen; `leaving`: pods on their way out.
pub fn missing(before: &Survey, now: &Survey, alive: Option<&[String]>, leaving: Vec<String>) -> Vec<String> {
    let spoke = |name: &str| alive.is_none_or(|alive| alive.iter().any(|it| it == name));
    let well = |name: &str| now.node(name).is_some_and(|node| node.ready && !node.evicts) && spoke(name);
    let nodes = before.nodes.iter().filter(|node| node.ready && !well(&node.name));
    let mut missing: Vec<String> = nodes.map(|node| format!("node {} to be Ready", node.name)).collect();
    let there = places(now);
    for (key, nodes) in places(before) {
        let count = |nodes: &BTreeMap<&str, usize>| nodes.values().sum::<usize>();
        let (wanted, found) = (count(&nodes), there.get(&key).map_or(0, count));
        if found < wanted {
            missing.push(format!("{} in {} to have {wanted} ready pods ({found} are)", key.1, key.0));
        }
    }
    missing.extend(leaving.into_iter().map(|pod| format!("{pod} to be gone")));
    missing
}

/// Platen's pods that are on their way out.
pub async fn leaving(client: &kube::Client) -> Result<Vec<String>> {
    let mut leaving = Vec::new();
    for namespace in NAMESPACES {
        let pods = Api::<Pod>::namespaced(client.clone(), namespace).list(&diagnose::ours()).await;
        let pods = pods.doing(format!("listing the pods of namespace {namespace}"))?;
        let leave = pods.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_some());
        leaving.extend(leave.filter_map(|pod| pod.metadata.name));
    }
    Ok(leaving)
}

/// A node that had more pods of an owner than it has now, while another has more than it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Displaced {
    pub namespace: String,
    pub owner: String,
    pub lacks: String,
    pub surplus: String,
}

impl Displaced {
    pub fn sentence(&self, context: &str) -> String {
        let Self { namespace, owner, lacks, surplus } = self;
        let object = owner.replace("Deployment ", "deployment/");
        format!(
            "a pod of {owner} that was on {lacks} is on {surplus} now (--rebalance moves it once, and the scheduler has the last word); \
             spread them: kubectl --context {context} -n {namespace} rollout restart {object}"
        )
    }
}

/// Without the pods that are not Platen's.
pub fn ours(survey: &Survey) -> Survey {
    let pods = survey.pods.iter().filter(|pod| pod.ours).cloned();
    Survey { nodes: survey.nodes.clone(), pods: pods.collect() }
}

/// Of Platen's own.
pub fn displaced(before: &Survey, now: &Survey) -> Vec<Displaced> {
    let (before, now) = (ours(before), ours(now));
    let there = places(&now);
    let mut displaced = Vec::new();
    for ((namespace, owner), nodes) in places(&before) {
        let Some(found) = there.get(&(namespace, owner)) else { continue };
        let on = |nodes: &BTreeMap<&str, usize>, node: &str| nodes.get(node).copied().unwrap_or_default();
        let lacking = nodes.iter().filter(|(node, count)| on(found, node) < **count).map(|(node, _)| *node);
        let surplus = found.iter().filter(|(node, count)| on(&nodes, node) < **count).map(|(node, _)| *node);
        displaced.extend(std::iter::zip(lacking, surplus).map(|(lacks, surplus)| Displaced {
            namespace: namespace.into(),
            owner: owner.into(),
            lacks: lacks.into(),
            surplus: surplus.into(),
        }));
    }
    displaced
}

/// Of each owner, how many pods are not where they were: so many may be moved, and none twice.
fn moves(before: &Survey, now: &Survey) -> BTreeMap<(String, String), usize> {
    let there = places(now);
    let gone = |key: &(&str, &str), nodes: &BTreeMap<&str, usize>| -> usize {
        let found =
            |node: &str| there.get(key).and_then(|found| found.get(node)).copied().unwrap_or_default();
        nodes.iter().map(|(node, count)| count.saturating_sub(found(node))).sum()
    };
    let moves = places(before).into_iter().map(|(key, nodes)| {
        let count = gone(&key, &nodes);
        ((key.0.to_owned(), key.1.to_owned()), count)
    });
    moves.collect()
}

/// One surplus pod after the other is removed in order, the next only when as many are ready as before; what replaces it
/// goes where there are too few, as the scheduler's rule of even spread wants it. One that comes back to where it was
/// taken from stays there, and is told as displaced.
pub async fn rebalance<F>(
    client: &kube::Client,
    before: &Survey,
    look: impl Fn() -> F,
    tell: &Step,
) -> Result<()>
where
    F: Future<Output = Result<Survey>>,
{
    let mut now = look().await?;
    let mut left = moves(before, &now);
    loop {
        let next = displaced(before, &now).into_iter().find_map(|it| {
            let left = left.get_mut(&(it.namespace.clone(), it.owner.clone())).filter(|left| **left > 0)?;
            let surplus = now.pods.iter().find(|pod| is_of(&it, pod) && pod.node == it.surplus)?;
            *left -= 1;
            Some((it, surplus.name.clone()))
        });
        let Some((it, pod)) = next else { return Ok(()) };
        tell.message(format!("{pod} makes room on {} for one on {}", it.surplus, it.lacks));
        now = make_room(client, before, &look, (&it, &pod)).await?;
    }
}

fn is_of(it: &Displaced, pod: &PodFacts) -> bool {
    pod.owner.as_deref() == Some(&*it.owner) && pod.namespace == it.namespace
}

/// What is there once the pod is gone and as many are ready as before.
async fn make_room<F>(
    client: &kube::Client,
    before: &Survey,
    look: &impl Fn() -> F,
    (it, pod): (&Displaced, &str),
) -> Result<Survey>
where
    F: Future<Output = Result<Survey>>,
{
    let ready = |survey: &Survey| survey.pods.iter().filter(|pod| is_of(it, pod) && pod.ready).count();
    let api = Api::<Pod>::namespaced(client.clone(), &it.namespace);
    let removed = api.delete(pod, &DeleteParams::default()).await;
    removed.map(drop).doing(format!("removing {pod}"))?;
    let wanted = ready(before);
    until(MOVED_WITHIN, "cargo xtask status", || async {
        let now = look().await?;
        let gone = api.get_opt(pod).await.doing(format!("looking for {pod}"))?.is_none();
        Ok(if gone && ready(&now) >= wanted {
            Seen::Ready(now)
        } else {
            Seen::Awaiting(format!("{wanted} pods of {} to be ready", it.owner))
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use kube::client::Body;

    use super::*;
    use crate::chaos::survey::samples::{pod, three_nodes};
    use crate::event::Events;

    /// Removes what it is told to and has no pod of the name afterwards; counts what it removed.
    fn api_server(removed: &'static AtomicUsize) -> kube::Client {
        let (service, mut handle) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
        tokio::spawn(async move {
            while let Some((request, respond)) = handle.next_request().await {
                let (code, status) = if request.method() == http::Method::DELETE {
                    removed.fetch_add(1, Ordering::SeqCst);
                    (200, "Success")
                } else {
                    (404, "Failure")
                };
                let body = serde_json::json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": status, "code": code,
                    "reason": "NotFound", "message": "",
                });
                let body = Body::from(body.to_string().into_bytes());
                respond.send_response(http::Response::builder().status(code).body(body).unwrap());
            }
        });
        kube::Client::new(service, "default")
    }

    #[tokio::test]
    async fn a_pod_that_comes_back_to_the_wrong_node_is_moved_once_and_then_told() {
        static REMOVED: AtomicUsize = AtomicUsize::new(0);
        let (before, mut now) = (three_nodes(), three_nodes());
        // The only OCR server, wherever it is taken from, and two gateways of which none goes back.
        now.pods[5] = pod("ocr-server", 9, "c-worker");
        now.pods[1] = pod("gateway", 8, "c-control-plane");
        now.pods[2] = pod("gateway", 9, "c-control-plane");
        let look = || async { Ok(now.clone()) };
        let step = Events::silent().step("rebalance", "", None);
        rebalance(&api_server(&REMOVED), &before, look, &step).await.unwrap();
        assert_eq!(REMOVED.load(Ordering::SeqCst), 3);
        assert!(displaced(&before, &now).iter().any(|it| it.owner == "Deployment ocr-server"));
    }

    #[test]
    fn of_a_cluster_of_somebody_elses_only_our_own_pods_are_awaited() {
        let mut before = three_nodes();
        before.pods[3].ours = false;
        let mut now = before.clone();
        now.pods.remove(3);
        assert_eq!(missing(&before, &now, Some(&alive()), Vec::new()).len(), 1);
        assert!(missing(&ours(&before), &now, Some(&alive()), Vec::new()).is_empty());
    }

    fn alive() -> [String; 3] {
        ["c-control-plane", "c-worker", "c-worker2"].map(String::from)
    }

    #[test]
    fn all_as_before_misses_nothing_and_is_at_its_place() {
        let survey = three_nodes();
        assert!(missing(&survey, &survey, Some(&alive()), Vec::new()).is_empty());
        assert!(displaced(&survey, &survey).is_empty());
    }

    #[test]
    fn a_node_that_has_not_spoken_since_is_not_back_whatever_the_api_server_remembers() {
        let survey = three_nodes();
        let missing = missing(&survey, &survey, Some(&alive()[..2]), vec!["gateway-3".into()]);
        assert_eq!(missing, ["node c-worker2 to be Ready", "gateway-3 to be gone"]);
    }

    #[test]
    fn a_node_that_pods_are_still_driven_away_from_is_not_back() {
        let (before, mut now) = (three_nodes(), three_nodes());
        now.nodes[2].evicts = true;
        assert_eq!(missing(&before, &now, Some(&alive()), Vec::new()), ["node c-worker2 to be Ready"]);
    }

    #[test]
    fn who_may_not_see_the_leases_goes_by_the_nodes_own_word() {
        let (before, mut now) = (three_nodes(), three_nodes());
        assert!(missing(&before, &now, None, Vec::new()).is_empty());
        now.nodes[2].ready = false;
        assert_eq!(missing(&before, &now, None, Vec::new()), ["node c-worker2 to be Ready"]);
    }

    #[test]
    fn too_few_ready_pods_are_missed_by_their_owner() {
        let (before, mut now) = (three_nodes(), three_nodes());
        now.pods[3].ready = false;
        let missing = missing(&before, &now, Some(&alive()), Vec::new());
        assert_eq!(missing, ["Deployment model in ocr to have 2 ready pods (1 are)"]);
    }

    #[test]
    fn a_pod_that_moved_to_another_node_is_displaced() {
        let (before, mut now) = (three_nodes(), three_nodes());
        now.pods[2] = pod("gateway", 9, "c-worker");
        now.pods[4] = pod("model", 9, "c-worker");
        let displaced = displaced(&before, &now);
        let found: Vec<_> =
            displaced.iter().map(|it| (it.owner.as_str(), it.lacks.as_str(), it.surplus.as_str())).collect();
        assert_eq!(
            found,
            [("Deployment gateway", "c-worker2", "c-worker"), ("Deployment model", "c-worker2", "c-worker"),]
        );
        let sentence = displaced[0].sentence("kind-c");
        assert!(
            sentence.ends_with("kubectl --context kind-c -n ocr rollout restart deployment/gateway"),
            "{sentence}"
        );
    }
}
