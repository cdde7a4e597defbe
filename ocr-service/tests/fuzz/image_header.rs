//! The first bytes of images: refused, or of a size within the limits; turned in one of eight ways.

use bytes::Bytes;
use ocr_service::image::{Image, Limits, Orientation};

pub fn run(data: &[u8]) {
    let limits = Limits { max_pixels: 40_000_000 };
    if let Ok(image) = Image::check(Bytes::copy_from_slice(data), limits) {
        assert_eq!(image.bytes().as_ref(), data);
        assert!((1..=limits.max_pixels).contains(&image.pixels()));
    }
    assert!(Orientation::of(data).quarters < 4);
}
