//! The context around requests, on a service with a few contrary routes.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Extension;
use axum::routing::get;
use prometheus_client::registry::Registry;
use tower::ServiceExt;

use super::*;
use crate::http::health::{Lifecycle, Phase, Readiness};
use crate::http::service::{self, HttpConfig};

/// Ready or not, for the reason given.
struct Fixed(Result<(), &'static str>);

#[async_trait::async_trait]
impl Readiness for Fixed {
    async fn check(&self) -> Result<(), String> {
        self.0.map_err(str::to_owned)
    }
}

async fn fail() -> Response {
    panic!("a fault of the handler")
}

async fn never() -> Response {
    std::future::pending().await
}

async fn remaining(Extension(deadline): Extension<Deadline>) -> String {
    deadline.remaining().as_millis().to_string()
}

fn service(ready: Result<(), &'static str>, lifecycle: &Lifecycle) -> Router {
    let routes = Router::new()
        .route("/fail", get(fail))
        .route("/never", get(never))
        .route("/remaining", get(remaining));
    let role = service::Role {
        name: "test",
        routes,
        readiness: Arc::new(Fixed(ready)),
        registry: Arc::new(Registry::default()),
        http_metrics: HttpMetrics::default(),
        before_scrape: service::nothing(),
    };
    let config = HttpConfig::of(10, 1000);
    service::build(role, lifecycle, &config)
}

async fn ask(path: &str, headers: &[(&'static str, &str)]) -> (StatusCode, HeaderMap, String) {
    send(&service(Ok(()), &Lifecycle::default()), path, headers).await
}

async fn send(
    service: &Router,
    path: &str,
    headers: &[(&'static str, &str)],
) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = service.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_panic_is_a_500_in_json_and_the_request_keeps_its_id() {
    let (status, headers, body) = ask("/fail", &[("x-request-id", "abc")]).await;
    assert_eq!(
        (status, &headers[REQUEST_ID]),
        (StatusCode::INTERNAL_SERVER_ERROR, &HeaderValue::from_static("abc"))
    );
    assert!(body.starts_with("{\"error\":") && !body.contains("a fault"), "{body}");
}

#[tokio::test]
async fn a_request_without_an_id_or_with_an_implausible_one_gets_a_new_one() {
    for headers in [&[][..], &[("x-request-id", "has spaces")], &[("x-request-id", "")]] {
        let (_, answer, _) = ask("/healthz/live", headers).await;
        assert_eq!(answer[REQUEST_ID].len(), 36, "{answer:?}");
    }
}

#[tokio::test]
async fn the_callers_deadline_can_only_shorten_ours() {
    let millis = async |asked| {
        let (_, _, body) = ask("/remaining", &[("x-platen-deadline-ms", asked)]).await;
        body.parse::<u64>().unwrap()
    };
    assert!(millis("2000").await <= 2000);
    assert!((2001..=10_000).contains(&millis("99999999").await));
    assert!((2001..=10_000).contains(&millis("soon").await));
}

#[tokio::test]
async fn a_handler_that_never_ends_is_ended_after_the_deadline() {
    let (status, _, body) = ask("/never", &[("x-platen-deadline-ms", "1")]).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    assert!(body.contains("deadline"), "{body}");
}

#[tokio::test]
async fn ready_says_what_is_missing() {
    let (status, headers, body) =
        send(&service(Err("no engine"), &Lifecycle::default()), "/healthz/ready", &[]).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(headers.contains_key("retry-after") && body.contains("no engine"), "{body}");
}

#[tokio::test]
async fn a_draining_service_is_live_and_not_ready() {
    let lifecycle = Lifecycle::default();
    let service = service(Ok(()), &lifecycle);
    assert_eq!(send(&service, "/healthz/ready", &[]).await.0, StatusCode::OK);
    lifecycle.enter(Phase::Draining);
    assert_eq!(send(&service, "/healthz/ready", &[]).await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(send(&service, "/healthz/live", &[]).await.0, StatusCode::OK);
}

#[tokio::test]
async fn every_route_is_counted_under_its_pattern_and_unknown_ones_under_one_name() {
    let service = service(Ok(()), &Lifecycle::default());
    let metrics = HttpMetrics::default();
    let context = Context { role: "test", metrics: metrics.clone(), deadline: Duration::from_secs(1) };
    let inner = service.layer(axum::middleware::from_fn_with_state(Arc::new(context), around));
    for path in ["/a", "/b", "/healthz/live"] {
        send(&inner, path, &[]).await;
    }
    let count = |route: &str, status| {
        let labels = RouteLabels { route: route.into(), method: "GET".into(), status };
        metrics.requests.get_or_create(&labels).get()
    };
    assert_eq!((count("unmatched", 404), count("/healthz/live", 200)), (2, 1));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_counted_as_499() {
    let metrics = HttpMetrics::default();
    let context = Context { role: "test", metrics: metrics.clone(), deadline: Duration::from_secs(10) };
    let layer = axum::middleware::from_fn_with_state(Arc::new(context), around);
    let service = Router::new().route("/never", get(never)).layer(layer);
    let request = Request::get("/never").body(Body::empty()).unwrap();
    assert!(service.oneshot(request).now_or_never().is_none());
    let labels = RouteLabels { route: "/never".into(), method: "GET".into(), status: 499 };
    assert_eq!((metrics.in_flight.get(), metrics.requests.get_or_create(&labels).get()), (0, 1));
}

#[tokio::test]
async fn a_stream_is_under_way_and_measured_until_its_end() {
    let metrics = HttpMetrics::default();
    let context = Context { role: "test", metrics: metrics.clone(), deadline: Duration::from_secs(10) };
    let layer = axum::middleware::from_fn_with_state(Arc::new(context), around);
    let stream = async || {
        let lasting = futures_util::stream::once(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<_, std::convert::Infallible>("done")
        });
        Body::from_stream(lasting)
    };
    let service = Router::new().route("/stream", get(stream)).layer(layer);
    let request = Request::get("/stream").body(Body::empty()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    let labels = RouteLabels { route: "/stream".into(), method: "GET".into(), status: 200 };
    let counted = || (metrics.in_flight.get(), metrics.requests.get_or_create(&labels).get());
    assert_eq!(counted(), (1, 0));
    assert_eq!(to_bytes(response.into_body(), 100).await.unwrap(), "done");
    assert_eq!(counted(), (0, 1));
    let mut registry = Registry::default();
    registry.register("took", "", metrics.duration.clone());
    let mut written = String::new();
    prometheus_client::encoding::text::encode(&mut written, &registry).unwrap();
    assert!(written.contains("le=\"0.025\",route=\"/stream\"} 0"), "{written}");
}

#[tokio::test]
async fn a_method_that_nobody_knows_gets_no_series_of_its_own() {
    let metrics = HttpMetrics::default();
    let context = Context { role: "test", metrics: metrics.clone(), deadline: Duration::from_secs(10) };
    let layer = axum::middleware::from_fn_with_state(Arc::new(context), around);
    let service = Router::new().route("/fail", get(fail)).layer(layer);
    for method in ["PURGE", "MY-OWN", "X"] {
        let request = Request::builder().method(method).uri("/fail").body(Body::empty()).unwrap();
        service.clone().oneshot(request).await.unwrap();
    }
    let mut written = String::new();
    let mut registry = Registry::default();
    registry.register("requests", "", metrics.requests.clone());
    prometheus_client::encoding::text::encode(&mut written, &registry).unwrap();
    let series: Vec<_> = written.lines().filter(|line| line.contains("method=")).collect();
    assert!(
        matches!(series[..], [one] if one.contains("method=\"other\"") && one.ends_with(" 3")),
        "{written}"
    );
}
