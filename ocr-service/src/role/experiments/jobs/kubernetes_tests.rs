//! Against a scripted API server: what is sent, and what becomes of each answer.

use axum::http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower_test::mock::{self, Handle};

use super::*;

type Server = Handle<Request<Body>, Response<Body>>;

fn config() -> JobConfig {
    JobConfig {
        image: "localhost:5000/platen/ocr-service:1".into(),
        first_args: vec!["train".into()],
        pull_secrets: vec!["regcred".into()],
        input_claim: "images".into(),
        output_claim: "results".into(),
        limit: Duration::from_mins(10),
        kept: Duration::from_mins(5),
        memory: "512Mi".into(),
        instance: "ocr".into(),
    }
}

fn cluster() -> (Kubernetes, Server) {
    let (service, server) = mock::pair::<Request<Body>, Response<Body>>();
    (Kubernetes::new(Client::new(service, "elsewhere"), "lab", config()), server)
}

/// Of the experiment, as if it had not been looked at before.
async fn status(cluster: &Kubernetes) -> Result<Option<Status>, JobsError> {
    cluster.status("run-1", &Status::of(State::Creating)).await
}

/// What a request was: method, path with query, body.
type Seen = (Method, String, Value);

/// Answers one request after the other, and gives what they were.
fn script(mut server: Server, answers: Vec<(u16, String)>) -> JoinHandle<Vec<Seen>> {
    tokio::spawn(async move {
        let mut seen = Vec::new();
        for (code, answer) in answers {
            let (request, send) = server.next_request().await.expect("a request");
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
            seen.push((parts.method, parts.uri.to_string(), body));
            let response = Response::builder().status(code).body(Body::from(answer.into_bytes()));
            send.send_response(response.unwrap());
        }
        seen
    })
}

fn refusal(code: u16, reason: &str, message: &str) -> (u16, String) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
    });
    (code, status.to_string())
}

fn job(status: &Value) -> (u16, String) {
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "experiment-run-1"}, "status": status,
    });
    (200, job.to_string())
}

fn pods(pods: &Value) -> (u16, String) {
    (200, json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": pods}).to_string())
}

const JOBS: &str = "/apis/batch/v1/namespaces/lab/jobs";

#[tokio::test]
async fn an_experiment_becomes_a_job_with_its_parameters_as_arguments_and_both_volumes() {
    let (cluster, server) = cluster();
    let server = script(server, vec![job(&json!({}))]);
    cluster.start(&Asked::named("run-1")).await.unwrap();
    let (method, uri, body) = server.await.unwrap().remove(0);
    assert_eq!((method, uri.split('?').next().unwrap()), (Method::POST, JOBS));
    assert_eq!((&body["kind"], &body["apiVersion"]), (&"Job".into(), &"batch/v1".into()));
    assert_eq!(body["metadata"]["name"], "experiment-run-1");
    let spec = &body["spec"];
    assert_eq!(
        (&spec["backoffLimit"], &spec["activeDeadlineSeconds"], &spec["ttlSecondsAfterFinished"]),
        (&0.into(), &600.into(), &300.into())
    );
    let pod = &spec["template"]["spec"];
    assert_eq!(
        (&pod["restartPolicy"], &pod["automountServiceAccountToken"]),
        (&"Never".into(), &false.into())
    );
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "regcred"}]));
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "localhost:5000/platen/ocr-service:1");
    assert_eq!(container["command"], Value::Null, "no shell");
    let args = [
        "train",
        "--learning-rate",
        "0.001",
        "--epochs",
        "20",
        "--experiment-id",
        "run-1",
        "--input",
        "/input",
        "--output",
        "/output",
    ];
    assert_eq!(container["args"], json!(args));
    let claims: Vec<_> = pod["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["persistentVolumeClaim"]["claimName"])
        .collect();
    assert_eq!(claims[..2], [&json!("images"), &json!("results")]);
    let mounts: Vec<_> = container["volumeMounts"].as_array().unwrap().iter().collect();
    assert_eq!(
        (&mounts[0]["mountPath"], &mounts[0]["readOnly"], &mounts[1]["mountPath"], &mounts[1]["readOnly"]),
        (&"/input".into(), &true.into(), &"/output".into(), &false.into())
    );
}

