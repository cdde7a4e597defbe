//! Faults of a cluster, each provoked for real and undone: what `doctor` says of them.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::registry::OtherPlatform;
use crate::support::{Json, Outcome, Xtask, eventually, eventually_whole};
use crate::{PODS, PROFILE, RUNTIME, client, docker, nodes_of, pods, staying, up};

const NAMESPACE: &str = "doctor-trial";
const PRIVATE: &str = "private.platen.test";

/// The namespace of the sick pods; gone with this.
struct Trial {
    pods: Api<Pod>,
}

impl Trial {
    fn begin() -> Self {
        let namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})).expect("a namespace");
        let made = RUNTIME.block_on(Api::all(client()).create(&PostParams::default(), &namespace));
        made.expect("the namespace");
        Self { pods: Api::namespaced(client(), NAMESPACE) }
    }

    fn add(&self, name: &str, spec: &Json) {
        let pod = json!({"metadata": {"name": name}, "spec": spec});
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        RUNTIME.block_on(self.pods.create(&PostParams::default(), &pod)).expect("the pod");
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        let now = DeleteParams::default().grace_period(0);
        let _ = RUNTIME.block_on(self.pods.delete_collection(&now, &ListParams::default()));
        let _ = RUNTIME.block_on(Api::<Namespace>::all(client()).delete(NAMESPACE, &now));
    }
}

fn container(image: &str, more: &Json) -> Json {
    let mut container = json!({"name": "main", "image": image, "imagePullPolicy": "Always"});
    for (key, value) in more.as_object().expect("an object") {
        container[key] = value.clone();
    }
    json!({"containers": [container], "terminationGracePeriodSeconds": 0, "nodeName": format!("{PROFILE}-worker")})
}

/// A registry that asks everybody for a login, where a node can reach it.
struct PrivateRegistry {
    ends: Arc<AtomicBool>,
    node: String,
}

impl PrivateRegistry {
    fn start() -> Self {
        let network =
            ["network", "inspect", "kind", "--format", "{{range .IPAM.Config}}{{.Gateway}} {{end}}"];
        let gateways = docker(&network);
        let address =
            gateways.split_whitespace().find(|it| it.contains('.')).expect("an IPv4 gateway").to_owned();
        let listener = TcpListener::bind((address.as_str(), 0)).expect("a port of the nodes' network");
        let port = listener.local_addr().expect("its address").port();
        let ends = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ends);
        listener.set_nonblocking(true).expect("a listener that can end");
        std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                let Ok((mut stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                };
                let _ = stream.set_nonblocking(false);
                let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(
                    b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"private\"\r\n\
                      Content-Length: 0\r\nConnection: close\r\n\r\n",
                );
            }
        });
        let node = format!("{PROFILE}-worker");
        let hosts = format!("server = \"http://{address}:{port}\"");
        let script = format!(
            "mkdir -p /etc/containerd/certs.d/{PRIVATE} && echo '{hosts}' > /etc/containerd/certs.d/{PRIVATE}/hosts.toml"
        );
        docker(&["exec", &node, "sh", "-c", &script]);
        Self { ends, node }
    }
}

impl Drop for PrivateRegistry {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        docker(&["exec", &self.node, "rm", "-r", &format!("/etc/containerd/certs.d/{PRIVATE}")]);
    }
}

/// Every finding of a run of the doctor.
fn findings(xtask: &Xtask) -> Vec<Json> {
    let report = xtask.run(&["doctor"]).json();
    let checks = report["checks"].as_array().expect("checks").clone();
    checks.iter().flat_map(|check| check["findings"].as_array().expect("findings").clone()).collect()
}

