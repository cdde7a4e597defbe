//! `POST /api/translate`: one letter, answered by events, by a page, or by JSON, as the caller accepts.

use std::convert::Infallible;

use axum::extract::{Request, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::mpsc;

use super::Frontend;
use super::event::{Event, Stage, Translated};
use super::page::{self, Shown};
use super::pipeline::Call;
use super::upload::{self, Letter};
use crate::http::context::RequestId;
use crate::http::{ApiError, Deadline};

/// How the caller wants to be answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Events,
    /// A browser without scripts, which sends the form itself.
    Page,
    Json,
}

pub async fn translate(
    State(frontend): State<Frontend>,
    Extension(deadline): Extension<Deadline>,
    Extension(RequestId(id)): Extension<RequestId>,
    request: Request,
) -> Response {
    let form = accepted(request.headers());
    let language = page::language(request.uri(), request.headers());
    let call = Call { deadline, id };
    let letter = upload::read(request, frontend.limits).await;
    match (form, letter) {
        (Form::Events, Ok(letter)) => events(frontend, letter, call).into_response(),
        (Form::Events | Form::Json, Err(error)) => error.into_response(),
        (Form::Json, Ok(letter)) => match whole(&frontend, letter, call).await {
            Ok(translated) => Json(translated).into_response(),
            Err((_, error)) => error.into_response(),
        },
        (Form::Page, Err(error)) => {
            page::render(language, &Shown::failed(Stage::Upload, &error), error.status)
        }
        (Form::Page, Ok(letter)) => {
            let is_sample = letter.is_sample;
            match whole(&frontend, letter, call).await {
                Ok(translated) => {
                    page::render(language, &Shown::result(translated, is_sample), StatusCode::OK)
                }
                Err((stage, error)) => page::render(language, &Shown::failed(stage, &error), error.status),
            }
        }
    }
}

fn accepted(headers: &HeaderMap) -> Form {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if accept.contains("text/event-stream") {
        Form::Events
    } else if accept.contains("text/html") {
        Form::Page
    } else {
        Form::Json
    }
}

async fn whole(frontend: &Frontend, letter: Letter, call: Call) -> Result<Translated, (Stage, ApiError)> {
    let (tell, mut told) = mpsc::unbounded_channel();
    frontend.pipeline.run(letter, call, &tell).await;
    told.close();
    while let Some(event) = told.recv().await {
        match event {
            Event::Result(translated) => return Ok(translated),
            Event::Failed(stage, error) => return Err((stage, error)),
            _ => {}
        }
    }
    let message = "the letter came to no end; this server's log says why";
    Err((Stage::Ocr, ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message)))
}

/// The events as they come. The work is a part of the stream: a client that leaves ends both.
fn events(
    frontend: Frontend,
    letter: Letter,
    call: Call,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let (tell, told) = mpsc::unbounded_channel();
    let work = async move {
        frontend.pipeline.run(letter, call, &tell).await;
        None
    };
    let told = stream::unfold(told, async |mut told| Some((Some(told.recv().await?), told)));
    let all = stream::select(told, stream::once(work)).filter_map(std::future::ready);
    Sse::new(all.map(|event: Event| Ok(event.into()))).keep_alive(KeepAlive::default())
}
