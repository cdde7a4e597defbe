//! The protocol's JSON objects, field for field.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::bounded::{self, MOST_DIMENSIONS, MOST_TENSORS};

pub type Parameters = Map<String, Value>;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct InferRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, deserialize_with = "bounded::parameters", skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
    #[serde(deserialize_with = "bounded::list::<_, _, MOST_TENSORS>")]
    pub inputs: Vec<Tensor>,
    #[serde(
        default,
        deserialize_with = "bounded::optional_list::<_, _, MOST_TENSORS>",
        skip_serializing_if = "Option::is_none"
    )]
    pub outputs: Option<Vec<RequestedOutput>>,
}

/// An input of a request or an output of a response.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tensor {
    pub name: String,
    #[serde(deserialize_with = "bounded::list::<_, _, MOST_DIMENSIONS>")]
    pub shape: Vec<u64>,
    pub datatype: String,
    #[serde(default, deserialize_with = "bounded::parameters", skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
    /// Missing when the tensor follows the JSON in binary. As it is written: as values, many short elements would take
    /// many times the body's memory before anybody has counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestedOutput {
    pub name: String,
    #[serde(default, deserialize_with = "bounded::parameters", skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InferResponse {
    pub model_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
    pub outputs: Vec<Tensor>,
}

/// Parameter `name` as a boolean; None where it is absent.
pub fn flag(parameters: Option<&Parameters>, name: &'static str) -> Result<Option<bool>, super::Error> {
    match parameters.and_then(|parameters| parameters.get(name)) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(_) => Err(super::Error::Parameter { name, expected: "true or false" }),
    }
}
