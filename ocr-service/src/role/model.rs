//! The model server: the Open Inference Protocol over the pool of engines.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::json;

use super::{INSTANCE, NODE};
use crate::engine::options::Allowed;
use crate::engine::{Cache, Language, Pool};
use crate::http::body;
use crate::http::health::{self, Lifecycle};
use crate::http::{ApiError, Deadline};
use crate::identity::Identity;
use crate::image::{Image, Limits};
use crate::metrics::{InferenceMetrics, ModelLabels};
use crate::v2::ocr::{self, OcrRequest};
use crate::v2::{self, HEADER_LENGTH, codec, metadata};

pub const LABELS: ModelLabels = ModelLabels { model_name: ocr::MODEL };

#[derive(Clone)]
pub struct Model {
    pub pool: Pool,
    pub cache: Cache,
    pub allowed: Arc<Allowed>,
    pub limits: Limits,
    pub metrics: InferenceMetrics,
    pub identity: Identity,
    pub lifecycle: Lifecycle,
}

pub fn routes(model: Model) -> Router {
    let of_model = Router::new()
        .route("/", get(describe))
        .route("/ready", get(model_ready))
        .route("/infer", post(infer))
        .route("/config", get(unimplemented))
        .route("/stats", get(unimplemented))
        .route("/trace/setting", get(unimplemented).post(unimplemented));
    Router::new()
        .route("/v2", get(|| async { Json(metadata::server()) }))
        .route("/v2/health/live", get(|| async { health::live() }))
        .route("/v2/health/ready", get(server_ready))
        .route("/v2/models/stats", get(unimplemented))
        .route("/v2/repository/{*path}", get(unimplemented).post(unimplemented))
        .nest("/v2/models/{model}", of_model.clone())
        .nest("/v2/models/{model}/versions/{version}", of_model)
        .with_state(model)
}

/// Which model a path names.
#[derive(Debug, serde::Deserialize)]
struct Target {
    model: String,
    version: Option<String>,
}

impl Target {
    fn check(&self) -> Result<(), ApiError> {
        let version = self.version.as_deref().unwrap_or(ocr::VERSION);
        if self.model == ocr::MODEL && version == ocr::VERSION {
            return Ok(());
        }
        let message = format!(
            "no model {} version {version} here; {} version {} is",
            self.model,
            ocr::MODEL,
            ocr::VERSION
        );
        Err(ApiError::new(StatusCode::NOT_FOUND, message))
    }
}

async fn server_ready(State(model): State<Model>) -> Result<Response, ApiError> {
    ready(&model).await?;
    // The specification's body says live, KServe's client reads ready: one body for both.
    Ok(Json(json!({ "live": true, "ready": true })).into_response())
}

async fn model_ready(State(model): State<Model>, Path(target): Path<Target>) -> Result<Response, ApiError> {
    target.check()?;
    ready(&model).await?;
    Ok(Json(json!({ "name": ocr::MODEL, "ready": true })).into_response())
}

async fn ready(model: &Model) -> Result<(), ApiError> {
    health::blocked(&model.lifecycle, &model.pool).await
}

async fn describe(State(model): State<Model>, Path(target): Path<Target>) -> Result<Response, ApiError> {
    target.check()?;
    let languages: Vec<_> = model.allowed.languages().iter().map(Language::to_string).collect();
    Ok(Json(metadata::model(&languages)).into_response())
}

async fn infer(
    State(model): State<Model>,
    Path(target): Path<Target>,
    Extension(deadline): Extension<Deadline>,
    request: Request,
) -> Response {
    let mut inference = Inference::begin(&model.metrics);
    let answer = async {
        target.check()?;
        recognize(&model, deadline, request).await
    };
    let answer = answer.await;
    inference.failed = answer.is_err();
    drop(inference);
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    if let Some(instance) = model.identity.instance() {
        response.headers_mut().insert(INSTANCE, instance);
    }
    if let Some(node) = model.identity.node() {
        response.headers_mut().insert(NODE, node);
    }
    response
}

async fn recognize(model: &Model, deadline: Deadline, request: Request) -> Result<Response, ApiError> {
    if let Some(refused) = model.cache.refused_unread(&model.pool, body::length(request.headers())) {
        return Err(refused.into());
    }
    let length = request.headers().get(HEADER_LENGTH).cloned();
    let length = length.as_ref().map(|value| value.to_str().unwrap_or("not text"));
    let body = body::whole(request).await?;
    let request = OcrRequest::new(codec::decode_request(length, &body, model.pool.capacity())?)?;
    let options = model.allowed.choose(&request.asked)?;
    let limits = model.limits;
    let images = request.images.iter().map(|bytes| Image::check(bytes.clone(), limits));
    let images = images.collect::<Result<Vec<_>, _>>().map_err(|rejected| invalid(rejected.into()))?;
    let texts = model.cache.recognize(&model.pool, images, &options, deadline.0).await;
    let texts = texts.map_err(|error| invalid(error.into()))?;
    let outputs = request.outputs(&texts, options.output);
    let encoded = codec::encode_response(request.response(), &outputs)?;
    let mut response = Response::new(Body::from(encoded.body.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, encoded.content_type().parse().map_err(internal)?);
    if let Some(length) = encoded.json_length {
        headers.insert(HEADER_LENGTH, length.into());
    }
    Ok(response)
}

/// What Triton's extensions have beside the protocol; its clients ask for it.
async fn unimplemented(uri: Uri) -> ApiError {
    let message = format!("{} is not implemented by this server; GET /v2 names the extensions", uri.path());
    ApiError::new(StatusCode::NOT_IMPLEMENTED, message)
}

/// KServe's clients know one status for whatever is wrong with the input.
fn invalid(error: ApiError) -> ApiError {
    match error.status {
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE => {
            error.with_status(StatusCode::BAD_REQUEST)
        }
        _ => error,
    }
}

fn internal(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

/// An inference under way; counted and measured when it ends. One whose caller leaves before has not failed: a gateway
/// leaves the slower of two models that it asked.
struct Inference<'a> {
    metrics: &'a InferenceMetrics,
    started: Instant,
    failed: bool,
}

impl<'a> Inference<'a> {
    fn begin(metrics: &'a InferenceMetrics) -> Self {
        Self { metrics, started: Instant::now(), failed: false }
    }
}

impl Drop for Inference<'_> {
    fn drop(&mut self) {
        self.metrics.requests.get_or_create(&LABELS).inc();
        self.metrics.duration.get_or_create(&LABELS).observe(self.started.elapsed().as_secs_f64());
        // A panic is answered beyond this role, and ends this as a caller does that leaves.
        if self.failed || std::thread::panicking() {
            self.metrics.errors.get_or_create(&LABELS).inc();
        }
    }
}

impl From<v2::Error> for ApiError {
    fn from(error: v2::Error) -> Self {
        let status = match error {
            v2::Error::Unimplemented(_) => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn an_inference_whose_caller_leaves_is_counted_and_is_no_error() {
        let metrics = InferenceMetrics::new(&LABELS);
        let abandoned = async {
            let _inference = Inference::begin(&metrics);
            std::future::pending::<()>().await;
        };
        assert!(abandoned.now_or_never().is_none());
        let counted = || {
            let (requests, errors) = (&metrics.requests, &metrics.errors);
            (requests.get_or_create(&LABELS).get(), errors.get_or_create(&LABELS).get())
        };
        assert_eq!(counted(), (1, 0));
        let mut failed = Inference::begin(&metrics);
        failed.failed = true;
        drop(failed);
        assert_eq!(counted(), (2, 1));
    }
}
