//! What happens to a letter, as the page is told while it happens.

use axum::response::sse;
use serde::Serialize;
use serde_json::{Value, json};

use crate::http::ApiError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    Upload,
    Ocr,
    Translate,
}

#[derive(Clone, Debug)]
pub enum Event {
    Started(Stage),
    /// It took so many milliseconds.
    Finished(Stage, u64),
    /// The letter's text, while its translation is still to come.
    Recognised(Recognition),
    Result(Translated),
    Failed(Stage, ApiError),
}

/// What was read. `words` as the gateway gives them: text, confidence, box.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Recognition {
    pub text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<Value>,
}

/// The whole answer, and the JSON of a caller who wants no events.
#[derive(Clone, Debug, Serialize)]
pub struct Translated {
    #[serde(flatten)]
    pub recognition: Recognition,
    pub translation: String,
    /// The translation's language.
    pub target: &'static str,
    pub took_ms: Took,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Took {
    pub ocr: u64,
    pub translate: u64,
}

impl From<Event> for sse::Event {
    fn from(event: Event) -> Self {
        let (name, data) = match event {
            Event::Started(stage) => ("stage", json!({ "stage": stage, "state": "running" })),
            Event::Finished(stage, ms) => ("stage", json!({ "stage": stage, "state": "done", "ms": ms })),
            Event::Recognised(recognition) => ("recognised", json!(recognition)),
            Event::Result(translated) => ("result", json!(translated)),
            Event::Failed(stage, error) => {
                ("error", json!({ "stage": stage, "status": error.status.as_u16(), "error": error.message }))
            }
        };
        // JSON has its line breaks escaped, so that one line holds all of it.
        Self::default().event(name).data(data.to_string())
    }
}
