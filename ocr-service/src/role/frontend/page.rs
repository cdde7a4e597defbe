//! The page itself: one template, two languages.

use std::sync::LazyLock;

use axum::extract::Request;
use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, VARY};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use serde_json::{Value, json};

use super::event::{Stage, Translated};
use super::upload::Language;
use crate::http::ApiError;

/// Ends in `.html`, so that everything that is filled in is escaped.
const TEMPLATE: &str = "page.html";

static TEMPLATES: LazyLock<Result<Environment<'static>, minijinja::Error>> = LazyLock::new(|| {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    templates.add_template(TEMPLATE, include_str!("../../../assets/frontend/page.html"))?;
    Ok(templates)
});

/// Every sentence of the page, in each language under the same keys.
static TEXTS: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../assets/frontend/texts.json")).unwrap_or_default()
});

/// What a page that is sent as an answer has to show. The page's script fills in the same places by itself.
#[derive(Debug, Default, Serialize)]
pub struct Shown {
    result: Option<Translated>,
    failure: Option<String>,
    failed_stage: Option<Stage>,
    is_sample: bool,
}

impl Shown {
    pub fn result(result: Translated, is_sample: bool) -> Self {
        Self { result: Some(result), is_sample, ..Self::default() }
    }

    pub fn failed(stage: Stage, error: &ApiError) -> Self {
        Self { failure: Some(error.message.clone()), failed_stage: Some(stage), ..Self::default() }
    }
}

pub async fn show(request: Request) -> Response {
    let language = language(request.uri(), request.headers());
    render(language, &Shown::default(), StatusCode::OK)
}

pub fn render(language: Language, shown: &Shown, status: StatusCode) -> Response {
    let filling = Serde(json!({ "lang": language.code(), "t": TEXTS[language.code()], "shown": shown }));
    let page = TEMPLATES.as_ref().map_err(ToString::to_string).and_then(|templates| {
        let template = templates.get_template(TEMPLATE).map_err(|error| error.to_string())?;
        template.render(filling).map_err(|error| error.to_string())
    });
    match page {
        Ok(page) => {
            let headers = [(CONTENT_LANGUAGE, language.code()), (VARY, "accept, accept-language")];
            (status, headers, Html(page)).into_response()
        }
        Err(error) => {
            tracing::error!(error, "the page cannot be filled in");
            let message = "the page cannot be shown; this server's log says why";
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
        }
    }
}

/// `?lang=` goes before what the browser prefers; Korean is for those who say nothing.
pub fn language(uri: &Uri, headers: &HeaderMap) -> Language {
    let asked = uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("lang="));
    let preferred = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    asked.and_then(Language::parse).or_else(|| accepted(preferred)).unwrap_or_default()
}

/// The known language of the highest quality; of equal ones the first.
fn accepted(header: &str) -> Option<Language> {
    let ranked = header.split(',').filter_map(|range| {
        let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
        let primary = tag.trim().split('-').next().unwrap_or_default().to_ascii_lowercase();
        let quality =
            parameters.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.trim().parse::<f32>().ok())?;
        Some((Language::parse(&primary)?, quality)).filter(|(_, quality)| *quality > 0.0)
    });
    ranked.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(language, _)| language)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn both_languages_have_the_same_sentences() {
        let keys = |code: &str| TEXTS[code].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        assert!(keys("ko").len() > 10);
        assert_eq!(keys("ko"), keys("en"));
    }

    #[test]
    fn the_browsers_preference_is_followed() {
        assert_eq!(accepted("en-US,en;q=0.9,ko;q=0.8"), Some(Language::English));
        assert_eq!(accepted("fr, en;q=0.2, ko-KR;q=0.8"), Some(Language::Korean));
        assert_eq!(accepted("fr, ko;q=0"), None);
        assert_eq!(accepted(""), None);
    }
}
