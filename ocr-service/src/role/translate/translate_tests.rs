//! The role as LibreTranslate's clients ask it, and its own client against a strict double.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::{TcpListener, TcpSocket};
use tower::ServiceExt;

use super::backend::MOCK_TEXT;
use super::libre::Libre;
use super::*;
use crate::http::health::Lifecycle;
use crate::http::service::{self, HttpConfig};
use crate::metrics::{Catalogue, HttpMetrics};
use crate::secret::Secret;

const KEY: &str = "k-1234";

fn service(backend: Backend) -> Router {
    let translate = Translate { backend: Arc::new(backend), max_chars: 100 };
    let role = service::Role {
        name: "translate",
        routes: routes(translate.clone()),
        readiness: Arc::new(translate),
        registry: Catalogue::default().finish(),
        http_metrics: HttpMetrics::default(),
        before_scrape: service::nothing(),
    };
    let config = HttpConfig::of(10, 100_000);
    service::build(role, &Lifecycle::default(), &config)
}

fn mock() -> Router {
    service(Backend::Mock { delay: Duration::ZERO })
}

async fn send(router: &Router, kind: &str, body: &str) -> (u16, HeaderMap, Value) {
    let request = Request::post("/translate").header(CONTENT_TYPE, kind).body(Body::from(body.to_owned()));
    answer(router, request.unwrap()).await
}

async fn answer(router: &Router, request: Request) -> (u16, HeaderMap, Value) {
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, headers, serde_json::from_slice(&body).unwrap())
}

async fn ask(router: &Router, body: &Value) -> (u16, HeaderMap, Value) {
    send(router, "application/json", &body.to_string()).await
}

