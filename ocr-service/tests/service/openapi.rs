//! What `/openapi.json` describes is what is served, and nothing else.

use std::collections::BTreeSet;

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use super::harness::Service;

/// The methods that the server names when it is asked by one that nobody takes.
async fn methods(url: String) -> BTreeSet<String> {
    let response = Client::new().request(Method::from_bytes(b"PROBE").unwrap(), &url).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{url}");
    let allowed = response.headers()["allow"].to_str().unwrap().to_ascii_lowercase();
    // HEAD comes with every GET and is described by it.
    allowed.split(',').filter(|method| *method != "head").map(str::to_owned).collect()
}

#[tokio::test]
async fn every_role_describes_exactly_the_methods_that_it_serves() {
    let service = Service::serve(&["--engines=1"]).await;
    for role in ["gateway", "model", "ocr-server", "translate", "frontend", "experiments"] {
        let document: Value = service.get(role, "/openapi.json").await.json().await.unwrap();
        let paths = document["paths"].as_object().unwrap();
        assert!(paths.len() > 4, "{role}: {document}");
        for (path, described) in paths {
            let described: BTreeSet<_> = described.as_object().unwrap().keys().cloned().collect();
            let filled = path.replace("{model}", "ocr-model").replace("{version}", "1");
            let filled = filled.replace("{name}", "app.css").replace("{experiment_id}", "one");
            assert_eq!(methods(service.url(role, &filled)).await, described, "{role} {path}");
        }
    }
}
