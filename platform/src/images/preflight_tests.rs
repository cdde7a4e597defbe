//! Which images do not fit, and which pods run another one.

use super::*;
use crate::registry::Keyring;
use crate::registry::double::{Double, Login};

const IMAGE: &str = "localhost:5000/platen/ocr-service:1";

fn node(name: &str, architecture: &str) -> NodeFacts {
    NodeFacts {
        name: name.into(),
        os: "linux".into(),
        architecture: architecture.into(),
        labels: BTreeMap::from([("kubernetes.io/arch".into(), architecture.into())]),
        taints: Vec::new(),
    }
}

fn workload() -> Workload {
    Workload {
        name: "Deployment ocr-model".into(),
        images: vec![IMAGE.into()],
        node_selector: BTreeMap::new(),
        tolerations: Vec::new(),
    }
}

fn only_amd64() -> BTreeMap<String, Vec<Platform>> {
    BTreeMap::from([(IMAGE.into(), vec![Platform::linux("amd64")])])
}

fn taint(key: &str) -> Taint {
    Taint { key: key.into(), effect: "NoSchedule".into(), ..Taint::default() }
}

#[test]
fn an_image_of_one_architecture_is_refused_where_a_node_has_another() {
    let nodes = [node("a", "amd64"), node("raspberry", "arm64")];
    let found = mismatches(&[workload()], &nodes, &only_amd64());
    let error = verdict(&found, &[workload()], &nodes).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(IMAGE) && text.contains("raspberry") && text.contains("is for linux/amd64 and not"),
        "{text}"
    );
    let hint = error.hint().unwrap();
    assert!(hint.contains("cargo xtask build --platform linux/amd64,linux/arm64 --push"), "{hint}");
    assert_eq!(error.exit(), crate::Exit::Failed);
}

#[test]
fn nodes_that_the_pods_cannot_run_on_do_not_count() {
    let selecting = Workload {
        node_selector: BTreeMap::from([("kubernetes.io/arch".into(), "amd64".into())]),
        ..workload()
    };
    let arm = node("raspberry", "arm64");
    assert_eq!(mismatches(&[selecting], std::slice::from_ref(&arm), &only_amd64()), []);
    let tainted = NodeFacts { taints: vec![taint("gpu")], ..arm };
    assert_eq!(mismatches(&[workload()], std::slice::from_ref(&tainted), &only_amd64()), []);
    let toleration =
        Toleration { key: Some("gpu".into()), operator: Some("Exists".into()), ..Toleration::default() };
    let tolerating = Workload { tolerations: vec![toleration], ..workload() };
    assert_eq!(mismatches(&[tolerating], &[tainted], &only_amd64()).len(), 1);
}

#[test]
fn a_node_that_is_not_ready_counts_for_it_may_come_back() {
    let away =
        NodeFacts { taints: vec![taint("node.kubernetes.io/not-ready")], ..node("raspberry", "arm64") };
    assert_eq!(mismatches(&[workload()], &[away], &only_amd64()).len(), 1);
}

#[test]
fn images_are_found_in_every_kind_of_pod_template() {
    let manifests = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {template: {spec: {nodeSelector: {a: b}, containers: [{name: c, image: 'r/x:1'}], initContainers: [{name: i, image: 'r/y:1'}]}}}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: []}\n---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: j}\nspec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: 'r/z:1'}]}}}}}\n";
    let found = workloads(manifests).unwrap();
    assert_eq!(
        (found[0].name.as_str(), found[0].images.clone()),
        ("Deployment d", vec!["r/x:1".to_owned(), "r/y:1".to_owned()])
    );
    assert_eq!((found.len(), found[1].images[0].as_str()), (2, "r/z:1"));
}

fn pod(container: &str, ids: [&str; 2]) -> Pod {
    let status = |name: &str, id: &str| {
        // As a node tells it that knows the image by another name too.
        serde_json::json!({"name": name, "image": "sha256:0123", "imageID": id, "ready": true, "restartCount": 0})
    };
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": "ocr-model-1"},
        "spec": {
            "nodeName": "worker",
            "containers": [{"name": container, "image": IMAGE}, {"name": "sidecar", "image": "r/other:1"}],
            "initContainers": [{"name": "prepare", "image": IMAGE}],
        },
        "status": {
            "containerStatuses": [status("sidecar", "r/other@sha256:c"), status("model", ids[0])],
            "initContainerStatuses": [status("prepare", ids[1])],
        },
    }))
    .unwrap()
}

