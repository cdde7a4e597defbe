//! Around every request: an id in and out, a deadline, a log line, its metrics, and JSON for a panic.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::Instrument;

use super::error::ApiError;
use super::tail;
use crate::metrics::{HttpMetrics, RouteLabels, RouteOnly};

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What is left of the caller's patience, in milliseconds: relative, so that clocks need not agree.
pub const DEADLINE: HeaderName = HeaderName::from_static("x-platen-deadline-ms");

/// Handlers keep the deadline themselves, with an answer of their own; this much later whatever still runs, such as a
/// body that does not arrive, is ended for them.
const BACKSTOP: Duration = Duration::from_millis(250);

/// As which a request is counted whose client left before there was an answer: no one was sent. As nginx has it.
const CLIENT_LEFT: u16 = 499;

/// When the answer must be out.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

impl Deadline {
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(now())
    }
}

/// By the clock of the timers, which a test may stop.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// What a request is called in logs and in its response.
#[derive(Clone, Debug)]
pub struct RequestId(pub HeaderValue);

/// The middleware's state.
#[derive(Clone, Debug)]
pub struct Context {
    pub role: &'static str,
    pub metrics: HttpMetrics,
    /// The longest that any request may take.
    pub deadline: Duration,
}

pub async fn around(State(context): State<Arc<Context>>, mut request: Request, next: Next) -> Response {
    let started = now();
    let id = request_id(request.headers());
    let deadline =
        started + asked_deadline(request.headers()).unwrap_or(context.deadline).min(context.deadline);
    request.extensions_mut().insert(RequestId(id.clone()));
    request.extensions_mut().insert(Deadline(deadline));
    let method = label(request.method()).to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", role = context.role, id = id.to_str().unwrap_or_default());

    let in_flight = InFlight::enter(&context.metrics);
    let mut answered =
        Answered { in_flight, span: span.clone(), method, route, status: CLIENT_LEFT, started };
    let answer = tokio::time::timeout_at(
        (deadline + BACKSTOP).into(),
        AssertUnwindSafe(next.run(request)).catch_unwind(),
    );
    let mut response = match answer.instrument(span).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => {
            let message = "the server failed on this request; its log says why";
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
        }
        Err(_) => {
            let message =
                "the request was not finished before its deadline; try again when the server is less busy";
            ApiError::new(StatusCode::GATEWAY_TIMEOUT, message).into_response()
        }
    };
    response.headers_mut().insert(REQUEST_ID, id);
    answered.status = response.status().as_u16();
    tail::until_its_end(response, answered)
}

/// A request under way; logged and measured when its answer's last byte is out, or its client has left.
struct Answered {
    in_flight: InFlight,
    span: tracing::Span,
    method: String,
    route: String,
    status: u16,
    started: Instant,
}

impl Drop for Answered {
    fn drop(&mut self) {
        let Self { in_flight: InFlight(metrics), span, method, route, status, started } = self;
        let took = now().saturating_duration_since(*started);
        span.in_scope(|| log(method, route, *status, took));
        metrics.duration.get_or_create(&RouteOnly { route: route.clone() }).observe(took.as_secs_f64());
        let labels = RouteLabels { route: route.clone(), method: method.clone(), status: *status };
        metrics.requests.get_or_create(&labels).inc();
    }
}

/// Any token is a method to HTTP, and every label's value a series for ever.
fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// Probes and scrapes come every few seconds and are only worth a line to someone who debugs them.
fn log(method: &str, route: &str, status: u16, took: Duration) {
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let end = if status == CLIENT_LEFT { "its client left" } else { "answered" };
    if route.starts_with("/healthz") || route.starts_with("/v2/health") || route == "/metrics" {
        tracing::debug!(method, route, status, ms, "{end}");
    } else if status >= 500 {
        tracing::warn!(method, route, status, ms, "{end}");
    } else {
        tracing::info!(method, route, status, ms, "{end}");
    }
}

/// The caller's id if it is a plausible one (it is written to logs and sent on), else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let plausible = |value: &&HeaderValue| {
        (1..=128).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(plausible).cloned().unwrap_or_else(|| {
        let id = uuid::Uuid::new_v4().to_string();
        HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("none"))
    })
}

fn asked_deadline(headers: &HeaderMap) -> Option<Duration> {
    let millis = headers.get(DEADLINE)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_millis(millis))
}

/// Counts a request while it is answered, also when its client leaves and the future is dropped.
struct InFlight(HttpMetrics);

impl InFlight {
    fn enter(metrics: &HttpMetrics) -> Self {
        metrics.in_flight.inc();
        Self(metrics.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
