//! The form of `POST /test`: `multipart/form-data` or `application/x-www-form-urlencoded`.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::extract::Request;
use axum::http::StatusCode;

use super::experiment::Asked;
use crate::http::form::{self, Kind};
use crate::http::{ApiError, body};

const FIELDS: [&str; 3] = ["learning_rate", "epoch", "experiment_id"];
/// Three short values: more is a mistake, or worse.
const MOST_BYTES: usize = 16 << 10;

pub async fn read(mut request: Request) -> Result<Asked, ApiError> {
    let kind = Kind::of(request.headers()).ok_or_else(|| {
        let message = "send form data: curl -F learning_rate=0.001 -F epoch=20 -F experiment_id=run-1";
        ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    })?;
    body::limit(&mut request, MOST_BYTES);
    asked(form::texts(request, kind).await?).map_err(ApiError::bad_request)
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
