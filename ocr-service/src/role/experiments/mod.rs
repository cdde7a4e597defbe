//! Experiments: asked for over HTTP, recorded in a database, run as Jobs.

pub mod args;
pub mod backend;
pub mod experiment;
mod form;
pub mod jobs;
pub mod owner;
pub mod parameters;
pub mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::extract::{Path, Request, State as Extract};
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use backend::{Backend, LookError, Ready};
use experiment::{Asked, Experiment, State, Status};
use jobs::JobsError;
use k8s_openapi::jiff::Timestamp;
use parameters::ExperimentId;
use serde::Serialize;
use store::StoreError;

use crate::http::ApiError;

/// When to ask again while the database or the cluster is away.
const AGAIN: Duration = Duration::from_secs(2);

/// The answer to `GET /`.
#[derive(Debug, Serialize)]
pub struct Greeting {
    pub message: &'static str,
    pub endpoints: [&'static str; 3],
}

/// The answer to `POST /test`.
#[derive(Debug, Serialize)]
pub struct Created {
    pub message: String,
    #[serde(flatten)]
    pub experiment: View,
}

/// An experiment: of `GET /model` a list of these, the newest first; of `GET /test/{experiment_id}` one.
#[derive(Debug, Serialize)]
pub struct View {
    pub experiment_id: String,
    pub learning_rate: f64,
    pub epoch: i64,
    /// pending, running, succeeded or failed.
    pub state: &'static str,
    /// Of the Job: 0/1 until it has succeeded.
    pub completions: &'static str,
    /// Why it failed or waits, in a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it failed or waits, and what to do; of a training that failed, the last line that it said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The Job's name in a cluster.
    pub job: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

impl From<Experiment> for View {
    fn from(experiment: Experiment) -> Self {
        let Experiment { id, learning_rate, epoch, status, created_ms, finished_ms, .. } = experiment;
        // That a Job is being created is between the service and its database.
        let state = if status.state == State::Creating { State::Pending } else { status.state };
        Self {
            job: format!("{}{id}", parameters::JOB_PREFIX),
            experiment_id: id,
            learning_rate,
            epoch,
            state: state.name(),
            completions: if state == State::Succeeded { "1/1" } else { "0/1" },
            reason: status.reason,
            message: status.message,
            exit_code: status.exit_code,
            created_at: time(created_ms),
            finished_at: finished_ms.map(time),
        }
    }
}

fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map(|time| time.to_string()).unwrap_or_default()
}

pub fn routes(backend: Backend) -> Router {
    Router::new()
        .route("/", get(greet))
        .route("/model", get(list))
        .route("/test", post(start))
        .route("/test/{experiment_id}", get(status))
        .with_state(backend)
}

/// `GET /`: greets, also while the database is away.
async fn greet() -> Json<Greeting> {
    Json(Greeting {
        message: "Hello from Platen's experiments",
        endpoints: ["GET /model", "POST /test", "GET /test/{experiment_id}"],
    })
}

/// `GET /model`: the experiments of the database, at most 1000, as last seen.
async fn list(Extract(backend): Extract<Backend>) -> Result<Json<Vec<View>>, ApiError> {
    let experiments = reach(&backend)?.store.list().await?;
    Ok(Json(experiments.into_iter().map(View::from).collect()))
}

/// `GET /test/{experiment_id}`: the state of the experiment's Job now; 404 for a name that was never used.
async fn status(Extract(backend): Extract<Backend>, Path(id): Path<String>) -> Result<Json<View>, ApiError> {
    let id: ExperimentId = id.parse().map_err(ApiError::bad_request)?;
    let ready = reach(&backend)?;
    let found = ready.store.get(id.as_str()).await?;
    let unknown = || {
        ApiError::new(
            StatusCode::NOT_FOUND,
            format!("there is no experiment {id}; GET /model lists those there are"),
        )
    };
    Ok(Json(backend::look(ready, found.ok_or_else(unknown)?).await?.into()))
}

/// `POST /test`: form data `learning_rate`, `epoch`, `experiment_id`; records the experiment and creates its Job.
/// 201; 400 for a value that is missing or wrong; 409 for a name that was used.
async fn start(
    Extract(backend): Extract<Backend>,
    request: Request,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Created>), ApiError> {
    let asked = form::read(request).await?;
    // A task of its own: a client that leaves must not leave a record without a Job.
    let id = asked.id.clone();
    let experiment = tokio::spawn(create(backend, asked)).await.map_err(|_| {
        let message = "the server failed on this request; its log says why";
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    })??;
    let message = format!("Job {} was created; GET /test/{id} says how it goes", id.job());
    let location = [(LOCATION, format!("/test/{id}"))];
    // A Job may wait, or have failed, already: `message` is there once, and GET says the other.
    let experiment = View { message: None, ..experiment.into() };
    Ok((StatusCode::CREATED, location, Json(Created { message, experiment })))
}

/// Records it first: of two requests with the same name only one gets further.
async fn create(backend: Backend, asked: Asked) -> Result<Experiment, ApiError> {
    let ready = reach(&backend)?;
    let recorded = ready.store.record(&asked, &ready.jobs.owner()).await.map_err(|error| match error {
        StoreError::Used => used(&asked.id, "an experiment of that name is recorded"),
        other => other.into(),
    })?;
    if let Err(error) = ready.jobs.start(&asked).await {
        return Err(not_started(ready, &asked.id, error).await);
    }
    tracing::info!(experiment = %asked.id, "Job created");
    Ok(pending(ready, recorded).await)
}

/// The experiment whose Job was just created. A database that fails only now fails no request: asked again it would be
/// told that its name is used, and the next look at the Job brings the record up to date.
async fn pending(ready: &Ready, recorded: Experiment) -> Experiment {
    let status = Status::of(State::Pending);
    let known = async {
        ready.store.update(&recorded.id, &status).await?;
        ready.store.get(&recorded.id).await
    }
    .await;
    let known = known.unwrap_or_else(|error| {
        tracing::warn!(%error, experiment = recorded.id, "the record of an experiment is not up to date yet");
        None
    });
    known.unwrap_or(Experiment { status, ..recorded })
}

/// Whoever gave no answer may have created the Job all the same: the record stays, and a look says which it was.
async fn not_started(ready: &Ready, id: &ExperimentId, error: JobsError) -> ApiError {
    if let JobsError::Unavailable(why) = error {
        tracing::warn!(experiment = %id, why, "it is not known whether the Job was created");
        let message = format!(
            "{why}; it is not known whether the Job of {id} was created: GET /test/{id} says so after a minute"
        );
        // Without Retry-After: the name is used.
        return ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message);
    }
    give_back(ready, id).await;
    match error {
        JobsError::Used(why) => used(id, &why),
        other => other.into(),
    }
}

