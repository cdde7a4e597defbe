//! Turns a role's routes into a whole service: health, metrics, JSON for unknown paths, and the request context.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router, middleware};
use prometheus_client::registry::Registry;
use serde_json::json;

use super::body::{self, Intake};
use super::context::{self, Context};
use super::error::ApiError;
use super::health::{self, Lifecycle, Readiness};
use super::memory::BodyMemory;
use crate::metrics::{self, HttpMetrics};
use crate::openapi;

/// What every role's server is given.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    pub deadline: Duration,
    /// Bytes of one body.
    pub body: usize,
    /// Bytes of all bodies of a role together. Each role has memory of its own: where one hands an upload on to another of
    /// the same process, both hold it until the answer, and what the first has taken must not be missing to the second.
    pub bodies: usize,
    /// Between two parts of a body.
    pub silence: Duration,
}

#[cfg(test)]
impl HttpConfig {
    /// For tests that are about something else.
    pub fn of(deadline_seconds: u64, max: usize) -> Self {
        let deadline = Duration::from_secs(deadline_seconds);
        Self { deadline, body: max, bodies: 100 * max, silence: deadline }
    }
}

/// A role's own part.
pub struct Role {
    pub name: &'static str,
    pub routes: Router,
    pub readiness: Arc<dyn Readiness>,
    pub registry: Arc<Registry>,
    pub http_metrics: HttpMetrics,
    /// Brings gauges up to date before they are read.
    pub before_scrape: BeforeScrape,
}

pub type BeforeScrape = Arc<dyn Fn() + Send + Sync>;

/// For roles without gauges.
pub fn nothing() -> BeforeScrape {
    Arc::new(|| {})
}

pub fn build(role: Role, lifecycle: &Lifecycle, config: &HttpConfig) -> Router {
    let context = Context { role: role.name, metrics: role.http_metrics, deadline: config.deadline };
    let memory = BodyMemory::new(config.bodies);
    let intake = Arc::new(Intake { max: config.body, silence: config.silence, memory });
    let (lifecycle, readiness) = (lifecycle.clone(), role.readiness);
    let (registry, before_scrape) = (role.registry, role.before_scrape);
    let ready = move || async move {
        health::blocked(&lifecycle, readiness.as_ref()).await.map(|()| Json(json!({ "ready": true })))
    };
    let scrape = move || async move {
        before_scrape();
        metrics::render(&registry)
    };
    role.routes
        .route("/healthz/live", get(|| async { health::live() }))
        .route("/healthz/ready", get(ready))
        .route("/metrics", get(scrape))
        .route("/openapi.json", get(move || async move { Json(openapi::document(role.name)) }))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(config.body))
        .layer(middleware::from_fn_with_state(intake, body::around))
        .layer(middleware::from_fn_with_state(Arc::new(context), context::around))
}

async fn unknown_path(uri: Uri) -> impl IntoResponse {
    ApiError::new(StatusCode::NOT_FOUND, format!("nothing is served at {}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> impl IntoResponse {
    let message = format!("{} does not take {method}; the Allow header says what it takes", uri.path());
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, message)
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, Bytes};
    use axum::extract::State;
    use axum::http::Request;
    use axum::http::header::CONTENT_LENGTH;
    use axum::routing::post;
    use tower::ServiceExt;

    use super::*;
    use crate::role::frontend::AlwaysReady;

    fn role(routes: Router) -> Role {
        Role {
            name: "test",
            routes,
            readiness: Arc::new(AlwaysReady),
            registry: Arc::new(Registry::default()),
            http_metrics: HttpMetrics::default(),
            before_scrape: nothing(),
        }
    }

    async fn upload(service: Router, body: Bytes) -> StatusCode {
        let request = Request::post("/").header(CONTENT_LENGTH, body.len()).body(Body::from(body)).unwrap();
        service.oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn an_upload_that_takes_all_of_one_roles_memory_has_room_in_the_next() {
        let config = HttpConfig { bodies: 4096, ..HttpConfig::of(10, 4096) };
        let lifecycle = Lifecycle::default();
        let inner = Router::new().route("/", post(async |_: Bytes| ()));
        let inner = build(role(inner), &lifecycle, &config);
        let hand_on = async |State(inner): State<Router>, body: Bytes| upload(inner, body).await;
        let outer = Router::new().route("/", post(hand_on)).with_state(inner);
        let outer = build(role(outer), &lifecycle, &config);
        assert_eq!(upload(outer, Bytes::from(vec![b'x'; 4096])).await, StatusCode::OK);
    }
}
