//! The codec against the protocol's examples, and against anything.

use proptest::collection::vec;
use proptest::prelude::*;

use serde_json::Value;

use super::super::bounded::{MOST_DIMENSIONS, MOST_PARAMETERS, MOST_TENSORS};
use super::*;

/// Of a request's elements.
const MOST: usize = 4;

fn json_body(value: &Value) -> Bytes {
    serde_json::to_vec(value).unwrap().into()
}

fn tensor(elements: usize, data: &str) -> Value {
    json!({ "name": "image", "shape": [elements], "datatype": "BYTES", "data": vec![data; elements] })
}

fn one_image(tensor: &Value) -> Value {
    json!({ "id": "42", "inputs": [tensor] })
}

fn error(value: &Value) -> String {
    decode_request(None, &json_body(value), MOST).unwrap_err().to_string()
}

#[test]
fn base64_in_a_list_is_an_image_for_each_element() {
    let tensor = json!({ "name": "image", "shape": [2], "datatype": "BYTES", "data": ["SGVsbG8=", "eW91"] });
    let decoded = decode_request(None, &json_body(&one_image(&tensor)), MOST).unwrap();
    assert_eq!(decoded.id.as_deref(), Some("42"));
    assert_eq!(decoded.inputs[0].elements, ["Hello", "you"]);
}

#[test]
fn each_way_a_tensor_can_be_wrong_is_named() {
    for (tensor, expected) in [
        (json!({ "name": "image", "shape": [1], "datatype": "BYTES" }), "neither data nor binary_data_size"),
        (json!({ "name": "image", "shape": [1], "datatype": "FP32", "data": [1.0] }), "takes BYTES"),
        (json!({ "name": "image", "shape": [2], "datatype": "BYTES", "data": ["eW91"] }), "shape is [2]"),
        (
            json!({ "name": "image", "shape": [1], "datatype": "BYTES", "data": ["eW91", ""] }),
            "than the 1 of",
        ),
        (
            json!({ "name": "image", "shape": [1_u64 << 40, 1_u64 << 40], "datatype": "BYTES", "data": [] }),
            "too large",
        ),
        (json!({ "name": "image", "shape": [1], "datatype": "BYTES", "data": "eW91" }), "list of base64"),
        (json!({ "name": "image", "shape": [1], "datatype": "BYTES", "data": ["~"] }), "not base64"),
        (json!({ "name": "image", "shape": [1], "datatype": "BYTES", "data": [7] }), "not a string"),
    ] {
        let message = error(&one_image(&tensor));
        assert!(message.contains(expected), "{message} for {tensor}");
    }
}

#[test]
fn more_elements_than_there_may_be_are_refused_undecoded_in_one_tensor_and_in_several() {
    let too_many = |asked| Err(Error::TooMany(PoolError::NeverFits { asked, capacity: MOST }));
    let decoded = |inputs: Value| decode_request(None, &json_body(&json!({ "inputs": inputs })), MOST);
    assert_eq!(decoded(json!([tensor(MOST, "")])).unwrap().inputs[0].elements.len(), MOST);
    assert_eq!(decoded(json!([tensor(MOST + 1, "~")])), too_many(MOST + 1));
    assert_eq!(decoded(json!([tensor(3, ""), tensor(2, "~")])), too_many(5));
    let raw = json!({ "name": "image", "shape": [5], "datatype": "BYTES", "parameters": { "binary_data_size": 20 } });
    let header = json_body(&json!({ "inputs": [raw] }));
    let body: Bytes = [&header[..], &[0; 20]].concat().into();
    assert_eq!(decode_request(Some(&header.len().to_string()), &body, MOST), too_many(5));
}

#[test]
fn a_list_of_more_entries_than_anybody_needs_is_refused() {
    let request = |inputs: usize, dimensions: usize, parameters: usize, outputs: usize| {
        let parameters: Parameters = (0..parameters).map(|name| (name.to_string(), json!(1))).collect();
        let mut tensor = tensor(1, "");
        (tensor["shape"], tensor["parameters"]) = (json!(vec![1; dimensions]), json!(parameters));
        let output = json!({ "name": "text", "parameters": parameters });
        json!({ "parameters": parameters, "inputs": vec![tensor; inputs], "outputs": vec![output; outputs] })
    };
    let decoded = |request: Value| decode_request(None, &json_body(&request), MOST_TENSORS).map(|_| ());
    let most = (MOST_TENSORS, MOST_DIMENSIONS, MOST_PARAMETERS);
    assert_eq!(decoded(request(most.0, most.1, most.2, most.0)), Ok(()));
    for (request, expected) in [
        (request(most.0 + 1, 1, 0, 1), "more than 16 entries"),
        (request(1, most.1 + 1, 0, 1), "more than 64 entries"),
        (request(1, 1, most.2 + 1, 0), "more than 64 parameters"),
        (request(1, 1, 0, most.0 + 1), "more than 16 entries"),
    ] {
        let refused = decoded(request);
        assert!(matches!(&refused, Err(Error::Json(why)) if why.contains(expected)), "{refused:?}");
    }
}

