//! Objects as a real cluster shows them, and the sentence for each.

use k8s_openapi::api::core::v1::{Event, Node, Pod};
use serde_json::{Value, json};

use super::*;

/// A pod of the chart whose one container has this status.
fn pod(status: &Value) -> Pod {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "model-server-7d4b9c6f5-x2x1c", "namespace": "ocr", "uid": "u1",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "model-server-7d4b9c6f5", "uid": "r1"}],
        },
        "spec": {
            "nodeName": "platen-worker",
            "containers": [{
                "name": "model", "image": "localhost:5000/platen/ocr-service:1",
                "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
            }],
        },
        "status": {"phase": "Pending", "containerStatuses": [status]},
    }))
    .unwrap()
}

fn waiting(reason: &str, message: &str) -> Pod {
    pod(&json!({
        "name": "model", "image": "localhost:5000/platen/ocr-service:1", "imageID": "", "ready": false,
        "restartCount": 0, "state": {"waiting": {"reason": reason, "message": message}},
    }))
}

fn event(reason: &str, message: &str) -> Event {
    serde_json::from_value(json!({
        "metadata": {"name": "e", "namespace": "ocr"}, "type": "Warning", "reason": reason, "message": message,
        "involvedObject": {"kind": "Pod", "namespace": "ocr", "name": "model-server-7d4b9c6f5-x2x1c", "uid": "u1"},
        "lastTimestamp": "2026-11-21T05:00:00Z",
    }))
    .unwrap()
}

fn node(ready: &str) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": "platen-worker"},
        "spec": {"providerID": "kind://docker/platen/platen-worker"},
        "status": {
            "conditions": [
                {"type": "MemoryPressure", "status": "False", "reason": "KubeletHasSufficientMemory"},
                {"type": "Ready", "status": ready, "reason": "NodeStatusUnknown",
                 "message": "Kubelet stopped posting node status.", "lastTransitionTime": "2026-11-21T05:00:00Z"},
            ],
            "nodeInfo": {
                "architecture": "amd64", "operatingSystem": "linux", "bootID": "", "containerRuntimeVersion": "",
                "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": "v1.36.3", "machineID": "",
                "osImage": "", "systemUUID": "",
            },
        },
    }))
    .unwrap()
}

/// The one finding for a pod on a healthy node.
fn the_finding(pod: &Pod, events: &[Event]) -> Finding {
    let findings = explain_pod(pod, events, &[node("True")]);
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings.into_iter().next().unwrap()
}

#[test]
fn an_image_of_another_platform_is_named_with_the_nodes_platform() {
    let message = r#"rpc error: code = NotFound desc = failed to pull and unpack image "localhost:5000/platen/ocr-service:1": no match for platform in manifest: not found"#;
    let finding = the_finding(&waiting("ErrImagePull", message), &[]);
    assert_eq!(
        finding.sentence,
        "the image localhost:5000/platen/ocr-service:1 was not built for its node's platform linux/amd64"
    );
    assert_eq!(finding.command, "kubectl get nodes --label-columns kubernetes.io/arch");
}

