//! The one file of a multipart form, and the options beside it.

use axum::extract::{FromRequest, Multipart, Query, Request};
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;

use super::error::{ApiError, MaxBody};
use crate::engine::options::Asked;

/// What a form must carry and what is said when it does not.
#[derive(Clone, Copy, Debug)]
pub struct FileField {
    pub name: &'static str,
    /// No such field in the form, or no form at all.
    pub missing: &'static str,
    /// The field is there, its file name is empty: a browser's form sent without choosing a file.
    pub unselected: &'static str,
}

/// A form that was read.
#[derive(Clone, Debug)]
pub struct Upload {
    pub file: Bytes,
    pub asked: Asked,
    /// Which engine reads a nutrition label, from the form.
    pub engine: Option<String>,
}

/// The file called `field` in the request's form; the options from its other fields or from the query.
pub async fn read(request: Request, field: FileField) -> Result<Upload, ApiError> {
    let limit = request.extensions().get::<MaxBody>().copied();
    let read = read_form(request, field).await;
    read.map_err(|error| match limit {
        Some(limit) => limit.explain(error),
        None => error,
    })
}

async fn read_form(request: Request, field: FileField) -> Result<Upload, ApiError> {
    let Query(mut asked) = Query::<Asked>::try_from_uri(request.uri())
        .map_err(|rejection| ApiError::bad_request(rejection.body_text()))?;
    if !is_form(&request) {
        return Err(ApiError::bad_request(field.missing));
    }
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|rejection| ApiError::new(rejection.status(), rejection.body_text()))?;
    let mut file = None;
    let mut engine = None;
    while let Some(part) = form.next_field().await? {
        let name = part.name().unwrap_or_default().to_owned();
        match (name.as_str(), part.file_name()) {
            (name, Some("")) if name == field.name && file.is_none() => {
                return Err(ApiError::bad_request(field.unselected));
            }
            // A field without a file name is a text: no file was sent under that name.
            (name, Some(_)) if name == field.name && file.is_none() => file = Some(part.bytes().await?),
            ("engine", None) => engine = Some(part.text().await?),
            (name, None) => {
                if let Some(option) = asked.named(name) {
                    *option = Some(part.text().await?);
                }
            }
            // Forms may carry more than is used here; the rest of the part is skipped.
            _ => {}
        }
    }
    let file = file.ok_or(ApiError::bad_request(field.missing))?;
    Ok(Upload { file, asked, engine })
}

fn is_form(request: &Request) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data"))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::StatusCode;
    use futures_util::FutureExt;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const FILE: FileField =
        FileField { name: "file", missing: "No file part", unselected: "No selected file" };

    fn request(uri: &str, parts: &[(&str, &str)]) -> Request {
        let part = |(disposition, content): &(&str, &str)| {
            format!("--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
        };
        let body = parts.iter().map(part).collect::<String>() + "--b--\r\n";
        let request = Request::post(uri).header(CONTENT_TYPE, "multipart/form-data; boundary=b");
        request.body(Body::from(body)).unwrap()
    }

    async fn refusal(request: Request) -> ApiError {
        read(request, FILE).await.unwrap_err()
    }

    #[tokio::test]
    async fn the_file_is_found_among_other_fields_with_its_options() {
        let parts =
            [("name=\"note\"", "hi"), ("name=\"file\"; filename=\"a.png\"", "PNG"), ("name=\"psm\"", "6")];
        let upload = read(request("/?lang=eng&else=1", &parts), FILE).await.unwrap();
        assert_eq!(upload.file, "PNG");
        assert_eq!(
            upload.asked,
            Asked { lang: Some("eng".into()), psm: Some("6".into()), ..Asked::default() }
        );
    }

    #[tokio::test]
    async fn a_form_without_the_field_has_no_file_part() {
        let error = refusal(request("/", &[("name=\"other\"; filename=\"a.png\"", "PNG")])).await;
        assert_eq!(error, ApiError::bad_request("No file part"));
    }

    #[tokio::test]
    async fn a_text_under_the_files_name_is_no_file_part() {
        let error = refusal(request("/", &[("name=\"file\"", "text")])).await;
        assert_eq!(error, ApiError::bad_request("No file part"));
    }

    #[tokio::test]
    async fn a_body_that_is_no_form_has_no_file_part() {
        let json =
            Request::post("/").header(CONTENT_TYPE, "application/json").body(Body::from("{}")).unwrap();
        assert_eq!(refusal(json).await, ApiError::bad_request("No file part"));
    }

    #[tokio::test]
    async fn an_empty_file_name_is_no_selected_file() {
        let error = refusal(request("/", &[("name=\"file\"; filename=\"\"", "")])).await;
        assert_eq!(error, ApiError::bad_request("No selected file"));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_read_or_refused_as_the_senders_fault(
            pieces in vec(0_usize..9, 0..20), tail in vec(any::<u8>(), 0..40),
        ) {
            let known = [
                "--b\r\n", "--b--\r\n", "--b", "\r\n", "\r\n\r\n", "Content-Disposition: form-data; ",
                "name=\"file\"; ", "filename=\"a.png\"", "name=\"psm\"",
            ];
            let body: Vec<u8> = pieces.iter().flat_map(|piece| known[*piece].bytes()).chain(tail).collect();
            let request = Request::post("/").header(CONTENT_TYPE, "multipart/form-data; boundary=b");
            // All of the body is there, so nothing has to be waited for.
            let read = read(request.body(Body::from(body)).unwrap(), FILE).now_or_never().unwrap();
            prop_assert!(read.map_or_else(|error| error.status.is_client_error(), |_| true));
        }
    }

    #[tokio::test]
    async fn a_form_that_breaks_off_is_the_senders_fault() {
        let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nPN";
        let request = Request::post("/").header(CONTENT_TYPE, "multipart/form-data; boundary=b");
        let error = refusal(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(error.status, StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn a_form_without_a_boundary_is_the_senders_fault() {
        let request =
            Request::post("/").header(CONTENT_TYPE, "multipart/form-data").body(Body::empty()).unwrap();
        assert_eq!(refusal(request).await.status, StatusCode::BAD_REQUEST);
    }
}
