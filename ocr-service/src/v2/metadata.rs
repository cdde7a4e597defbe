//! What the server and the model say of themselves.

use serde_json::{Value, json};

use super::ocr::{INPUT, MODEL, OUTPUT, VERSION};

pub fn server() -> Value {
    json!({
        "name": "platen-ocr",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data"],
    })
}

/// The protocol leaves open how bytes stand in JSON: the parameters say how they do here.
pub fn model(languages: &[String]) -> Value {
    json!({
        "name": MODEL,
        "versions": [VERSION],
        "platform": "tesseract",
        "inputs": [{ "name": INPUT, "datatype": "BYTES", "shape": [-1], "parameters": { "content": "base64" } }],
        "outputs": [{ "name": OUTPUT, "datatype": "BYTES", "shape": [-1], "parameters": { "content": "utf-8" } }],
        "parameters": { "lang": languages },
    })
}