#[test]
fn the_cause_of_a_back_off_is_read_from_the_event_before_it() {
    let pulled = event(
        "Failed",
        r#"Failed to pull image "localhost:5000/platen/ocr-service:1": rpc error: code = NotFound desc = failed to resolve reference "localhost:5000/platen/ocr-service:1": localhost:5000/platen/ocr-service:1: not found"#,
    );
    let back_off =
        waiting("ImagePullBackOff", r#"Back-off pulling image "localhost:5000/platen/ocr-service:1""#);
    let finding = the_finding(&back_off, &[event("Failed", "Error: ImagePullBackOff"), pulled]);
    assert_eq!(
        finding.sentence,
        "there is no image localhost:5000/platen/ocr-service:1 in the registry localhost:5000"
    );
}

#[test]
fn a_missing_pull_secret_is_told_from_a_wrong_one() {
    let message = "rpc error: code = Unknown desc = failed to pull and unpack image: failed to resolve reference: \
                   pull access denied, repository does not exist or may require authorization: server message: \
                   insufficient_scope: authorization failed";
    let mut pod = waiting("ErrImagePull", message);
    assert!(the_finding(&pod, &[]).sentence.ends_with("the pod names no pull secret"));
    pod.spec.as_mut().unwrap().image_pull_secrets =
        serde_json::from_value(json!([{"name": "regcred"}])).unwrap();
    assert!(the_finding(&pod, &[]).sentence.contains("localhost:5000 refuses the pull secret"));
}

#[test]
fn a_registry_that_does_not_answer_is_named() {
    let message = "rpc error: code = Unknown desc = failed to do request: Head \"http://localhost:5000/v2/\": dial tcp \
                   127.0.0.1:5000: connect: connection refused";
    let finding = the_finding(&waiting("ImagePullBackOff", message), &[]);
    assert!(
        finding.sentence.starts_with("the registry localhost:5000 does not answer the node"),
        "{finding}"
    );
}

#[test]
fn a_crash_loop_tells_the_exit_code_and_the_last_words() {
    let pod = pod(&json!({
        "name": "model", "image": "i", "imageID": "", "ready": false, "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
        "lastState": {"terminated": {"exitCode": 2, "reason": "Error", "message": "starting\nerror: no tessdata for kor\n"}},
    }));
    let finding = the_finding(&pod, &[]);
    assert_eq!(
        finding.sentence,
        "container model ended with exit code 2, 4 restarts so far; its last words: error: no tessdata for kor"
    );
    assert_eq!(
        finding.command,
        "kubectl --namespace ocr logs model-server-7d4b9c6f5-x2x1c --container model --previous"
    );
}

#[test]
fn a_container_killed_for_its_memory_gets_a_command_that_gives_it_twice_as_much() {
    let pod = pod(&json!({
        "name": "model", "image": "i", "imageID": "", "ready": false, "restartCount": 1,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }));
    let finding = the_finding(&pod, &[]);
    assert_eq!(finding.sentence, "container model was killed for using more than its 1Gi of memory");
    assert_eq!(
        finding.command,
        "kubectl --namespace ocr set resources deployment model-server --containers model --limits memory=2Gi"
    );
}

#[test]
fn a_pod_without_a_node_tells_what_each_node_lacks() {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "ocr"},
        "spec": {"containers": [{"name": "model", "resources": {"requests": {"cpu": "3", "memory": "1Gi"}}}]},
        "status": {"phase": "Pending", "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient cpu. preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.",
        }]},
    }))
    .unwrap();
    let finding = the_finding(&pod, &[]);
    assert_eq!(
        finding.sentence,
        "no node can take it: 1 node has the taint node-role.kubernetes.io/control-plane, 2 nodes have too little \
         free cpu; it asks for 3 cpu and 1Gi memory"
    );
}

