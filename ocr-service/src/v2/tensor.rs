//! Elements of BYTES tensors: raw (each behind its length in four bytes, little-endian) and in JSON.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::Deserializer;
use serde_json::value::RawValue;

/// Splits a raw tensor into its elements, `most` at most, without copying them.
pub fn split(mut raw: Bytes, most: usize) -> Result<Vec<Bytes>, String> {
    let mut elements = Vec::new();
    while raw.has_remaining() {
        if elements.len() == most {
            return Err(beyond(most));
        }
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

/// The elements, `most` at most, of a JSON tensor whose data are a list of base64 strings.
pub fn from_base64(data: &RawValue, most: usize) -> Result<Vec<Bytes>, String> {
    let list = Deserializer::from_str(data.get()).deserialize_seq(Base64List { most });
    list.map_err(|_| "data must be a list of base64 strings")?
}

/// Reads a list element by element: what is beyond `most` is passed over, not kept.
struct Base64List {
    most: usize,
}

impl<'de> Visitor<'de> for Base64List {
    /// What is wrong with an element stands inside, without serde's position, which nobody knows outside of the list.
    type Value = Result<Vec<Bytes>, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of base64 strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut elements = Ok(Vec::new());
        // To its end also after a fault: a list that is left in the middle is none to serde.
        while let Some(element) = list.next_element::<&RawValue>()? {
            if let Ok(known) = &mut elements {
                match decode(known.len(), self.most, element) {
                    Ok(decoded) => known.push(decoded),
                    Err(fault) => elements = Err(fault),
                }
            }
        }
        Ok(elements)
    }
}

/// A string of JSON, copied only where it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn decode(index: usize, most: usize, element: &RawValue) -> Result<Bytes, String> {
    if index == most {
        return Err(beyond(most));
    }
    let text = serde_json::from_str::<Text<'_>>(element.get());
    let Text(text) = text.map_err(|_| format!("element {index} of data is not a string"))?;
    let decoded = BASE64_STANDARD_NO_PAD.decode(text.trim_end_matches('='));
    decoded.map(Bytes::from).map_err(|error| format!("element {index} of data is not base64: {error}"))
}

fn beyond(most: usize) -> String {
    format!("it carries more elements than the {most} of its shape")
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

    fn raw(list: &[&str]) -> Box<RawValue> {
        serde_json::value::to_raw_value(list).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_joined_splits_into_the_same(elements in vec(vec(any::<u8>(), 0..40), 0..8)) {
            let raw = join(&elements).unwrap();
            prop_assert_eq!(split(raw, elements.len()).unwrap(), elements);
        }

        #[test]
        fn no_bytes_make_split_panic(raw in vec(any::<u8>(), 0..64)) {
            let _ = split(Bytes::from(raw), 8);
        }

        #[test]
        fn base64_comes_back_with_and_without_padding(bytes in vec(any::<u8>(), 0..40)) {
            let padded = BASE64_STANDARD.encode(&bytes);
            let bare = padded.trim_end_matches('=');
            let expected = vec![Bytes::from(bytes)];
            prop_assert_eq!(from_base64(&raw(&[&padded]), 1).unwrap(), expected.clone());
            prop_assert_eq!(from_base64(&raw(&[bare]), 1).unwrap(), expected);
        }
    }

    #[test]
    fn an_element_longer_than_the_data_is_an_error() {
        assert!(split(Bytes::from_static(&[5, 0, 0, 0, 1]), 8).is_err());
        assert!(split(Bytes::from_static(&[5, 0]), 8).is_err());
    }

    #[test]
    fn no_more_elements_are_decoded_than_there_may_be() {
        let zeros = Bytes::from_static(&[0; 12]);
        assert_eq!(split(zeros.clone(), 3).unwrap().len(), 3);
        assert_eq!(split(zeros, 2), Err(beyond(2)));
        assert_eq!(from_base64(&raw(&["eW91", "", ""]), 3).unwrap(), ["you", "", ""]);
        // The fourth is not looked at.
        assert_eq!(from_base64(&raw(&["eW91", "", "", "~"]), 2), Err(beyond(2)));
    }

    #[test]
    fn a_string_with_escapes_is_base64_too() {
        let escaped = RawValue::from_string(r#"["\/\/8="]"#.to_owned()).unwrap();
        assert_eq!(from_base64(&escaped, 1).unwrap(), [b"\xff\xff".as_slice()]);
    }

    #[test]
    fn a_shape_that_overflows_has_no_number_of_elements() {
        assert_eq!(elements(&[2, 3]), Some(6));
        assert_eq!(elements(&[]), Some(1));
        assert_eq!(elements(&[u64::MAX, 2]), None);
    }
}