#[tokio::test]
async fn the_job_is_as_pod_security_restricted_demands() {
    let (cluster, server) = cluster();
    let server = script(server, vec![job(&json!({}))]);
    cluster.start(&Asked::named("run-1")).await.unwrap();
    let body = server.await.unwrap().remove(0).2;
    let pod = &body["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let own = &pod["containers"][0]["securityContext"];
    assert_eq!(
        (&own["allowPrivilegeEscalation"], &own["readOnlyRootFilesystem"], &own["capabilities"]["drop"]),
        (&false.into(), &true.into(), &json!(["ALL"]))
    );
}

#[tokio::test]
async fn the_arguments_of_the_job_are_those_that_train_takes() {
    use clap::Parser;

    let mut line = vec!["ocr-service".to_owned()];
    line.extend(manifest::train_args(&Asked::named("run-1"), "/input".as_ref(), "/output".as_ref()));
    let crate::cli::Command::Train(args) = crate::cli::Cli::parse_from(line).command else {
        panic!("not train")
    };
    assert_eq!((args.experiment_id.as_str(), args.epochs.get()), ("run-1", 20));
}

#[tokio::test]
async fn a_job_that_is_there_already_means_that_the_name_is_used() {
    let (cluster, server) = cluster();
    script(server, vec![refusal(409, "AlreadyExists", "jobs.batch \"experiment-run-1\" already exists")]);
    assert!(matches!(cluster.start(&Asked::named("run-1")).await, Err(JobsError::Used(_))));
}

#[tokio::test]
async fn a_service_account_without_its_role_is_told_what_the_role_must_allow() {
    let (cluster, server) = cluster();
    script(server, vec![refusal(403, "Forbidden", "jobs.batch is forbidden: User cannot create")]);
    let Err(JobsError::Refused(why)) = cluster.start(&Asked::named("run-1")).await else {
        panic!("not refused")
    };
    assert!(why.contains("pods/log") && why.contains("cannot create"), "{why}");
}

#[tokio::test]
async fn a_busy_api_server_may_be_asked_again() {
    for (code, reason) in [(429, "TooManyRequests"), (503, "ServiceUnavailable")] {
        let (cluster, server) = cluster();
        script(server, vec![refusal(code, reason, "later")]);
        assert!(
            matches!(cluster.start(&Asked::named("run-1")).await, Err(JobsError::Unavailable(_))),
            "{code}"
        );
    }
}

#[tokio::test]
async fn an_api_server_that_is_gone_may_be_asked_again() {
    let (cluster, server) = cluster();
    drop(server);
    assert!(matches!(cluster.start(&Asked::named("run-1")).await, Err(JobsError::Unavailable(_))));
}

#[tokio::test]
async fn a_job_that_is_not_there_is_nothing() {
    let (cluster, server) = cluster();
    let server = script(server, vec![refusal(404, "NotFound", "jobs.batch \"experiment-run-1\" not found")]);
    assert_eq!(status(&cluster).await.unwrap(), None);
    assert_eq!(server.await.unwrap()[0].1.split('?').next().unwrap(), format!("{JOBS}/experiment-run-1"));
}

#[tokio::test]
async fn the_pods_of_the_job_are_asked_for_by_its_name() {
    let (cluster, server) = cluster();
    let running = json!([{
        "metadata": {"name": "experiment-run-1-abcde"},
        "status": {"phase": "Running", "containerStatuses": [{
            "name": "train", "image": "x", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}},
        }]},
    }]);
    let server = script(server, vec![job(&json!({"active": 1})), pods(&running)]);
    assert_eq!(status(&cluster).await.unwrap(), Some(Status::of(State::Running)));
    let uri = server.await.unwrap().remove(1).1;
    assert!(uri.starts_with("/api/v1/namespaces/lab/pods?"), "{uri}");
    assert!(uri.contains("labelSelector=batch.kubernetes.io%2Fjob-name%3Dexperiment-run-1"), "{uri}");
}

#[tokio::test]
async fn of_a_failure_whose_status_says_nothing_the_log_is_read() {
    let (cluster, server) = cluster();
    let failed =
        json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]});
    let ended = json!([{
        "metadata": {"name": "experiment-run-1-abcde"},
        "status": {"containerStatuses": [{
            "name": "train", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 1, "reason": "Error"}},
        }]},
    }]);
    let log = (200, "epoch 3\nerror: the loss diverged\n".to_owned());
    let server = script(server, vec![job(&failed), pods(&ended), log]);
    let status = status(&cluster).await.unwrap().unwrap();
    assert_eq!(status, Status { exit_code: Some(1), ..Status::failed("Error", "the loss diverged") });
    let uri = server.await.unwrap().remove(2).1;
    assert!(uri.starts_with("/api/v1/namespaces/lab/pods/experiment-run-1-abcde/log?"), "{uri}");
}

#[tokio::test]
async fn of_two_pods_the_newer_ones_end_is_told_and_its_log_read() {
    let (cluster, server) = cluster();
    let failed =
        json!({"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]});
    let ended = |name: &str, created: &str, end: Value| {
        json!({
            "metadata": {"name": name, "creationTimestamp": created},
            "status": {"containerStatuses": [{
                "name": "train", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": end},
            }]},
        })
    };
    let lost = json!({"exitCode": 137, "reason": "Error", "message": "the node was drained"});
    let both = json!([
        ended("older", "2026-11-21T08:00:00Z", lost),
        ended("newer", "2026-11-21T09:00:00Z", json!({"exitCode": 1, "reason": "Error"})),
    ]);
    let log = (200, "error: the loss diverged\n".to_owned());
    let server = script(server, vec![job(&failed), pods(&both), log]);
    let status = status(&cluster).await.unwrap().unwrap();
    assert_eq!(status, Status { exit_code: Some(1), ..Status::failed("Error", "the loss diverged") });
    let uri = server.await.unwrap().remove(2).1;
    assert!(uri.starts_with("/api/v1/namespaces/lab/pods/newer/log?"), "{uri}");
}
