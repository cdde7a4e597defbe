//! Forms: the one reader of all of them, and the one file of an image's form with the options beside it.

use axum::extract::multipart::Field;
use axum::extract::{FromRequest, Multipart, Query, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use reqwest::Url;

use super::body::{self, Incoming};
use super::error::ApiError;
use crate::engine::options::Asked;

/// How the fields of a form are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Multipart,
    UrlEncoded,
}

impl Kind {
    /// None where the body is no form.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?.trim_start().to_ascii_lowercase();
        match () {
            () if kind.starts_with("multipart/form-data") => Some(Self::Multipart),
            () if kind.starts_with("application/x-www-form-urlencoded") => Some(Self::UrlEncoded),
            () => None,
        }
    }
}

/// A multipart form that is read part by part.
pub struct Form {
    parts: Multipart,
    incoming: Option<Incoming>,
}

/// One field, not read yet.
pub struct Part<'a> {
    field: Field<'a>,
    incoming: Option<&'a Incoming>,
}

impl Form {
    pub async fn open(request: Request) -> Result<Self, ApiError> {
        let incoming = request.extensions().get::<Incoming>().cloned();
        let parts = Multipart::from_request(request, &())
            .await
            .map_err(|rejection| ApiError::new(rejection.status(), rejection.body_text()))?;
        Ok(Self { parts, incoming })
    }

    pub async fn next(&mut self) -> Result<Option<Part<'_>>, ApiError> {
        let incoming = self.incoming.as_ref();
        let field = self.parts.next_field().await.map_err(|error| body::explained(incoming, error.into()))?;
        Ok(field.map(|field| Part { field, incoming }))
    }
}

impl Part<'_> {
    pub fn name(&self) -> &str {
        self.field.name().unwrap_or_default()
    }

    /// A field with a file name is a file; the name is empty where none was chosen.
    pub fn file_name(&self) -> Option<&str> {
        self.field.file_name()
    }

    pub async fn bytes(self) -> Result<Bytes, ApiError> {
        self.field.bytes().await.map_err(|error| body::explained(self.incoming, error.into()))
    }

    pub async fn text(self) -> Result<String, ApiError> {
        self.field.text().await.map_err(|error| body::explained(self.incoming, error.into()))
    }
}

/// All fields as texts, in their order, of a form that is written in either way.
pub async fn texts(request: Request, kind: Kind) -> Result<Vec<(String, String)>, ApiError> {
    if kind == Kind::UrlEncoded {
        return Ok(pairs(&body::whole(request).await?));
    }
    let mut form = Form::open(request).await?;
    let mut fields = Vec::new();
    while let Some(part) = form.next().await? {
        let name = part.name().to_owned();
        fields.push((name, part.text().await?));
    }
    Ok(fields)
}

/// What is no pair is none of the fields.
fn pairs(body: &[u8]) -> Vec<(String, String)> {
    let Ok(mut url) = Url::parse("http://form") else { return Vec::new() };
    url.set_query(Some(&String::from_utf8_lossy(body)));
    url.query_pairs().into_owned().collect()
}

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
    let Query(mut asked) = Query::<Asked>::try_from_uri(request.uri())
        .map_err(|rejection| ApiError::bad_request(rejection.body_text()))?;
    if Kind::of(request.headers()) != Some(Kind::Multipart) {
        return Err(ApiError::bad_request(field.missing));
    }
    let mut form = Form::open(request).await?;
    let mut file = None;
    let mut engine = None;
    while let Some(part) = form.next().await? {
        let name = part.name().to_owned();
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
    async fn both_kinds_of_forms_give_the_same_texts() {
        let parts = [("name=\"a\"", "1 2"), ("name=\"b\"", "한글&")];
        let encoded = Request::post("/").body(Body::from("a=1+2&b=%ED%95%9C%EA%B8%80%26")).unwrap();
        let texts_of = [
            texts(request("/", &parts), Kind::Multipart).await.unwrap(),
            texts(encoded, Kind::UrlEncoded).await.unwrap(),
        ];
        for texts in texts_of {
            assert_eq!(texts, [("a".into(), "1 2".into()), ("b".into(), "한글&".into())]);
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
