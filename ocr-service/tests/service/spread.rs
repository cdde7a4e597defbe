//! A gateway in front of several model processes, as nodes are on the embedded provider.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::StatusCode;
use tokio::time::MissedTickBehavior;

use super::harness::{Answer, Service, data, post};

const NAMES: [&str; 3] = ["first", "second", "third"];
/// Steady, and well within what two models read on a busy machine.
const EVERY: Duration = Duration::from_millis(150);

async fn models() -> Vec<Service> {
    let start = async |name| Service::role("model", &["--engines=1", &format!("--instance={name}")]).await;
    futures_util::future::join_all(NAMES.map(start)).await
}

async fn gateway_of(models: &[Service], args: &[&str]) -> Service {
    let urls: Vec<_> = models.iter().map(|model| model.url("model", "")).collect();
    Service::role("gateway", &[&[format!("--model-url={}", urls.join(",")).as_str()], args].concat()).await
}

/// Sends images at a steady rate whatever becomes of them; the first model gets `signal` after a third.
async fn under_load(gateway: &Service, models: &[Service], signal: &str) -> Vec<Answer> {
    let url = gateway.url("gateway", "/gateway/ocr");
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sent = Vec::new();
    for number in 0..45 {
        ticks.tick().await;
        if number == 15 {
            models[0].signal(signal);
        }
        sent.push(tokio::spawn(post(url.clone(), "image_file", data("line.png"))));
    }
    let answers = futures_util::future::join_all(sent).await;
    answers.into_iter().map(|answer| answer.unwrap()).collect()
}

fn failed(answers: &[Answer]) -> Vec<&Answer> {
    answers.iter().filter(|answer| answer.status != StatusCode::OK).collect()
}

fn served_by(answers: &[Answer]) -> BTreeSet<&str> {
    answers.iter().map(|answer| answer.headers["x-platen-endpoint"].to_str().unwrap()).collect()
}

/// No request failed, all models worked before, and only the others at the end.
fn assert_survived(answers: &[Answer]) {
    assert!(failed(answers).is_empty(), "{:?}", failed(answers));
    assert!(answers.iter().all(|answer| answer.text().trim() == "Platen 1"));
    assert_eq!(served_by(&answers[..15]), BTreeSet::from(NAMES));
    assert_eq!(served_by(&answers[35..]), BTreeSet::from(["second", "third"]));
    assert!(answers.iter().any(|answer| answer.headers["x-platen-tries"] != "1"), "nobody noticed");
}

#[tokio::test]
async fn a_model_that_is_killed_under_load_fails_no_request() {
    let models = models().await;
    let gateway = gateway_of(&models, &[]).await;
    assert_survived(&under_load(&gateway, &models, "KILL").await);
}

#[tokio::test]
async fn a_model_that_stops_in_its_tracks_under_load_fails_no_request() {
    let models = models().await;
    let gateway = gateway_of(&models, &[]).await;
    assert_survived(&under_load(&gateway, &models, "STOP").await);
}

#[tokio::test]
async fn without_retries_a_killed_model_fails_requests() {
    let models = models().await;
    let gateway = gateway_of(&models, &["--no-retry"]).await;
    assert!(!failed(&under_load(&gateway, &models, "KILL").await).is_empty());
}

#[tokio::test]
async fn a_models_name_is_resolved_and_every_request_answered() {
    // Both families of loopback, where the machine has them; the model listens on one of them.
    let model = Service::role("model", &["--engines=1"]).await;
    let port = model.url("model", "").rsplit(':').next().unwrap().to_owned();
    let gateway = Service::role("gateway", &[&format!("--model-url=dns+http://localhost:{port}")]).await;
    for _ in 0..4 {
        let answer = post(gateway.url("gateway", "/gateway/ocr"), "image_file", data("line.png")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
}
