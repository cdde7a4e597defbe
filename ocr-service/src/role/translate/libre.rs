//! The client of a LibreTranslate server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde_json::{Value, json};

use super::backend::BackendError;
use super::wire::{Ask, Query};
use crate::http::{Deadline, upstream};
use crate::role::url_arg::under;
use crate::secret::Secret;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// LibreTranslate's limits are counted by the minute and named without a time.
const BUSY_PAUSE: Duration = Duration::from_secs(10);

pub struct Libre {
    http: Client,
    base: Url,
    key: Option<Secret>,
    seen: AtomicBool,
}

impl Libre {
    pub fn new(base: Url, key: Option<Secret>) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            // A redirected request would carry the key to somebody else.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()?;
        Ok(Self { http, base, key, seen: AtomicBool::new(false) })
    }

    pub async fn translate(&self, ask: &Ask, deadline: Deadline) -> Result<Vec<String>, BackendError> {
        let mut body =
            json!({ "q": ask.q, "source": ask.source, "target": ask.target, "format": ask.format });
        if let Some(key) = &self.key {
            body["api_key"] = key.reveal().into();
        }
        let request = self.http.post(under(&self.base, "/translate")).json(&body);
        let answer = self.ask(request, deadline).await?;
        let texts = match (&ask.q, &answer["translatedText"]) {
            (Query::One(_), Value::String(text)) => Some(vec![text.clone()]),
            (Query::Many(_), Value::Array(texts)) => {
                texts.iter().map(|text| text.as_str().map(str::to_owned)).collect()
            }
            _ => None,
        };
        texts
            .filter(|texts| texts.len() == ask.texts().len())
            .ok_or_else(|| BackendError::Malformed("no translatedText for each text".into()))
    }

    pub async fn languages(&self, deadline: Deadline) -> Result<Value, BackendError> {
        self.ask(self.http.get(under(&self.base, "/languages")), deadline).await
    }

    /// Ready once, ready always: a backend that fails for a moment is told per request.
    pub async fn reached(&self) -> Result<(), BackendError> {
        if self.seen.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.languages(Deadline(Instant::now() + PROBE_TIMEOUT)).await.map(drop)
    }

    async fn ask(&self, request: RequestBuilder, deadline: Deadline) -> Result<Value, BackendError> {
        let response = request.timeout(deadline.remaining()).send().await.map_err(lost)?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.refusal(response).await);
        }
        self.seen.store(true, Ordering::Relaxed);
        let body = response.bytes().await.map_err(lost)?;
        serde_json::from_slice(&body).map_err(|error| BackendError::Malformed(error.to_string()))
    }

    async fn refusal(&self, response: Response) -> BackendError {
        let status = response.status();
        let retry_after = upstream::retry_after(response.headers());
        let body: Value =
            serde_json::from_slice(&response.bytes().await.unwrap_or_default()).unwrap_or_default();
        let message = self.shown(body["error"].as_str().unwrap_or("no message"));
        match status {
            StatusCode::BAD_REQUEST => BackendError::Asked(message),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => BackendError::Key,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                BackendError::Busy { retry_after: retry_after.unwrap_or(BUSY_PAUSE) }
            }
            _ => BackendError::Failed { status: status.as_u16(), message },
        }
    }

    fn shown(&self, text: &str) -> String {
        upstream::shown(text, self.key.as_ref())
    }
}

fn lost(error: reqwest::Error) -> BackendError {
    if upstream::is_late(&error) {
        return BackendError::Deadline;
    }
    BackendError::Unreachable(error.without_url().to_string())
}
