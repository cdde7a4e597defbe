//! The checks of a cluster against an API that answers from a table: what is asked, and what becomes of the answers.
//! (The same faults on a real cluster: xtask/tests/cluster/doctor.rs.)

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};

use super::world::tests::bare;
use super::world::{Cluster, World};
use super::*;
use crate::mirror::Supply;
use crate::up::Target;

/// Answers by path; whatever is not in the table is not there.
type Table = BTreeMap<&'static str, Value>;

/// A world with such an API, and the paths that it was asked for.
fn world(made: Target, table: Table) -> (tempfile::TempDir, World, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let table = Arc::new(table);
    let service = tower::service_fn(move |request: Request<Body>| {
        let path = request.uri().path().to_owned();
        seen.lock().unwrap().push(request.uri().to_string());
        let answer = match table.get(path.as_str()) {
            Some(Value::String(text)) => Response::new(Body::from(text.clone().into_bytes())),
            Some(value) => Response::new(Body::from(value.to_string().into_bytes())),
            None => {
                let status = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404,
                                    "message": "not there"});
                let mut answer = Response::new(Body::from(status.to_string().into_bytes()));
                *answer.status_mut() = StatusCode::NOT_FOUND;
                answer
            }
        };
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let (dir, mut world) = bare();
    let client = kube::Client::new(service, "default");
    world.cluster = Cluster::Answers { context: "kind-platen".into(), client };
    world.made = Some(made);
    (dir, world, asked)
}

fn list(kind: &str, items: &Value) -> Value {
    json!({"kind": format!("{kind}List"), "apiVersion": "v1", "metadata": {}, "items": items})
}

const KIND: Target = Target::Kind { images: Supply::Source };

/// A cluster with one fault of each kind.
fn sick() -> Table {
    let crashed = json!({
        "metadata": {"name": "crash", "namespace": "other"}, "spec": {"containers": [{"name": "c"}]},
        "status": {"phase": "Running", "containerStatuses": [{
            "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 4,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 7}},
        }]},
    });
    let node = json!({
        "metadata": {"name": "platen-worker"}, "spec": {"providerID": "kind://docker/platen/platen-worker"},
        "status": {"conditions": [{"type": "Ready", "status": "Unknown", "lastTransitionTime": "2026-11-21T05:00:00Z"}]},
    });
    let dns =
        json!({"metadata": {"name": "coredns"}, "spec": {"replicas": 0, "selector": {}, "template": {}}});
    let claim = json!({
        "metadata": {"name": "data", "namespace": "other"}, "spec": {"storageClassName": "fast"},
        "status": {"phase": "Pending"},
    });
    let certificate = x509::tests::pem(2019, 2020);
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, certificate);
    let secret = json!({"metadata": {"name": "hook", "namespace": "argocd"}, "data": {"tls.crt": encoded}});
    let application = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "ocr-app"}, "spec": {"source": {"targetRevision": "0.2.0"}},
        "status": {"sync": {"status": "OutOfSync"}, "health": {"status": "Degraded"}},
    });
    [
        (
            "/version",
            json!({"major": "1", "minor": "36", "gitVersion": "v1.36.3", "gitCommit": "", "gitTreeState": "",
                            "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
        ),
        ("/api/v1/nodes", list("Node", &json!([node]))),
        ("/api/v1/pods", list("Pod", &json!([crashed]))),
        ("/api/v1/events", list("Event", &json!([]))),
        (
            "/api/v1/namespaces/other/pods/crash/log",
            Value::String("starting\nno such file: /model\n\n".into()),
        ),
        ("/apis/apps/v1/namespaces/kube-system/deployments", list("Deployment", &json!([dns]))),
        ("/api/v1/namespaces/kube-system/pods", list("Pod", &json!([]))),
        ("/api/v1/persistentvolumeclaims", list("PersistentVolumeClaim", &json!([claim]))),
        ("/apis/storage.k8s.io/v1/storageclasses", list("StorageClass", &json!([]))),
        ("/api/v1/secrets", list("Secret", &json!([secret]))),
        (
            "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
            list("ValidatingWebhookConfiguration", &json!([])),
        ),
        (
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
            list("MutatingWebhookConfiguration", &json!([])),
        ),
        (
            "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications",
            list("Application", &json!([application])),
        ),
    ]
    .into()
}

async fn examined(world: &World) -> Vec<Examined> {
    let of_cluster: Vec<&Check> =
        CHECKS.iter().filter(|check| check.area == Area::Platform && check.id != "processes").collect();
    let mut all = Vec::new();
    for check in of_cluster {
        all.push(one(world, check, EACH_WITHIN).await);
    }
    all
}

#[tokio::test]
async fn each_fault_of_a_cluster_is_one_sentence_and_one_command() {
    let (_dir, world, asked) = world(KIND, sick());
    let report = Report::new(&world, examined(&world).await, Duration::ZERO);
    let told: Vec<String> =
        report.findings().map(|it| format!("{}: {} | {}", it.object, it.sentence, it.command)).collect();
    let wanted = [
        "node platen-worker: it has not answered since 2026-11-21T05:00:00Z | docker start platen-worker",
        "pod other/crash: container c ended with exit code 7, 4 restarts so far; its last words: no such file: /model | \
         kubectl --context kind-platen --namespace other logs crash --container c --previous",
        "CoreDNS: it is scaled to 0, so no pod finds another by its name | kubectl --context kind-platen --namespace \
         kube-system scale deployment coredns --replicas 2",
        "pvc other/data: there is no storage class fast; there is: none | kubectl --context kind-platen get storageclass",
    ];
    for wanted in wanted {
        assert!(told.iter().any(|it| it == wanted), "{wanted}\nis not in {told:#?}");
    }
    let of = |object: &str| told.iter().find(|it| it.starts_with(object)).cloned().unwrap_or_default();
    assert!(of("secret argocd/hook").contains("expired on 2020-01-01"), "{told:#?}");
    assert!(
        of("application ocr-app").contains("--namespace argocd describe application ocr-app"),
        "{told:#?}"
    );
    assert_eq!(told.len(), 6, "{told:#?}");
    let asked = asked.lock().unwrap();
    assert!(
        asked.iter().any(|uri| uri.starts_with("/api/v1/pods?") && uri.contains("experiment")),
        "{asked:#?}"
    );
    assert!(
        asked.iter().any(|uri| uri.starts_with("/api/v1/secrets?") && uri.contains("type")),
        "{asked:#?}"
    );
    assert!(asked.iter().any(|uri| uri.contains("/log?") && uri.contains("container=c")), "{asked:#?}");
}

#[tokio::test]
async fn of_somebody_elses_cluster_only_platens_namespaces_are_looked_at() {
    let (_dir, world, asked) = world(Target::Existing { context: "mine".into() }, sick());
    let outcomes = examined(&world).await;
    let asked = asked.lock().unwrap();
    for everywhere in ["/api/v1/pods?", "/api/v1/secrets?", "/api/v1/persistentvolumeclaims?"] {
        assert!(!asked.iter().any(|uri| uri.starts_with(everywhere)), "{asked:#?}");
    }
    // What this account may not see is told, and not taken for well.
    let pods = outcomes.iter().find(|it| it.id == "pods").unwrap();
    assert_eq!(pods.outcome, Outcome::Unknown);
    assert!(pods.detail.contains("listing the pods of namespace ocr"), "{}", pods.detail);
}
