//! Multipart forms: whatever is sent is read as a form or refused as the sender's fault.
#![no_main]

use axum::body::Body;
use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use futures_util::FutureExt;
use libfuzzer_sys::fuzz_target;
use ocr_service::http::form::{self, FileField};

const FILE: FileField = FileField { name: "file", missing: "No file part", unselected: "No selected file" };

fuzz_target!(|body: &[u8]| {
    // The boundary is the first line's, as a client's is; else one that is seldom met.
    let first = body.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let boundary = first.strip_prefix(b"--").and_then(|it| std::str::from_utf8(it).ok()).unwrap_or("b");
    let kind = format!("multipart/form-data; boundary={boundary}");
    let request = Request::post("/ocr?psm=6").header(CONTENT_TYPE, kind);
    let Ok(request) = request.body(Body::from(body.to_vec())) else { return };
    // All of the body is there, so nothing has to be waited for.
    match form::read(request, FILE).now_or_never() {
        Some(Ok(upload)) => assert!(upload.file.len() <= body.len()),
        Some(Err(error)) => assert!(error.status.is_client_error(), "{error:?}"),
        None => panic!("a whole body is waited for"),
    }
});
