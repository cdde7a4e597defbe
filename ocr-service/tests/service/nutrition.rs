//! `POST /ocr/nutrition` of the real binary, with a double in CLOVA's place.

use std::sync::{Arc, Mutex};

use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::harness::{Answer, Service, data};

const SECRET: &str = "c2VjcmV0LW9mLXRlc3Q=";

fn sample() -> Value {
    serde_json::from_slice(&data("nutrition/sample.json")).unwrap()
}

/// Reads the sample's words in every image; its invoke URL, and the secrets that it was sent.
async fn clova() -> (String, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let seen = seen.clone();
        move |headers: HeaderMap| {
            seen.lock().unwrap().push(headers["x-ocr-secret"].to_str().unwrap().to_owned());
            let sample = sample();
            let words = sample["full_text"].as_str().unwrap().split(' ');
            let fields: Vec<_> = words.map(|word| json!({ "inferText": word, "lineBreak": false })).collect();
            let image = json!({ "inferResult": "SUCCESS", "message": "SUCCESS", "fields": fields });
            std::future::ready(Json(json!({ "version": "V2", "images": [image] })))
        }
    };
    let router = Router::new().route("/custom/v1/1/abc/general", post(handler));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/custom/v1/1/abc", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, seen)
}

async fn ask(service: &Service, path: &str, form: Form) -> Answer {
    let url = service.url("ocr-server", path);
    Answer::of(reqwest::Client::new().post(url).multipart(form).send().await.unwrap()).await
}

fn label() -> Form {
    Form::new().part("file", Part::bytes(data("nutrition-label.png")).file_name("label.png"))
}

#[tokio::test]
async fn settings_of_the_env_file_lead_to_the_acceptance_cases_reply_and_into_no_log() {
    let (url, seen) = clova().await;
    let env = format!("NAVER_OCR_APIGW_URL={url}\nNAVER_OCR_SECRET_KEY={SECRET}\n");
    let service = Service::role_with("ocr-server", &["--engines=1", "--log=trace"], &env).await;
    let answer = ask(&service, "/ocr/nutrition", label()).await;
    assert_eq!((answer.status, &answer.body), (StatusCode::OK, &sample()));
    assert_eq!(*seen.lock().unwrap(), [SECRET]);
    service.signal("TERM");
    let (_, log) = service.end().await;
    assert!(log.contains("/ocr/nutrition") && !log.contains(SECRET), "{log}");
}

#[tokio::test]
async fn without_settings_the_error_is_the_users_and_tesseract_is_there_for_who_asks() {
    let service = Service::role("ocr-server", &["--engines=1"]).await;
    let answer = ask(&service, "/ocr/nutrition", label()).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.body, json!({ "error": "OCR API environment variables are not set." }));
    for (path, form) in [
        ("/ocr/nutrition?engine=tesseract", label()),
        ("/ocr/nutrition", label().text("engine", "tesseract")),
    ] {
        let answer = ask(&service, path, form).await;
        assert_eq!(
            (answer.status, &answer.body["engine"]),
            (StatusCode::OK, &json!("tesseract")),
            "{answer:?}"
        );
        assert_eq!(answer.body["nutrition"]["calories"], json!({ "value": 505, "unit": "kcal" }));
    }
}

#[tokio::test]
async fn a_label_that_tesseract_has_read_before_is_not_read_again() {
    let service = Service::role("ocr-server", &["--engines=1"]).await;
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(ask(&service, "/ocr/nutrition?engine=tesseract", label()).await);
    }
    assert_eq!((answers[0].status, &answers[0].body), (StatusCode::OK, &answers[1].body));
    let metrics = service.get("ocr-server", "/metrics").await.text().await.unwrap();
    assert!(metrics.lines().any(|line| line == "ocr_cache_hits_total 1"), "{metrics}");
}

#[tokio::test]
async fn a_form_without_its_file_is_refused_as_everywhere() {
    let service = Service::role("ocr-server", &["--engines=1"]).await;
    let other = ask(&service, "/ocr/nutrition", Form::new().text("photo", "x")).await;
    assert_eq!((other.status, other.error()), (StatusCode::BAD_REQUEST, "No file part"));
    let unnamed = Form::new().part("file", Part::bytes(vec![]).file_name(""));
    assert_eq!(ask(&service, "/ocr/nutrition", unnamed).await.error(), "No selected file");
}
