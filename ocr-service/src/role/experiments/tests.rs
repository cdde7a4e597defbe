//! The role over HTTP, with a real database and Jobs that do as they are told.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request as HttpRequest, Response as HttpResponse};
use serde_json::Value;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::experiment::now_ms;
use super::jobs::Jobs;
use super::owner::{LOST, Owner, PATIENCE, Watched};
use super::store::{Store, Target};
use super::*;

const OURS: Owner = Owner::Folder(Uuid::from_u128(1));
const THEIRS: Owner = Owner::Folder(Uuid::from_u128(2));

/// Answers as its cell says, and notes what was started and how it was last seen.
#[derive(Clone)]
struct Told {
    start: Arc<Mutex<Result<(), JobsError>>>,
    status: Arc<Mutex<Option<Status>>>,
    started: Arc<Mutex<Vec<Asked>>>,
    last: Arc<Mutex<Option<Status>>>,
}

#[async_trait::async_trait]
impl Jobs for Told {
    fn owner(&self) -> Owner {
        OURS
    }

    async fn start(&self, asked: &Asked) -> Result<(), JobsError> {
        self.started.lock().unwrap().push(asked.clone());
        self.start.lock().unwrap().clone()
    }

    async fn status(&self, _id: &str, last: &Status) -> Result<Option<Status>, JobsError> {
        *self.last.lock().unwrap() = Some(last.clone());
        Ok(self.status.lock().unwrap().clone())
    }
}

/// Creates a Job while the database goes away.
struct WithoutDatabase(Store);

#[async_trait::async_trait]
impl Jobs for WithoutDatabase {
    fn owner(&self) -> Owner {
        OURS
    }

    async fn start(&self, _asked: &Asked) -> Result<(), JobsError> {
        self.0.close().await;
        Ok(())
    }

    async fn status(&self, _id: &str, _last: &Status) -> Result<Option<Status>, JobsError> {
        Ok(None)
    }
}

struct Lab {
    routes: Router,
    store: Store,
    jobs: Told,
    _folder: tempfile::TempDir,
}

impl Lab {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Target::File(folder.path().join("x.db"))).await.unwrap();
        let jobs = Told {
            start: Arc::new(Mutex::new(Ok(()))),
            status: Arc::new(Mutex::new(Some(Status::of(State::Pending)))),
            started: Arc::default(),
            last: Arc::default(),
        };
        let backend = Backend::with(store.clone(), Box::new(jobs.clone()));
        Self { routes: routes(backend), store, jobs, _folder: folder }
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(HttpRequest::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, form: &str) -> (StatusCode, Value) {
        let request = HttpRequest::post("/test").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(form.to_owned())).unwrap()).await
    }

    async fn send(&self, request: HttpRequest<Body>) -> (StatusCode, Value) {
        json(self.routes.clone().oneshot(request).await.unwrap()).await
    }
}

