//! Live and ready: a process that answers is live; it is ready when its role can work and it is not draining.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::time::Duration;
use tokio::sync::watch;

use super::error::ApiError;
use crate::engine::Pool;

/// Where the process is in its life; clones share it.
#[derive(Clone, Debug)]
pub struct Lifecycle(Arc<watch::Sender<Phase>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Serving,
    /// Not ready any more, so that callers go elsewhere, but still answering.
    Draining,
    /// No new connections; what runs is finished.
    Closing,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Serving)))
    }
}

impl Lifecycle {
    pub fn enter(&self, phase: Phase) {
        self.0.send_replace(phase);
    }

    pub fn is_serving(&self) -> bool {
        *self.0.borrow() == Phase::Serving
    }

    pub async fn closing(self) {
        // The sender lives in self, so that this cannot end for its lack.
        let _ = self.0.subscribe().wait_for(|phase| *phase == Phase::Closing).await;
    }
}

/// Whether a role can work, apart from the process's own life.
#[async_trait::async_trait]
pub trait Readiness: Send + Sync + 'static {
    /// The error says what is missing.
    async fn check(&self) -> Result<(), String>;
}

/// A role with engines is ready once one of them is warm.
#[async_trait::async_trait]
impl Readiness for Pool {
    async fn check(&self) -> Result<(), String> {
        if self.is_ready() { Ok(()) } else { Err("no engine has recognised anything yet".into()) }
    }
}

pub fn live() -> Response {
    Json(json!({ "live": true })).into_response()
}

/// What is missing for `readiness`, or that the process drains.
pub async fn blocked(lifecycle: &Lifecycle, readiness: &dyn Readiness) -> Result<(), ApiError> {
    let why = if lifecycle.is_serving() { readiness.check().await } else { Err("shutting down".into()) };
    why.map_err(|why| ApiError::unavailable(format!("not ready: {why}"), Duration::from_secs(1)))
}
