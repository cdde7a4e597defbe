//! LibreTranslate's request: JSON, a form, or a multipart form; one text or a list.

use axum::extract::Request;
use serde::{Deserialize, Serialize};

use crate::http::ApiError;
use crate::http::body;
use crate::http::form::{self, Kind};

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
}

/// The fields as they came, any of them missing.
#[derive(Debug, Default, Deserialize)]
struct Fields {
    q: Option<Query>,
    source: Option<String>,
    target: Option<String>,
    format: Option<String>,
}

pub async fn read(request: Request) -> Result<Ask, ApiError> {
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
