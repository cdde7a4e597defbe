//! The client against a double that is as strict as the documentation.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};

use super::*;
use crate::http::{ApiError, Deadline};

const SECRET: &str = "c2VjcmV0LWtleQ==";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01";

/// Plays one answer after the other and holds every request against the documentation.
#[derive(Clone)]
struct Double {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    answers: Vec<(u16, Value)>,
    request_ids: HashSet<String>,
    wrong: Vec<String>,
    calls: usize,
}

impl Double {
    /// Its invoke URL (without `/general`), and the double.
    async fn start(mut answers: Vec<(u16, Value)>) -> (Url, Self) {
        answers.reverse();
        let double = Self { seen: Arc::new(Mutex::new(Seen { answers, ..Seen::default() })) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/custom/v1/1/abc", listener.local_addr().unwrap());
        let handler = {
            let double = double.clone();
            move |method, uri, headers, body| {
                let answer = double.answer(&method, &uri, &headers, &body);
                async move { answer }
            }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
        (general_url(&url).unwrap(), double)
    }

    fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Response {
        let mut seen = self.seen.lock().unwrap();
        seen.calls += 1;
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let wrong = wrongs(method, uri, headers, &body);
        seen.wrong.extend(wrong);
        let id = body["requestId"].as_str().unwrap_or_default().to_owned();
        if !seen.request_ids.insert(id) {
            seen.wrong.push("the requestId was used before".into());
        }
        let (status, answer) = seen.answers.pop().expect("an answer for every call");
        (StatusCode::from_u16(status).unwrap(), Json(answer)).into_response()
    }

    #[track_caller]
    fn expect(&self, calls: usize) {
        let seen = self.seen.lock().unwrap();
        assert_eq!(seen.wrong, [""; 0]);
        assert_eq!(seen.calls, calls);
    }
}

/// What of a request is not as the documentation has it.
fn wrongs(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Value) -> Vec<String> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    let age = now.abs_diff(body["timestamp"].as_u64().unwrap_or(0).into());
    let image = &body["images"][0];
    let data = image["data"].as_str().and_then(|data| BASE64_STANDARD.decode(data).ok());
    let checks = [
        ("method", method == Method::POST),
        ("path", uri.path() == "/custom/v1/1/abc/general" && uri.query().is_none()),
        ("secret", header("x-ocr-secret") == SECRET),
        ("content type", header("content-type") == "application/json"),
        ("version", body["version"] == "V2"),
        ("requestId", body["requestId"].as_str().is_some_and(|id| !id.is_empty())),
        ("timestamp in milliseconds", age < 60_000),
        ("one image", body["images"].as_array().is_some_and(|images| images.len() == 1)),
        ("format", image["format"] == "png"),
        ("name", image["name"].as_str().is_some_and(|name| !name.is_empty())),
        ("data", data.as_deref() == Some(PNG)),
        ("url beside data", image["url"].is_null()),
    ];
    checks
        .into_iter()
        .filter(|(_, right)| !right)
        .map(|(what, _)| format!("wrong: {what} in {body}"))
        .collect()
}

fn success(words: &[(&str, bool)]) -> (u16, Value) {
    let field = |(text, ends): &(&str, bool)| json!({ "inferText": text, "inferConfidence": 0.99, "lineBreak": ends, "boundingPoly": { "vertices": [] } });
    let image = json!({ "uid": "1", "name": "image", "inferResult": "SUCCESS", "message": "SUCCESS", "fields": words.iter().map(field).collect::<Vec<_>>() });
    (200, json!({ "version": "V2", "requestId": "r", "timestamp": 1, "images": [image] }))
}

fn result(kind: &str, message: &str) -> (u16, Value) {
    (200, json!({ "version": "V2", "images": [{ "inferResult": kind, "message": message, "fields": [] }] }))
}

fn refusal(status: u16, code: &str, message: &str) -> (u16, Value) {
    (status, json!({ "code": code, "message": message, "path": "/general", "traceId": "t", "timestamp": 1 }))
}

fn client(url: Url) -> Client {
    Client::new(Settings { url, secret: Secret::new(SECRET) }, Duration::from_millis(20)).unwrap()
}

fn soon() -> Deadline {
    Deadline(Instant::now() + Duration::from_secs(20))
}

/// The answer of a client whose service gives `answers`, after checking that it asked `calls` times and rightly.
async fn read(answers: Vec<(u16, Value)>, calls: usize) -> Result<String, ApiError> {
    let (url, double) = Double::start(answers).await;
    let answer = client(url).read(PNG, soon()).await;
    double.expect(calls);
    answer.map_err(ApiError::from)
}

async fn refused(answer: (u16, Value)) -> (u16, String) {
    let error = read(vec![answer], 1).await.unwrap_err();
    assert!(error.message.starts_with("API request failed: "), "{}", error.message);
    assert!(!error.message.contains(SECRET), "{}", error.message);
    (error.status.as_u16(), error.message)
}

#[tokio::test]
async fn the_words_are_joined_as_the_sample_has_them() {
    let sample: Value = serde_json::from_str(include_str!("../../tests/data/nutrition/sample.json")).unwrap();
    let full_text = sample["full_text"].as_str().unwrap();
    // A line ends before each nutrient, as on the printed label.
    let words: Vec<_> = full_text.split(' ').map(|word| (word, word.ends_with('%') || word == "g")).collect();
    assert_eq!(read(vec![success(&words)], 1).await.unwrap(), full_text);
}

#[tokio::test]
async fn an_image_without_words_has_an_empty_text() {
    assert_eq!(read(vec![success(&[])], 1).await.unwrap(), "");
}

#[tokio::test]
async fn a_rate_limit_is_asked_once_more_with_a_request_of_its_own() {
    let limited = || refusal(400, "0025", "Request Limit Exceeded");
    assert_eq!(read(vec![limited(), success(&[("one", true)])], 2).await.unwrap(), "one");
    let error = read(vec![limited(), limited()], 2).await.unwrap_err();
    assert_eq!(error.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(error.retry_after.is_some() && error.message.contains("rate limit"), "{error:?}");
}

#[tokio::test]
async fn the_quota_is_503_and_not_repeated() {
    assert_eq!(refused(refusal(400, "0023", "API Quota Exceeded")).await.0, 503);
}

#[tokio::test]
async fn a_secret_that_is_refused_is_our_fault_and_not_the_callers() {
    let (status, message) = refused(refusal(401, "0002", "Unauthorized")).await;
    assert_eq!(status, 502);
    assert!(message.contains("NAVER_OCR_SECRET_KEY"), "{message}");
}

#[tokio::test]
async fn their_other_failures_are_502_with_their_code_and_words() {
    for (status, code) in [(500, "0500"), (500, "0501"), (500, "1021"), (400, "0011"), (404, "0001")] {
        let (answered, message) = refused(refusal(status, code, "broken")).await;
        assert_eq!(answered, 502);
        assert!(message.contains(code) && message.contains("broken"), "{message}");
    }
}

#[tokio::test]
async fn an_error_inside_of_a_200_is_502_and_a_failure_422() {
    assert_eq!(refused(result("ERROR", "internal")).await.0, 502);
    let (status, message) = refused(result("FAILURE", "no text area")).await;
    assert_eq!(status, 422);
    assert!(message.contains("no text area"), "{message}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_502() {
    for answer in
        [json!([]), json!({}), json!({ "images": [] }), json!({ "images": [{ "inferResult": "MAYBE" }] })]
    {
        assert_eq!(refused((200, answer)).await.0, 502);
    }
}

#[tokio::test]
async fn a_secret_that_comes_back_in_a_message_is_not_passed_on() {
    let (_, message) = refused(refusal(400, "0009", &format!("bad key {SECRET}"))).await;
    assert!(message.contains("bad key …"), "{message}");
}

#[tokio::test]
async fn nobody_at_the_address_is_502_without_the_address() {
    // Bound and not listening: it refuses, and nobody else gets the port meanwhile.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let gone = deaf.local_addr().unwrap();
    let url = general_url(&format!("http://{gone}/custom/abc")).unwrap();
    let error = ApiError::from(client(url).read(PNG, soon()).await.unwrap_err());
    assert_eq!(error.status, StatusCode::BAD_GATEWAY);
    assert!(
        error.message.starts_with("API request failed: ") && !error.message.contains("custom"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_service_that_hangs_ends_with_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = general_url(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let deadline = Deadline(Instant::now() + Duration::from_millis(200));
    assert_eq!(client(url).read(PNG, deadline).await, Err(ClovaError::Deadline));
}

#[tokio::test]
async fn what_clova_does_not_read_is_not_sent() {
    let (url, double) = Double::start(Vec::new()).await;
    let client = client(url);
    assert_eq!(client.read(b"GIF89a", soon()).await, Err(ClovaError::Format));
    let large = [PNG, &vec![0; 50 << 20]].concat();
    assert_eq!(client.read(&large, soon()).await, Err(ClovaError::TooLarge));
    double.expect(0);
}

#[test]
fn general_is_added_where_it_is_missing() {
    for text in [
        "https://x.apigw.ntruss.com/custom/v1/1/a",
        "https://x.apigw.ntruss.com/custom/v1/1/a/",
        " https://x.apigw.ntruss.com/custom/v1/1/a/general",
    ] {
        assert_eq!(general_url(text).unwrap().as_str(), "https://x.apigw.ntruss.com/custom/v1/1/a/general");
    }
    assert!(general_url("x.apigw.ntruss.com/custom").is_err());
}

#[test]
fn the_secret_is_not_in_debug() {
    let settings = Settings { url: general_url("https://a/b").unwrap(), secret: Secret::new(SECRET) };
    assert!(!format!("{settings:?}").contains(SECRET));
    let client = Client::new(settings, DEFAULT_PAUSE).unwrap();
    assert!(!format!("{client:?}").contains(SECRET));
}
