//! Moments from what an API server tells, in the order in which a real one tells it.

use serde_json::{Value, json};

use super::super::survey::tests::gateway;
use super::*;
use crate::chaos::fault::Mode;
use crate::chaos::survey::samples::node;
use crate::chaos::timeline::Clock;
use crate::chaos::victim::What;
use crate::event::Events;

const NODES: [&str; 3] = ["c-control-plane", "c-worker", "c-worker2"];

/// A gateway on each node.
fn survey() -> Survey {
    let pod = |(index, node): (usize, &&str)| {
        let pod = gateway(&format!("gateway-{index}"), &format!("uid-{index}"), Some(node), true);
        pod_facts(&serde_json::from_value(pod).unwrap()).unwrap()
    };
    Survey {
        nodes: NODES.iter().map(|name| node(name, name.contains("control"))).collect(),
        pods: NODES.iter().enumerate().map(pod).collect(),
    }
}

fn node_object(name: &str, ready: &str, taint: Option<&str>) -> Node {
    let taints: Vec<Value> = taint
        .map(|effect| json!({"key": "node.kubernetes.io/unreachable", "effect": effect}))
        .into_iter()
        .collect();
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"taints": taints},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }))
    .unwrap()
}

fn slice(endpoints: &[(&str, &str, bool)]) -> EndpointSlice {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(pod, node, ready)| {
            json!({"addresses": ["10.0.0.1"], "nodeName": node, "conditions": {"ready": ready},
                   "targetRef": {"kind": "Pod", "name": pod}})
        })
        .collect();
    serde_json::from_value(json!({
        "metadata": {"name": "ocr-gateway-x", "namespace": "ocr", "labels": {"kubernetes.io/service-name": "ocr-gateway"}},
        "addressType": "IPv4",
        "endpoints": endpoints,
    }))
    .unwrap()
}

fn pod(value: Value) -> Pod {
    serde_json::from_value(value).unwrap()
}

struct Scene {
    survey: Survey,
    victim: Victim,
    timeline: Timeline,
}

fn scene(what: &What) -> Scene {
    let survey = survey();
    let victim = what.aim(&survey, false).unwrap();
    Scene { survey, victim, timeline: Timeline::new(Clock::start(), Events::silent()) }
}

fn killed(scene: &Scene) -> Eyes<'_> {
    Eyes::new(&scene.survey, &scene.victim, &scene.timeline)
}

fn kill() -> What {
    What::Node { name: Some("c-worker".into()), mode: Mode::Kill }
}

#[test]
fn a_dead_node_goes_through_its_moments() {
    let scene = scene(&kill());
    let (mut eyes, timeline) = (killed(&scene), &scene.timeline);
    eyes.slice(&slice(&[("gateway-1", "c-worker", true), ("gateway-2", "c-worker2", true)]));
    eyes.node(&node_object("c-worker", "True", None));
    timeline.note(MomentKind::Fault, "c-worker");
    eyes.node(&node_object("c-worker2", "Unknown", Some("NoExecute")));
    assert_eq!(timeline.count(MomentKind::NotReady), 0, "another node is not the victim");
    eyes.node(&node_object("c-worker", "Unknown", Some("NoSchedule")));
    assert_eq!((timeline.count(MomentKind::NotReady), timeline.count(MomentKind::Taint)), (1, 0));
    eyes.node(&node_object("c-worker", "Unknown", Some("NoExecute")));
    assert_eq!(timeline.count(MomentKind::Taint), 1);
    eyes.slice(&slice(&[("gateway-1", "c-worker", false), ("gateway-2", "c-worker2", true)]));
    assert_eq!(timeline.count(MomentKind::EndpointsUnready), 1);
    timeline.note(MomentKind::NodeBack, "c-worker");
    eyes.node(&node_object("c-worker", "True", None));
    assert_eq!(timeline.count(MomentKind::NodeReady), 1);
}

#[test]
fn a_pod_that_came_between_the_survey_and_the_fault_replaces_nothing() {
    let scene = scene(&kill());
    let (mut eyes, timeline) = (killed(&scene), &scene.timeline);
    let mut between = gateway("gateway-8", "uid-8", Some("c-worker"), true);
    eyes.pod(&pod(between.clone()));
    timeline.note(MomentKind::Fault, "c-worker");
    eyes.pod(&pod(between.clone()));
    assert_eq!((timeline.count(MomentKind::Scheduled), timeline.count(MomentKind::Ready)), (0, 0));
    between["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    eyes.pod(&pod(between));
    assert_eq!(timeline.count(MomentKind::Eviction), 1);
}

#[test]
fn an_evicted_pod_is_replaced_by_one_that_is_scheduled_started_and_ready() {
    let scene = scene(&kill());
    let (mut eyes, timeline) = (killed(&scene), &scene.timeline);
    timeline.note(MomentKind::Fault, "c-worker");
    for (uid, name, node) in [("uid-1", "gateway-1", "c-worker"), ("uid-2", "gateway-2", "c-worker2")] {
        let mut leaving = gateway(name, uid, Some(node), false);
        leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        eyes.pod(&pod(leaving));
    }
    assert_eq!(timeline.count(MomentKind::Eviction), 1, "only what was on the victim is evicted");
    let mut new = gateway("gateway-9", "uid-9", None, false);
    eyes.pod(&pod(new.clone()));
    assert_eq!(timeline.count(MomentKind::Scheduled), 0);
    new["spec"]["nodeName"] = json!("c-worker2");
    eyes.pod(&pod(new.clone()));
    new["status"]["containerStatuses"] = json!([{
        "name": "gateway", "image": "i", "imageID": "i", "ready": false, "restartCount": 0,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }]);
    eyes.pod(&pod(new.clone()));
    let counts = |kind| timeline.count(kind);
    assert_eq!(
        (counts(MomentKind::Scheduled), counts(MomentKind::Started), counts(MomentKind::Ready)),
        (1, 1, 0)
    );
    new["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    eyes.pod(&pod(new));
    assert_eq!(counts(MomentKind::Ready), 1);
}

#[test]
fn before_the_fault_nothing_is_a_moment_of_it() {
    let scene = scene(&kill());
    let mut eyes = killed(&scene);
    eyes.node(&node_object("c-worker", "Unknown", Some("NoExecute")));
    eyes.pod(&pod(gateway("gateway-9", "uid-9", Some("c-worker2"), true)));
    eyes.slice(&slice(&[("gateway-1", "c-worker", true)]));
    eyes.slice(&slice(&[("gateway-1", "c-worker", false)]));
    assert_eq!(scene.timeline.moments(), []);
}

#[test]
fn of_a_pod_only_its_own_endpoints_count() {
    let scene = scene(&What::Pod { name: Some("gateway-1".into()) });
    let (mut eyes, timeline) = (killed(&scene), &scene.timeline);
    eyes.slice(&slice(&[("gateway-1", "c-worker", true), ("gateway-5", "c-worker", true)]));
    timeline.note(MomentKind::Fault, "ocr/gateway-1");
    eyes.slice(&slice(&[("gateway-5", "c-worker", false)]));
    assert_eq!(timeline.count(MomentKind::EndpointsUnready), 1, "it is no longer among them");
    eyes.node(&node_object("c-worker", "Unknown", Some("NoExecute")));
    assert_eq!(timeline.count(MomentKind::NotReady), 0, "the node is no part of this fault");
}
