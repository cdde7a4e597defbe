//! Requests' bodies on their way in: bounded in size and all together, not silent for long, and received to their end
//! also where nobody wants them, so that a client that still sends gets its answer instead of a broken connection.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Sleep;

use super::context::{Deadline, now};
use super::error::ApiError;
use super::memory::BodyMemory;
use super::tail;

/// What is thrown away of a body that nobody wants; who sends more is cut off.
const MOST_DISCARDED: u64 = 64 << 20;
/// For a body that nobody wants, when its request's deadline is near.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
/// Until another body may be through.
const AGAIN: Duration = Duration::from_secs(1);

/// What bodies are held to.
#[derive(Clone, Debug)]
pub struct Intake {
    /// Bytes of one body.
    pub max: usize,
    /// Between two parts of a body.
    pub silence: Duration,
    /// For all bodies of a role together.
    pub memory: BodyMemory,
}

/// What is known of a request's body beside its bytes; stands among each request's extensions.
#[derive(Clone, Debug)]
pub struct Incoming {
    max: usize,
    fault: Arc<OnceLock<Fault>>,
}

/// Why a body did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("nothing of the request's body came for {} ms; send it without pauses", .0.as_millis())]
    Silent(Duration),
    #[error("the request's body was not here before the request's deadline; send a smaller one")]
    Late,
}

impl Incoming {
    fn new(max: usize) -> Self {
        Self { max, fault: Arc::default() }
    }

    /// The error of a body that could not be read: with the limit where that was the cause, and as what it is where the
    /// client was too slow.
    pub fn explain(&self, error: ApiError) -> ApiError {
        match self.fault.get() {
            Some(fault) => ApiError::new(StatusCode::REQUEST_TIMEOUT, fault.to_string()),
            None if error.status == StatusCode::PAYLOAD_TOO_LARGE => too_large(self.max),
            None => error,
        }
    }
}

fn too_large(max: usize) -> ApiError {
    let limit = if max < 1 << 20 {
        format!("{} KiB", max.div_ceil(1 << 10))
    } else {
        format!("{} MiB", max.div_ceil(1 << 20))
    };
    let message = format!("the request is larger than the limit of {limit}; send a smaller one");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// From now on the body may have `max` bytes at most, and no more than before.
pub fn limit(request: &mut Request, max: usize) {
    let mut least = max;
    if let Some(incoming) = request.extensions_mut().get_mut::<Incoming>() {
        least = max.min(incoming.max);
        incoming.max = least;
    }
    DefaultBodyLimit::max(least).apply(request);
}

/// The whole body.
pub async fn whole(request: Request) -> Result<Bytes, ApiError> {
    let incoming = request.extensions().get::<Incoming>().cloned();
    Bytes::from_request(request, &())
        .await
        .map_err(|rejection| explained(incoming.as_ref(), rejection.into()))
}

/// As [`Incoming::explain`], where there is one: everywhere but in tests of handlers alone.
pub fn explained(incoming: Option<&Incoming>, error: ApiError) -> ApiError {
    match incoming {
        Some(incoming) => incoming.explain(error),
        None => error,
    }
}

/// Bytes of the body, if its header says.
pub fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Around each request with a body: refuses it unread where it is too large or too much is under way, and watches it.
pub async fn around(State(intake): State<Arc<Intake>>, mut request: Request, next: Next) -> Response {
    let length = length(request.headers());
    let is_chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let incoming = Incoming::new(intake.max);
    request.extensions_mut().insert(incoming.clone());
    if length.unwrap_or(0) == 0 && !is_chunked {
        return next.run(request).await;
    }
    let deadline = request.extensions().get::<Deadline>().copied();
    let deadline = deadline.map_or_else(now, |deadline| deadline.0);
    let held = usize::try_from(length.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let expects = request.headers().contains_key(EXPECT);
    let silence = intake.silence;
    let request = request.map(|body| Body::new(Watched::new(body, silence, deadline, expects, &incoming)));
    if length.is_some() && held > intake.max {
        return too_large(intake.max).into_response();
    }
    let Some(reserved) = intake.memory.reserve(held.min(intake.max)) else {
        let message = "more is being received than this server has memory for; try again in a moment";
        return ApiError::unavailable(message, AGAIN).into_response();
    };
    tail::until_its_end(next.run(request).await, reserved)
}

/// A body that is watched while it is read, and received to its end when it is not.
struct Watched {
    body: Option<Body>,
    silence: Duration,
    deadline: Instant,
    incoming: Incoming,
    /// Runs while something is awaited.
    alarm: Option<Pin<Box<Sleep>>>,
    /// The client waits for a word before it sends anything: then there is nothing to be thrown away.
    expects: bool,
}

impl Watched {
    fn new(body: Body, silence: Duration, deadline: Instant, expects: bool, incoming: &Incoming) -> Self {
        Self { body: Some(body), silence, deadline, incoming: incoming.clone(), alarm: None, expects }
    }

    /// The fault, once the client has been silent for too long.
    fn alarmed(&mut self, context: &mut Context<'_>) -> Option<Fault> {
        let patience = self.silence.min(self.deadline.saturating_duration_since(now()));
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        if alarm.as_mut().poll(context).is_pending() {
            return None;
        }
        let is_late = now() >= self.deadline;
        Some(if is_late { Fault::Late } else { Fault::Silent(self.silence) })
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        self.expects = false;
        match &frame {
            Poll::Ready(Some(Ok(_))) => self.alarm = None,
            Poll::Ready(_) => self.body = None,
            Poll::Pending => {
                let Some(fault) = self.alarmed(context) else { return Poll::Pending };
                // Who is that slow is not waited for: without its body the connection is closed.
                self.body = None;
                let fault = *self.incoming.fault.get_or_init(|| fault);
                return Poll::Ready(Some(Err(axum::Error::new(fault))));
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream() && !self.expects) else {
            return;
        };
        if body.size_hint().lower() > MOST_DISCARDED {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let until = self.deadline.max(now() + LEAST_PATIENCE);
        runtime.spawn(tokio::time::timeout_at(until.into(), discard(body)));
    }
}

async fn discard(mut body: Body) {
    let mut left = MOST_DISCARDED;
    while let Some(Ok(frame)) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
    {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        let Some(rest) = left.checked_sub(bytes) else { return };
        left = rest;
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
