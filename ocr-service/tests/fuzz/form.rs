//! Multipart forms: whatever is sent is read as a form or refused as the sender's fault.

use axum::body::Body;
use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use futures_util::FutureExt;
use ocr_service::http::form::{self, FileField, Kind};

const FILE: FileField = FileField { name: "file", missing: "No file part", unselected: "No selected file" };

pub fn run(body: &[u8]) {
    // The boundary is the first line's, as a client's is; else one that is seldom met.
    let first = body.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let boundary = first.strip_prefix(b"--").and_then(|it| std::str::from_utf8(it).ok()).unwrap_or("b");
    let request = |kind: &str| {
        let request = Request::post("/ocr?psm=6").header(CONTENT_TYPE, kind);
        request.body(Body::from(body.to_vec())).ok()
    };
    let kind = format!("multipart/form-data; boundary={boundary}");
    let (Some(one), Some(other)) = (request(&kind), request("application/x-www-form-urlencoded")) else {
        return;
    };
    // All of the body is there, so nothing has to be waited for.
    match form::read(one, FILE).now_or_never() {
        Some(Ok(upload)) => assert!(upload.file.len() <= body.len()),
        Some(Err(error)) => assert!(error.status.is_client_error(), "{error:?}"),
        None => panic!("a whole body is waited for"),
    }
    let texts = form::texts(other, Kind::UrlEncoded).now_or_never();
    assert!(texts.is_some_and(|texts| texts.is_ok()), "any bytes are pairs");
}
