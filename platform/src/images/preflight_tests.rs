//! Which images do not fit, and which pods run another one.

use super::*;
use crate::host::Host;
use crate::registry::double::{Double, Login, PASSWORD, USER};
use crate::registry::{Credentials, Keyring, Manifest, Registries};

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
    Workload { name: "Deployment ocr-model".into(), images: vec![IMAGE.into()], ..Workload::default() }
}

/// Nodes and this machine with these logins, and no other.
fn asking(service: &str, of_nodes: &[Credentials], own: &[Credentials]) -> Asking {
    crate::tls::install();
    let host = Host::bare("/nowhere");
    let with = |logins: &[Credentials]| Registries::with_keyring(&host, Keyring::only(logins.to_vec()));
    let (nodes, own) = (with(of_nodes), Some(with(own)));
    Asking { nodes, own, service: registry::parse(service).unwrap(), host }
}

/// Stops a deploy of [`IMAGE`] of this checkout.
fn refused(found: &[Mismatch], nodes: &[NodeFacts]) -> Error {
    verdict(&asking(IMAGE, &[], &[]), found, &[workload()], nodes).unwrap_err()
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
    let error = refused(&found, &nodes);
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
    let hint = refused(&found, &nodes).hint().unwrap();
    assert!(hint.contains("--platform linux/arm64 --push"), "{hint}");
}

#[test]
fn the_jobs_that_pods_make_have_an_image_of_their_own_and_are_pulled_as_the_pods_are() {
    let manifests = "kind: Deployment\nmetadata: {name: e, namespace: ocr}\nspec: {template: {spec: {nodeSelector: {a: b}, imagePullSecrets: [{name: regcred}], containers: [{name: c, image: 'r/x:1', env: [{name: AE_MODEL_IMAGE_URL, value: 'r/model:1'}, {name: OTHER, value: 'r/y:1'}]}]}}}\n";
    let found = workloads(manifests).unwrap();
    assert_eq!((found.len(), found[0].images[0].as_str(), found[0].is_job), (2, "r/x:1", false));
    let jobs = &found[1];
    assert_eq!((jobs.name.as_str(), jobs.images[0].as_str()), ("Job of Deployment e", "r/model:1"));
    assert!(jobs.is_job && jobs.node_selector.is_empty(), "they run where they like");
    assert_eq!((jobs.namespace.as_deref(), jobs.pull_secrets[0].as_str()), (Some("ocr"), "regcred"));
}

/// Pushes an image for amd64; returns its layer's digest.
async fn push(registries: &Registries, image: &Reference) -> String {
    let config = br#"{"architecture":"amd64","os":"linux"}"#.to_vec();
    let layer = b"layer".to_vec();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": Registries::descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [Registries::descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    });
    let manifest = Manifest::parse(manifest.to_string().into_bytes()).unwrap();
    let digest = registry::digest_of(&layer);
    registries.push_blob(image, config).await.unwrap();
    registries.push_blob(image, layer).await.unwrap();
    registries.push_manifest(image, &manifest).await.unwrap();
    digest
}

/// A Deployment of this image, whose Jobs have another one.
fn deployment(image: &Reference, of_jobs: &str) -> String {
    format!(
        "kind: Deployment\nmetadata: {{name: d, namespace: ocr}}\nspec: {{template: {{spec: {{containers: [{{name: c, image: '{image}', env: [{{name: AE_MODEL_IMAGE_URL, value: '{of_jobs}'}}]}}]}}}}}}\n"
    )
}

#[tokio::test]
async fn a_blob_that_the_local_registry_has_lost_stops_a_deploy_where_a_node_may_need_it() {
    let double = Double::start(Login::None).await;
    let image = registry::parse(&format!("{}/platen/ocr-service:1", double.name())).unwrap();
    let asking = asking(&image.to_string(), &[], &[]);
    let layer = push(&asking.nodes, &image).await;
    let manifests = deployment(&image, "");
    let nodes = [node("a", "amd64")];
    assert!(check(&asking, &manifests, &nodes).await.unwrap().is_empty());
    let lost = ("platen/ocr-service".to_owned(), layer);
    double.content().blobs.remove(&lost).unwrap();
    let error = check(&asking, &manifests, &nodes).await.unwrap_err();
    assert!(error.to_string().contains(&lost.1), "{error}");
    let hint = error.hint().unwrap();
    assert!(hint.ends_with(&format!("cargo xtask build --platform linux/amd64 --push {image}")), "{hint}");
    let cordoned = NodeFacts { taints: vec![taint(UNSCHEDULABLE)], ..node("a", "amd64") };
    assert!(check(&asking, &manifests, &[cordoned]).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_jobs_lack_is_told_and_stops_no_deploy() {
    let double = Double::start(Login::None).await;
    let image = registry::parse(&format!("{}/platen/ocr-service:1", double.name())).unwrap();
    let asking = asking(&image.to_string(), &[], &[]);
    push(&asking.nodes, &image).await;
    let nodes = [node("a", "amd64")];
    for of_jobs in [format!("{}/no/such:1", double.name()), "127.0.0.1:1/model:1".into(), "A B".into()] {
        let told = check(&asking, &deployment(&image, &of_jobs), &nodes).await.unwrap();
        assert!(told.len() == 1 && told[0].contains("Job of Deployment d"), "{told:?}");
    }
    let missing = registry::parse(&format!("{}/platen/ocr-service:2", double.name())).unwrap();
    let error = check(&asking, &deployment(&missing, ""), &nodes).await.unwrap_err();
    assert!(error.hint().unwrap().contains("the commit that it was made of"), "{error}");
}

#[tokio::test]
async fn a_login_that_nodes_may_have_of_their_own_stops_no_deploy_and_one_that_is_refused_does() {
    let double = Double::start(Login::Basic).await;
    let image = registry::parse(&format!("{}/platen/ocr-service:1", double.name())).unwrap();
    let login = |password: &str| Credentials::new(&double.name(), USER.into(), password.into(), None);
    let (good, wrong) = ([login(PASSWORD)], [login("wrong")]);
    let of = |of_nodes: &[Credentials], own: &[Credentials]| asking(&image.to_string(), of_nodes, own);
    push(&of(&good, &[]).nodes, &image).await;
    let nodes = [node("a", "amd64")];
    let manifests = deployment(&image, "");
    assert!(check(&of(&good, &[]), &manifests, &nodes).await.unwrap().is_empty());
    let told = check(&of(&[], &good), &manifests, &nodes).await.unwrap();
    assert!(told.len() == 1 && told[0].contains("-n ocr create secret docker-registry"), "{told:?}");
    check(&of(&[], &[]), &manifests, &nodes).await.unwrap_err();
    check(&of(&wrong, &good), &manifests, &nodes).await.unwrap_err();
    let several = [login("wrong"), login(PASSWORD)];
    assert_eq!(check(&of(&several, &good), &manifests, &nodes).await.unwrap().len(), 1, "any may fit");
}
