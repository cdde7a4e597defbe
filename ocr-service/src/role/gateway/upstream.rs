//! The gateway's client of the models: a list of endpoints, a deadline, and one retry.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::Bytes;
use reqwest::{Client, Url};

use crate::engine::Output;
use crate::engine::options::Asked;
use crate::http::context::{DEADLINE, REQUEST_ID};
use crate::http::error::{REASON, REASON_IMAGE};
use crate::http::health::Readiness;
use crate::http::{ApiError, Deadline};
use crate::image::Image;
use crate::metrics::{EndpointLabels, UpstreamMetrics};
use crate::role::{INSTANCE, NODE};
use crate::v2::codec::{self, Encoded};
use crate::v2::{HEADER_LENGTH, ocr};

/// A first attempt and one more: inference changes nothing, so it can be repeated, but not at any price.
const MAX_TRIES: usize = 2;
/// Unacknowledged bytes mean a dead peer long before TCP's own quarter of an hour.
const USER_TIMEOUT: Duration = Duration::from_secs(5);
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Where models are and how long a connection to one may take.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// Base addresses, at least one: `http://model:8080`.
    pub endpoints: Vec<Url>,
    pub connect_timeout: Duration,
}

pub struct Upstream {
    /// Keeps connections for the next request.
    pooled: Client,
    /// A new connection for each retry: behind one address there may be another model next time.
    fresh: Client,
    endpoints: Vec<Url>,
    next: AtomicUsize,
    seen_ready: AtomicBool,
    metrics: UpstreamMetrics,
}

/// A model's text and who gave it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub text: String,
    /// The output that was asked for beside the text.
    pub beside: Option<(Output, String)>,
    pub endpoint: String,
    pub node: Option<HeaderValue>,
    pub tries: usize,
}

/// How one attempt ended without a text.
enum Attempt {
    /// The caller is told this.
    Final(ApiError),
    /// Another endpoint may do better; this is told when none does.
    Retry(ApiError),
}

impl Upstream {
    pub fn new(config: UpstreamConfig, metrics: UpstreamMetrics) -> Result<Self, reqwest::Error> {
        let builder = || {
            // A proxy from the environment is meant for the way out of the cluster, not for the hop inside it.
            Client::builder()
                .no_proxy()
                .http1_only()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(config.connect_timeout)
                .tcp_user_timeout(USER_TIMEOUT)
        };
        Ok(Self {
            pooled: builder().pool_idle_timeout(Duration::from_secs(15)).build()?,
            fresh: builder().pool_max_idle_per_host(0).build()?,
            endpoints: config.endpoints,
            next: AtomicUsize::new(0),
            seen_ready: AtomicBool::new(false),
            metrics,
        })
    }

    /// The text of `image`, from whichever model gives it before the deadline.
    pub async fn infer(
        &self,
        image: &Image,
        asked: &Asked,
        id: &HeaderValue,
        deadline: Deadline,
    ) -> Result<Answer, ApiError> {
        let body = codec::encode_request(
            id.to_str().ok().map(str::to_owned),
            ocr::parameters(asked),
            ocr::INPUT,
            image.bytes(),
        )?;
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut told = None;
        for attempt in 0..MAX_TRIES {
            let endpoint = &self.endpoints[first.wrapping_add(attempt) % self.endpoints.len()];
            let client = if attempt == 0 { &self.pooled } else { &self.fresh };
            match self.attempt(client, endpoint, &body, id, deadline).await {
                Ok(answer) => return Ok(Answer { tries: attempt + 1, ..answer }),
                Err(Attempt::Final(error)) => return Err(error),
                Err(Attempt::Retry(error)) => {
                    self.note_failure(endpoint, &error, attempt + 1 < MAX_TRIES);
                    told = Some(error);
                }
            }
        }
        Err(told.unwrap_or_else(|| ApiError::new(StatusCode::BAD_GATEWAY, "no model was asked")))
    }

