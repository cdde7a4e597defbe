//! V2 bodies, JSON and binary, of requests and responses: refused or read; and what is read can be written again.

use bytes::Bytes;
use ocr_service::v2::bounded::{MOST_PARAMETERS, MOST_TENSORS};
use ocr_service::v2::codec::{self, Decoded};
use ocr_service::v2::ocr::{self, OcrRequest};

/// Elements of one request.
const MOST: usize = 64;

pub fn run(data: &[u8]) {
    // The first two bytes are the header's length of JSON; 0xffff stands for no header.
    let Some((length, body)) = data.split_first_chunk::<2>() else { return };
    let length = u16::from_le_bytes(*length);
    let length = (length != u16::MAX).then(|| length.to_string());
    let body = Bytes::copy_from_slice(body);
    let _ = ocr::first_image(&body);
    let Ok(decoded) = codec::decode_request(length.as_deref(), &body, MOST) else { return };
    bounded(&decoded);
    let Ok(request) = OcrRequest::new(decoded) else { return };
    assert!(!request.images.is_empty());
    let image = &request.images[0];
    let parameters = ocr::parameters(&request.asked);
    let Ok(encoded) = codec::encode_request(request.id.clone(), parameters, ocr::INPUT, image) else {
        return;
    };
    let length = encoded.json_length.map(|length| length.to_string());
    let again = codec::decode_request(length.as_deref(), &encoded.body, MOST);
    let again = again.expect("what was written is read");
    let again = OcrRequest::new(again).expect("what was asked can be asked again");
    assert_eq!((&again.id, &again.asked, &again.images[0]), (&request.id, &request.asked, image));
}

/// What was read has no list without an end, and its parameters hold no others.
fn bounded(decoded: &Decoded) {
    let outputs = decoded.outputs.as_deref().unwrap_or_default();
    assert!(decoded.inputs.len() <= MOST_TENSORS && outputs.len() <= MOST_TENSORS);
    assert!(decoded.inputs.iter().map(|input| input.elements.len()).sum::<usize>() <= MOST);
    let of_outputs = outputs.iter().filter_map(|output| output.parameters.as_ref());
    for parameters in decoded.parameters.iter().chain(of_outputs) {
        assert!(parameters.len() <= MOST_PARAMETERS);
        assert!(parameters.values().all(|value| !value.is_array() && !value.is_object()));
    }
}
