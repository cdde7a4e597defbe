//! Experiments: real trainings as children of the service, and a real MariaDB.

mod mariadb;
mod server;

use std::path::Path;

use reqwest::multipart::Form;
use reqwest::{Client, StatusCode};
use serde_json::Value;

use super::harness::{Answer, Service, binary, data, until};

/// A service with local Jobs on `folder`, ready.
async fn service(folder: &Path) -> Service {
    Service::role("experiments", &["--experiments-data", folder.to_str().unwrap()]).await
}

async fn post(service: &Service, id: &str, epoch: &str) -> Answer {
    let form = [("learning_rate", "0.002"), ("epoch", epoch), ("experiment_id", id)];
    let form = form.into_iter().fold(Form::new(), |form, (name, value)| form.text(name, value.to_owned()));
    let url = service.url("experiments", "/test");
    Answer::of(Client::new().post(url).multipart(form).send().await.unwrap()).await
}

async fn get(service: &Service, path: &str) -> Value {
    Answer::of(service.get("experiments", path).await).await.body
}

async fn ended(service: &Service, id: &str) -> Value {
    let mut last = Value::Null;
    until("the experiment's end", async || {
        last = get(service, &format!("/test/{id}")).await;
        last["state"] == "succeeded" || last["state"] == "failed"
    })
    .await;
    last
}

fn put_images(folder: &Path) {
    std::fs::create_dir_all(folder.join("input")).unwrap();
    for name in ["line.png", "letter.jpg"] {
        std::fs::write(folder.join("input").join(name), data(name)).unwrap();
    }
}

#[tokio::test]
async fn an_experiment_trains_on_the_images_and_leaves_its_results_under_its_name() {
    let folder = tempfile::tempdir().unwrap();
    put_images(folder.path());
    let service = service(folder.path()).await;
    assert_eq!(post(&service, "run-1", "3").await.status, StatusCode::CREATED);
    let last = ended(&service, "run-1").await;
    assert_eq!((&last["state"], &last["completions"]), (&"succeeded".into(), &"1/1".into()), "{last}");
    let results = folder.path().join("output/run-1");
    let mut names: Vec<_> = std::fs::read_dir(&results)
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["loss.csv", "loss.svg", "model.safetensors", "reconstruction.png", "result.json"]);
    assert_eq!(std::fs::read_to_string(results.join("loss.csv")).unwrap().lines().count(), 5);
    assert_eq!(post(&service, "run-1", "3").await.status, StatusCode::CONFLICT);
    assert_eq!(get(&service, "/model").await[0]["experiment_id"], "run-1");
}

#[tokio::test]
async fn an_empty_input_folder_is_what_the_failed_experiment_tells_of() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(folder.path()).await;
    post(&service, "run-1", "3").await;
    let last = ended(&service, "run-1").await;
    assert_eq!((&last["state"], &last["exit_code"]), (&"failed".into(), &3.into()));
    let message = last["message"].as_str().unwrap();
    assert!(message.contains("no PNG or JPEG image") && message.contains("input"), "{message}");
}

/// The processes that train for `folder`.
#[cfg(target_os = "linux")]
fn trainings(folder: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let ours = |line: &Vec<u8>| {
        let line = String::from_utf8_lossy(line);
        line.contains("\0train\0") && line.contains(folder.to_str().unwrap())
    };
    lines.filter(ours).count()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_service_that_is_killed_leaves_no_training_behind_and_tells_the_truth_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    put_images(folder.path());
    let first = service(folder.path()).await;
    post(&first, "run-1", "10000").await;
    until("a running training", async || get(&first, "/test/run-1").await["state"] == "running").await;
    until("its process", async || trainings(folder.path()) == 1).await;
    first.signal("KILL");
    first.end().await;
    until("the training's end", async || trainings(folder.path()) == 0).await;
    let second = service(folder.path()).await;
    let last = ended(&second, "run-1").await;
    assert_eq!((&last["state"], &last["reason"]), (&"failed".into(), &"Interrupted".into()), "{last}");
    assert!(!folder.path().join("output/run-1").exists());
}

#[test]
fn train_says_in_one_line_why_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let mut train = binary("train");
    train.args(["--learning-rate=0.1", "--epochs=1", "--experiment-id=a", "--input"]);
    let output = train.arg(folder.path()).arg("--output").arg(folder.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("error: no PNG or JPEG image"), "{said}");
}

#[test]
fn train_reads_no_env_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), "no setting at all\n").unwrap();
    let mut train = binary("train");
    train.args(["--learning-rate=0.1", "--epochs=1", "--experiment-id=a", "--input=.", "--output=."]);
    let output = train.current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(3) && said.contains("no PNG or JPEG image"), "{said}");
}

#[test]
fn a_database_server_without_a_user_is_a_wrong_setting() {
    let output = binary("experiments").args(["--port=0"]).env("DB_IP", "127.0.0.1").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("DB_USER"), "{said}");
}
