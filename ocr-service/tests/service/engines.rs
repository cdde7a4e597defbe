//! The engines' processes: what happens to the others, and to the requests, when one of them dies or does not stop.

use std::fs;
use std::process::Command;

use reqwest::{Client, StatusCode};
use tokio::task::JoinHandle;

use super::harness::{Answer, Service, data, kill, post, until};

/// An OCR server with all these engines at work, that reads each image anew, also one that it has read before.
async fn start(count: usize, args: &[&str]) -> Service {
    let engines_arg = format!("--engines={count}");
    let service = Service::role("ocr-server", &[args, &["--cache-mib=0", &engines_arg]].concat()).await;
    // It is ready with the first.
    until("all engines", async || engines(&service).len() == count).await;
    service
}

/// The process id of the engines' fork server.
pub fn fork_server(service: &Service) -> String {
    children(&service.pid()).pop().expect("a fork server")
}

/// The process ids of the service's engines.
pub fn engines(service: &Service) -> Vec<String> {
    children(&service.pid()).iter().flat_map(|server| children(server)).collect()
}

fn children(of: &str) -> Vec<String> {
    let parent = format!("PPid:\t{of}");
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = processes.filter_map(|process| {
        let status = fs::read_to_string(process.path().join("status")).ok()?;
        status.lines().any(|line| line == parent).then(|| process.file_name().into_string().unwrap())
    });
    pids.collect()
}

/// The process is gone, or only its parent has not noticed yet.
fn has_ended(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status"));
    status.is_err() || status.is_ok_and(|status| status.contains("State:\tZ"))
}

/// KiB of memory that belong to this process alone.
pub fn private_memory(pid: &str) -> u64 {
    // None of a process that has gone meanwhile.
    let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { return 0 };
    let fields = rollup.lines().filter(|line| line.starts_with("Private_"));
    fields.map(|line| line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()).sum()
}

/// Ticks of the processor that a process has used, in all its threads.
fn used_ticks(pid: &str) -> u64 {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return 0 };
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Waits until an engine works on an image, and gives its process id.
async fn busy_engine(service: &Service) -> String {
    let before: Vec<_> = engines(service).into_iter().map(|pid| (used_ticks(&pid), pid)).collect();
    let mut busy = None;
    until("an engine at work", async || {
        let works = |(ticks, pid): &&(u64, String)| used_ticks(pid) > *ticks + 2;
        busy = before.iter().find(works).map(|(_, pid)| pid.clone());
        busy.is_some()
    })
    .await;
    busy.unwrap()
}

/// Ends a process by a segmentation fault. Rust's runtime looks at the first whether the stack has overflowed and
/// otherwise lets the program run into it again; a signal from outside has to come again too.
async fn crash(pid: &str) {
    until("a crash", async || {
        let _ = Command::new("kill").args(["-SEGV", pid]).output().unwrap();
        has_ended(pid)
    })
    .await;
}

/// Lets a stopped engine go on, unless it was killed because it did not answer.
pub fn go_on(pid: &str) {
    let _ = Command::new("kill").args(["-CONT", pid]).output().unwrap();
}

fn send(service: &Service, image: &str) -> JoinHandle<Answer> {
    tokio::spawn(post(service.url("ocr-server", "/ocr"), "file", data(image)))
}

/// Sends an image that may take `deadline` milliseconds.
async fn within(service: &Service, deadline: u64, image: &str) -> Answer {
    let part = reqwest::multipart::Part::bytes(data(image)).file_name("image");
    let form = reqwest::multipart::Form::new().part("file", part);
    let request = Client::new().post(service.url("ocr-server", "/ocr")).multipart(form);
    Answer::of(request.header("x-platen-deadline-ms", deadline).send().await.unwrap()).await
}

async fn metric(service: &Service, name: &str) -> u64 {
    let metrics = service.get("ocr-server", "/metrics").await.text().await.unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::to_owned);
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

async fn until_idle(service: &Service) {
    until("engines at rest", async || metric(service, "ocr_engines_busy").await == 0).await;
}