#[test]
fn a_missing_secret_gets_the_command_that_makes_it() {
    let finding =
        the_finding(&waiting("CreateContainerConfigError", r#"secret "ocr-server-env" not found"#), &[]);
    assert_eq!(
        finding.command,
        "kubectl --namespace ocr create secret generic ocr-server-env --from-env-file .env"
    );
}

#[test]
fn a_failing_probe_counts_only_while_the_container_is_not_ready() {
    let status = |ready: bool| {
        pod(&json!({
            "name": "model", "image": "i", "imageID": "", "ready": ready, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-11-21T05:00:00Z"}},
        }))
    };
    let events = [event("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")];
    let finding = the_finding(&status(false), &events);
    assert_eq!(
        finding.sentence,
        "container model runs and is not ready: Readiness probe failed: HTTP probe failed with statuscode: 503"
    );
    assert_eq!(explain_pod(&status(true), &events, &[]), []);
    assert_eq!(explain_pod(&status(false), &[], &[]), []);
}

#[test]
fn a_container_that_is_only_starting_is_no_finding() {
    assert_eq!(explain_pod(&waiting("ContainerCreating", ""), &[], &[]), []);
}

#[test]
fn a_volume_that_is_missing_is_told_while_the_container_waits() {
    let said = r#"MountVolume.SetUp failed for volume "env" : secret "ocr-server-env" not found"#;
    let finding = the_finding(&waiting("ContainerCreating", ""), &[event("FailedMount", said)]);
    assert!(finding.sentence.contains("ocr-server-env"), "{finding}");
}

#[test]
fn a_dead_node_of_kind_gets_the_command_that_starts_it() {
    let finding = explain_node(&node("Unknown")).unwrap();
    assert!(finding.sentence.starts_with("it has not answered since 2026-11-21T05:00:00"), "{finding}");
    assert_eq!(finding.command, "docker start platen-worker");
    assert_eq!(explain_node(&node("True")), None);
}

#[test]
fn pods_that_pod_security_refuses_are_told_by_their_replica_set() {
    let mut refused = event(
        "FailedCreate",
        r#"Error creating: pods "model-server-x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true"#,
    );
    refused.involved_object.kind = Some("ReplicaSet".into());
    refused.involved_object.name = Some("model-server-7d4b9c6f5".into());
    let findings = explain(&[], std::slice::from_ref(&refused), &[]);
    assert_eq!(findings[0].object, "replicaset ocr/model-server-7d4b9c6f5");
    assert!(findings[0].sentence.contains("violates PodSecurity"), "{}", findings[0]);
    // An old event of a set that has its pods by now says nothing about today.
    assert_eq!(explain(&[waiting("ContainerCreating", "")], &[refused], &[]), []);
}

#[test]
fn a_command_can_be_bound_to_a_context() {
    let finding =
        explain_pod(&waiting("CreateContainerError", "x"), &[], &[]).remove(0).in_context("kind-platen");
    assert!(finding.command.starts_with("kubectl --context kind-platen --namespace ocr describe pod"));
}

/// A cluster that must be asked exactly these questions, in this order.
fn answering(script: Vec<(&'static str, Value)>) -> (kube::Client, tokio::task::JoinHandle<()>) {
    let (service, mut handle) =
        tower_test::mock::pair::<http::Request<kube::client::Body>, http::Response<kube::client::Body>>();
    let server = tokio::spawn(async move {
        for (uri, answer) in script {
            let (request, respond) = handle.next_request().await.unwrap();
            assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("GET", uri));
            let body = kube::client::Body::from(serde_json::to_vec(&answer).unwrap());
            respond.send_response(http::Response::new(body));
        }
    });
    (kube::Client::new(service, "default"), server)
}

fn list(kind: &str, items: impl serde::Serialize) -> Value {
    json!({"apiVersion": "v1", "kind": format!("{kind}List"), "metadata": {"resourceVersion": "1"}, "items": items})
}

fn script_of(pods: &[Pod]) -> Vec<(&'static str, Value)> {
    vec![
        (
            "/api/v1/namespaces/ocr/pods?&labelSelector=app.kubernetes.io%2Fpart-of%3Dplaten%2Capp.kubernetes.io%2Fcomponent%21%3Dexperiment",
            list("Pod", pods),
        ),
        ("/api/v1/namespaces/ocr/events?", list("Event", json!([]))),
        ("/api/v1/nodes?", list("Node", [node("True")])),
    ]
}

#[tokio::test]
async fn a_namespace_is_explained_from_its_pods_events_and_nodes() {
    let crash = waiting("CreateContainerConfigError", r#"secret "ocr-server-env" not found"#);
    let (client, server) = answering(script_of(&[crash]));
    let findings = explain_scope(&client, &Scope::ours(&["ocr"])).await.unwrap();
    server.await.unwrap();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].object, "pod ocr/model-server-7d4b9c6f5-x2x1c");
}

#[tokio::test]
async fn a_time_out_is_told_with_its_cause_and_the_command_that_mends_it() {
    let crash = waiting("CreateContainerConfigError", r#"secret "ocr-server-env" not found"#);
    let (client, server) = answering(script_of(&[crash]));
    let late = Error::timed_out("the release", std::time::Duration::from_mins(1), "look");
    let error = explained::<()>(&client, &Scope::ours(&["ocr"]), Err(late)).await.unwrap_err();
    server.await.unwrap();
    assert!(error.to_string().contains(r#"secret "ocr-server-env" not found"#), "{error}");
    assert!(error.hint().unwrap().starts_with("run: kubectl --namespace ocr create secret"), "{error:?}");
}

#[test]
fn a_container_that_was_killed_for_its_memory_and_runs_again_is_told_for_a_while() {
    let again = pod(&json!({
        "name": "model", "image": "i", "imageID": "", "ready": true, "restartCount": 1,
        "state": {"running": {}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-11-21T05:00:00Z"}},
    }));
    let since = |text: &str| killed_since(&again, text.parse().unwrap());
    assert!(
        since("2026-11-21T04:55:00Z")[0]
            .sentence
            .contains("was killed for using more than its 1Gi of memory")
    );
    assert_eq!(since("2026-11-21T05:05:00Z"), []);
}
