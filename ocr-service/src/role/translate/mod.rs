//! Translation behind LibreTranslate's interface, so that its clients and this service's frontend can use either.

pub mod args;
pub mod backend;
mod libre;
mod wire;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use serde_json::{Value, json};

use self::backend::{Backend, BackendError};
use self::wire::{Ask, Query};
use crate::http::health::Readiness;
use crate::http::{ApiError, Deadline};

#[derive(Clone)]
pub struct Translate {
    pub backend: Arc<Backend>,
    /// Characters of one request, all its texts together.
    pub max_chars: usize,
}

pub fn routes(translate: Translate) -> Router {
    Router::new()
        .route("/translate", post(translated))
        .route("/languages", get(languages))
        .with_state(translate)
}

async fn translated(
    State(translate): State<Translate>,
    Extension(deadline): Extension<Deadline>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let ask = wire::read(request, translate.max_chars).await?;
    let length = ask.length();
    if length > translate.max_chars {
        let limit = translate.max_chars;
        return Err(ApiError::bad_request(format!(
            "Invalid request: request ({length}) exceeds text limit ({limit})"
        )));
    }
    let texts = translate.backend.translate(&ask, deadline).await?;
    Ok(Json(reply(&ask, texts)))
}

/// A text for a text, a list for a list.
fn reply(ask: &Ask, mut texts: Vec<String>) -> Value {
    match ask.q {
        Query::One(_) => json!({ "translatedText": texts.pop().unwrap_or_default() }),
        Query::Many(_) => json!({ "translatedText": texts }),
    }
}

async fn languages(
    State(translate): State<Translate>,
    Extension(deadline): Extension<Deadline>,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(translate.backend.languages(deadline).await?))
}

#[async_trait::async_trait]
impl Readiness for Translate {
    async fn check(&self) -> Result<(), String> {
        self.backend.reached().await.map_err(|error: BackendError| error.to_string())
    }
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
