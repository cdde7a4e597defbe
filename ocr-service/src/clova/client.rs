//! One call of CLOVA OCR, and its one repetition.

use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Response, StatusCode};

use super::wire::{self, Refusal, Reply, Request};
use super::{ClovaError, Settings, format};
use crate::http::{Deadline, upstream};

/// As CLOVA's documentation says.
const MAX_IMAGE: usize = 50 * 1024 * 1024;
/// Before the one repetition after a rate limit.
pub const DEFAULT_PAUSE: Duration = Duration::from_millis(700);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    settings: Settings,
    pause: Duration,
}

/// How one call ended without a text.
enum Failed {
    RateLimited,
    Final(ClovaError),
}

impl From<ClovaError> for Failed {
    fn from(error: ClovaError) -> Self {
        Self::Final(error)
    }
}

impl Client {
    /// `pause`: how long to wait after a rate limit before the call is repeated.
    pub fn new(settings: Settings, pause: Duration) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            // A redirected request would carry the secret to somebody else.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()?;
        Ok(Self { http, settings, pause })
    }

    /// The words of `image`, one space between two.
    pub async fn read(&self, image: &[u8], deadline: Deadline) -> Result<String, ClovaError> {
        if image.len() > MAX_IMAGE {
            return Err(ClovaError::TooLarge);
        }
        let format = format::name(image).ok_or(ClovaError::Format)?;
        match self.call(image, format, deadline).await {
            Err(Failed::RateLimited) if deadline.remaining() > self.pause => {
                tokio::time::sleep(self.pause).await;
                self.call(image, format, deadline).await
            }
            first => first,
        }
        .map_err(|failed| match failed {
            Failed::RateLimited => ClovaError::RateLimited,
            Failed::Final(error) => error,
        })
    }

    async fn call(&self, image: &[u8], format: &'static str, deadline: Deadline) -> Result<String, Failed> {
        let mut secret =
            HeaderValue::from_str(self.settings.secret.reveal()).map_err(|_| ClovaError::Secret)?;
        secret.set_sensitive(true);
        let response = self
            .http
            .post(self.settings.url.clone())
            .header("X-OCR-SECRET", secret)
            .json(&Request::new(image, format))
            .timeout(deadline.remaining())
            .send()
            .await
            .map_err(unreachable)?;
        if response.status() == StatusCode::OK {
            Ok(self.text(response).await?)
        } else {
            Err(self.refusal(response).await)
        }
    }

    /// The text of a 200, which may still carry a failure.
    async fn text(&self, response: Response) -> Result<String, ClovaError> {
        let body = response.bytes().await.map_err(unreachable)?;
        let reply: Reply =
            serde_json::from_slice(&body).map_err(|error| ClovaError::Malformed(error.to_string()))?;
        let [image] = &*reply.images else {
            return Err(ClovaError::Malformed(format!(
                "{} images for the one that was sent",
                reply.images.len()
            )));
        };
        match image.infer_result.as_str() {
            "SUCCESS" => Ok(wire::full_text(&image.fields)),
            "FAILURE" => Err(ClovaError::Unreadable(self.shown(&image.message))),
            "ERROR" => Err(ClovaError::Errored(self.shown(&image.message))),
            other => Err(ClovaError::Malformed(format!("inferResult {:?}", self.shown(other)))),
        }
    }

    async fn refusal(&self, response: Response) -> Failed {
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap_or_default();
        let refusal: Option<Refusal> = serde_json::from_slice(&body).ok();
        let code = refusal.as_ref().map(Refusal::code).unwrap_or_default();
        match code.as_str() {
            "0025" => Failed::RateLimited,
            "0023" => Failed::Final(ClovaError::QuotaUsed),
            "0002" => Failed::Final(ClovaError::Secret),
            _ => {
                let message = refusal.map(|refusal| refusal.message).filter(|message| !message.is_empty());
                let message = self.shown(message.as_deref().unwrap_or("no message"));
                Failed::Final(ClovaError::Refused { status, code: self.shown(&code), message })
            }
        }
    }

    fn shown(&self, text: &str) -> String {
        upstream::shown(text, Some(&self.settings.secret))
    }
}

/// Without the address: it names the account's domain.
fn unreachable(error: reqwest::Error) -> ClovaError {
    if upstream::is_late(&error) {
        return ClovaError::Deadline;
    }
    let mut why = error.without_url().to_string();
    if why.is_empty() {
        why = "the connection failed".into();
    }
    ClovaError::Unreachable(why)
}
