//! One request to one model, and what its end means for the caller and for another attempt.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use bytes::Bytes;
use reqwest::Client;

use super::endpoint::Endpoint;
use crate::engine::Output;
use crate::http::context::{DEADLINE, REQUEST_ID};
use crate::http::error::{REASON, REASON_IMAGE};
use crate::http::{ApiError, Deadline, upstream};
use crate::role::{INSTANCE, NODE};
use crate::v2::codec::Encoded;
use crate::v2::{HEADER_LENGTH, ocr};

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

/// Why another attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// No connection: the model did no work.
    Connect,
    /// The connection broke before the answer was whole.
    Broken,
    /// It says that it does not serve, as one that drains does: no work was done.
    Unavailable,
    /// Something between here and the model failed.
    BadGateway,
    /// It has more to do than it takes.
    Overloaded,
    /// It is silent, to its probe too.
    Hung,
    /// It lives, and its answer is late.
    Slow,
}

impl Reason {
    pub const ALL: [Self; 7] = [
        Self::Connect,
        Self::Broken,
        Self::Unavailable,
        Self::BadGateway,
        Self::Overloaded,
        Self::Hung,
        Self::Slow,
    ];

    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Broken => "broken",
            Self::Unavailable => "unavailable",
            Self::BadGateway => "bad_gateway",
            Self::Overloaded => "overloaded",
            Self::Hung => "hung",
            Self::Slow => "slow",
        }
    }

    /// The first model may be at work on the request, or another would have to do more than its share: such attempts
    /// are limited. Where no work is done, as when a node is lost, every request may have its other attempt.
    pub fn is_limited(self) -> bool {
        matches!(self, Self::BadGateway | Self::Overloaded | Self::Slow)
    }
}

/// How one attempt ended without a text.
#[derive(Debug)]
pub enum Failure {
    /// The caller is told this.
    Final(ApiError),
    /// Another endpoint may do better; this is told when none does.
    Retry(Reason, ApiError),
}

/// What every attempt sends.
#[derive(Debug)]
pub struct Question {
    pub body: Encoded,
    pub id: HeaderValue,
    pub deadline: Deadline,
}

pub async fn attempt(
    client: &Client,
    endpoint: &Arc<Endpoint>,
    question: &Question,
) -> Result<Answer, Failure> {
    let remaining = question.deadline.remaining();
    let body = &question.body;
    let mut request = client
        .post(endpoint.path(&format!("/v2/models/{}/infer", ocr::MODEL)))
        .timeout(remaining)
        .header(REQUEST_ID, &question.id)
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
    let (text, beside) = ocr::first_image(&bytes).map_err(|_| {
        let message = format!(
            "the model at {} answered without a text; is it ocr-service's model role?",
            endpoint.name
        );
        Failure::Final(ApiError::new(StatusCode::BAD_GATEWAY, message))
    })?;
    Ok(Answer {
        text,
        beside,
        endpoint: name(endpoint, &headers),
        node: headers.get(NODE).cloned(),
        tries: 1,
    })
}

/// What the model calls itself, else its address.
fn name(endpoint: &Endpoint, headers: &HeaderMap) -> String {
    let instance = headers.get(INSTANCE).and_then(|value| value.to_str().ok());
    instance.map_or_else(|| endpoint.name.clone(), str::to_owned)
}

/// No whole response: only running out of the caller's time is final, since another attempt has none left.
fn unreachable(endpoint: &Endpoint, error: &reqwest::Error) -> Failure {
    let at = &endpoint.name;
    if upstream::is_late(error) {
        let message = format!("the model at {at} did not answer before the request's deadline");
        return Failure::Final(ApiError::new(StatusCode::GATEWAY_TIMEOUT, message));
    }
    let cause = innermost(error);
    let (reason, message) = if error.is_connect() {
        (Reason::Connect, format!("no model answers at {at} ({cause}); is the model role running there?"))
    } else {
        (Reason::Broken, format!("the model at {at} broke off before its answer was whole ({cause})"))
    };
    Failure::Retry(reason, ApiError::unavailable(message, Duration::from_secs(1)))
}

/// reqwest's own message repeats the address; what it wraps says what happened.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// A response that is no success. Backpressure is 503 with Retry-After.
fn refusal(endpoint: &Endpoint, status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Failure {
    let retry_after = upstream::retry_after(headers);
    let message =
        error_text(body).unwrap_or_else(|| format!("the model at {} answered {status}", endpoint.name));
    let passed_on = ApiError {
        status: caller_status(status, headers),
        message,
        retry_after,
        image: headers.get(REASON) == Some(&REASON_IMAGE),
    };
    match status {
        StatusCode::BAD_GATEWAY => Failure::Retry(Reason::BadGateway, passed_on),
        StatusCode::SERVICE_UNAVAILABLE if retry_after.is_some() => {
            Failure::Retry(Reason::Overloaded, passed_on)
        }
        StatusCode::SERVICE_UNAVAILABLE => Failure::Retry(
            Reason::Unavailable,
            ApiError { retry_after: Some(Duration::from_secs(1)), ..passed_on },
        ),
        _ => Failure::Final(passed_on),
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
