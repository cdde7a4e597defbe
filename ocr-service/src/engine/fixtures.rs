//! What the tests of the engines have in common.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Options;
use super::options::Output;
use super::prepare::Preparation;
use crate::image::{Image, Limits};

/// The header of an image of one pixel, and `word` behind it, by which a double knows it.
pub fn image(word: &str) -> Image {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x01\0".to_vec();
    bytes.extend(word.bytes());
    Image::check(Bytes::from(bytes), Limits { max_pixels: 1 }).unwrap()
}

pub fn options(language: &str) -> Options {
    Options {
        language: language.parse().unwrap(),
        segmentation: None,
        preparation: Preparation::On,
        dpi: None,
        output: Output::Text,
    }
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}
