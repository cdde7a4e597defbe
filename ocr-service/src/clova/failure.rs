//! Why CLOVA gave no text, and what our own caller is told.

use std::time::Duration;

use axum::http::StatusCode;

use crate::http::ApiError;

/// Rate limits there are counted by the second.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClovaError {
    #[error("this format cannot be sent to CLOVA OCR; send a JPEG, PNG, TIFF or PDF file")]
    Format,
    #[error("the image is larger than the 50 MB that CLOVA OCR takes; send a smaller one")]
    TooLarge,
    #[error("API request failed: CLOVA OCR could not be reached: {0}")]
    Unreachable(String),
    #[error("API request failed: CLOVA OCR did not answer before the deadline; try again")]
    Deadline,
    #[error("API request failed: CLOVA OCR's rate limit is reached (0025); try again in a moment")]
    RateLimited,
    #[error("API request failed: CLOVA OCR's quota is used up (0023); raise it in the domain's settings")]
    QuotaUsed,
    #[error("API request failed: CLOVA OCR refused the secret (0002); mend NAVER_OCR_SECRET_KEY")]
    Secret,
    /// Any other status than 200.
    #[error("API request failed: CLOVA OCR answered {status} {code}: {message}")]
    Refused { status: u16, code: String, message: String },
    /// Status 200, `inferResult` ERROR.
    #[error("API request failed: CLOVA OCR had an error with the image: {0}")]
    Errored(String),
    /// Status 200, `inferResult` FAILURE.
    #[error("API request failed: CLOVA OCR could not read the image: {0}")]
    Unreadable(String),
    #[error("API request failed: CLOVA OCR's answer cannot be understood: {0}")]
    Malformed(String),
}

impl ClovaError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Format | Self::Unreadable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RateLimited | Self::QuotaUsed => StatusCode::SERVICE_UNAVAILABLE,
            Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
            Self::Unreachable(_)
            | Self::Secret
            | Self::Refused { .. }
            | Self::Errored(_)
            | Self::Malformed(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

impl From<ClovaError> for ApiError {
    fn from(error: ClovaError) -> Self {
        let message = error.to_string();
        match error {
            ClovaError::RateLimited => Self::unavailable(message, RATE_LIMIT_PAUSE),
            // Without Retry-After: nobody knows when somebody raises it.
            _ => Self::new(error.status(), message),
        }
    }
}
