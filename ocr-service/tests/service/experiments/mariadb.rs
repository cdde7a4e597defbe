//! The record on a real MariaDB.

use std::path::Path;

use ocr_service::role::experiments::experiment::{Asked, State, Status};
use ocr_service::role::experiments::owner::Owner;
use ocr_service::role::experiments::store::{Store, StoreError, Target};
use reqwest::StatusCode;
use tokio::net::TcpSocket;
use uuid::Uuid;

use super::super::harness::{Answer, Service, until};
use super::server::{DATABASE, PASSWORD, Server, USER};
use super::{ended, get, post, put_images};

const OWNER: Owner = Owner::Folder(Uuid::nil());

/// A port for the database, which no other program is given as long as the socket lives. The database gets it all the
/// same: both say that they share it, and this one never listens.
fn reserved_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

async fn store(port: u16) -> Store {
    let target = Target::Server {
        host: "127.0.0.1".into(),
        port,
        user: USER.into(),
        password: Some(PASSWORD.to_owned().into()),
        database: DATABASE.into(),
    };
    let mut opened = None;
    until("the database", async || {
        opened = Store::open(&target).await.ok();
        opened.is_some()
    })
    .await;
    opened.unwrap()
}

fn asked(id: &str) -> Asked {
    Asked { id: id.parse().unwrap(), learning_rate: "0.001".parse().unwrap(), epochs: "20".parse().unwrap() }
}

/// What `src/role/experiments/store/tests.rs` says of SQLite, one after the other: a server takes seconds to start.
#[tokio::test]
async fn the_store_keeps_on_mariadb_what_it_promises() {
    let (_reserved, port) = reserved_port();
    let _server = Server::start(port);
    let first = store(port).await;
    // Opened twice at once and again: the tables are made once.
    let (other, again) = tokio::join!(store(port), store(port));

    let names = [asked("run-1"), asked("run-1"), asked("run-1"), asked("run-1")];
    let stores = [&first, &other, &again, &first];
    let tries = stores.iter().zip(&names).map(|(store, asked)| store.record(asked, &OWNER));
    let tries = futures_util::future::join_all(tries).await;
    assert_eq!(tries.iter().filter(|result| result.is_ok()).count(), 1, "{tries:?}");
    assert_eq!(tries.iter().filter(|result| matches!(result, Err(StoreError::Used))).count(), 3, "{tries:?}");

    let found = other.get("run-1").await.unwrap().unwrap();
    assert_eq!((found.epoch, found.finished_ms), (20, None));
    assert!((found.learning_rate - 0.001).abs() < f64::EPSILON);
    assert_eq!(found.status, Status::of(State::Creating));

    other.beat("run-1").await.unwrap();
    let found = first.get("run-1").await.unwrap().unwrap();
    assert_eq!((found.owner, found.beats), (Some(OWNER.to_string()), Some(1)));

    first.update("run-1", &Status::of(State::Running)).await.unwrap();
    assert_eq!(first.unfinished(&OWNER).await.unwrap().len(), 1);
    let failed = Status { exit_code: Some(3), ..Status::failed("Error", "그림이 없습니다 🖼") };
    first.update("run-1", &failed).await.unwrap();
    first.update("run-1", &Status::of(State::Running)).await.unwrap();
    let found = other.get("run-1").await.unwrap().unwrap();
    assert_eq!(found.status, failed);
    assert!(found.finished_ms.is_some() && first.unfinished(&OWNER).await.unwrap().is_empty());

    first.record(&asked("run-2"), &OWNER).await.unwrap();
    first.forget("run-1").await.unwrap();
    first.forget("run-2").await.unwrap();
    let ids: Vec<_> = first.list().await.unwrap().into_iter().map(|found| found.id).collect();
    assert_eq!(ids, ["run-1"]);

    first.update("run-2", &failed).await.unwrap();
    first.record(&asked("run-3"), &OWNER).await.unwrap();
    first.update("run-3", &Status::failed("Error", "가".repeat(3000))).await.unwrap();
    let message = first.get("run-3").await.unwrap().unwrap().status.message.unwrap();
    assert_eq!(message.chars().count(), 2000);
}

/// A service with local Jobs on `folder` and the record at `port`, perhaps not ready.
async fn service(folder: &Path, port: u16) -> Service {
    let number = port.to_string();
    let settings = [("DB_IP", "127.0.0.1"), ("DB_PORT", &number), ("DB_USER", USER), ("DB_NAME", DATABASE)];
    let variables = [&settings[..], &[("DB_PASSWORD", PASSWORD)]].concat();
    let args = ["--experiments-data", folder.to_str().unwrap(), "--log=debug"];
    Service::unready("experiments", &args, &variables).await
}

#[tokio::test]
async fn two_services_of_one_database_leave_each_others_experiments_alone() {
    let (_reserved, port) = reserved_port();
    let _server = Server::start(port);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (one, other) = (service(folders[0].path(), port).await, service(folders[1].path(), port).await);
    for (service, folder) in [(&one, &folders[0]), (&other, &folders[1])] {
        put_images(folder.path());
        service.ready("experiments").await;
    }
    assert_eq!(post(&one, "long", "10000").await.status, StatusCode::CREATED);
    until("a running training", async || get(&one, "/test/long").await["state"] == "running").await;
    assert_eq!(post(&other, "short", "1").await.status, StatusCode::CREATED);
    // By now each has looked, and is asked, at what the other runs.
    assert_eq!(ended(&other, "short").await["state"], "succeeded");
    for service in [&other, &one] {
        assert_ne!(get(service, "/test/long").await["state"], "failed");
        assert_eq!(get(service, "/test/short").await["state"], "succeeded");
    }
}

#[tokio::test]
async fn the_service_waits_for_the_database_says_so_and_survives_its_loss() {
    let folder = tempfile::tempdir().unwrap();
    put_images(folder.path());
    let (_reserved, port) = reserved_port();
    let service = service(folder.path(), port).await;

    let waits = Answer::of(service.get("experiments", "/healthz/ready").await).await;
    assert_eq!(waits.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(waits.error().contains(&format!("database {DATABASE} at 127.0.0.1:{port}")), "{}", waits.error());
    assert_eq!(post(&service, "early", "1").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(service.get("experiments", "/").await.status(), StatusCode::OK);

    until("a line that says so", async || service.log().contains("experiments are not ready yet")).await;
    let server = Server::start(port);
    service.ready("experiments").await;
    assert_eq!(post(&service, "run-1", "2").await.status, StatusCode::CREATED);
    assert_eq!(ended(&service, "run-1").await["state"], "succeeded");
    assert_eq!(get(&service, "/model").await[0]["state"], "succeeded");

    drop(server);
    let url = service.url("experiments", "/healthz/ready");
    until("not being ready", async || reqwest::get(&url).await.unwrap().status() == 503).await;
    let lost = post(&service, "run-2", "1").await;
    assert_eq!(lost.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(lost.headers.contains_key("retry-after") && lost.error().contains("database"), "{lost:?}");

    service.signal("TERM");
    let (status, log) = service.end().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains(PASSWORD) && !log.contains("p%40ss"), "the password is in the log");
}
