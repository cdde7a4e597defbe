//! The form of `POST /test`: `multipart/form-data` or `application/x-www-form-urlencoded`.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, RawForm, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;

use super::experiment::Asked;
use crate::http::ApiError;

const FIELDS: [&str; 3] = ["learning_rate", "epoch", "experiment_id"];
/// Three short values: more is a mistake, or worse.
const MOST_BYTES: usize = 16 << 10;

pub async fn read(request: Request) -> Result<Asked, ApiError> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default().trim_start().to_ascii_lowercase();
    let mut request = request;
    DefaultBodyLimit::max(MOST_BYTES).apply(&mut request);
    let fields = if kind.starts_with("multipart/form-data") {
        multipart(request).await?
    } else if kind.starts_with("application/x-www-form-urlencoded") {
        let RawForm(bytes) = RawForm::from_request(request, &()).await.map_err(|rejection| {
            ApiError::new(rejection.status(), "the form is too large, or broke off; send three short values")
        })?;
        let pairs = reqwest::Url::parse("http://form").ok().map(|mut url| {
            url.set_query(Some(&String::from_utf8_lossy(&bytes)));
            url.query_pairs().into_owned().collect()
        });
        pairs.unwrap_or_default()
    } else {
        let message = "send form data: curl -F learning_rate=0.001 -F epoch=20 -F experiment_id=run-1";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    };
    asked(fields).map_err(ApiError::bad_request)
}

async fn multipart(request: Request) -> Result<Vec<(String, String)>, ApiError> {
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|rejection| ApiError::new(rejection.status(), rejection.body_text()))?;
    let mut fields = Vec::new();
    while let Some(part) = form.next_field().await? {
        let name = part.name().unwrap_or_default().to_owned();
        fields.push((name, part.text().await?));
    }
    Ok(fields)
}

fn asked(fields: Vec<(String, String)>) -> Result<Asked, String> {
    let mut values = BTreeMap::new();
    for (name, value) in fields {
        if !FIELDS.contains(&name.as_str()) {
            return Err(format!("there is no field {name:?}; send {}", FIELDS.join(", ")));
        }
        if values.insert(name.clone(), value).is_some() {
            return Err(format!("{name} is there twice; send it once"));
        }
    }
    Ok(Asked {
        learning_rate: field(&values, FIELDS[0])?,
        epochs: field(&values, FIELDS[1])?,
        id: field(&values, FIELDS[2])?,
    })
}

fn field<T: FromStr<Err = String>>(values: &BTreeMap<String, String>, name: &str) -> Result<T, String> {
    values.get(name).ok_or_else(|| format!("{name} is missing; send {}", FIELDS.join(", ")))?.parse()
}
