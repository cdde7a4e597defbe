//! The gateway: takes an image from a form and asks a model to read it.

pub mod args;
pub mod attempt;
mod budget;
mod call;
mod choice;
mod directory;
mod ejection;
mod endpoint;
mod latency;
pub mod source;
pub mod upstream;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};

use self::attempt::Answer;
use self::upstream::Upstream;
use super::NODE;
use crate::http::context::RequestId;
use crate::http::form::{self, FileField};
use crate::http::reply::body;
use crate::http::{ApiError, Deadline};
use crate::image::{Image, Limits};

/// Which model process answered, and how many were asked for it.
pub const ENDPOINT: HeaderName = HeaderName::from_static("x-platen-endpoint");
pub const TRIES: HeaderName = HeaderName::from_static("x-platen-tries");

const FILE: FileField = FileField {
    name: "image_file",
    missing: "no image_file part in the request; send the image as multipart/form-data field image_file",
    unselected: "image_file has no file name; choose a file",
};

#[derive(Clone)]
pub struct Gateway {
    pub upstream: Arc<Upstream>,
    pub limits: Limits,
}

pub fn routes(gateway: Gateway) -> Router {
    Router::new().route("/gateway/ocr", post(ocr)).with_state(gateway)
}

async fn ocr(
    State(gateway): State<Gateway>,
    Extension(deadline): Extension<Deadline>,
    Extension(RequestId(id)): Extension<RequestId>,
    request: Request,
) -> Result<Response, ApiError> {
    let upload = form::read(request, FILE).await?;
    // Checked here already: what is no image costs no hop and no place in a model's queue.
    let image = Image::check(upload.file, gateway.limits)?;
    let answer = gateway.upstream.infer(&image, &upload.asked, &id, deadline).await?;
    Ok(reply(answer))
}

fn reply(answer: Answer) -> Response {
    let mut response = Json(body(answer.text, answer.beside)).into_response();
    let headers = response.headers_mut();
    if let Ok(endpoint) = HeaderValue::try_from(answer.endpoint) {
        headers.insert(ENDPOINT, endpoint);
    }
    if let Some(node) = answer.node {
        headers.insert(NODE, node);
    }
    headers.insert(TRIES, HeaderValue::from(answer.tries));
    response
}

#[cfg(test)]
#[path = "gateway_tests.rs"]
mod tests;
