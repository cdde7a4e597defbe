//! What is rendered, what is committed, and what is applied.

use super::*;

fn rendered() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    render(dir.path(), &Params::default()).unwrap();
    dir
}

#[test]
fn what_is_committed_is_current() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(DIR);
    assert_eq!(check(&committed, &Params::default()).unwrap(), []);
}

#[test]
fn what_was_rendered_is_current_and_is_not_written_again() {
    let dir = rendered();
    assert_eq!(check(dir.path(), &Params::default()).unwrap(), []);
    assert_eq!(render(dir.path(), &Params::default()).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn missing_stale_and_extra_files_are_listed() {
    let dir = rendered();
    std::fs::remove_file(dir.path().join("app-project.yaml")).unwrap();
    let application = dir.path().join("application.yaml");
    let text = std::fs::read_to_string(&application).unwrap().replace("prune: true", "prune: false");
    std::fs::write(&application, text).unwrap();
    std::fs::write(dir.path().join("old.yaml"), "").unwrap();
    let drifts = check(dir.path(), &Params::default()).unwrap();
    assert_eq!(drifts.len(), 3, "{drifts:?}");
    assert_eq!(drifts[0], Drift::Missing { file: dir.path().join("app-project.yaml") });
    assert!(matches!(
        &drifts[1],
        Drift::Stale { committed, rendered, .. } if committed.ends_with("prune: false") && rendered.ends_with("prune: true")
    ));
    assert_eq!(drifts[2], Drift::Extra { file: dir.path().join("old.yaml") });
}

#[test]
fn a_file_that_ends_too_early_is_stale() {
    let drift = stale("x.yaml".into(), "a: 1\n", "a: 1\nb: 2\n").unwrap();
    assert!(matches!(drift, Drift::Stale { line: 2, .. }), "{drift}");
}

#[test]
fn an_oci_chart_is_pointed_at_by_its_address_and_version() {
    let source =
        Source { repo_url: "oci://r:5000/charts/ocr-app".into(), path: ".".into(), revision: "0.1.0".into() };
    let values = serde_json::json!({"image": {"tag": "abc"}});
    let files = files(&Params { source, values, ..Params::default() }).unwrap();
    let application = &files["application.yaml"];
    for line in ["repoURL: oci://r:5000/charts/ocr-app", "targetRevision: 0.1.0", "tag: abc"] {
        assert!(application.contains(line), "{application}");
    }
    assert!(files["app-project.yaml"].contains("- oci://r:5000/charts/ocr-app"));
}

#[tokio::test]
async fn namespaces_are_applied_with_their_pod_security_labels() {
    use kube::client::Body;
    let (service, mut handle) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
    let server = tokio::spawn(async move {
        for name in ["ocr", "backend"] {
            let (request, respond) = handle.next_request().await.unwrap();
            let uri = format!("/api/v1/namespaces/{name}?&force=true&fieldManager=platen");
            assert_eq!((request.method().as_str(), request.uri().to_string()), ("PATCH", uri));
            let body = request.into_body().collect_bytes().await.unwrap();
            let object: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(object["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
            respond.send_response(http::Response::new(Body::from(body.to_vec())));
        }
    });
    apply_namespaces(&kube::Client::new(service, "default"), &Params::default()).await.unwrap();
    server.await.unwrap();
}