/// Waits until each object is found with a sentence that has these words, and a command with those.
pub fn expect_findings(xtask: &Xtask, wanted: &[(&str, &str, &str)]) -> Vec<Json> {
    let mut found = Vec::new();
    let text = |it: &Json, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    let missing = |found: &[Json]| -> Vec<String> {
        let has = |(object, sentence, command): &(&str, &str, &str)| {
            found.iter().any(|it| {
                text(it, "object") == *object
                    && text(it, "sentence").contains(sentence)
                    && text(it, "command").contains(command)
            })
        };
        wanted.iter().filter(|it| !has(it)).map(|it| format!("{it:?}")).collect()
    };
    let begun = std::time::Instant::now();
    loop {
        found.clear();
        found.extend(findings(xtask));
        if missing(&found).is_empty() {
            return found;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(100),
            "not found: {:?}\nfound: {found:#?}",
            missing(&found)
        );
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// What was said, for docs/doctor.md.
fn record(name: &str, found: &[Json]) -> std::io::Result<()> {
    let mut text = String::new();
    for it in found {
        let part = |key: &str| it[key].as_str().unwrap_or_default().to_owned();
        let _ = writeln!(text, "✗ {}: {}\n    run: {}", part("object"), part("sentence"), part("command"));
    }
    let folder = crate::support::root().join(".platen/checks");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(format!("doctor-{name}.txt")), text)
}

/// An image that runs here and has a shell.
fn image_with_a_shell() -> String {
    let pods = Api::<Pod>::namespaced(client(), "argocd");
    let pods = RUNTIME.block_on(pods.list(&ListParams::default())).expect("Argo CD's pods").items;
    let images = pods.into_iter().flat_map(|pod| pod.spec.expect("a spec").containers);
    images.filter_map(|it| it.image).find(|image| image.contains("redis")).expect("redis' image")
}

/// Wrong architecture, missing tag, missing pull secret, crash loop, killed for memory, unschedulable, a claim without
/// a volume: at once, for they do not meet.
pub fn sick_pods_are_explained(xtask: &Xtask) -> Outcome {
    let (trial, private) = (Trial::begin(), PrivateRegistry::start());
    let other = OtherPlatform::of(&RUNTIME, "platen/ocr-service", "s390x");
    let shell = image_with_a_shell();
    let sh = |script: &str| json!({"command": ["sh", "-c", script]});
    trial.add("other-platform", &container(&other.image(), &json!({})));
    trial.add("no-such-tag", &container("localhost:5000/platen/ocr-service:no-such-tag", &json!({})));
    trial.add("no-pull-secret", &container(&format!("{PRIVATE}/team/app:1"), &json!({})));
    trial.add("crash-loop", &container(&shell, &sh("echo the model is not there >&2; exit 7")));
    let mut hungry = container(&shell, &sh("x=aaaaaaaa; while :; do x=$x$x; done"));
    hungry["containers"][0]["resources"] = json!({"limits": {"memory": "32Mi"}});
    trial.add("out-of-memory", &hungry);
    let large = json!({"name": "main", "image": shell, "resources": {"requests": {"cpu": "1000"}}});
    trial.add("too-large", &json!({"containers": [large]}));
    let claim: PersistentVolumeClaim = serde_json::from_value(json!({
        "metadata": {"name": "data"},
        "spec": {"storageClassName": "no-such-class", "accessModes": ["ReadWriteOnce"],
                 "resources": {"requests": {"storage": "1Gi"}}},
    }))?;
    let claims = Api::<PersistentVolumeClaim>::namespaced(client(), NAMESPACE);
    RUNTIME.block_on(claims.create(&PostParams::default(), &claim))?;

    let found = expect_findings(
        xtask,
        &[
            (
                "pod doctor-trial/other-platform",
                "was not built for its node's platform linux/",
                "kubernetes.io/arch",
            ),
            (
                "pod doctor-trial/no-such-tag",
                "there is no image localhost:5000/platen/ocr-service:no-such-tag",
                "up",
            ),
            (
                "pod doctor-trial/no-pull-secret",
                "the pod names no pull secret",
                "create secret generic regcred",
            ),
            ("pod doctor-trial/crash-loop", "ended with exit code 7", "logs crash-loop"),
            ("pod doctor-trial/crash-loop", "its last words: the model is not there", "logs crash-loop"),
            (
                "pod doctor-trial/out-of-memory",
                "was killed for using more than its 32Mi of memory",
                "kubectl",
            ),
            ("pod doctor-trial/too-large", "too little free cpu", "describe nodes"),
            ("pvc doctor-trial/data", "there is no storage class no-such-class", "get storageclass"),
        ],
    );
    record("pods", &found)?;
    xtask.run(&["doctor"]).expect_code(1);
    bundle_has_no_secret(xtask, &trial)?;
    drop((trial, private, other));
    eventually("the sick pods are gone", Duration::from_mins(1), || {
        let namespaces = RUNTIME.block_on(Api::<Namespace>::all(client()).get_opt(NAMESPACE));
        matches!(namespaces, Ok(None))
    });
    Ok(())
}

/// A Secret, a variable and a flag with planted values: none of them is in the bundle.
fn bundle_has_no_secret(xtask: &Xtask, trial: &Trial) -> Outcome {
    let secret: k8s_openapi::api::core::v1::Secret = serde_json::from_value(json!({
        "metadata": {"name": "planted"}, "stringData": {"password": "planted-in-a-secret"},
    }))?;
    let secrets = Api::namespaced(client(), NAMESPACE);
    RUNTIME.block_on(secrets.create(&PostParams::default(), &secret))?;
    let reference = json!({"secretKeyRef": {"name": "planted", "key": "password"}});
    let env = json!([
        {"name": "DB_PASSWORD", "value": "planted-in-a-variable"},
        {"name": "DB_TOKEN", "valueFrom": reference},
    ]);
    let script = "echo password=planted-in-a-log; sleep 600";
    let more = json!({"command": ["sh", "-c", script], "env": env});
    trial.add("planted", &container(&image_with_a_shell(), &more));
    let pods = Api::<Pod>::namespaced(client(), NAMESPACE);
    eventually("the pod that keeps secrets runs", Duration::from_mins(1), || {
        let pod = RUNTIME.block_on(pods.get("planted"));
        pod.is_ok_and(|it| it.status.and_then(|status| status.phase).as_deref() == Some("Running"))
    });
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("bundle.tar.gz");
    let written = xtask.run(&["doctor", "--bundle", file.to_str().expect("UTF-8")]).json();
    let entries = written["bundle"]["entries"].as_array().expect("entries").clone();
    for name in
        ["pods/doctor-trial/planted.yaml", "logs/doctor-trial/planted/main.log", "events.txt", "nodes.yaml"]
    {
        assert!(entries.iter().any(|it| it == name), "{name} is not in {entries:?}");
    }
    let unpacked =
        std::process::Command::new("tar").arg("-xzf").arg(&file).current_dir(dir.path()).status()?;
    assert!(unpacked.success());
    let found = std::process::Command::new("grep").args(["-rE", "planted-in-"]).arg(dir.path()).output()?;
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    Ok(())
}

/// CoreDNS without a pod, and back.
pub fn lost_dns_is_explained(xtask: &Xtask) -> Outcome {
    let api = Api::<Deployment>::namespaced(client(), "kube-system");
    let scale = |replicas: i32| {
        let patch = json!({"spec": {"replicas": replicas}});
        RUNTIME.block_on(api.patch("coredns", &PatchParams::default(), &Patch::Merge(&patch)))
    };
    let before = RUNTIME.block_on(api.get("coredns"))?.spec.replicas.unwrap_or(1);
    scale(0)?;
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        expect_findings(xtask, &[("CoreDNS", "it is scaled to 0", "scale deployment coredns --replicas 2")])
    }));
    scale(before)?;
    record("dns", &found.map_err(|_| "CoreDNS was not found to be away")?)?;
    eventually("CoreDNS is back", Duration::from_secs(90), || {
        !findings(xtask).iter().any(|it| it["object"] == "CoreDNS")
    });
    Ok(())
}