#[tokio::test]
async fn a_language_that_is_not_listed_is_refused_in_libretranslates_words() {
    for (source, target, unknown) in [("en", "tlh", "tlh"), ("xx", "ko", "xx"), ("en", "auto", "auto")] {
        let (status, _, body) = ask(&mock(), &json!({ "q": "a", "source": source, "target": target })).await;
        assert_eq!((status, &body), (400, &json!({ "error": format!("{unknown} is not supported") })));
    }
    let (status, ..) = ask(&mock(), &json!({ "q": "a", "source": "auto", "target": "ko" })).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn json_and_both_kinds_of_form_are_answered_alike() {
    let multipart = ["q", "source", "target"]
        .map(|name| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\nen\r\n"));
    let bodies = [
        (
            "application/json",
            json!({ "q": "Hello", "source": "en", "target": "ko", "api_key": "x" }).to_string(),
        ),
        ("application/x-www-form-urlencoded", "q=Hello%20there&source=en&target=ko&format=text".to_owned()),
        ("multipart/form-data; boundary=b", multipart.concat() + "--b--\r\n"),
    ];
    for (kind, body) in bodies {
        let (status, _, answer) = send(&mock(), kind, &body).await;
        assert_eq!((status, answer), (200, json!({ "translatedText": MOCK_TEXT })), "{kind}");
    }
}

#[tokio::test]
async fn a_list_is_answered_by_a_list() {
    let (_, _, answer) = ask(&mock(), &json!({ "q": ["a", "b"], "source": "auto", "target": "ko" })).await;
    assert_eq!(answer, json!({ "translatedText": [MOCK_TEXT, MOCK_TEXT] }));
}

#[tokio::test]
async fn what_is_missing_is_named_as_libretranslate_names_it() {
    for (missing, body) in [
        ("q", json!({ "source": "en", "target": "ko" })),
        ("q", json!({ "q": "", "source": "en", "target": "ko" })),
        ("source", json!({ "q": "a", "target": "ko" })),
        ("target", json!({ "q": "a", "source": "en", "target": " " })),
    ] {
        let (status, _, answer) = ask(&mock(), &body).await;
        let wanted = json!({ "error": format!("Invalid request: missing {missing} parameter") });
        assert_eq!((status, answer), (400, wanted));
    }
}

#[tokio::test]
async fn what_is_no_request_is_400_in_json() {
    for (kind, body) in [("application/json", "{"), ("text/plain", "hello"), ("application/json", "[]")] {
        let (status, _, answer) = send(&mock(), kind, body).await;
        assert_eq!((status, answer["error"].is_string()), (400, true), "{body}");
    }
    let (status, _, answer) =
        ask(&mock(), &json!({ "q": "a", "source": "en", "target": "ko", "format": "pdf" })).await;
    assert_eq!((status, answer["error"].is_string()), (400, true));
}

#[tokio::test]
async fn a_text_beyond_the_limit_is_refused_with_the_limit() {
    let (status, _, answer) =
        ask(&mock(), &json!({ "q": "가".repeat(101), "source": "ko", "target": "en" })).await;
    assert_eq!(status, 400);
    assert!(answer["error"].as_str().unwrap().contains("(101) exceeds text limit (100)"), "{answer}");
}

#[tokio::test]
async fn empty_texts_are_counted() {
    for (count, expected) in [(100, 200), (101, 400)] {
        let texts = json!({ "q": vec![""; count], "source": "en", "target": "ko" });
        assert_eq!(ask(&mock(), &texts).await.0, expected, "{count}");
    }
}

#[tokio::test]
async fn a_body_larger_than_any_text_within_the_limit_is_not_received() {
    let widest = "\\ud83d\\ude00".repeat(100);
    let widest = format!(r#"{{"q":"{widest}","source":"en","target":"ko"}}"#);
    assert_eq!(send(&mock(), "application/json", &widest).await.0, 200);
    let many = json!({ "q": vec![""; 10_000], "source": "en", "target": "ko" });
    let (status, _, answer) = ask(&mock(), &many).await;
    assert_eq!(status, 413);
    assert!(answer["error"].as_str().unwrap().contains("limit of 18 KiB"), "{answer}");
}

#[tokio::test]
async fn the_languages_are_in_libretranslates_form() {
    let (_, _, answer) = answer(&mock(), Request::get("/languages").body(Body::empty()).unwrap()).await;
    assert_eq!(answer[0], json!({ "code": "en", "name": "English", "targets": ["en", "ko"] }));
}

#[tokio::test(start_paused = true)]
async fn the_mock_takes_its_time() {
    let started = tokio::time::Instant::now();
    let router = service(Backend::Mock { delay: Duration::from_secs(3) });
    ask(&router, &json!({ "q": "a", "source": "en", "target": "ko" })).await;
    assert_eq!(started.elapsed().as_secs(), 3);
}

type Seen = Arc<Mutex<Vec<(String, Value)>>>;

/// A LibreTranslate that gives one answer to everything and remembers what it was asked.
async fn libre(status: u16, headers: &'static [(&'static str, &'static str)], body: Value) -> (Router, Seen) {
    let seen = Seen::default();
    let handler = {
        let seen = seen.clone();
        move |uri: Uri, request: String| {
            seen.lock()
                .unwrap()
                .push((uri.path().to_owned(), serde_json::from_str(&request).unwrap_or_default()));
            let mut response: Response =
                (StatusCode::from_u16(status).unwrap(), Json(body.clone())).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            async move { response }
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
    (service(Backend::Libre(Libre::new(base, Some(Secret::new(KEY))).unwrap())), seen)
}

fn question() -> Value {
    json!({ "q": "Hello", "source": "en", "target": "ko" })
}

#[tokio::test]
async fn the_backend_is_asked_as_documented_and_with_the_key() {
    let (router, seen) = libre(200, &[], json!({ "translatedText": "안녕" })).await;
    let (status, _, answer) = ask(&router, &question()).await;
    assert_eq!((status, answer), (200, json!({ "translatedText": "안녕" })));
    let wanted = json!({ "q": "Hello", "source": "en", "target": "ko", "format": "text", "api_key": KEY });
    assert_eq!(*seen.lock().unwrap(), [("/translate".to_owned(), wanted)]);
}

#[tokio::test]
async fn the_backends_refusals_are_told_apart() {
    for (theirs, ours) in [(400, 400), (403, 502), (429, 503), (500, 502), (302, 502)] {
        let (router, _) =
            libre(theirs, &[("retry-after", "7")], json!({ "error": format!("no, {KEY}") })).await;
        let (status, headers, answer) = ask(&router, &question()).await;
        assert_eq!(status, ours);
        assert_eq!(headers.get("retry-after").map(|after| after == "7"), (ours == 503).then_some(true));
        assert!(!answer["error"].as_str().unwrap().contains(KEY), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_without_a_translation_for_each_text_is_502() {
    for body in [json!({}), json!({ "translatedText": ["one"] }), json!("x")] {
        let (router, _) = libre(200, &[], body).await;
        assert_eq!(ask(&router, &question()).await.0, 502);
    }
}

#[tokio::test]
async fn it_is_ready_once_the_backend_has_answered() {
    // Bound and not listening: it refuses, and nobody else gets the port meanwhile.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = deaf.local_addr().unwrap();
    let gone = Libre::new(format!("http://{address}").parse().unwrap(), None).unwrap();
    assert!(gone.reached().await.is_err());
    let (router, seen) = libre(200, &[], json!([])).await;
    let ready = Request::get("/healthz/ready").body(Body::empty()).unwrap();
    assert_eq!(answer(&router, ready).await.0, 200);
    assert_eq!(seen.lock().unwrap()[0].0, "/languages");
}

#[tokio::test]
async fn a_backend_that_hangs_ends_with_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let libre = Libre::new(base, None).unwrap();
    let deadline = Deadline(Instant::now() + Duration::from_millis(200));
    assert_eq!(libre.languages(deadline).await, Err(BackendError::Deadline));
}
