//! Models that fail, each in its own way, over real sockets: what becomes of the caller's request.

use std::time::Instant;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::engine::options::Asked;

/// A server that takes a request, writes `answer` and closes.
async fn breaks_off(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let _ = socket.write_all(answer).await;
        }
    });
    address
}

/// Connections are taken by the system, and nothing is ever read: what a stopped process looks like.
async fn hangs() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A model that lives and never answers an inference.
async fn slow() -> SocketAddr {
    let never = async || std::future::pending::<Response>().await;
    let router = Router::new()
        .route("/v2/models/ocr-model/infer", post(never))
        .route("/v2/health/live", get(|| async { "{}" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn ask(gateway: &Router) -> (StatusCode, String, serde_json::Value) {
    let (status, headers, body) = send(gateway, upload("image_file", PNG)).await;
    let tries = headers.get(&TRIES).map_or("", |tries| tries.to_str().unwrap()).to_owned();
    (status, tries, body)
}

/// Asks often enough that each of two endpoints is the first choice at least once; how many tries each request took.
async fn ask_some(gateway: &Router) -> Vec<String> {
    let mut tries = Vec::new();
    for _ in 0..6 {
        let (status, taken, body) = ask(gateway).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        tries.push(taken);
    }
    tries
}

#[tokio::test]
async fn a_model_that_is_gone_costs_second_tries_until_it_is_not_asked_any_more() {
    let (alive, _) = model(text("alive", "model-1")).await;
    let tries = ask_some(&gateway(&[nobody(), alive])).await;
    assert!(tries.contains(&"2".to_owned()), "{tries:?}");
    assert_eq!(tries.last().unwrap(), "1");
}

#[tokio::test]
async fn two_of_three_models_gone_fail_no_request() {
    let (alive, _) = model(text("alive", "model-1")).await;
    ask_some(&gateway(&[nobody(), nobody(), alive])).await;
}

#[tokio::test]
async fn a_503_without_retry_after_is_tried_elsewhere() {
    let (draining, _) = model(refusal(503, None)).await;
    let (alive, _) = model(text("alive", "model-1")).await;
    ask_some(&gateway(&[draining, alive])).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_elsewhere() {
    let broken = breaks_off(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await;
    let (alive, _) = model(text("alive", "model-1")).await;
    let tries = ask_some(&gateway(&[broken, alive])).await;
    assert!(tries.contains(&"2".to_owned()), "{tries:?}");
}

#[tokio::test]
async fn an_image_that_breaks_two_models_is_not_sent_to_a_third() {
    let (first, second) = (breaks_off(b"").await, breaks_off(b"").await);
    let (status, _, body) = ask(&gateway(&[first, second, breaks_off(b"").await])).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert!(body["error"].as_str().unwrap().contains("two models broke off"), "{body}");
}

#[tokio::test]
async fn backpressure_of_one_model_is_tried_once_at_an_idle_one() {
    let (full, _) = model(refusal(503, Some("7"))).await;
    let (idle, _) = model(text("idle", "model-1")).await;
    let tries = ask_some(&gateway(&[full, idle])).await;
    assert!(tries.contains(&"2".to_owned()), "{tries:?}");
}

#[tokio::test]
async fn when_a_second_model_is_full_too_the_caller_is_told_when_to_come_back() {
    let full = refusal(503, Some("7"));
    let (first, at_first) = model(full.clone()).await;
    let (second, at_second) = model(full.clone()).await;
    let (third, at_third) = model(full).await;
    let gateway = gateway(&[first, second, third]);
    let (status, headers, body) = send(&gateway, upload("image_file", PNG)).await;
    assert_eq!(
        (status, &headers["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from_static("7"))
    );
    assert_eq!(body["error"], "the model says no");
    let asked: usize = [at_first, at_second, at_third].iter().map(|seen| seen.lock().unwrap().len()).sum();
    assert_eq!(asked, 2);
}

#[tokio::test]
async fn a_full_model_is_not_thrown_out() {
    let (full, seen) = model(refusal(503, Some("1"))).await;
    let gateway = gateway(&[full]);
    for _ in 0..5 {
        assert_eq!(ask(&gateway).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(seen.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn a_model_that_fails_at_everything_is_not_asked_any_more() {
    let (sick, seen) = model(refusal(500, None)).await;
    let (alive, _) = model(text("alive", "model-1")).await;
    let gateway = gateway(&[sick, alive]);
    for _ in 0..12 {
        ask(&gateway).await;
    }
    assert_eq!(seen.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_model_that_hangs_costs_a_moment_and_not_the_deadline() {
    let (_held, silent) = hangs().await;
    let (alive, _) = model(text("alive", "model-1")).await;
    let gateway = gateway(&[silent, alive]);
    let together = futures_util::future::join_all((0..20).map(|_| ask(&gateway))).await;
    // More than any budget lets through: a model that does not live does no work either.
    for (status, _, body) in together {
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    let tries = ask_some(&gateway).await;
    assert_eq!(tries.last().unwrap(), "1");
}

#[tokio::test]
async fn a_model_that_lives_and_is_late_is_asked_for_elsewhere_within_the_budget() {
    let (alive, _) = model(text("alive", "model-1")).await;
    let soonest_late = Duration::from_millis(100);
    let config = UpstreamConfig { soonest_late, ..config(&[slow().await, alive], true) };
    let upstream = Upstream::start(config, UpstreamMetrics::default()).unwrap();
    let gateway = gateway_of(upstream.clone());
    let (first, second) = (ask(&gateway).await, ask(&gateway).await);
    assert_eq!((first.0, second.0), (StatusCode::OK, StatusCode::OK));
    assert!([first.1, second.1].contains(&"2".to_owned()));
    while upstream.spend() {}
    let image = Image::check(Bytes::from_static(PNG), Limits { max_pixels: 1 }).unwrap();
    let id = HeaderValue::from_static("1");
    // Long enough for whoever answers; within three seconds the budget would have a retry for each again.
    let deadline = || Deadline(Instant::now() + Duration::from_secs(2));
    let asked = Asked::default();
    // Every other one begins at the late model, and for most of these there is no retry left.
    let together = (0..8).map(|_| upstream.infer(&image, &asked, &id, deadline()));
    let answers = futures_util::future::join_all(together).await;
    let late = answers.iter().filter(|answer| answer.is_err()).count();
    assert!((1..=4).contains(&late), "{answers:?}");
}

#[tokio::test]
async fn when_all_hang_the_deadline_ends_the_request() {
    let (_held, silent) = hangs().await;
    let upstream = upstream(&[silent], true);
    let image = Image::check(Bytes::from_static(PNG), Limits { max_pixels: 1 }).unwrap();
    let deadline = Deadline(Instant::now() + Duration::from_millis(200));
    let id = HeaderValue::from_static("1");
    let error = upstream.infer(&image, &Asked::default(), &id, deadline).await.unwrap_err();
    assert_eq!(error.status, StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn without_retries_the_first_failure_is_the_callers() {
    let (alive, _) = model(text("alive", "model-1")).await;
    let gateway = gateway_of(upstream(&[nobody(), alive], false));
    let (first, second) = (ask(&gateway).await, ask(&gateway).await);
    assert!([first.0, second.0].contains(&StatusCode::SERVICE_UNAVAILABLE));
}

#[tokio::test]
async fn a_model_that_comes_back_is_asked_again() {
    let (socket, gone) = deaf();
    let (alive, _) = model(text("alive", "model-1")).await;
    let upstream = upstream(&[gone, alive], true);
    let gateway = gateway_of(upstream.clone());
    ask_some(&gateway).await;
    let endpoint = upstream.directory.endpoints()[0].clone();
    assert!(endpoint.is_out());
    let router = Router::new().route("/v2/health/ready", get(|| async { "{}" }));
    let listener = socket.listen(16).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let back = async {
        while endpoint.is_out() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), back).await.unwrap();
}

#[tokio::test]
async fn what_is_under_way_and_who_is_out_can_be_seen() {
    let (alive, _) = model(text("alive", "model-1")).await;
    let gone = nobody();
    let metrics = UpstreamMetrics::new(&["connect"]);
    let upstream = Upstream::start(config(&[gone, alive], true), metrics.clone()).unwrap();
    ask_some(&gateway_of(upstream.clone())).await;
    upstream.observe();
    let registry = Catalogue::default().upstream(&metrics).finish();
    let body = crate::metrics::render(&registry).into_response().into_body();
    let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    for line in [
        "ocr_gateway_retries_total{reason=\"connect\"} 3".to_owned(),
        "ocr_gateway_ejections_total 1".to_owned(),
        format!("ocr_gateway_endpoint_failures_total{{endpoint=\"{gone}\"}} 3"),
        format!("ocr_gateway_endpoint_ejected{{endpoint=\"{gone}\"}} 1"),
        format!("ocr_gateway_endpoint_in_flight{{endpoint=\"{alive}\"}} 0"),
    ] {
        assert!(body.lines().any(|found| found == line), "no {line} in\n{body}");
    }
}
