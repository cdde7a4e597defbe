//! Rights on somebody else's cluster: which are needed, asked for, and told.

use kube::client::Body;

use super::*;

const CHART: &str = r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: ocr-server-deployment, namespace: backend}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: ocr-gateway-endpoints, namespace: ocr}
rules:
  - apiGroups: [discovery.k8s.io]
    resources: [endpointslices]
    verbs: [get, list, watch]
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: ocr-input}
---
apiVersion: v1
kind: Pod
metadata: {name: a-test, annotations: {helm.sh/hook: test}}
";

fn has(rights: &[Right], namespace: Option<&str>, group: &str, resource: &str, verb: &str) -> bool {
    rights.contains(&Right::new(namespace, group, resource, verb))
}

#[test]
fn rights_are_those_of_the_charts_objects_and_of_what_is_looked_at() {
    let rights = needed(CHART, Argocd::Absent).unwrap();
    assert!(has(&rights, Some("backend"), "apps", "deployments", "patch"));
    assert!(has(&rights, Some("backend"), "apps", "deployments", "watch"), "helm waits for it to be gone");
    assert!(has(&rights, None, "", "persistentvolumes", "create"));
    assert!(has(&rights, None, "", "nodes", "list"));
    assert!(
        has(&rights, Some("ocr"), "discovery.k8s.io", "endpointslices", "watch"),
        "it is given to the gateway"
    );
    assert!(!has(&rights, Some("ocr"), "", "pods", "create"), "a test of the chart is not installed");
    let applications = |argocd, verb| {
        has(&needed(CHART, argocd).unwrap(), Some("argocd"), "argoproj.io", "applications", verb)
    };
    assert!(!applications(Argocd::Absent, "get") && applications(Argocd::IsThere, "delete"));
    let sets = |argocd| {
        has(&needed(CHART, argocd).unwrap(), Some("argocd"), "argoproj.io", "applicationsets", "list")
    };
    assert!(!sets(Argocd::Absent) && sets(Argocd::IsThere) && sets(Argocd::Delivers));
    assert!(!applications(Argocd::IsThere, "create") && applications(Argocd::Delivers, "create"));
}

#[test]
fn without_the_chart_the_rights_are_platens_own() {
    let rights = needed("", Argocd::Absent).unwrap();
    assert!(has(&rights, Some("ocr"), "", "secrets", "update") && rights.len() < 60, "{}", rights.len());
}

#[test]
fn a_kind_of_which_no_right_is_known_is_not_passed_over() {
    let error = needed("apiVersion: v9\nkind: Surprise\nmetadata: {name: x}\n", Argocd::Absent).unwrap_err();
    assert!(error.to_string().contains("Surprise"), "{error}");
}

#[test]
fn what_is_missing_is_told_by_place_and_given_by_a_manifest() {
    let named = Right { name: Some("ocr".into()), ..Right::new(None, "", "namespaces", "patch") };
    let missing = [
        named,
        Right::new(Some("ocr"), "apps", "deployments", "create"),
        Right::new(Some("ocr"), "apps", "deployments", "get"),
    ];
    assert_eq!(
        lines(&missing),
        ["in the cluster: patch namespaces ocr", "in ocr: create, get deployments.apps"]
    );
    let yaml = manifest(&missing, "system:serviceaccount:tools:deployer").unwrap();
    let documents: Vec<Value> =
        serde_yaml::Deserializer::from_str(&yaml).map(|it| Value::deserialize(it).unwrap()).collect();
    let kinds: Vec<&str> = documents.iter().filter_map(|it| it["kind"].as_str()).collect();
    assert_eq!(kinds, ["Namespace", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]);
    assert_eq!(documents[1]["rules"][0]["resourceNames"], json!(["ocr"]));
    assert_eq!(documents[3]["rules"][0]["verbs"], json!(["create", "get"]));
    let subject = json!({"kind": "ServiceAccount", "name": "deployer", "namespace": "tools"});
    assert_eq!(documents[4]["subjects"], json!([subject]));
    assert!(manifest(&missing, "jane").unwrap().contains("kind: User"));
}

#[tokio::test]
async fn each_right_is_asked_for_and_those_that_are_refused_are_missing() {
    let (service, mut handle) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
    let server = tokio::spawn(async move {
        let mut asked = Vec::new();
        while let Some((request, respond)) = handle.next_request().await {
            let (parts, body) = request.into_parts();
            let path = parts.uri.path().to_owned();
            assert_eq!(path, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
            let mut review: Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap();
            let attributes = review["spec"]["resourceAttributes"].clone();
            review["status"] = json!({"allowed": attributes["verb"] == "get"});
            asked.push(attributes);
            respond.send_response(http::Response::new(Body::from(review.to_string().into_bytes())));
        }
        asked
    });
    let rights = vec![
        Right::new(Some("ocr"), "", "pods/log", "get"),
        Right::new(Some("ocr"), "apps", "deployments", "patch"),
    ];
    let client = kube::Client::new(service, "default");
    assert_eq!(missing(&client, rights.clone()).await.unwrap(), [rights[1].clone()]);
    drop(client);
    let asked = server.await.unwrap();
    let log = asked.iter().find(|it| it["resource"] == "pods").unwrap();
    assert_eq!((&log["subresource"], &log["namespace"]), (&json!("log"), &json!("ocr")));
}
