//! Requests with more than one attempt under way: which attempt's end is the caller's answer.

use std::time::Instant;

use super::*;
use crate::engine::options::Asked;
use crate::http::ApiError;
use crate::role::gateway::attempt::Answer;

async fn infer(upstream: &Upstream) -> Result<Answer, ApiError> {
    let image = Image::check(Bytes::from_static(PNG), Limits { max_pixels: 1 }).unwrap();
    let deadline = Deadline(Instant::now() + Duration::from_secs(20));
    upstream.infer(&image, &Asked::default(), &HeaderValue::from_static("1"), deadline).await
}

#[tokio::test]
async fn when_one_model_hangs_and_the_other_is_full_the_caller_is_told_before_the_deadline() {
    // Connections are taken by the system, and nothing is ever read.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (full, _) = model(refusal(503, Some("7"))).await;
    let upstream = upstream(&[silent.local_addr().unwrap(), full], true);
    let started = Instant::now();
    // Two, because either model may be the first choice.
    let (first, second) = tokio::join!(infer(&upstream), infer(&upstream));
    assert!(started.elapsed() < Duration::from_secs(18), "{first:?} {second:?}");
    for answer in [first, second] {
        assert_eq!(answer.unwrap_err().status, StatusCode::SERVICE_UNAVAILABLE);
    }
}

/// A model that answers a moment after `other` was asked.
async fn after(other: Seen) -> SocketAddr {
    let asked = move || other.lock().unwrap().len();
    let handler = async move || {
        let before = asked();
        while asked() == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // For the other's answer to arrive first.
        tokio::time::sleep(Duration::from_millis(200)).await;
        text("late", "model-1")()
    };
    let router = Router::new().route("/v2/models/ocr-model/infer", post(handler));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test]
async fn a_late_model_may_still_answer_when_the_one_asked_in_its_place_fails() {
    let (sick, seen) = model(refusal(500, None)).await;
    let upstream = upstream(&[after(seen).await, sick], true);
    // One of the two begins at the late model, the other at the sick one.
    let answers = [infer(&upstream).await, infer(&upstream).await];
    assert!(answers.iter().any(Result::is_ok), "{answers:?}");
}
