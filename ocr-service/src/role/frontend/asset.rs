//! The page's files, all inside of the binary.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::http::ApiError;

/// The letter behind the button for the sample.
pub const SAMPLE: &[u8] = include_bytes!("../../../assets/frontend/letter.jpg");

const FILES: [(&str, &str, &[u8]); 4] = [
    ("app.css", "text/css; charset=utf-8", include_bytes!("../../../assets/frontend/app.css")),
    ("app.js", "text/javascript; charset=utf-8", include_bytes!("../../../assets/frontend/app.js")),
    ("icon.svg", "image/svg+xml", include_bytes!("../../../assets/frontend/icon.svg")),
    ("letter.jpg", "image/jpeg", SAMPLE),
];

pub async fn show(Path(name): Path<String>) -> Result<Response, ApiError> {
    let (_, kind, content) = FILES.iter().find(|(file, ..)| *file == name).ok_or_else(|| {
        ApiError::new(StatusCode::NOT_FOUND, format!("nothing is served at /assets/{name}"))
    })?;
    // Short: after an update the page and its files must fit each other.
    Ok(([(CONTENT_TYPE, *kind), (CACHE_CONTROL, "max-age=60")], *content).into_response())
}
