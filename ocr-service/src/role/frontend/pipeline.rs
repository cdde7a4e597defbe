//! Upload, recognition, translation: one letter's way, and who does each part.

use std::time::{Duration, Instant};

use axum::http::{HeaderValue, StatusCode};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Url};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::args::{Mode, PageArgs};
use super::event::{Event, Recognition, Stage, Took, Translated};
use super::upload::{Language, Letter};
use crate::http::context::{DEADLINE, REQUEST_ID};
use crate::http::{ApiError, Deadline, upstream};
use crate::image::Image;
use crate::role::translate::backend::MOCK_TEXT;
use crate::role::url_arg::under;

/// What the users' mock reads in every letter.
const MOCK_LETTER: &str = "Hello from your child";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Who reads and who translates.
pub enum Pipeline {
    Mock { ocr: Duration, translate: Duration },
    Real { http: Client, gateway: Url, translate: Url },
}

/// What one letter's calls have in common.
#[derive(Clone)]
pub struct Call {
    pub deadline: Deadline,
    pub id: HeaderValue,
}

impl Pipeline {
    pub fn new(
        page: PageArgs,
        mock_translate: Duration,
        gateway: Url,
        translate: Url,
    ) -> Result<Self, reqwest::Error> {
        Ok(match page.frontend_mode {
            Mode::Mock => Self::Mock { ocr: page.mock_ocr_delay, translate: mock_translate },
            Mode::Real => {
                let http = Client::builder()
                    // A proxy is for the way out, which is the translate role's.
                    .no_proxy()
                    .redirect(reqwest::redirect::Policy::none())
                    .connect_timeout(CONNECT_TIMEOUT)
                    .build()?;
                Self::Real { http, gateway, translate }
            }
        })
    }

    /// Tells of each step; the last event is the result or the failure. A listener that has left stops nothing here:
    /// the caller drops the future.
    pub async fn run(&self, letter: Letter, call: Call, tell: &UnboundedSender<Event>) {
        let say = |event| drop(tell.send(event));
        say(Event::Finished(Stage::Upload, 0));
        say(Event::Started(Stage::Ocr));
        let begun = Instant::now();
        let recognition = match self.recognise(&letter.image, &call).await.and_then(with_text) {
            Ok(recognition) => recognition,
            Err(error) => return say(Event::Failed(Stage::Ocr, error)),
        };
        let mut took = Took { ocr: millis(begun), ..Took::default() };
        say(Event::Finished(Stage::Ocr, took.ocr));
        say(Event::Recognised(recognition.clone()));
        say(Event::Started(Stage::Translate));
        let begun = Instant::now();
        let translation = match self.translate(&recognition.text, letter.target, &call).await {
            Ok(translation) => translation,
            Err(error) => return say(Event::Failed(Stage::Translate, error)),
        };
        took.translate = millis(begun);
        say(Event::Finished(Stage::Translate, took.translate));
        let target = letter.target.code();
        say(Event::Result(Translated { recognition, translation, target, took_ms: took }));
    }

    async fn recognise(&self, image: &Image, call: &Call) -> Result<Recognition, ApiError> {
        let (http, gateway) = match self {
            Self::Mock { ocr, .. } => {
                wait(*ocr, call).await?;
                return Ok(Recognition { text: MOCK_LETTER.into(), words: None });
            }
            Self::Real { http, gateway, .. } => (http, gateway),
        };
        let mut url = under(gateway, "/gateway/ocr");
        url.set_query(Some("output=words"));
        let part = Part::stream(image.bytes().clone()).file_name("letter");
        let request = http.post(url).multipart(Form::new().part("image_file", part));
        let mut answer = ask(request, call, "the OCR gateway").await?;
        let text = answer["text"].as_str().ok_or_else(|| malformed("the OCR gateway"))?.to_owned();
        let words = answer.get_mut("words").map(Value::take).filter(Value::is_array);
        Ok(Recognition { text, words })
    }

    async fn translate(&self, text: &str, target: Language, call: &Call) -> Result<String, ApiError> {
        let (http, translate) = match self {
            Self::Mock { translate, .. } => {
                wait(*translate, call).await?;
                return Ok(MOCK_TEXT.into());
            }
            Self::Real { http, translate, .. } => (http, translate),
        };
        let body = json!({ "q": text, "source": "auto", "target": target.code(), "format": "text" });
        let request = http.post(under(translate, "/translate")).json(&body);
        let answer = ask(request, call, "the translation server").await?;
        let translation = answer["translatedText"].as_str();
        Ok(translation.ok_or_else(|| malformed("the translation server"))?.to_owned())
    }
}

fn with_text(recognition: Recognition) -> Result<Recognition, ApiError> {
    if recognition.text.trim().is_empty() {
        let message = "no text was found in the image; send a sharper or larger one";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    Ok(recognition)
}

async fn wait(delay: Duration, call: &Call) -> Result<(), ApiError> {
    if delay > call.deadline.remaining() {
        return Err(too_late("the mock"));
    }
    tokio::time::sleep(delay).await;
    Ok(())
}

/// The JSON of a 200; what else comes is told with `who` it came from.
async fn ask(request: RequestBuilder, call: &Call, who: &str) -> Result<Value, ApiError> {
    let remaining = call.deadline.remaining();
    let request = request
        .header(REQUEST_ID, call.id.clone())
        .header(DEADLINE, u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX))
        .timeout(remaining);
    let response = request.send().await.map_err(|error| lost(&error, who))?;
    let status = response.status();
    let retry_after = upstream::retry_after(response.headers());
    let body = response.bytes().await.map_err(|error| lost(&error, who))?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(body);
    }
    let message = body["error"].as_str().map_or_else(|| format!("{who} answered {status}"), str::to_owned);
    // The letter's fault, backpressure and lost patience are passed on; the rest is a fault behind this server, such as
    // an address of something else, or a key that is missing.
    Err(match status {
        StatusCode::BAD_REQUEST
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNPROCESSABLE_ENTITY
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::GATEWAY_TIMEOUT => ApiError::new(status, message),
        StatusCode::SERVICE_UNAVAILABLE => {
            ApiError::unavailable(message, retry_after.unwrap_or(Duration::from_secs(1)))
        }
        _ => ApiError::new(StatusCode::BAD_GATEWAY, message),
    })
}

fn lost(error: &reqwest::Error, who: &str) -> ApiError {
    if upstream::is_late(error) {
        return too_late(who);
    }
    ApiError::unavailable(format!("{who} cannot be reached; try again in a moment"), Duration::from_secs(1))
}

fn too_late(who: &str) -> ApiError {
    ApiError::new(StatusCode::GATEWAY_TIMEOUT, format!("{who} did not answer in time; try again"))
}

fn malformed(who: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_GATEWAY, format!("{who} gave an answer that cannot be understood"))
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
