//! What translates: a mock, or a LibreTranslate server.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::args::{BackendArgs, BackendKind};
use super::libre::Libre;
use super::wire::Ask;
use crate::http::{ApiError, Deadline};

/// The users' mock answers every letter with this.
pub const MOCK_TEXT: &str = "자녀로부터 온 편지입니다. 안녕하세요.";

/// What the mock translates, by code and name, each into each.
const MOCK_LANGUAGES: [(&str, &str); 2] = [("en", "English"), ("ko", "Korean")];

pub enum Backend {
    Mock { delay: Duration },
    Libre(Libre),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    #[error("the translation was not finished before the deadline; try again or send a shorter text")]
    Deadline,
    /// Their words: the request itself is at fault.
    #[error("{0}")]
    Asked(String),
    #[error("the translation backend refused this server's key; mend LIBRETRANSLATE_API_KEY")]
    Key,
    #[error("the translation backend takes no more requests for now; try again in a moment")]
    Busy { retry_after: Duration },
    #[error("the translation backend could not be reached: {0}; is LIBRETRANSLATE_URL right?")]
    Unreachable(String),
    #[error("the translation backend answered {status}: {message}")]
    Failed { status: u16, message: String },
    #[error("the translation backend's answer cannot be understood: {0}")]
    Malformed(String),
}

impl From<BackendError> for ApiError {
    fn from(error: BackendError) -> Self {
        let message = error.to_string();
        match error {
            BackendError::Deadline => Self::new(StatusCode::GATEWAY_TIMEOUT, message),
            BackendError::Asked(_) => Self::bad_request(message),
            BackendError::Busy { retry_after } => Self::unavailable(message, retry_after),
            BackendError::Key
            | BackendError::Unreachable(_)
            | BackendError::Failed { .. }
            | BackendError::Malformed(_) => Self::new(StatusCode::BAD_GATEWAY, message),
        }
    }
}

/// As LibreTranslate refuses a language that it does not have, in its words; the text's own may be left to it (`auto`).
fn supported(ask: &Ask) -> Result<(), BackendError> {
    let is_known = |code: &str| MOCK_LANGUAGES.iter().any(|(known, _)| *known == code);
    let source = (ask.source != "auto").then_some(&ask.source);
    match source.into_iter().chain([&ask.target]).find(|code| !is_known(code)) {
        Some(code) => Err(BackendError::Asked(format!("{code} is not supported"))),
        None => Ok(()),
    }
}

impl Backend {
    pub fn new(args: &BackendArgs) -> Result<Self, reqwest::Error> {
        Ok(match args.translate_backend {
            BackendKind::Mock => Self::Mock { delay: args.mock.mock_translate_delay },
            BackendKind::Libretranslate => {
                Self::Libre(Libre::new(args.libretranslate_url.clone(), args.libretranslate_key.clone())?)
            }
        })
    }

    /// A translation for each text, in their order.
    pub async fn translate(&self, ask: &Ask, deadline: Deadline) -> Result<Vec<String>, BackendError> {
        match self {
            Self::Mock { delay } => {
                supported(ask)?;
                let enough = deadline.remaining() >= *delay;
                tokio::time::sleep((*delay).min(deadline.remaining())).await;
                let texts = ask.texts().iter().map(|_| MOCK_TEXT.to_owned()).collect();
                enough.then_some(texts).ok_or(BackendError::Deadline)
            }
            Self::Libre(libre) => libre.translate(ask, deadline).await,
        }
    }

    /// In LibreTranslate's form.
    pub async fn languages(&self, deadline: Deadline) -> Result<Value, BackendError> {
        match self {
            Self::Mock { .. } => {
                let codes = MOCK_LANGUAGES.map(|(code, _)| code);
                let languages = MOCK_LANGUAGES
                    .map(|(code, name)| json!({ "code": code, "name": name, "targets": codes }));
                Ok(Value::from(languages.to_vec()))
            }
            Self::Libre(libre) => libre.languages(deadline).await,
        }
    }

    /// Whether the backend has ever answered; asks it if not.
    pub async fn reached(&self) -> Result<(), BackendError> {
        match self {
            Self::Mock { .. } => Ok(()),
            Self::Libre(libre) => libre.reached().await,
        }
    }
}