#[test]
fn a_container_of_another_digest_is_named_with_its_node() {
    let expected = BTreeMap::from([(IMAGE.to_owned(), BTreeSet::from(["sha256:a".to_owned()]))]);
    let told = |ids| other_digests(&pod("model", ids), &expected);
    let (good, bad) = ("localhost:5000/platen/ocr-service@sha256:a", "r/x@sha256:b");
    assert!(told([good, good]).is_empty());
    assert!(told([good, ""]).is_empty(), "it has not begun to run");
    let of_main = told([bad, good]);
    assert!(of_main.len() == 1 && of_main[0].contains("ocr-model-1 on worker runs sha256:b"), "{of_main:?}");
    assert_eq!(told([good, bad]).len(), 1, "what prepares counts too");
    let without = told(["sha256:0123", good]);
    assert!(without[0].contains("no digest of a registry"), "{without:?}");
    assert!(other_digests(&pod("unknown", [bad, good]), &expected).is_empty());
}

#[test]
fn a_node_that_is_cordoned_does_not_count_and_what_is_asked_for_next_leaves_it_out() {
    let (own, arm) = (node("a", "amd64"), node("raspberry", "arm64"));
    let found = mismatches(&[workload()], &[own.clone(), arm.clone()], &only_amd64());
    assert_eq!(found.len(), 1);
    let cordoned = NodeFacts { taints: vec![taint(UNSCHEDULABLE)], ..arm.clone() };
    let nodes = [own, cordoned];
    assert_eq!(mismatches(&[workload()], &nodes, &only_amd64()), []);
    // Of another image, for a node that may run that one.
    let third = NodeFacts { name: "board".into(), ..arm };
    let nodes = [nodes[1].clone(), third];
    let found = mismatches(&[workload()], &nodes, &only_amd64());
    let hint = verdict(&found, &[workload()], &nodes).unwrap_err().hint().unwrap();
    assert!(hint.contains("--platform linux/arm64 --push"), "{hint}");
}

#[test]
fn the_image_of_the_jobs_is_looked_at_too() {
    let manifests = "kind: Deployment\nmetadata: {name: e}\nspec: {template: {spec: {containers: [{name: c, image: 'r/x:1', env: [{name: AE_MODEL_IMAGE_URL, value: 'r/model:1'}, {name: OTHER, value: 'r/y:1'}]}]}}}\n";
    assert_eq!(workloads(manifests).unwrap()[0].images, ["r/x:1", "r/model:1"]);
}

#[tokio::test]
async fn a_blob_that_the_local_registry_has_lost_stops_a_deploy() {
    crate::tls::install();
    let host = crate::host::Host::bare("/nowhere");
    let registries = Registries::with_keyring(&host, Keyring::only([]));
    let double = Double::start(Login::None).await;
    let image = registry::parse(&format!("{}/platen/ocr-service:1", double.name())).unwrap();
    let config = br#"{"architecture":"amd64","os":"linux"}"#.to_vec();
    let layer = b"layer".to_vec();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": Registries::descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [Registries::descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let manifest = registry::Manifest::parse(manifest.to_string().into_bytes()).unwrap();
    registries.push_blob(&image, config).await.unwrap();
    registries.push_blob(&image, layer.clone()).await.unwrap();
    registries.push_manifest(&image, &manifest).await.unwrap();
    let manifests = format!(
        "kind: Deployment\nmetadata: {{name: d}}\nspec: {{template: {{spec: {{containers: [{{name: c, image: '{image}'}}]}}}}}}\n"
    );
    let nodes = [node("a", "amd64")];
    check(&registries, &manifests, &nodes).await.unwrap();
    let lost = ("platen/ocr-service".to_owned(), registry::digest_of(&layer));
    double.content().blobs.remove(&lost).unwrap();
    let error = check(&registries, &manifests, &nodes).await.unwrap_err();
    assert!(error.to_string().contains(&lost.1), "{error}");
    assert!(error.hint().unwrap().ends_with("cargo xtask build"), "{error}");
}
