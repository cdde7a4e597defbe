//! Bodies of requests and responses: JSON alone, or JSON followed by raw tensors (the binary extension).

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::to_raw_value;

use super::wire::{InferRequest, InferResponse, Parameters, RequestedOutput, Tensor};
use super::{Error, tensor};
use crate::engine::PoolError;

const BINARY_SIZE: &str = "binary_data_size";
const BYTES: &str = "BYTES";

/// A BYTES tensor with its elements taken out of JSON or of the raw part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elements {
    pub name: String,
    pub elements: Vec<Bytes>,
}

/// A request whose tensors are resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    pub id: Option<String>,
    pub parameters: Option<Parameters>,
    pub inputs: Vec<Elements>,
    pub outputs: Option<Vec<RequestedOutput>>,
}

/// A body and, when raw tensors follow its JSON, the length of the JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    pub body: Bytes,
    pub json_length: Option<usize>,
}

impl Encoded {
    pub fn content_type(&self) -> &'static str {
        // Exactly so: KServe's client parses JSON, errors too, only when nothing follows the type.
        if self.json_length.is_some() { "application/octet-stream" } else { "application/json" }
    }
}

/// A request's body; `header_length` is the value of `Inference-Header-Content-Length`, if sent, and `most` the number of
/// elements that its tensors may have together.
pub fn decode_request(header_length: Option<&str>, body: &Bytes, most: usize) -> Result<Decoded, Error> {
    let (json, mut raw) = parts(header_length, body)?;
    let request: InferRequest = parse(&json)?;
    let mut room = Room { most, taken: 0 };
    let mut inputs = Vec::with_capacity(request.inputs.len());
    for input in request.inputs {
        let elements = input_elements(&input, &mut raw, &mut room)?;
        inputs.push(Elements { name: input.name, elements });
    }
    if !raw.is_empty() {
        return Err(Error::Trailing(raw.len()));
    }
    Ok(Decoded { id: request.id, parameters: request.parameters, inputs, outputs: request.outputs })
}

/// How many elements a request may have, and how many its tensors so far say that they have.
struct Room {
    most: usize,
    taken: usize,
}

impl Room {
    fn take(&mut self, elements: usize) -> Result<(), Error> {
        self.taken = self.taken.saturating_add(elements);
        if self.taken > self.most {
            return Err(Error::TooMany(PoolError::NeverFits { asked: self.taken, capacity: self.most }));
        }
        Ok(())
    }
}

/// A request with one image, its bytes raw behind the JSON: no base64, and no copy but into the body.
pub fn encode_request(
    id: Option<String>,
    parameters: Parameters,
    input: &str,
    image: &Bytes,
) -> Result<Encoded, Error> {
    let raw = tensor::join(std::slice::from_ref(image)).map_err(|detail| Error::tensor(input, detail))?;
    let tensor = Tensor {
        name: input.to_owned(),
        shape: vec![1],
        datatype: BYTES.into(),
        parameters: Some(size_parameter(&raw)),
        data: None,
    };
    let request = InferRequest {
        id,
        parameters: (!parameters.is_empty()).then_some(parameters),
        inputs: vec![tensor],
        outputs: None,
    };
    Ok(binary(&request, &[raw]))
}

/// An output of texts, one for each image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    pub name: &'static str,
    pub elements: Vec<String>,
    /// Behind the JSON instead of in it.
    pub raw: bool,
}

/// A response with a BYTES tensor for each of `outputs`.
pub fn encode_response(mut response: InferResponse, outputs: &[Texts]) -> Result<Encoded, Error> {
    let mut raw = Vec::new();
    for output in outputs {
        let mut tensor = Tensor {
            name: output.name.to_owned(),
            shape: vec![output.elements.len() as u64],
            datatype: BYTES.into(),
            parameters: None,
            data: None,
        };
        if output.raw {
            let data = tensor::join(&output.elements).map_err(|detail| Error::tensor(output.name, detail))?;
            tensor.parameters = Some(size_parameter(&data));
            raw.push(data);
        } else {
            // Strings can always be written.
            tensor.data = to_raw_value(&output.elements).ok();
        }
        response.outputs.push(tensor);
    }
    if raw.is_empty() {
        return Ok(Encoded { body: to_json(&response).into(), json_length: None });
    }
    Ok(binary(&response, &raw))
}

