//! The process: how it starts, refuses to start, and ends.

use std::net::TcpListener;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::{Client, StatusCode};
use serde_json::json;
use tokio::task::JoinHandle;

use super::engines::{engines, fork_server, go_on};
use super::harness::{Answer, Service, binary, data, kill, post, until};

fn run(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_taken_port_is_named_with_its_holder_and_nothing_is_left_running() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let (code, message) =
        run(binary("serve").args(["--gateway-port=0", "--model-port=0", "--ocr-server-port", &port]));
    assert_eq!(code, Some(3));
    let pid = format!("(pid {})", std::process::id());
    for part in [port.as_str(), &pid, "--ocr-server-port"] {
        assert!(message.contains(part), "no {part} in {message}");
    }
}

#[test]
fn trained_data_that_are_missing_are_asked_for() {
    let empty = tempfile::tempdir().unwrap();
    let (code, message) = run(binary("model").args(["--port=0", "--tessdata"]).arg(empty.path()));
    assert_eq!(code, Some(3));
    assert!(message.contains("kor+eng") && message.contains("tesseract-ocr-kor"), "{message}");
}

#[test]
fn wrong_settings_end_before_a_port_is_bound() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "PLATEN_DEADLINE=soon\n").unwrap();
    let (code, message) = run(binary("gateway").current_dir(folder.path()));
    assert_eq!(code, Some(2));
    assert!(message.contains("soon") && message.contains("30s"), "{message}");
}

#[test]
fn a_setting_of_the_environment_goes_before_the_env_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "PLATEN_DEADLINE=5s\n").unwrap();
    let (_, message) = run(binary("gateway").current_dir(folder.path()).env("PLATEN_DEADLINE", "later"));
    assert!(message.contains("later"), "{message}");
}

#[tokio::test]
async fn variables_that_are_left_blank_count_as_not_set() {
    for (role, blank) in [
        ("gateway", &[("KSERVE_URL", ""), ("PLATEN_NO_RETRY", ""), ("PLATEN_LOG_FORMAT", "")][..]),
        ("translate", &[("LIBRETRANSLATE_URL", ""), ("PLATEN_TRANSLATE_BACKEND", "")]),
        ("experiments", &[("DB_IP", ""), ("DB_PORT", ""), ("DB_PASSWORD", "")]),
    ] {
        let service = Service::unready(role, &[], blank).await;
        assert_eq!(service.get(role, "/healthz/live").await.status(), StatusCode::OK);
    }
}

/// Whether the role's metrics have this line.
async fn has_metric(service: &Service, role: &str, line: &str) -> bool {
    service.get(role, "/metrics").await.text().await.unwrap().lines().any(|found| found == line)
}

/// Sends four images to one engine, which is stopped, and waits until it has one and three wait.
async fn send_some(service: &Service, engine: &str) -> Vec<JoinHandle<Answer>> {
    kill("STOP", engine);
    let url = service.url("ocr-server", "/ocr");
    let sent = (0..4).map(|_| tokio::spawn(post(url.clone(), "file", data("nutrition-label.png")))).collect();
    until("a queue", async || has_metric(service, "ocr-server", "ocr_queue_length 3").await).await;
    sent
}

#[tokio::test]
async fn images_whose_clients_left_while_they_waited_are_not_read() {
    let service = Service::role("ocr-server", &["--engines=1", "--cache-mib=0"]).await;
    let engine = engines(&service).remove(0);
    for client in send_some(&service, &engine).await {
        client.abort();
    }
    let alone = "ocr_http_requests_in_flight 1";
    until("no other request", async || has_metric(&service, "ocr-server", alone).await).await;
    go_on(&engine);
    until("dropped images", async || has_metric(&service, "ocr-server", "ocr_cancelled_total 4").await).await;
    assert_eq!(service.ocr(data("line.png")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_second_signal_ends_it_in_the_middle_of_an_image_without_a_crash() {
    let service = Service::role("model", &["--engines=1", "--drain-delay=1m"]).await;
    let url = service.url("model", "/v2/models/ocr-model/infer");
    let image = BASE64_STANDARD.encode(data("nutrition-label.png"));
    let tensor = json!({ "name": "image", "shape": [1], "datatype": "BYTES", "data": [image] });
    let request = Client::new().post(url).json(&json!({ "inputs": [tensor] }));
    let running = tokio::spawn(request.send());
    until("a busy engine", async || has_metric(&service, "model", "ocr_engines_busy 1").await).await;
    // Each is sent when the one before has been seen: the system keeps only one of several that come at once.
    let ready = service.url("model", "/healthz/ready");
    let asked = async || Client::new().get(&ready).send().await.map(|answer| answer.status());
    service.signal("TERM");
    until("draining", async || asked().await.is_ok_and(|status| status == StatusCode::SERVICE_UNAVAILABLE))
        .await;
    service.signal("TERM");
    until("no new connections", async || asked().await.is_err()).await;
    service.signal("TERM");
    let (status, log) = service.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
    // Answered or cut off: the second signal says not to wait for it.
    let _ = running.await;
}

#[tokio::test]
async fn what_runs_is_finished_after_the_signal_and_the_exit_code_is_0() {
    let service = Service::role("ocr-server", &["--engines=1", "--cache-mib=0"]).await;
    let engine = engines(&service).remove(0);
    let running = send_some(&service, &engine).await;
    service.signal("TERM");
    // As of a machine that shuts down, which asks every process to end.
    for process in [&fork_server(&service), &engine] {
        kill("TERM", process);
    }
    go_on(&engine);
    for answer in running {
        assert_eq!(answer.await.unwrap().status, StatusCode::OK);
    }
    let (status, log) = service.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test]
async fn a_letter_under_way_is_read_and_translated_after_the_signal() {
    let service = Service::serve(&["--engines=1", "--cache-mib=0", "--mock-translate-delay=0s"]).await;
    let engine = engines(&service).remove(0);
    kill("STOP", &engine);
    let letter = tokio::spawn(post(service.url("frontend", "/api/translate"), "file", data("letter.jpg")));
    until("a busy engine", async || has_metric(&service, "model", "ocr_engines_busy 1").await).await;
    service.signal("TERM");
    let page = service.url("frontend", "/healthz/live");
    until("no new connections", async || Client::new().get(&page).send().await.is_err()).await;
    go_on(&engine);
    let answer = letter.await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert!(answer.body["translation"].is_string(), "{answer:?}");
    let (status, log) = service.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test]
async fn while_it_drains_it_is_not_ready_and_still_answers() {
    let service = Service::serve(&["--engines=1", "--drain-delay=1m"]).await;
    service.signal("TERM");
    for role in ["gateway", "model", "ocr-server"] {
        let drains =
            async || service.get(role, "/healthz/ready").await.status() == StatusCode::SERVICE_UNAVAILABLE;
        until("not being ready", drains).await;
        assert_eq!(service.get(role, "/healthz/live").await.status(), StatusCode::OK);
    }
    assert_eq!(service.gateway(data("line.png")).await.status, StatusCode::OK);
    service.signal("INT");
    let (status, log) = service.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
}