/// The name of an experiment whose Job was not created is free again.
async fn give_back(ready: &Ready, id: &ExperimentId) {
    if let Err(error) = ready.store.forget(id.as_str()).await {
        tracing::warn!(%error, experiment = %id, "the record of an experiment without a Job stays; its name is used");
    }
}

fn used(id: &ExperimentId, why: &str) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, format!("experiment_id {id} cannot be used: {why}; choose another"))
}

fn reach(backend: &Backend) -> Result<&Ready, ApiError> {
    backend.get().map_err(|why| ApiError::unavailable(format!("not ready: {why}; try again"), AGAIN))
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Used => Self::new(StatusCode::CONFLICT, "it has been used; choose another name"),
            StoreError::State { .. } => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("{error}; it was written by something else"),
            ),
            StoreError::Database(_) | StoreError::Migration(_) => {
                tracing::warn!(%error, "the database failed");
                Self::unavailable("the database does not answer; try again", AGAIN)
            }
        }
    }
}

impl From<JobsError> for ApiError {
    fn from(error: JobsError) -> Self {
        let message = error.to_string();
        match error {
            JobsError::Used(_) => Self::new(StatusCode::CONFLICT, message),
            JobsError::Refused(_) => Self::new(StatusCode::BAD_GATEWAY, message),
            JobsError::Unavailable(_) => Self::unavailable(format!("{message}; try again"), AGAIN),
        }
    }
}

impl From<LookError> for ApiError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Store(error) => error.into(),
            LookError::Jobs(error) => error.into(),
        }
    }
}
