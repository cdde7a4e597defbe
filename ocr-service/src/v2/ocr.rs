//! The one model that is served: its names, and a V2 request read as images to recognise.
//!
//! Beside `text` the model has the outputs `words`, `hocr` and `tsv`, each with an element for each image. They are given
//! when the request lists them among its outputs, or names one as its parameter `output`.

use bytes::Bytes;
use serde_json::Value;

use super::Error;
use super::codec::{self, Decoded, Texts};
use super::wire::{InferResponse, Parameters, flag};
use crate::engine::options::Asked;
use crate::engine::{Output, Recognition};

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
    /// Empty when the request leaves them to the model.
    outputs: Vec<Wanted>,
    raw: bool,
}

/// An output, raw behind the JSON or in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    output: Output,
    raw: bool,
}

impl OcrRequest {
    pub fn new(decoded: Decoded) -> Result<Self, Error> {
        let raw = flag(decoded.parameters.as_ref(), "binary_data_output")?.unwrap_or(false);
        let outputs = wanted(&decoded, raw)?;
        let mut asked = asked(decoded.parameters.as_ref())?;
        // What is listed has to be recognised, also beside `output=text`. A name that is none stays, to be refused.
        let beside = outputs.iter().find(|wanted| wanted.output != Output::Text);
        let named = asked.output.as_deref().map(str::parse);
        if let (Some(beside), None | Some(Ok(Output::Text))) = (beside, named) {
            asked.output = Some(beside.output.name().to_owned());
        }
        let mut images = None;
        for input in decoded.inputs {
            if input.name != INPUT || images.is_some() {
                return Err(Error::UnknownInput(input.name));
            }
            images = Some(input.elements);
        }
        let images = images.filter(|images| !images.is_empty()).ok_or(Error::NoImage)?;
        Ok(Self { id: decoded.id, images, asked, outputs, raw })
    }

    /// The response but for its outputs.
    pub fn response(&self) -> InferResponse {
        InferResponse {
            model_name: MODEL.into(),
            model_version: Some(VERSION.into()),
            id: self.id.clone(),
            parameters: None,
            outputs: Vec::new(),
        }
    }

    /// The outputs: those that the request lists, else the text and `output` beside it.
    pub fn outputs(&self, recognitions: &[Recognition], output: Output) -> Vec<Texts> {
        let text = Wanted { output: Output::Text, raw: self.raw };
        let beside = (output != Output::Text).then_some(Wanted { output, raw: self.raw });
        let unlisted = [text].into_iter().chain(beside).filter(|_| self.outputs.is_empty());
        let all = self.outputs.iter().copied().chain(unlisted);
        all.map(|Wanted { output, raw }| {
            let elements = recognitions.iter().map(|recognition| recognition.render(output)).collect();
            Texts { name: output.name(), elements, raw }
        })
        .collect()
    }
}

/// An output's own `binary_data` goes before the request's `binary_data_output`.
fn wanted(decoded: &Decoded, raw: bool) -> Result<Vec<Wanted>, Error> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for listed in decoded.outputs.iter().flatten() {
        let output = listed.name.parse().map_err(|_| Error::UnknownOutput(listed.name.clone()))?;
        // Each is made once for every time that it is listed.
        if wanted.iter().any(|before| before.output == output) {
            return Err(Error::RepeatedOutput(listed.name.clone()));
        }
        codec::refuse_extensions(listed.parameters.as_ref())?;
        let own = flag(listed.parameters.as_ref(), "binary_data")?;
        wanted.push(Wanted { output, raw: own.unwrap_or(raw) });
    }
    Ok(wanted)
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

/// The text of a JSON response's first image, and the output that stands beside it.
pub fn first_image(body: &Bytes) -> Result<(String, Option<(Output, String)>), Error> {
    let (mut text, mut beside) = (None, None);
    for (name, texts) in codec::decode_outputs(body)? {
        match (name.parse(), texts.into_iter().next()) {
            (Ok(Output::Text), first) => text = first,
            (Ok(output), Some(first)) => beside = Some((output, first)),
            _ => {}
        }
    }
    let text = text.ok_or_else(|| Error::tensor(OUTPUT, "missing from the response"))?;
    Ok((text, beside))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(extra: &Value) -> Result<OcrRequest, Error> {
        let mut request =
            json!({ "inputs": [{ "name": "image", "shape": [1], "datatype": "BYTES", "data": ["eW91"] }] });
        request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let body = serde_json::to_vec(&request).unwrap().into();
        OcrRequest::new(codec::decode_request(None, &body, 1)?)
    }

    #[test]
    fn the_outputs_own_wish_goes_before_the_requests() {
        let raw = |request: &Value| read(request).unwrap().outputs(&[], Output::Text)[0].raw;
        assert!(!raw(&json!({})));
        assert!(raw(&json!({ "parameters": { "binary_data_output": true } })));
        let both = json!({
            "parameters": { "binary_data_output": true },
            "outputs": [{ "name": "text", "parameters": { "binary_data": false } }],
        });
        assert!(!raw(&both));
    }

    #[test]
    fn an_output_is_given_when_it_is_listed_or_named_as_a_parameter() {
        let names = |request: &Value| -> Vec<_> {
            let request = read(request).unwrap();
            let output = request.asked.output.as_deref().map_or(Output::Text, |name| name.parse().unwrap());
            request.outputs(&[], output).iter().map(|texts| texts.name).collect()
        };
        assert_eq!(names(&json!({})), ["text"]);
        assert_eq!(names(&json!({ "parameters": { "output": "words" } })), ["text", "words"]);
        assert_eq!(names(&json!({ "outputs": [{ "name": "hocr" }, { "name": "tsv" }] })), ["hocr", "tsv"]);
        let both = json!({ "parameters": { "output": "words" }, "outputs": [{ "name": "text" }] });
        assert_eq!(names(&both), ["text"]);
    }

    #[test]
    fn what_is_listed_is_recognised_whatever_else_is_named_as_a_parameter() {
        let recognised = |named: &str, listed: &str| {
            let both = json!({ "parameters": { "output": named }, "outputs": [{ "name": listed }] });
            read(&both).unwrap().asked.output.unwrap()
        };
        assert_eq!(recognised("text", "words"), "words");
        assert_ne!(recognised("words", "tsv"), "text");
        assert_eq!(recognised("pdf", "words"), "pdf", "it is left to be refused");
    }

    #[test]
    fn unknown_inputs_and_outputs_are_named() {
        let error = read(&json!({ "outputs": [{ "name": "boxes" }] })).unwrap_err();
        assert_eq!(error, Error::UnknownOutput("boxes".into()));
        let twice = json!({ "outputs": [{ "name": "text" }, { "name": "tsv" }, { "name": "text" }] });
        assert_eq!(read(&twice).unwrap_err(), Error::RepeatedOutput("text".into()));
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
        assert!(matches!(read(&json!({ "parameters": { "psm": true } })), Err(Error::Parameter { .. })));
    }
}