async fn json(response: HttpResponse<Body>) -> (StatusCode, Value) {
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

const FORM: &str = "learning_rate=0.001&epoch=20&experiment_id=run-1";

#[tokio::test]
async fn it_greets() {
    let (status, body) = Lab::new().await.get("/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(body["message"].as_str().unwrap().starts_with("Hello"));
}

#[tokio::test]
async fn an_experiment_is_recorded_and_its_job_created() {
    let lab = Lab::new().await;
    let (status, body) = lab.post(FORM).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert_eq!((&body["state"], &body["completions"]), (&"pending".into(), &"0/1".into()));
    assert!(body["message"].as_str().unwrap().contains("Job experiment-run-1 was created"));
    let started = lab.jobs.started.lock().unwrap()[0].clone();
    assert_eq!((started.id.as_str(), started.epochs.get()), ("run-1", 20));
    let (_, list) = lab.get("/model").await;
    assert_eq!((&list[0]["experiment_id"], &list[0]["epoch"]), (&"run-1".into(), &20.into()));
}

#[tokio::test]
async fn a_multipart_form_is_taken_as_well() {
    let lab = Lab::new().await;
    let part =
        |(name, value)| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let fields = [("learning_rate", "0.1"), ("epoch", "3"), ("experiment_id", "run-2")];
    let body = fields.map(part).concat() + "--b--\r\n";
    let request = HttpRequest::post("/test").header(CONTENT_TYPE, "multipart/form-data; boundary=b");
    let (status, answer) = lab.send(request.body(Body::from(body)).unwrap()).await;
    assert_eq!((status, &answer["epoch"]), (StatusCode::CREATED, &3.into()), "{answer}");
}

#[tokio::test]
async fn a_wrong_form_is_refused_with_what_is_wrong() {
    let lab = Lab::new().await;
    for (form, named) in [
        ("epoch=20&experiment_id=a", "learning_rate is missing"),
        ("learning_rate=0&epoch=20&experiment_id=a", "learning_rate must be"),
        ("learning_rate=0.1&epoch=0&experiment_id=a", "epoch must be"),
        ("learning_rate=0.1&epoch=1&experiment_id=..%2F..%2Fetc", "experiment_id must be"),
        ("learning_rate=0.1&epoch=1&epoch=2&experiment_id=a", "epoch is there twice"),
        ("learning_rate=0.1&epochs=1&experiment_id=a", "no field \"epochs\""),
    ] {
        let (status, body) = lab.post(form).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{form}");
        assert!(body["error"].as_str().unwrap().contains(named), "{body}");
    }
    assert!(lab.jobs.started.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_body_that_is_no_form_or_far_too_large_is_refused() {
    let lab = Lab::new().await;
    let request = HttpRequest::post("/test").header(CONTENT_TYPE, "application/json");
    let (status, _) = lab.send(request.body(Body::from("{}")).unwrap()).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let (status, _) = lab.post(&format!("{FORM}&x={}", "a".repeat(100_000))).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_name_that_was_used_is_a_conflict() {
    let lab = Lab::new().await;
    lab.post(FORM).await;
    let (status, body) = lab.post(FORM).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body["error"].as_str().unwrap().contains("choose another"), "{body}");
    assert_eq!(lab.jobs.started.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_name_is_free_again_when_its_job_could_not_be_created() {
    let lab = Lab::new().await;
    for (error, expected) in [
        (JobsError::Refused("forbidden".into()), StatusCode::BAD_GATEWAY),
        (JobsError::Used("there is a Job".into()), StatusCode::CONFLICT),
    ] {
        *lab.jobs.start.lock().unwrap() = Err(error);
        assert_eq!(lab.post(FORM).await.0, expected);
    }
    *lab.jobs.start.lock().unwrap() = Ok(());
    assert_eq!(lab.post(FORM).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn a_job_of_which_it_is_not_known_whether_it_was_created_keeps_its_record() {
    let lab = Lab::new().await;
    *lab.jobs.start.lock().unwrap() = Err(JobsError::Unavailable("no answer".into()));
    let (status, body) = lab.post(FORM).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body["error"].as_str().unwrap().contains("GET /test/run-1"), "{body}");
    assert_eq!(lab.get("/test/run-1").await.1["state"], "pending");
    assert_eq!(lab.post(FORM).await.0, StatusCode::CONFLICT);
    // A minute later it was created after all.
    *lab.jobs.status.lock().unwrap() = Some(Status::of(State::Running));
    let recorded = lab.store.get("run-1").await.unwrap().unwrap();
    let later = Experiment { created_ms: recorded.created_ms - 60_000, ..recorded };
    let ready = Ready { store: lab.store.clone(), jobs: Box::new(lab.jobs.clone()) };
    assert_eq!(backend::look(&ready, later).await.unwrap().status.state, State::Running);
}

#[tokio::test]
async fn a_job_that_was_created_is_told_also_when_the_database_fails_after_it() {
    let lab = Lab::new().await;
    let backend = Backend::with(lab.store.clone(), Box::new(WithoutDatabase(lab.store.clone())));
    let lab = Lab { routes: routes(backend), ..lab };
    let (status, body) = lab.post(FORM).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert_eq!((&body["experiment_id"], &body["state"]), (&"run-1".into(), &"pending".into()));
    assert_eq!((&body["epoch"], &body["completions"]), (&20.into(), &"0/1".into()));
    assert!(body["created_at"].as_str().unwrap().starts_with("20"), "{body}");
}

#[tokio::test]
async fn a_job_is_looked_at_with_how_it_was_last_seen() {
    let lab = Lab::new().await;
    lab.post(FORM).await;
    let waits = Status { reason: Some("ImagePullBackOff".into()), ..Status::of(State::Pending) };
    *lab.jobs.status.lock().unwrap() = Some(waits.clone());
    lab.get("/test/run-1").await;
    *lab.jobs.status.lock().unwrap() = Some(Status::failed("DeadlineExceeded", "it took too long"));
    lab.get("/test/run-1").await;
    assert_eq!(*lab.jobs.last.lock().unwrap(), Some(waits));
}

#[tokio::test]
async fn the_state_of_the_job_is_told_and_kept_when_the_job_is_gone() {
    let lab = Lab::new().await;
    lab.post(FORM).await;
    *lab.jobs.status.lock().unwrap() = Some(Status::of(State::Running));
    assert_eq!(lab.get("/test/run-1").await.1["state"], "running");
    *lab.jobs.status.lock().unwrap() = Some(Status { exit_code: Some(0), ..Status::of(State::Succeeded) });
    let (_, body) = lab.get("/test/run-1").await;
    assert_eq!((&body["state"], &body["completions"]), (&"succeeded".into(), &"1/1".into()));
    *lab.jobs.status.lock().unwrap() = None;
    assert_eq!(lab.get("/test/run-1").await.1["state"], "succeeded");
}

#[tokio::test]
async fn a_job_that_failed_says_why() {
    let lab = Lab::new().await;
    lab.post(FORM).await;
    let failed = Status { exit_code: Some(3), ..Status::failed("Error", "no image is in /input") };
    *lab.jobs.status.lock().unwrap() = Some(failed);
    let (status, body) = lab.get("/test/run-1").await;
    assert_eq!((status, &body["state"], &body["exit_code"]), (StatusCode::OK, &"failed".into(), &3.into()));
    assert_eq!(body["message"], "no image is in /input");
}

#[tokio::test]
async fn a_job_that_is_gone_before_its_end_was_seen_has_failed() {
    let lab = Lab::new().await;
    lab.post(FORM).await;
    *lab.jobs.status.lock().unwrap() = None;
    let (_, body) = lab.get("/test/run-1").await;
    assert_eq!((&body["state"], &body["reason"]), (&"failed".into(), &"NoJob".into()));
}

#[tokio::test]
async fn a_record_whose_job_is_just_being_created_is_left_alone() {
    let lab = Lab::new().await;
    lab.store.record(&Asked::named("run-1"), &OURS).await.unwrap();
    // Local Jobs say the second of an experiment that they have not been given yet.
    for status in [None, Some(Status::failed("Interrupted", "the service was stopped"))] {
        *lab.jobs.status.lock().unwrap() = status;
        assert_eq!(lab.get("/test/run-1").await.1["state"], "pending");
        assert_eq!(lab.store.get("run-1").await.unwrap().unwrap().status, Status::of(State::Creating));
    }
}

#[tokio::test]
async fn what_another_service_runs_is_left_alone_as_long_as_that_is_there() {
    let lab = Lab::new().await;
    for (id, owner) in [("theirs", THEIRS), ("job", Owner::Namespace("lab".into())), ("ours", OURS)] {
        lab.store.record(&Asked::named(id), &owner).await.unwrap();
        lab.store.update(id, &Status::of(State::Running)).await.unwrap();
    }
    *lab.jobs.status.lock().unwrap() = None;
    let ready = Ready { store: lab.store.clone(), jobs: Box::new(lab.jobs.clone()) };
    let state = async |id: &str| lab.get(&format!("/test/{id}")).await.1["state"].clone();
    let (mut watched, mut now) = (Watched::default(), Instant::now());
    for _ in 0..3 {
        backend::round(&ready, &mut watched, || now).await.unwrap();
        assert_eq!((state("theirs").await, state("job").await), ("running".into(), "running".into()));
        assert_eq!(state("ours").await, "failed");
        lab.store.beat("theirs").await.unwrap();
        now += PATIENCE / 2;
    }
    for (halves, expected) in [(0, "running"), (1, "running"), (2, "failed")] {
        backend::round(&ready, &mut watched, || now + PATIENCE / 2 * halves).await.unwrap();
        assert_eq!((state("theirs").await, state("job").await), (expected.into(), "running".into()));
    }
    assert_eq!(lab.get("/test/theirs").await.1["reason"], "ServiceLost");
}

#[tokio::test]
async fn what_others_took_for_lost_turns_up_where_it_runs() {
    let lab = Lab::new().await;
    lab.post(FORM).await;
    let ready = Ready { store: lab.store.clone(), jobs: Box::new(lab.jobs.clone()) };
    lab.store.update("run-1", &Status::failed(LOST, "not heard of")).await.unwrap();
    for state in [State::Running, State::Succeeded] {
        *lab.jobs.status.lock().unwrap() = Some(Status::of(state));
        backend::round(&ready, &mut Watched::default(), Instant::now).await.unwrap();
        assert_eq!(lab.store.get("run-1").await.unwrap().unwrap().status, Status::of(state));
    }
}

#[tokio::test]
async fn what_is_ours_and_runs_is_said_to_others() {
    let lab = Lab::new().await;
    lab.post(FORM).await;
    let ready = Ready { store: lab.store.clone(), jobs: Box::new(lab.jobs.clone()) };
    for beats in 1..3 {
        backend::round(&ready, &mut Watched::default(), Instant::now).await.unwrap();
        assert_eq!(lab.store.get("run-1").await.unwrap().unwrap().beats, Some(beats));
    }
}

#[tokio::test]
async fn a_name_that_was_never_used_is_not_found_and_a_path_is_no_name() {
    let lab = Lab::new().await;
    assert_eq!(lab.get("/test/run-9").await.0, StatusCode::NOT_FOUND);
    assert_eq!(lab.get("/test/..%2Frun").await.0, StatusCode::BAD_REQUEST);
}

#[test]
fn times_are_written_as_rfc_3339() {
    assert_eq!(time(0), "1970-01-01T00:00:00Z");
    assert!(time(now_ms()).starts_with("20"));
}
