//! A gateway in front of several model processes, as nodes are on the embedded provider.

use std::collections::BTreeSet;

use reqwest::StatusCode;

use super::harness::{Service, data, post};

#[tokio::test]
async fn a_model_that_is_killed_fails_no_request() {
    let first = Service::role("model", &["--engines=1", "--instance=first"]).await;
    let second = Service::role("model", &["--engines=1", "--instance=second"]).await;
    let models = format!("--model-url={},{}", first.url("model", ""), second.url("model", ""));
    let gateway = Service::role("gateway", &[&models]).await;
    let url = gateway.url("gateway", "/gateway/ocr");
    let mut served_by = BTreeSet::new();
    for _ in 0..4 {
        let answer = post(url.clone(), "image_file", data("line.png")).await;
        served_by.insert(answer.headers["x-platen-endpoint"].to_str().unwrap().to_owned());
    }
    assert_eq!(served_by, BTreeSet::from(["first".to_owned(), "second".to_owned()]));
    first.signal("KILL");
    for _ in 0..6 {
        let answer = post(url.clone(), "image_file", data("line.png")).await;
        assert_eq!((answer.status, answer.text().trim()), (StatusCode::OK, "Platen 1"), "{answer:?}");
        assert_eq!(answer.headers["x-platen-endpoint"], "second");
    }
}
