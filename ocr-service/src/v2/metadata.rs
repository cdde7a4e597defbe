//! What the server and the model say of themselves.

use serde_json::{Value, json};

use super::ocr::{INPUT, MODEL, VERSION};
use crate::engine::Output;

pub fn server() -> Value {
    json!({
        "name": "platen-ocr",
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data"],
    })
}

/// The protocol leaves open how bytes stand in JSON and which outputs come unasked: the parameters say how it is here.
pub fn model(languages: &[String]) -> Value {
    let output = |output: Output, content: &str| {
        json!({
            "name": output.name(), "datatype": "BYTES", "shape": [-1],
            "parameters": { "content": content, "unasked": output == Output::Text },
        })
    };
    json!({
        "name": MODEL,
        "versions": [VERSION],
        "platform": "tesseract",
        "inputs": [{ "name": INPUT, "datatype": "BYTES", "shape": [-1], "parameters": { "content": "base64" } }],
        "outputs": [
            output(Output::Text, "utf-8"),
            output(Output::Words, "a JSON list of {text, confidence, box: {x, y, width, height}}"),
            output(Output::Hocr, "hOCR"),
            output(Output::Tsv, "Tesseract's TSV"),
        ],
        "parameters": {
            "lang": languages,
            "psm": "3 to 11, 13",
            "dpi": "70 to 2400",
            "output": "text, words, hocr or tsv: the output that is given beside text",
        },
    })
}
