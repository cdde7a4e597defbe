//! LibreTranslate's request: JSON, a form, or a multipart form; one text or a list.

use axum::extract::Request;
use serde::{Deserialize, Serialize};

use crate::http::ApiError;
use crate::http::body;
use crate::http::form::{self, Kind};

/// Of a character as JSON (`\ud83d\ude00`) or a form (`%F0%9F%98%80`) writes it, with what stands around a text of one.
const CHARACTER_BYTES: usize = 16;
/// For the other fields, and for what stands around a form's parts.
const OTHER_BYTES: usize = 16 << 10;

/// What is to be translated. A key (`api_key`) is taken and not used: this server asks for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub q: Query,
    pub source: String,
    pub target: String,
    pub format: String,
}

/// One text, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Query {
    One(String),
    Many(Vec<String>),
}

impl Ask {
    pub fn texts(&self) -> &[String] {
        match &self.q {
            Query::One(text) => std::slice::from_ref(text),
            Query::Many(texts) => texts,
        }
    }

    /// Characters of all texts together; an empty one counts too, for it is translated like any other.
    pub fn length(&self) -> usize {
        self.texts().iter().map(|text| text.chars().count().max(1)).sum()
    }
}

/// The fields as they came, any of them missing.
#[derive(Debug, Default, Deserialize)]
struct Fields {
    q: Option<Query>,
    source: Option<String>,
    target: Option<String>,
    format: Option<String>,
}

/// A body that holds more than `max_chars` characters could need is not received.
pub async fn read(mut request: Request, max_chars: usize) -> Result<Ask, ApiError> {
    body::limit(&mut request, max_chars.saturating_mul(CHARACTER_BYTES).saturating_add(OTHER_BYTES));
    let fields = if let Some(kind) = Kind::of(request.headers()) {
        let texts = form::texts(request, kind).await?;
        texts.into_iter().fold(Fields::default(), |fields, (name, value)| fields.with(&name, value))
    } else {
        let body = body::whole(request).await?;
        serde_json::from_slice(&body).map_err(|error| malformed(&error))?
    };
    fields.complete()
}

fn malformed(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!("Invalid request: {error}; send JSON or a form with q, source and target"))
}

impl Fields {
    fn with(mut self, name: &str, value: String) -> Self {
        match name {
            "q" => self.q = Some(Query::One(value)),
            "source" => self.source = Some(value),
            "target" => self.target = Some(value),
            "format" => self.format = Some(value),
            _ => {}
        }
        self
    }

    /// The messages are LibreTranslate's: its clients look for them.
    fn complete(self) -> Result<Ask, ApiError> {
        let missing =
            |name: &str| ApiError::bad_request(format!("Invalid request: missing {name} parameter"));
        let filled = |value: Option<String>| value.filter(|value| !value.trim().is_empty());
        let q = self.q.filter(|q| *q != Query::One(String::new()) && *q != Query::Many(Vec::new()));
        let format = filled(self.format).unwrap_or_else(|| "text".into());
        if !matches!(format.as_str(), "text" | "html") {
            return Err(ApiError::bad_request(format!("{format} format is not supported")));
        }
        Ok(Ask {
            q: q.ok_or_else(|| missing("q"))?,
            source: filled(self.source).ok_or_else(|| missing("source"))?,
            target: filled(self.target).ok_or_else(|| missing("target"))?,
            format,
        })
    }
}