    async fn attempt(
        &self,
        client: &Client,
        endpoint: &Url,
        body: &Encoded,
        id: &HeaderValue,
        deadline: Deadline,
    ) -> Result<Answer, Attempt> {
        let remaining = deadline.remaining();
        let mut request = client
            .post(path(endpoint, &format!("/v2/models/{}/infer", ocr::MODEL)))
            .timeout(remaining)
            .header(REQUEST_ID, id)
            .header(DEADLINE, remaining.as_millis().to_string())
            .header(CONTENT_TYPE, body.content_type());
        if let Some(length) = body.json_length {
            request = request.header(HEADER_LENGTH, length);
        }
        let response =
            request.body(body.body.clone()).send().await.map_err(|error| unreachable(endpoint, &error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.map_err(|error| unreachable(endpoint, &error))?;
        if !status.is_success() {
            return Err(refusal(endpoint, status, &headers, &bytes));
        }
        self.seen_ready.store(true, Ordering::Relaxed);
        let read = ocr::first_image(&bytes).ok();
        let (text, beside) = read.ok_or_else(|| {
            let message =
                format!("the model at {endpoint} answered without a text; is it ocr-service's model role?");
            Attempt::Final(ApiError::new(StatusCode::BAD_GATEWAY, message))
        })?;
        Ok(Answer {
            text,
            beside,
            endpoint: name(endpoint, &headers),
            node: headers.get(NODE).cloned(),
            tries: 1,
        })
    }

    fn note_failure(&self, endpoint: &Url, error: &ApiError, retried: bool) {
        tracing::warn!(%endpoint, error = error.message, retried, "a model failed");
        self.metrics.failures.get_or_create(&EndpointLabels { endpoint: endpoint.to_string() }).inc();
        if retried {
            self.metrics.retries.inc();
        }
    }

    async fn is_ready(&self, endpoint: &Url) -> bool {
        let probe = self.pooled.get(path(endpoint, "/v2/health/ready")).timeout(PROBE_TIMEOUT).send();
        probe.await.is_ok_and(|response| response.status().is_success())
    }
}

/// Ready once a model has answered, and from then on: were it to follow the models' own readiness, one bad moment of
/// theirs would take every gateway out of the Service, and callers would get refused connections instead of answers.
#[async_trait::async_trait]
impl Readiness for Upstream {
    async fn check(&self) -> Result<(), String> {
        if self.seen_ready.load(Ordering::Relaxed) {
            return Ok(());
        }
        let probes = self.endpoints.iter().map(|endpoint| self.is_ready(endpoint));
        if futures_util::future::join_all(probes).await.contains(&true) {
            self.seen_ready.store(true, Ordering::Relaxed);
            return Ok(());
        }
        let endpoints: Vec<_> = self.endpoints.iter().map(Url::as_str).collect();
        Err(format!("no model is ready at {}", endpoints.join(", ")))
    }
}

fn path(endpoint: &Url, path: &str) -> String {
    format!("{}{path}", endpoint.as_str().trim_end_matches('/'))
}

/// What the model calls itself, else its address.
fn name(endpoint: &Url, headers: &HeaderMap) -> String {
    let instance = headers.get(INSTANCE).and_then(|value| value.to_str().ok());
    instance.map_or_else(|| endpoint.authority().to_owned(), str::to_owned)
}

/// No response: only running out of the caller's time is final, since another attempt has none left.
fn unreachable(endpoint: &Url, error: &reqwest::Error) -> Attempt {
    if error.is_timeout() && !error.is_connect() {
        let message = format!("the model at {endpoint} did not answer before the request's deadline");
        return Attempt::Final(ApiError::new(StatusCode::GATEWAY_TIMEOUT, message));
    }
    let cause = innermost(error);
    let message = format!("no model answers at {endpoint} ({cause}); is the model role running there?");
    Attempt::Retry(ApiError::unavailable(message, Duration::from_secs(1)))
}

/// reqwest's own message repeats the address; what it wraps says what happened.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// A response that is no success. Backpressure is 503 with Retry-After: asking the next model would only spread it.
fn refusal(endpoint: &Url, status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Attempt {
    let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let message = error_text(body).unwrap_or_else(|| format!("the model at {endpoint} answered {status}"));
    let passed_on = ApiError {
        status: caller_status(status, headers),
        message,
        retry_after: retry_after.map(Duration::from_secs),
        image: headers.get(REASON) == Some(&REASON_IMAGE),
    };
    match status {
        StatusCode::BAD_GATEWAY => Attempt::Retry(passed_on),
        StatusCode::SERVICE_UNAVAILABLE if retry_after.is_none() => {
            Attempt::Retry(ApiError { retry_after: Some(Duration::from_secs(1)), ..passed_on })
        }
        _ => Attempt::Final(passed_on),
    }
}

/// V2 has 400 for an image that cannot be read; the gateway's callers are told 422. A model that is missing is not
/// the caller's fault.
fn caller_status(status: StatusCode, headers: &HeaderMap) -> StatusCode {
    match status {
        StatusCode::BAD_REQUEST if headers.get(REASON) == Some(&REASON_IMAGE) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => StatusCode::BAD_GATEWAY,
        status if status.is_redirection() || status.is_informational() => StatusCode::BAD_GATEWAY,
        status => status,
    }
}

fn error_text(body: &Bytes) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(value.get("error")?.as_str()?.to_owned())
}
