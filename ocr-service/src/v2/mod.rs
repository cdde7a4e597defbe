//! The Open Inference Protocol, version 2, over HTTP: pure functions between bytes and values.
//!
//! Specification: open-inference-protocol, `specification/protocol/inference_rest.md`; binary extension: Triton's
//! `protocol/extension_binary_data.md`.

pub mod bounded;
pub mod codec;
pub mod metadata;
pub mod ocr;
pub mod tensor;
pub mod wire;

use axum::http::HeaderName;

use crate::engine::PoolError;

/// Bytes of JSON at the start of a body that goes on with raw tensors.
pub const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// Why a request is not one that this protocol and this model know. All are the sender's fault (400) but for what the
/// protocol's extensions have and this model does not (501).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the request is not a V2 inference request: {0}")]
    Json(String),
    #[error(
        "Inference-Header-Content-Length is {0:?}; it must be the length of the JSON in bytes, within the body"
    )]
    HeaderLength(String),
    #[error("tensor {tensor}: binary_data_size goes beyond the end of the body")]
    TensorBeyondBody { tensor: String },
    #[error(
        "{0} bytes follow the last tensor; binary_data_size of the tensors must add up to the rest of the body"
    )]
    Trailing(usize),
    #[error("tensor {tensor}: {detail}")]
    Tensor { tensor: String, detail: String },
    #[error("input {0:?} is not known; this model takes one input, image")]
    UnknownInput(String),
    #[error("output {0:?} is not known; this model gives text, words, hocr and tsv")]
    UnknownOutput(String),
    #[error("output {0:?} is listed twice")]
    RepeatedOutput(String),
    #[error("the request has no input image")]
    NoImage,
    /// As the pool refuses them, but before they are decoded, and also where the texts of some are kept.
    #[error(transparent)]
    TooMany(PoolError),
    #[error("{0} is not implemented by this server; send tensors in the request")]
    Unimplemented(&'static str),
    #[error("parameter {name} must be {expected}")]
    Parameter { name: &'static str, expected: &'static str },
}

impl Error {
    pub(crate) fn tensor(tensor: &str, detail: impl Into<String>) -> Self {
        Self::Tensor { tensor: tensor.to_owned(), detail: detail.into() }
    }
}
