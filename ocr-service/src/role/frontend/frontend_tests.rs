//! The frontend over HTTP: its page, its events, its errors.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tower::ServiceExt;

use super::*;
use crate::http::health::Lifecycle;
use crate::http::service::{self, HttpConfig};
use crate::metrics::{Catalogue, HttpMetrics};
use crate::role::frontend::args::{Mode, PageArgs};

fn service(pipeline: Pipeline) -> Router {
    let frontend = Frontend { pipeline: Arc::new(pipeline), limits: Limits { max_pixels: 10_000_000 } };
    let role = service::Role {
        name: "frontend",
        routes: routes(frontend),
        readiness: Arc::new(AlwaysReady),
        registry: Catalogue::default().finish(),
        http_metrics: HttpMetrics::default(),
        before_scrape: service::nothing(),
    };
    let config = HttpConfig::of(20, 1_000_000);
    service::build(role, &Lifecycle::default(), &config)
}

fn mock() -> Router {
    let delay = Duration::from_millis(1);
    service(Pipeline::Mock { ocr: delay, translate: delay })
}

/// The gateway and the translation in one double, each with its answer.
async fn real(ocr: (u16, Value), translation: (u16, Value)) -> Router {
    let answer = move |uri: Uri, headers: HeaderMap| {
        let (status, body) = match uri.path() {
            "/gateway/ocr" => ocr.clone(),
            _ => translation.clone(),
        };
        let asked = headers.contains_key("x-platen-deadline-ms") && headers["x-request-id"] == "letter-7";
        let status = if asked { status } else { 418 };
        async move { (StatusCode::from_u16(status).unwrap(), Json(body)) }
    };
    let router = Router::new().fallback(answer).into_make_service();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base: reqwest::Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let page = PageArgs { frontend_mode: Mode::Real, mock_ocr_delay: Duration::ZERO };
    service(Pipeline::new(page, Duration::ZERO, base.clone(), base).unwrap())
}

fn form(parts: &[(&str, &str)], accept: &str) -> Request {
    let part = |(name, content): &(&str, &str)| {
        let file = if *name == "file" { "; filename=\"a.png\"" } else { "" };
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{content}\r\n")
    };
    let body = parts.iter().map(part).collect::<String>() + "--b--\r\n";
    let request = Request::post("/api/translate")
        .header(CONTENT_TYPE, "multipart/form-data; boundary=b")
        .header(ACCEPT, accept);
    request.header("x-request-id", "letter-7").body(Body::from(body)).unwrap()
}

async fn send(router: &Router, request: Request) -> (u16, HeaderMap, String) {
    let response = router.clone().oneshot(request).await.unwrap().into_response();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, headers, String::from_utf8_lossy(&body).into_owned())
}

async fn json_of(router: &Router, parts: &[(&str, &str)]) -> (u16, Value) {
    let (status, _, body) = send(router, form(parts, "application/json")).await;
    (status, serde_json::from_str(&body).unwrap())
}

async fn page(uri: &str, accept_language: &str) -> (HeaderMap, String) {
    let request = Request::get(uri).header(ACCEPT_LANGUAGE, accept_language).body(Body::empty()).unwrap();
    let (status, headers, body) = send(&mock(), request).await;
    assert_eq!(status, 200);
    (headers, body)
}

#[tokio::test]
async fn the_page_has_the_users_button_and_speaks_both_languages() {
    let (_, korean) = page("/", "").await;
    assert!(korean.contains("<html lang=\"ko\">") && korean.contains("샘플 편지 번역 요청하기"));
    let (headers, english) = page("/", "en-GB,en;q=0.9").await;
    assert!(english.contains("<html lang=\"en\">") && english.contains("Translate the sample letter"));
    assert!(english.contains("샘플 편지 번역 요청하기"), "the button that the users know is on every page");
    assert_eq!(headers["content-language"], "en");
    assert!(page("/?lang=ko", "en").await.1.contains("<html lang=\"ko\">"));
}

