//! The first bytes of images: refused, or of a size within the limits.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ocr_service::image::{Image, Limits};

fuzz_target!(|data: &[u8]| {
    let limits = Limits { max_pixels: 40_000_000 };
    if let Ok(image) = Image::check(Bytes::copy_from_slice(data), limits) {
        assert_eq!(image.bytes().as_ref(), data);
    }
});