/// A node that stands still, as after a fault of its machine.
pub fn dead_node_is_explained(xtask: &Xtask) -> Outcome {
    up(xtask).expect_code(0);
    let node = format!("{PROFILE}-worker2");
    docker(&["pause", &node]);
    let object = format!("node {node}");
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let found =
            expect_findings(xtask, &[(object.as_str(), "it has not answered since", "docker unpause")]);
        let status = xtask.run(&["status"]).expect_code(1).json();
        assert_eq!(status["cluster"]["nodes"].as_array().map(Vec::len), Some(3), "{}", status["cluster"]);
        let workloads = status["workloads"].as_array().expect("pods");
        let ready: Vec<_> = workloads.iter().filter(|it| it["ready"] == true).collect();
        assert!(!ready.is_empty() && ready.iter().all(|it| it["node"] != node.as_str()), "{workloads:?}");
        found
    }));
    docker(&["unpause", &node]);
    record("node", &found.map_err(|_| "the dead node was not found")?)?;
    eventually("all is well again", Duration::from_mins(2), || xtask.run(&["status"]).code() == Some(0));
    spread_again(xtask);
    Ok(())
}

/// A node that was away for longer than its pods wait has them elsewhere, and its door leads to nobody: `up` sees to it.
/// Models have no door; a new revision is spread anew.
fn spread_again(xtask: &Xtask) {
    up(xtask).expect_code(0);
    let deployments = Api::<Deployment>::namespaced(client(), "ocr");
    RUNTIME.block_on(deployments.restart("model-server")).expect("a restart");
    eventually_whole("all is spread again", Duration::from_mins(3), || {
        let wanted = [("gateway", 3), ("frontend", 3), ("translate", 3), ("model", 2)];
        let placed =
            wanted.map(|(component, wanted)| (component, nodes_of(&pods("ocr", component)).len(), wanted));
        let badly = placed.into_iter().filter(|(_, nodes, wanted)| nodes != wanted);
        let mut missing: Vec<String> = badly
            .map(|(component, nodes, wanted)| format!("{component} on {nodes} nodes of {wanted}"))
            .collect();
        let staying = staying(xtask).len();
        missing.extend((staying != PODS).then(|| format!("{staying} pods of {PODS}")));
        let status = xtask.run(&["status"]);
        match status.code() {
            Some(0) => {}
            Some(1) => {
                let it = status.json();
                missing.push(format!("{}; {}; {}", it["summary"], it["findings"], it["applications"]));
            }
            _ => missing.push(status.stderr()),
        }
        missing
    });
}
