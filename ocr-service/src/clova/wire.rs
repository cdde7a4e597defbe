//! The JSON of CLOVA OCR, version V2.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize)]
pub struct Request {
    version: &'static str,
    #[serde(rename = "requestId")]
    id: String,
    /// Milliseconds since 1970.
    timestamp: u64,
    lang: &'static str,
    images: [SentImage; 1],
}

#[derive(Debug, Serialize)]
struct SentImage {
    format: &'static str,
    name: &'static str,
    data: String,
}

impl Request {
    /// A request of its own for each call, also for a repeated one.
    /// `format` is as CLOVA names it.
    pub fn new(image: &[u8], format: &'static str) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            version: "V2",
            id: uuid::Uuid::new_v4().to_string(),
            timestamp: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            lang: "ko",
            images: [SentImage { format, name: "image", data: BASE64_STANDARD.encode(image) }],
        }
    }
}

/// A body with status 200.
#[derive(Debug, Deserialize)]
pub struct Reply {
    #[serde(default)]
    pub images: Vec<ReadImage>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadImage {
    #[serde(default)]
    pub infer_result: String,
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub fields: Vec<Field>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    #[serde(default)]
    pub infer_text: String,
}

/// A body with any other status.
#[derive(Debug, Deserialize)]
pub struct Refusal {
    /// A text in the documentation; numbers are taken too.
    #[serde(default)]
    code: serde_json::Value,
    #[serde(default)]
    pub message: String,
}

impl Refusal {
    /// Four digits, as documented: `0025`.
    pub fn code(&self) -> String {
        match &self.code {
            serde_json::Value::String(code) => code.clone(),
            serde_json::Value::Number(code) => format!("{code:0>4}"),
            _ => String::new(),
        }
    }
}

/// The words in reading order with one space between two, line breaks included: what the parser and the callers of
/// `full_text` expect.
pub fn full_text(fields: &[Field]) -> String {
    let words = fields.iter().flat_map(|field| field.infer_text.split_whitespace());
    words.collect::<Vec<_>>().join(" ")
}
