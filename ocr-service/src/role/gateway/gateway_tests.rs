//! The gateway against models that the test scripts; those that fail are in their own file.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket};
use tower::ServiceExt;

use super::source::Source;
use super::upstream::{SOONEST, UpstreamConfig};
use super::*;
use crate::http::health::{Lifecycle, Readiness};
use crate::http::service::{self, HttpConfig};
use crate::metrics::{Catalogue, HttpMetrics, UpstreamMetrics};
use crate::role::INSTANCE;
use crate::v2::{HEADER_LENGTH, codec};

#[path = "failure_tests.rs"]
mod failure;
#[path = "outcome_tests.rs"]
mod outcome;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01";

type Seen = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A model that gives the same answer to everything and remembers what it was asked.
async fn model(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let handler = {
        let seen = seen.clone();
        move |headers: HeaderMap, body: Bytes| {
            seen.lock().unwrap().push((headers, body));
            let response = answer();
            async move { response }
        }
    };
    let router = Router::new().route("/v2/models/ocr-model/infer", post(handler));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

fn text(words: &'static str, instance: &'static str) -> impl Fn() -> Response + Clone {
    let output = json!({ "name": "text", "shape": [1], "datatype": "BYTES", "data": [words] });
    let body = json!({ "model_name": "ocr-model", "outputs": [output] });
    move || ([(INSTANCE, instance)], Json(body.clone())).into_response()
}

fn refusal(status: u16, retry_after: Option<&'static str>) -> impl Fn() -> Response + Clone {
    move || {
        let status = StatusCode::from_u16(status).unwrap();
        let mut response = (status, Json(json!({ "error": "the model says no" }))).into_response();
        if let Some(after) = retry_after {
            response.headers_mut().insert("retry-after", HeaderValue::from_static(after));
        }
        response
    }
}

/// A port at which nobody listens, and that nobody else gets as long as the socket lives.
fn deaf() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// An address at which nobody listens, until the test is over.
fn nobody() -> SocketAddr {
    let (socket, address) = deaf();
    tokio::spawn(async move {
        let _held = socket;
        std::future::pending::<()>().await;
    });
    address
}

fn config(endpoints: &[SocketAddr], retries: bool) -> UpstreamConfig {
    let url = |address: &SocketAddr| Source::Fixed(format!("http://{address}").parse().unwrap());
    let models = endpoints.iter().map(url).collect();
    let connect_timeout = Duration::from_millis(500);
    UpstreamConfig { models, connect_timeout, retries, soonest_late: SOONEST }
}

fn upstream(endpoints: &[SocketAddr], retries: bool) -> Arc<Upstream> {
    Upstream::start(config(endpoints, retries), UpstreamMetrics::default()).unwrap()
}

fn gateway(endpoints: &[SocketAddr]) -> Router {
    gateway_of(upstream(endpoints, true))
}

fn gateway_of(upstream: Arc<Upstream>) -> Router {
    let limits = Limits { max_pixels: 1_000_000 };
    let role = service::Role {
        name: "gateway",
        routes: routes(Gateway { upstream: upstream.clone(), limits }),
        readiness: upstream,
        registry: Catalogue::default().finish(),
        http_metrics: HttpMetrics::default(),
        before_scrape: service::nothing(),
    };
    let config = HttpConfig::of(10, 10_000);
    service::build(role, &Lifecycle::default(), &config)
}

fn upload(field: &str, image: &[u8]) -> Request {
    let head = format!("--b\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"a.png\"\r\n\r\n");
    let body = [head.as_bytes(), image, b"\r\n--b--\r\n"].concat();
    let request = Request::post("/gateway/ocr?psm=6").header(CONTENT_TYPE, "multipart/form-data; boundary=b");
    request.header("x-request-id", "letter-7").body(Body::from(body)).unwrap()
}

async fn send(gateway: &Router, request: Request) -> (StatusCode, HeaderMap, serde_json::Value) {
    let response = gateway.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, headers, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn the_image_travels_raw_and_the_answer_says_who_gave_it() {
    let (address, seen) = model(text("Hello from your child\n", "model-0")).await;
    let (status, headers, body) = send(&gateway(&[address]), upload("image_file", PNG)).await;
    assert_eq!((status, body), (StatusCode::OK, json!({ "text": "Hello from your child\n" })));
    assert_eq!(headers[&ENDPOINT], "model-0");
    assert_eq!(headers[&TRIES], "1");
    assert_eq!(headers["x-request-id"], "letter-7");
    let (headers, body) = seen.lock().unwrap()[0].clone();
    let length = headers[&HEADER_LENGTH].to_str().unwrap();
    let asked = codec::decode_request(Some(length), &body, 1).unwrap();
    assert_eq!(asked.inputs[0].elements, [PNG]);
    assert_eq!(asked.id.as_deref(), Some("letter-7"));
    assert_eq!(asked.parameters.unwrap()["psm"], "6");
    assert_eq!(headers["x-request-id"], "letter-7");
}

#[tokio::test]
async fn when_no_model_answers_the_error_names_the_address() {
    let address = nobody();
    let (status, headers, body) = send(&gateway(&[address]), upload("image_file", PNG)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(headers.contains_key("retry-after"));
    assert!(body["error"].as_str().unwrap().contains(&address.to_string()), "{body}");
}

#[tokio::test]
async fn what_is_no_image_never_reaches_a_model() {
    let (address, seen) = model(text("never", "model-0")).await;
    let (status, _, body) = send(&gateway(&[address]), upload("image_file", b"hello")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(body["error"].as_str().unwrap().contains("not an image"), "{body}");
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_form_without_image_file_is_told_which_field_it_lacks() {
    let (status, _, body) = send(&gateway(&[nobody()]), upload("file", PNG)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body["error"].as_str().unwrap().contains("image_file"), "{body}");
}

#[tokio::test]
async fn an_upload_beyond_the_limit_is_413() {
    let (status, _, body) = send(&gateway(&[nobody()]), upload("image_file", &vec![0; 20_000])).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(body["error"].is_string());
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_answered_in_json() {
    let gateway = gateway(&[nobody()]);
    let (status, _, body) = send(&gateway, Request::get("/nothing").body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body["error"].as_str().unwrap().contains("/nothing"));
    let (status, headers, body) =
        send(&gateway, Request::get("/gateway/ocr").body(Body::empty()).unwrap()).await;
    assert_eq!(
        (status, &headers["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &HeaderValue::from_static("POST"))
    );
    assert!(body["error"].is_string());
}

#[tokio::test]
async fn the_gateway_is_ready_only_after_a_model_was_and_stays_so() {
    assert!(upstream(&[nobody()], true).check().await.is_err());
    let router = Router::new().route("/v2/health/ready", axum::routing::get(|| async { "{}" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = upstream(&[listener.local_addr().unwrap()], true);
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    assert_eq!(upstream.check().await, Ok(()));
    server.abort();
    assert_eq!(upstream.check().await, Ok(()));
}