#[tokio::test]
async fn a_segmentation_fault_under_load_fails_one_request_and_the_next_succeed() {
    let service = start(2, &[]).await;
    let running: Vec<_> = (0..8).map(|_| send(&service, "nutrition-label.png")).collect();
    let victim = busy_engine(&service).await;
    crash(&victim).await;
    let mut failed = Vec::new();
    for answer in running {
        let answer = answer.await.unwrap();
        if answer.status == StatusCode::OK {
            assert!(answer.text().contains("505 kcal"));
        } else {
            failed.push(answer);
        }
    }
    // None, if it was between two images at that moment.
    assert!(failed.len() <= 1, "{failed:?}");
    for answer in &failed {
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.error().contains("crashed on this image"), "{failed:?}");
    }
    assert_eq!(metric(&service, "ocr_engine_crashes_total").await, 1);
    until("a replacement", async || engines(&service).len() == 2).await;
    for _ in 0..4 {
        assert_eq!(service.ocr(data("line.png")).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn an_engine_killed_at_rest_is_replaced_and_no_request_fails() {
    let service = start(1, &[]).await;
    let first = engines(&service);
    kill("KILL", &first[0]);
    until("a replacement", async || metric(&service, "ocr_engine_crashes_total").await == 1).await;
    assert_eq!(service.ocr(data("line.png")).await.text().trim(), "Platen 1");
    assert_ne!(engines(&service), first);
}

#[tokio::test]
async fn a_deadline_ends_the_work_and_the_same_engine_is_free_again() {
    let service = start(1, &["--queue=0"]).await;
    // On a machine that does much else at the time it may be replaced, because it could not look in time; not always.
    for _ in 0..20 {
        let before = engines(&service);
        let late = within(&service, 60, "nutrition-label.png").await;
        assert_eq!(late.status, StatusCode::GATEWAY_TIMEOUT, "{late:?}");
        until_idle(&service).await;
        assert_eq!(service.ocr(data("line.png")).await.text().trim(), "Platen 1");
        if engines(&service) == before {
            return;
        }
    }
    panic!("each deadline has cost the engine");
}

#[tokio::test]
async fn an_engine_that_does_not_stop_is_killed_and_replaced() {
    let service = start(1, &["--queue=4"]).await;
    let stuck = engines(&service).remove(0);
    kill("STOP", &stuck);
    let late = within(&service, 3000, "line.png").await;
    assert_eq!(late.status, StatusCode::GATEWAY_TIMEOUT, "{late:?}");
    // Waits for the replacement.
    assert_eq!(service.ocr(data("line.png")).await.text().trim(), "Platen 1");
    assert_eq!(metric(&service, "ocr_engines_killed_total").await, 1);
    until("its end", async || has_ended(&stuck)).await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_work_on_its_image() {
    let service = start(1, &["--queue=0"]).await;
    // It does not end before the client has left.
    let engine = engines(&service).remove(0);
    kill("STOP", &engine);
    let leaves = send(&service, "nutrition-label.png");
    until("a busy engine", async || metric(&service, "ocr_engines_busy").await == 1).await;
    leaves.abort();
    // The one that asks is counted too.
    until("its leaving", async || metric(&service, "ocr_http_requests_in_flight").await == 1).await;
    go_on(&engine);
    until_idle(&service).await;
    assert_eq!(metric(&service, "ocr_cancelled_total").await, 1);
    assert_eq!(service.ocr(data("line.png")).await.text().trim(), "Platen 1");
}

#[tokio::test]
async fn a_killed_service_leaves_no_engine_behind() {
    let service = start(2, &[]).await;
    let engines = engines(&service);
    assert_eq!(engines.len(), 2);
    let running = send(&service, "nutrition-label.png");
    until("a busy engine", async || metric(&service, "ocr_engines_busy").await > 0).await;
    service.signal("KILL");
    until("the engines' end", async || engines.iter().all(|pid| has_ended(pid))).await;
    running.abort();
}

#[tokio::test]
async fn an_engine_is_held_to_one_thread_and_knows_none_of_the_services_settings() {
    let service = start(1, &[]).await;
    let engine = engines(&service).remove(0);
    let environment = fs::read(format!("/proc/{engine}/environ")).unwrap();
    // A second one would be Tesseract's: the engine's own reader is started in the fork.
    assert_eq!(fs::read_dir(format!("/proc/{}/task", fork_server(&service))).unwrap().count(), 1);
    let variables: Vec<_> =
        environment.split(|byte| *byte == 0).map(|variable| String::from_utf8_lossy(variable)).collect();
    assert!(variables.iter().any(|variable| variable == "OMP_THREAD_LIMIT=1"), "{variables:?}");
    assert!(!variables.iter().any(|variable| variable.starts_with("PATH=")), "{variables:?}");
}

#[tokio::test]
async fn the_engines_fork_server_is_replaced_and_what_was_under_way_is_read_again() {
    let service = start(2, &[]).await;
    let (first, lost) = (fork_server(&service), engines(&service));
    let running: Vec<_> = (0..4).map(|_| send(&service, "nutrition-label.png")).collect();
    busy_engine(&service).await;
    kill("KILL", &first);
    for answer in running {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert!(answer.text().contains("505 kcal"));
    }
    until("the lost engines' end", async || lost.iter().all(|pid| has_ended(pid))).await;
    until("replacements", async || engines(&service).len() == 2).await;
    assert_ne!(fork_server(&service), first);
}

#[tokio::test]
async fn a_fork_server_that_does_not_answer_keeps_nobody_waiting_for_ever() {
    let service = start(1, &[]).await;
    let (first, engine) = (fork_server(&service), engines(&service).remove(0));
    kill("STOP", &first);
    kill("KILL", &engine);
    assert_eq!(service.ocr(data("line.png")).await.text().trim(), "Platen 1");
    assert_ne!(fork_server(&service), first);
}

#[tokio::test]
async fn engines_share_the_trained_data() {
    let service = start(2, &[]).await;
    for engine in engines(&service) {
        let private = private_memory(&engine);
        assert!(private < 8 << 10, "{private} KiB");
    }
    assert!(private_memory(&fork_server(&service)) < 24 << 10);
}
