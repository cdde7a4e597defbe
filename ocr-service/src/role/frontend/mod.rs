//! The page on which a letter is translated, and the call behind it.

mod api;
pub mod args;
mod asset;
mod event;
mod page;
pub mod pipeline;
mod upload;

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{get, post};

use self::pipeline::Pipeline;
use crate::http::health::Readiness;
use crate::image::Limits;

#[derive(Clone)]
pub struct Frontend {
    pub pipeline: Arc<Pipeline>,
    pub limits: Limits,
}

pub fn routes(frontend: Frontend) -> Router {
    Router::new()
        .route("/", get(page::show))
        .route("/api/translate", post(api::translate))
        .route("/assets/{name}", get(asset::show))
        .layer(map_response(harden))
        .with_state(frontend)
}

const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");

/// The page loads nothing from elsewhere, runs no script that is written into it, and sits in no other page's frame.
/// `blob:` is the preview of a file that is not sent yet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (PERMISSIONS, "camera=(), microphone=(), geolocation=()"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The page can always be shown; what stands behind it is told per request.
pub struct AlwaysReady;

#[async_trait::async_trait]
impl Readiness for AlwaysReady {
    async fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "frontend_tests.rs"]
mod tests;
