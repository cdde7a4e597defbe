//! Elements of BYTES tensors: raw (each behind its length in four bytes, little-endian) and in JSON.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde_json::Value;

/// Splits a raw tensor into its elements without copying them.
pub fn split(mut raw: Bytes) -> Result<Vec<Bytes>, String> {
    let mut elements = Vec::new();
    while raw.has_remaining() {
        let length = raw.try_get_u32_le().map_err(|_| "the raw data end within an element's length")?;
        let length = usize::try_from(length).map_err(|error| error.to_string())?;
        if length > raw.len() {
            return Err(format!("element {} goes beyond the end of the raw data", elements.len()));
        }
        elements.push(raw.split_to(length));
    }
    Ok(elements)
}

/// The raw form of `elements`.
pub fn join<Element: AsRef<[u8]>>(elements: &[Element]) -> Result<Bytes, String> {
    let total = elements.iter().map(|element| 4 + element.as_ref().len()).sum();
    let mut raw = BytesMut::with_capacity(total);
    for element in elements {
        let length = u32::try_from(element.as_ref().len());
        raw.put_u32_le(length.map_err(|_| "an element of a BYTES tensor is 4 GiB or longer")?);
        raw.put_slice(element.as_ref());
    }
    Ok(raw.freeze())
}

/// The elements of a JSON tensor whose data are a list of base64 strings.
pub fn from_base64(data: &Value) -> Result<Vec<Bytes>, String> {
    let list = data.as_array().ok_or("data must be a list of base64 strings")?;
    list.iter().enumerate().map(|(index, element)| decode(index, element)).collect()
}

fn decode(index: usize, element: &Value) -> Result<Bytes, String> {
    let text = element.as_str().ok_or_else(|| format!("element {index} of data is not a string"))?;
    let text = text.trim_end_matches('=');
    let decoded = BASE64_STANDARD_NO_PAD.decode(text);
    decoded.map(Bytes::from).map_err(|error| format!("element {index} of data is not base64: {error}"))
}

/// How many elements `shape` holds, if that number exists.
pub fn elements(shape: &[u64]) -> Option<usize> {
    let product = shape.iter().try_fold(1_u64, |product, side| product.checked_mul(*side))?;
    usize::try_from(product).ok()
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_joined_splits_into_the_same(elements in vec(vec(any::<u8>(), 0..40), 0..8)) {
            let raw = join(&elements).unwrap();
            prop_assert_eq!(split(raw).unwrap(), elements);
        }

        #[test]
        fn no_bytes_make_split_panic(raw in vec(any::<u8>(), 0..64)) {
            let _ = split(Bytes::from(raw));
        }

        #[test]
        fn base64_comes_back_with_and_without_padding(bytes in vec(any::<u8>(), 0..40)) {
            let padded = Value::from(BASE64_STANDARD.encode(&bytes));
            let bare = Value::from(padded.as_str().unwrap().trim_end_matches('='));
            let expected = vec![Bytes::from(bytes)];
            prop_assert_eq!(from_base64(&Value::from(vec![padded])).unwrap(), expected.clone());
            prop_assert_eq!(from_base64(&Value::from(vec![bare])).unwrap(), expected);
        }
    }

    #[test]
    fn an_element_longer_than_the_data_is_an_error() {
        assert!(split(Bytes::from_static(&[5, 0, 0, 0, 1])).is_err());
        assert!(split(Bytes::from_static(&[5, 0])).is_err());
    }

    #[test]
    fn a_shape_that_overflows_has_no_number_of_elements() {
        assert_eq!(elements(&[2, 3]), Some(6));
        assert_eq!(elements(&[]), Some(1));
        assert_eq!(elements(&[u64::MAX, 2]), None);
    }
}
