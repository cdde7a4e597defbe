//! The OCR backend: one image in, its text out, in this process; and the numbers of a nutrition label.

pub mod args;
pub mod nutrition;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde_json::Value;

use self::nutrition::Nutrition;
use crate::engine::options::Allowed;
use crate::engine::{Cache, Output, Pool};
use crate::http::form::{self, FileField};
use crate::http::{ApiError, Deadline, body, reply};
use crate::image::{Image, Limits};

/// The messages are the users' clients' to read: they stay as they are.
const FILE: FileField = FileField { name: "file", missing: "No file part", unselected: "No selected file" };

#[derive(Clone)]
pub struct OcrServer {
    pub pool: Pool,
    pub cache: Cache,
    pub allowed: Arc<Allowed>,
    pub limits: Limits,
    pub nutrition: Arc<Nutrition>,
}

pub fn routes(server: OcrServer) -> Router {
    Router::new().route("/ocr", post(ocr)).route("/ocr/nutrition", post(nutrition::read)).with_state(server)
}

async fn ocr(
    State(server): State<OcrServer>,
    Extension(deadline): Extension<Deadline>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    if let Some(refused) = server.cache.refused_unread(&server.pool, body::length(request.headers())) {
        return Err(refused.into());
    }
    let upload = form::read(request, FILE).await?;
    let options = server.allowed.choose(&upload.asked)?;
    let image = Image::check(upload.file, server.limits)?;
    let texts = server.cache.recognize(&server.pool, vec![image], &options, deadline.0).await?;
    // One image was asked about.
    let read = texts.into_iter().next().unwrap_or_default();
    let beside = (options.output != Output::Text).then(|| (options.output, read.render(options.output)));
    Ok(Json(reply::body(read.text, beside)))
}
