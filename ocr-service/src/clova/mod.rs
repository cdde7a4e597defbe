//! Naver CLOVA OCR, General: one image out, its words back.
//!
//! The protocol is REFERENCE.md section 3: JSON version V2, one image a call, errors by HTTP status and by the image's
//! own result.

mod client;
mod failure;
mod format;
mod wire;

use reqwest::Url;

use crate::secret::Secret;

pub use client::{Client, DEFAULT_PAUSE};
pub use failure::ClovaError;

/// Where the service is asked and by what right.
#[derive(Clone, Debug)]
pub struct Settings {
    pub url: Url,
    pub secret: Secret,
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