#[tokio::test]
async fn nothing_written_into_the_page_may_run() {
    let (headers, page) = page("/", "").await;
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.contains("<script>") && !page.contains("style=") && !page.contains("onclick"), "{page}");
    assert_eq!(headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn every_file_that_the_page_names_is_served() {
    let (_, page) = page("/", "").await;
    let named = page.split('"').filter(|part| part.starts_with("/assets/")).collect::<Vec<_>>();
    assert!(named.len() >= 3);
    for path in named.into_iter().chain(["/assets/letter.jpg"]) {
        let (status, headers, _) = send(&mock(), Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!((status, headers.contains_key("content-type")), (200, true), "{path}");
    }
    assert_eq!(
        send(&mock(), Request::get("/assets/..%2fCargo.toml").body(Body::empty()).unwrap()).await.0,
        404
    );
}

#[tokio::test]
async fn the_mock_answers_with_the_users_texts() {
    let (status, answer) = json_of(&mock(), &[("sample", "letter")]).await;
    assert_eq!(status, 200);
    assert_eq!(answer["text"], "Hello from your child");
    assert_eq!(answer["translation"], "자녀로부터 온 편지입니다. 안녕하세요.");
}

#[tokio::test(start_paused = true)]
async fn the_mock_takes_as_long_as_it_is_told() {
    let started = Instant::now();
    let delay = Duration::from_secs(4);
    json_of(&service(Pipeline::Mock { ocr: delay, translate: delay }), &[("sample", "letter")]).await;
    assert!(started.elapsed() >= delay * 2, "{:?}", started.elapsed());
}

fn words() -> Value {
    json!([{ "text": "Hello", "confidence": 96.1, "box": { "x": 1, "y": 2, "width": 30, "height": 10 } }])
}

#[tokio::test]
async fn the_events_tell_each_stage_and_end_with_the_result() {
    let ocr = json!({ "text": "Hello\n", "words": words() });
    let router = real((200, ocr), (200, json!({ "translatedText": "안녕" }))).await;
    let (status, headers, body) = send(&router, form(&[("sample", "letter")], "text/event-stream")).await;
    assert_eq!(status, 200);
    assert!(headers["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let events: Vec<_> = body.split_terminator("\n\n").map(|event| event.split_once('\n').unwrap()).collect();
    let names: Vec<_> = events.iter().map(|(name, _)| name.trim_start_matches("event: ")).collect();
    assert_eq!(names, ["stage", "stage", "stage", "recognised", "stage", "stage", "result"], "{body}");
    let result: Value = serde_json::from_str(events[6].1.trim_start_matches("data: ")).unwrap();
    assert_eq!((&result["text"], &result["translation"]), (&json!("Hello\n"), &json!("안녕")));
    assert_eq!(result["words"], words());
}

#[tokio::test]
async fn a_gateway_without_words_gives_a_result_without_words() {
    let router = real((200, json!({ "text": "Hello" })), (200, json!({ "translatedText": "안녕" }))).await;
    let (status, answer) = json_of(&router, &[("sample", "letter"), ("target", "ko")]).await;
    assert_eq!((status, answer.get("words")), (200, None));
}

#[tokio::test]
async fn what_fails_behind_the_page_is_told_with_its_stage_and_reason() {
    let busy = (503, json!({ "error": "busy" }));
    let router = real(busy.clone(), busy).await;
    let (status, _, body) = send(&router, form(&[("sample", "letter")], "text/event-stream")).await;
    assert_eq!(status, 200);
    let last = body.trim_end().rsplit("data: ").next().unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(last).unwrap(),
        json!({ "stage": "ocr", "status": 503, "error": "busy" })
    );
    let passed_on = [400, 408, 413, 422, 429, 503, 504].map(|status| (status, status));
    // The page's user did not choose whom this server asks, nor with which key.
    let not_the_callers = [401, 403, 404, 405, 500].map(|status| (status, 502));
    for (theirs, ours) in passed_on.into_iter().chain(not_the_callers) {
        let translation = (theirs, json!({ "error": "no" }));
        let router = real((200, json!({ "text": "Hello" })), translation).await;
        let (status, answer) = json_of(&router, &[("sample", "letter")]).await;
        assert_eq!((status, &answer["error"]), (ours, &json!("no")));
    }
}

#[tokio::test]
async fn an_image_without_text_is_422() {
    let router = real((200, json!({ "text": " \n" })), (200, json!({}))).await;
    let (status, answer) = json_of(&router, &[("sample", "letter")]).await;
    assert_eq!(status, 422);
    assert!(answer["error"].as_str().unwrap().contains("no text"), "{answer}");
}

#[tokio::test]
async fn answers_that_are_none_are_502() {
    for (ocr, translation) in
        [(json!([]), json!({})), (json!({ "text": "Hello" }), json!({ "translatedText": 1 }))]
    {
        assert_eq!(
            json_of(&real((200, ocr), (200, translation)).await, &[("sample", "letter")]).await.0,
            502
        );
    }
}

#[tokio::test]
async fn what_is_no_letter_is_refused_before_any_stage() {
    for (parts, status) in [
        (&[][..], 400),
        (&[("file", "")], 400),
        (&[("file", "hello")], 422),
        (&[("sample", "letter"), ("target", "xx")], 400),
    ] {
        for accept in ["application/json", "text/event-stream"] {
            let (answered, _, body) = send(&mock(), form(parts, accept)).await;
            assert_eq!(answered, status, "{parts:?}");
            assert!(serde_json::from_str::<Value>(&body).unwrap()["error"].is_string());
        }
    }
    let bare = Request::post("/api/translate").body(Body::empty()).unwrap();
    assert_eq!(send(&mock(), bare).await.0, 400);
}

#[tokio::test]
async fn an_upload_beyond_the_limit_is_413() {
    let large = "x".repeat(1_100_000);
    assert_eq!(json_of(&mock(), &[("file", &large)]).await.0, 413);
}

#[tokio::test]
async fn a_browser_without_scripts_gets_the_page_with_the_result_escaped() {
    let evil = json!({ "text": "<script>alert(1)</script>" });
    let router = real((200, evil), (200, json!({ "translatedText": "<b>안녕</b>" }))).await;
    let (status, _, page) = send(&router, form(&[("sample", "letter")], "text/html,*/*")).await;
    assert_eq!(status, 200);
    assert!(page.contains("&lt;script&gt;alert") && page.contains("&lt;b&gt;안녕"), "{page}");
    assert!(!page.contains("<script>alert") && page.contains("src=\"/assets/letter.jpg\""));
    let (status, _, page) = send(&router, form(&[("file", "hello")], "text/html")).await;
    assert_eq!(status, 422);
    assert!(page.contains("not an image"), "{page}");
}
