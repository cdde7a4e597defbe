//! Naver CLOVA OCR, General: one image out, its words back.
//!
//! The protocol is REFERENCE.md section 3: JSON version V2, one image a call, errors by HTTP status and by the image's
//! own result.

mod client;
mod failure;
mod format;
mod wire;

use std::fmt;

use reqwest::Url;

pub use client::{Client, DEFAULT_PAUSE};
pub use failure::ClovaError;
pub use format::Format;

/// Where the service is asked and by what right.
#[derive(Clone, Debug)]
pub struct Settings {
    pub url: Url,
    pub secret: Secret,
}

/// A text that is never shown: not by Debug, not in a header that is logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// `text` without the secret in it, for what others say to us.
    pub fn kept_out_of(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(&self.0, "…") }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The invoke URL with `/general`, the domain's endpoint, where it lacks it.
pub fn general_url(text: &str) -> Result<Url, String> {
    let mut url: Url = text
        .trim()
        .parse()
        .map_err(|error| format!("{error}; write the invoke URL of the CLOVA OCR domain"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("the invoke URL begins with https://".into());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let path = if path.ends_with("/general") { path } else { format!("{path}/general") };
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
#[path = "clova_tests.rs"]
mod tests;