/// A JSON response's outputs by their names.
pub fn decode_outputs(body: &Bytes) -> Result<Vec<(String, Vec<String>)>, Error> {
    let response: InferResponse = parse(body)?;
    let texts = response.outputs.into_iter().map(|tensor| {
        let data = tensor.data.ok_or_else(|| Error::tensor(&tensor.name, "has no data"))?;
        let texts = serde_json::from_str(data.get());
        let texts = texts.map_err(|error| Error::tensor(&tensor.name, error.to_string()))?;
        Ok((tensor.name, texts))
    });
    texts.collect()
}

/// The JSON and what follows it.
fn parts(header_length: Option<&str>, body: &Bytes) -> Result<(Bytes, Bytes), Error> {
    let Some(text) = header_length else { return Ok((body.clone(), Bytes::new())) };
    let length = text.trim().parse::<usize>().ok().filter(|length| *length <= body.len());
    let length = length.ok_or_else(|| Error::HeaderLength(text.to_owned()))?;
    Ok((body.slice(..length), body.slice(length..)))
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(json).map_err(|error| Error::Json(error.to_string()))
}

fn input_elements(input: &Tensor, raw: &mut Bytes, room: &mut Room) -> Result<Vec<Bytes>, Error> {
    let fault = |detail: String| Error::tensor(&input.name, detail);
    if input.datatype != BYTES {
        return Err(fault(format!("datatype is {:?}; this model takes BYTES", input.datatype)));
    }
    refuse_extensions(input.parameters.as_ref())?;
    let expected = tensor::elements(&input.shape);
    let expected =
        expected.ok_or_else(|| fault(format!("shape is {:?}, which is too large", input.shape)))?;
    // Before any of them is made: elements of no bytes cost a body next to nothing.
    room.take(expected)?;
    let size = input.parameters.as_ref().and_then(|parameters| parameters.get(BINARY_SIZE));
    let elements = match (size, &input.data) {
        (Some(size), None) => {
            let size = size.as_u64().and_then(|size| usize::try_from(size).ok());
            let size = size.ok_or(Error::Parameter { name: BINARY_SIZE, expected: "a number of bytes" })?;
            if size > raw.len() {
                return Err(Error::TensorBeyondBody { tensor: input.name.clone() });
            }
            tensor::split(raw.split_to(size), expected).map_err(fault)?
        }
        (None, Some(data)) => tensor::from_base64(data, expected).map_err(fault)?,
        (Some(_), Some(_)) => return Err(fault("has both data and binary_data_size; send one".into())),
        (None, None) => return Err(fault("has neither data nor binary_data_size".into())),
    };
    if elements.len() != expected {
        return Err(fault(format!("shape is {:?}, but it carries {} elements", input.shape, elements.len())));
    }
    Ok(elements)
}

/// Parameters of Triton's extensions that change where data are: passing over them would answer something else.
pub fn refuse_extensions(parameters: Option<&Parameters>) -> Result<(), Error> {
    for name in ["shared_memory_region", "classification"] {
        if parameters.is_some_and(|parameters| parameters.contains_key(name)) {
            return Err(Error::Unimplemented(name));
        }
    }
    Ok(())
}

fn size_parameter(raw: &Bytes) -> Parameters {
    Parameters::from_iter([(BINARY_SIZE.to_owned(), json!(raw.len()))])
}

fn binary(header: &impl Serialize, tensors: &[Bytes]) -> Encoded {
    let json = to_json(header);
    let json_length = json.len();
    let mut body = BytesMut::from(json.as_slice());
    for tensor in tensors {
        body.extend_from_slice(tensor);
    }
    Encoded { body: body.freeze(), json_length: Some(json_length) }
}

/// The wire types have string keys and no maps with others, so writing them to memory cannot fail.
fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
