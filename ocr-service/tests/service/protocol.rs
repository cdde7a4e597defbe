//! The Open Inference Protocol as its clients speak it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::harness::{Answer, Service, data};

const INFER: &str = "/v2/models/ocr-model/infer";

async fn infer(service: &Service, path: &str, request: &Value) -> Answer {
    Answer::of(Client::new().post(service.url("model", path)).json(request).send().await.unwrap()).await
}

fn request(image: &[u8]) -> Value {
    let tensor = json!({ "name": "image", "shape": [1], "datatype": "BYTES", "data": [BASE64_STANDARD.encode(image)] });
    json!({ "id": "letter-1", "inputs": [tensor], "outputs": [{ "name": "text" }] })
}

#[tokio::test]
async fn json_and_binary_tensors_give_the_same_text() {
    let service = Service::role("model", &["--engines=1"]).await;
    let answer = infer(&service, INFER, &request(&data("letter.jpg"))).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!((&answer.body["id"], &answer.body["model_name"]), (&json!("letter-1"), &json!("ocr-model")));
    let output = &answer.body["outputs"][0];
    assert_eq!(
        (&output["name"], &output["shape"], &output["datatype"]),
        (&json!("text"), &json!([1]), &json!("BYTES"))
    );
    let text = output["data"][0].as_str().unwrap();
    assert!(text.contains("Hello from your child"));
    assert_eq!(binary_text(&service, &data("letter.jpg")).await, text);
}

/// The text by the binary extension in both directions, as `tritonclient` sends and reads it.
async fn binary_text(service: &Service, image: &[u8]) -> String {
    let header = json!({
        "inputs": [{
            "name": "image", "shape": [1], "datatype": "BYTES",
            "parameters": { "binary_data_size": image.len() + 4 },
        }],
        "outputs": [{ "name": "text", "parameters": { "binary_data": true } }],
    });
    let header = header.to_string().into_bytes();
    let length = u32::try_from(image.len()).unwrap().to_le_bytes();
    let response = Client::new()
        .post(service.url("model", INFER))
        .header("inference-header-content-length", header.len())
        .body([&header, &length[..], image].concat())
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    let json_length: usize =
        response.headers()["inference-header-content-length"].to_str().unwrap().parse().unwrap();
    let body = response.bytes().await.unwrap();
    let answer: Value = serde_json::from_slice(&body[..json_length]).unwrap();
    assert_eq!(answer["outputs"][0]["parameters"]["binary_data_size"], body.len() - json_length);
    String::from_utf8(body[json_length + 4..].to_vec()).unwrap()
}

#[tokio::test]
async fn several_images_in_one_request_keep_their_order() {
    let service = Service::role("model", &["--engines=2"]).await;
    let images =
        ["nutrition-label.png", "line.png", "line.bmp"].map(|name| BASE64_STANDARD.encode(data(name)));
    let tensor = json!({ "name": "image", "shape": [3], "datatype": "BYTES", "data": images });
    let answer =
        infer(&service, "/v2/models/ocr-model/versions/1/infer", &json!({ "inputs": [tensor] })).await;
    let texts = answer.body["outputs"][0]["data"].as_array().unwrap();
    assert!(texts[0].as_str().unwrap().contains("505 kcal"), "{texts:?}");
    assert_eq!(
        (texts[1].as_str().unwrap().trim(), texts[2].as_str().unwrap().trim()),
        ("Platen 1", "Platen 1")
    );
}

#[tokio::test]
async fn errors_have_the_protocols_status_and_are_json() {
    let service = Service::role("model", &["--engines=1"]).await;
    let good = request(&data("line.png"));
    for (path, body, status) in [
        (INFER, json!({ "inputs": [] }), StatusCode::BAD_REQUEST),
        (INFER, request(b"hello"), StatusCode::BAD_REQUEST),
        ("/v2/models/other/infer", good.clone(), StatusCode::NOT_FOUND),
        ("/v2/models/ocr-model/versions/9/infer", good, StatusCode::NOT_FOUND),
        ("/v2/models/ocr-model/explain", json!({}), StatusCode::NOT_FOUND),
    ] {
        let answer = infer(&service, path, &body).await;
        assert_eq!((answer.status, answer.error().is_empty()), (status, false), "{path} {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/json");
    }
}

#[tokio::test]
async fn health_and_metadata_are_as_the_clients_read_them() {
    let service = Service::role("model", &["--engines=1"]).await;
    let get = async |path| Answer::of(service.get("model", path).await).await.body;
    assert_eq!(get("/v2/health/live").await, json!({ "live": true }));
    assert_eq!(get("/v2/health/ready").await, json!({ "live": true, "ready": true }));
    assert_eq!(get("/v2/models/ocr-model/ready").await, json!({ "name": "ocr-model", "ready": true }));
    assert_eq!(get("/v2").await["extensions"], json!(["binary_tensor_data"]));
    let model = get("/v2/models/ocr-model/versions/1").await;
    assert_eq!((&model["name"], &model["versions"]), (&json!("ocr-model"), &json!(["1"])));
    assert_eq!(model["inputs"][0]["datatype"], "BYTES");
}

#[tokio::test]
async fn requests_and_errors_are_counted_under_the_panels_names() {
    let service = Service::role("model", &["--engines=1"]).await;
    infer(&service, INFER, &request(&data("line.png"))).await;
    infer(&service, INFER, &request(b"hello")).await;
    let response = service.get("model", "/metrics").await;
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let metrics = response.text().await.unwrap();
    for line in [
        "kserve_inference_request_count{model_name=\"ocr-model\"} 2",
        "kserve_inference_request_error_count{model_name=\"ocr-model\"} 1",
        "kserve_inference_request_duration_seconds_count{model_name=\"ocr-model\"} 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line} in\n{metrics}");
    }
}
