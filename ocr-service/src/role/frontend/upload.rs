//! The page's form: a letter, or the wish for the sample.

use axum::extract::Request;
use bytes::Bytes;

use super::asset::SAMPLE;
use crate::http::ApiError;
use crate::http::form::{Form, Kind};
use crate::image::{Image, Limits};

const NO_FILE: &str = "no letter was sent; choose an image, or ask for the sample letter (sample=letter)";

/// A letter that passed the checks.
#[derive(Debug)]
pub struct Letter {
    pub image: Image,
    pub is_sample: bool,
    pub target: Language,
}

/// What letters can be translated into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    #[default]
    Korean,
    English,
}

impl Language {
    pub fn code(self) -> &'static str {
        match self {
            Self::Korean => "ko",
            Self::English => "en",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Korean, Self::English].into_iter().find(|language| language.code() == text)
    }
}

pub async fn read(request: Request, limits: Limits) -> Result<Letter, ApiError> {
    if Kind::of(request.headers()) != Some(Kind::Multipart) {
        return Err(ApiError::bad_request(NO_FILE));
    }
    let mut form = Form::open(request).await?;
    let (mut file, mut is_sample, mut target) = (None, false, Language::default());
    while let Some(part) = form.next().await? {
        match part.name() {
            "file" => file = Some(part.bytes().await?).filter(|bytes| !bytes.is_empty()),
            "sample" => is_sample = part.text().await? == "letter",
            "target" => {
                let text = part.text().await?;
                target = Language::parse(&text).ok_or_else(|| {
                    ApiError::bad_request(format!(
                        "letters cannot be translated into {text:?}; ask for ko or en"
                    ))
                })?;
            }
            _ => {}
        }
    }
    let bytes = match file {
        _ if is_sample => Bytes::from_static(SAMPLE),
        Some(file) => file,
        None => return Err(ApiError::bad_request(NO_FILE)),
    };
    Ok(Letter { image: Image::check(bytes, limits)?, is_sample, target })
}
