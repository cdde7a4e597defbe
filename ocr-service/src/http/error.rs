//! Errors as the callers see them: a status and `{"error": "…"}`.

use std::time::Duration;

use axum::Json;
use axum::extract::multipart::MultipartError;
use axum::extract::rejection::BytesRejection;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::engine::PoolError;
use crate::engine::options::OptionError;
use crate::image::Rejected;

/// Tells the gateway that the image is at fault, where the protocol's status cannot (KServe: any bad input is 400).
pub const REASON: HeaderName = HeaderName::from_static("x-platen-reason");
pub const REASON_IMAGE: HeaderValue = HeaderValue::from_static("image");

/// An error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub status: StatusCode,
    pub message: String,
    pub retry_after: Option<Duration>,
    /// The image itself is the cause.
    pub image: bool,
}

impl ApiError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None, image: false }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// Unavailable for now; `after` is rounded up to whole seconds.
    pub fn unavailable(message: impl Into<String>, after: Duration) -> Self {
        Self { retry_after: Some(after), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    fn of_image(status: StatusCode, message: String) -> Self {
        Self { image: true, ..Self::new(status, message) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({ "error": self.message }))).into_response();
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after {
            let whole = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(whole.max(1)));
        }
        if self.image {
            headers.insert(REASON, REASON_IMAGE);
        }
        response
    }
}

impl From<Rejected> for ApiError {
    fn from(rejected: Rejected) -> Self {
        let status = match rejected {
            Rejected::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Rejected::Empty | Rejected::NotAnImage | Rejected::NoPixels { .. } | Rejected::SeveralPages => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
        };
        Self::of_image(status, rejected.to_string())
    }
}

impl From<PoolError> for ApiError {
    fn from(error: PoolError) -> Self {
        let message = error.to_string();
        match error {
            PoolError::Full { retry_after } => Self::unavailable(message, retry_after),
            // Without Retry-After: not backpressure, so that the gateway asks another model at once.
            PoolError::Closed => Self::new(StatusCode::SERVICE_UNAVAILABLE, message),
            PoolError::NeverFits { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, message),
            PoolError::DeadlinePassed => Self::new(StatusCode::GATEWAY_TIMEOUT, message),
            PoolError::Image(_) => Self::of_image(StatusCode::UNPROCESSABLE_ENTITY, message),
            PoolError::Engine(_) | PoolError::Crashed => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
            }
        }
    }
}

impl From<OptionError> for ApiError {
    fn from(error: OptionError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<MultipartError> for ApiError {
    fn from(error: MultipartError) -> Self {
        Self::new(error.status(), unreadable(&error.body_text()))
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        Self::new(rejection.status(), unreadable(&rejection.body_text()))
    }
}

/// [`super::body::Incoming`] says more where the server's limits are the cause.
fn unreadable(detail: &str) -> String {
    format!("the request's body cannot be read: {detail}")
}