#[test]
fn parameters_of_tensors_and_outputs_are_counted_as_the_requests_are() {
    let parameters: Parameters = (0..=MOST_PARAMETERS).map(|name| (name.to_string(), json!(1))).collect();
    let (mut tensor, plain) = (tensor(1, ""), tensor(1, ""));
    tensor["parameters"] = json!(parameters);
    let output = json!({ "name": "text", "parameters": parameters });
    for request in [one_image(&tensor), json!({ "inputs": [plain], "outputs": [output] })] {
        assert!(error(&request).contains("more than 64 parameters"));
    }
}

#[test]
fn a_parameter_is_a_string_a_number_or_a_boolean_and_null_is_none() {
    let plain = tensor(1, "");
    let with = |parameters: Value| json!({ "parameters": parameters, "inputs": [plain], "outputs": null });
    let values = json!({ "a": "1", "b": 1, "c": -1, "d": 1.5, "e": true, "f": null });
    let decoded = decode_request(None, &json_body(&with(values.clone())), MOST).unwrap();
    assert_eq!((json!(decoded.parameters), decoded.outputs), (values, None));
    assert_eq!(decode_request(None, &json_body(&with(Value::Null)), MOST).unwrap().parameters, None);
    for nested in [json!([1, 1, 1]), json!({ "x": 1 })] {
        assert!(error(&with(json!({ "a": nested }))).contains("a string, a number or a boolean"));
    }
}

#[test]
fn a_body_that_is_no_request_is_an_error() {
    assert!(error(&json!({ "id": "1" })).contains("inputs"));
    assert!(error(&json!([])).contains("V2"));
}

#[test]
fn a_header_length_beyond_the_body_or_no_number_is_an_error() {
    for length in ["99", "-1", "ten", ""] {
        let error = decode_request(Some(length), &Bytes::from_static(b"{}"), MOST).unwrap_err();
        assert_eq!(error, Error::HeaderLength(length.into()));
    }
}

#[test]
fn raw_bytes_that_no_tensor_claims_are_an_error() {
    let encoded = encode_request(None, Parameters::new(), "image", &Bytes::from_static(b"PNG")).unwrap();
    let mut body = encoded.body.to_vec();
    body.push(0);
    let length = encoded.json_length.unwrap().to_string();
    assert_eq!(decode_request(Some(&length), &body.into(), MOST), Err(Error::Trailing(1)));
}

#[test]
fn a_json_response_has_no_binary_parts_and_a_raw_one_has() {
    let response = InferResponse {
        model_name: "ocr-model".into(),
        model_version: Some("1".into()),
        id: Some("42".into()),
        parameters: None,
        outputs: Vec::new(),
    };
    let texts = vec!["안녕".to_owned()];
    let output = |raw| Texts { name: "text", elements: texts.clone(), raw };
    let json = encode_response(response.clone(), &[output(false)]).unwrap();
    assert_eq!(json.content_type(), "application/json");
    assert_eq!(decode_outputs(&json.body).unwrap(), [("text".to_owned(), texts.clone())]);
    let raw = encode_response(response, &[output(true)]).unwrap();
    assert_eq!(raw.content_type(), "application/octet-stream");
    assert_eq!(&raw.body[raw.json_length.unwrap() + 4..], "안녕".as_bytes());
}

proptest! {
    #[test]
    fn an_image_comes_back_as_it_was_sent(image in vec(any::<u8>(), 0..300), id in proptest::option::of(".{0,20}")) {
        let parameters = Parameters::from_iter([("psm".to_owned(), json!("6"))]);
        let image = Bytes::from(image);
        let encoded = encode_request(id.clone(), parameters.clone(), "image", &image).unwrap();
        let length = encoded.json_length.unwrap().to_string();
        let decoded = decode_request(Some(&length), &encoded.body, MOST).unwrap();
        let inputs = vec![Elements { name: "image".into(), elements: vec![image] }];
        prop_assert_eq!(decoded, Decoded { id, parameters: Some(parameters), inputs, outputs: None });
    }

    #[test]
    fn no_body_and_no_header_make_it_panic(length in proptest::option::of("[0-9]{1,3}"), body in vec(any::<u8>(), 0..99)) {
        let _ = decode_request(length.as_deref(), &body.into(), MOST);
    }

    #[test]
    fn no_binary_size_makes_it_panic(size in any::<u64>(), shape in vec(any::<u64>(), 0..3), raw in vec(any::<u8>(), 0..99)) {
        let tensor = json!({
            "name": "image", "shape": shape, "datatype": "BYTES", "parameters": { "binary_data_size": size },
        });
        let json = serde_json::to_vec(&one_image(&tensor)).unwrap();
        let length = json.len().to_string();
        let _ = decode_request(Some(&length), &[json, raw].concat().into(), MOST);
    }
}
