//! The one model that is served: its names, and a V2 request read as images to recognise.

use bytes::Bytes;
use serde_json::Value;

use super::Error;
use super::codec::{self, Decoded};
use super::wire::{InferResponse, Parameters, flag};
use crate::engine::options::Asked;

pub const MODEL: &str = "ocr-model";
pub const VERSION: &str = "1";
pub const INPUT: &str = "image";
pub const OUTPUT: &str = "text";

/// A request for texts.
#[derive(Clone, Debug, PartialEq)]
pub struct OcrRequest {
    pub id: Option<String>,
    pub images: Vec<Bytes>,
    pub asked: Asked,
    /// The texts are wanted raw, behind the JSON.
    pub raw_output: bool,
}

impl OcrRequest {
    pub fn new(decoded: Decoded) -> Result<Self, Error> {
        let raw_output = wants_raw(&decoded)?;
        let asked = asked(decoded.parameters.as_ref())?;
        let mut images = None;
        for input in decoded.inputs {
            if input.name != INPUT || images.is_some() {
                return Err(Error::UnknownInput(input.name));
            }
            images = Some(input.elements);
        }
        let images = images.filter(|images| !images.is_empty()).ok_or(Error::NoImage)?;
        Ok(Self { id: decoded.id, images, asked, raw_output })
    }

    /// The response but for its texts.
    pub fn response(&self) -> InferResponse {
        InferResponse {
            model_name: MODEL.into(),
            model_version: Some(VERSION.into()),
            id: self.id.clone(),
            parameters: None,
            outputs: Vec::new(),
        }
    }
}

/// The output's own `binary_data` goes before the request's `binary_data_output`.
fn wants_raw(decoded: &Decoded) -> Result<bool, Error> {
    let general = flag(decoded.parameters.as_ref(), "binary_data_output")?.unwrap_or(false);
    let Some(outputs) = &decoded.outputs else { return Ok(general) };
    if let Some(unknown) = outputs.iter().find(|output| output.name != OUTPUT) {
        return Err(Error::UnknownOutput(unknown.name.clone()));
    }
    for output in outputs {
        codec::refuse_extensions(output.parameters.as_ref())?;
    }
    let own = outputs.first().map(|output| flag(output.parameters.as_ref(), "binary_data"));
    Ok(own.transpose()?.flatten().unwrap_or(general))
}

/// The options among the request's parameters; others are other people's.
fn asked(parameters: Option<&Parameters>) -> Result<Asked, Error> {
    let mut asked = Asked::default();
    for name in Asked::NAMES {
        let Some(value) = parameters.and_then(|parameters| parameters.get(name)) else { continue };
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => {
                return Err(Error::Parameter { name, expected: "a string such as \"kor+eng\", or a number" });
            }
        };
        if let Some(place) = asked.named(name) {
            *place = Some(text);
        }
    }
    Ok(asked)
}

/// The parameters that carry `asked`.
pub fn parameters(asked: &Asked) -> Parameters {
    asked.given().map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(extra: &Value) -> Result<OcrRequest, Error> {
        let mut request =
            json!({ "inputs": [{ "name": "image", "shape": [1], "datatype": "BYTES", "data": ["eW91"] }] });
        request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        OcrRequest::new(codec::decode_request(None, &serde_json::to_vec(&request).unwrap().into()).unwrap())
    }

    #[test]
    fn the_outputs_own_wish_goes_before_the_requests() {
        assert!(!read(&json!({})).unwrap().raw_output);
        assert!(read(&json!({ "parameters": { "binary_data_output": true } })).unwrap().raw_output);
        let both = json!({
            "parameters": { "binary_data_output": true },
            "outputs": [{ "name": "text", "parameters": { "binary_data": false } }],
        });
        assert!(!read(&both).unwrap().raw_output);
    }

    #[test]
    fn unknown_inputs_and_outputs_are_named() {
        let error = read(&json!({ "outputs": [{ "name": "boxes" }] })).unwrap_err();
        assert_eq!(error, Error::UnknownOutput("boxes".into()));
        let input = json!({ "name": "img", "shape": [1], "datatype": "BYTES", "data": ["eW91"] });
        assert_eq!(read(&json!({ "inputs": [input] })).unwrap_err(), Error::UnknownInput("img".into()));
        assert_eq!(read(&json!({ "inputs": [] })).unwrap_err(), Error::NoImage);
    }

    #[test]
    fn what_only_extensions_have_is_not_passed_over() {
        for name in ["shared_memory_region", "classification"] {
            let output = json!({ "name": "text", "parameters": { name: 1 } });
            assert_eq!(read(&json!({ "outputs": [output] })).unwrap_err(), Error::Unimplemented(name));
        }
    }

    #[test]
    fn options_travel_as_parameters_and_numbers_are_taken_too() {
        let asked = Asked { lang: Some("eng".into()), psm: Some("6".into()), ..Asked::default() };
        let request = read(&json!({ "parameters": parameters(&asked) })).unwrap();
        assert_eq!(request.asked, asked);
        assert_eq!(read(&json!({ "parameters": { "psm": 6 } })).unwrap().asked.psm.as_deref(), Some("6"));
        assert!(read(&json!({ "parameters": { "psm": [] } })).is_err());
    }
}
