//! An uploaded image that has passed every check that can be made without decoding it.

mod format;
mod header;
mod orientation;

use bytes::Bytes;
pub use format::Format;
use header::Dimensions;
pub use orientation::Orientation;

/// Tesseract and Leptonica use signed 16-bit coordinates in places: a longer side is refused by them, or worse.
const MAX_SIDE: u32 = 32_767;

/// The largest image that will be decoded.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Width times height, in pixels; decoding takes up to four bytes for each.
    pub max_pixels: u64,
}

/// Encoded bytes that begin as an image of an acceptable size.
#[derive(Clone, Debug)]
pub struct Image {
    bytes: Bytes,
    pixels: u64,
}

/// Why bytes were not taken as an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("the image is empty; send a PNG, JPEG, TIFF, BMP, WebP or GIF file")]
    Empty,
    #[error("this is not an image that can be read; send a PNG, JPEG, TIFF, BMP, WebP or GIF file")]
    NotAnImage,
    #[error("the image has no pixels ({width}x{height}); send one that has some")]
    NoPixels { width: u32, height: u32 },
    #[error(
        "the image is {width}x{height} pixels, more than the limit of {max_pixels} in all or {MAX_SIDE} a side; scale it down"
    )]
    TooLarge { width: u32, height: u32, max_pixels: u64 },
    #[error(
        "the image has more than one page or frame, the limit is one; send each page as an image of its own"
    )]
    SeveralPages,
}

impl Image {
    pub fn check(bytes: Bytes, limits: Limits) -> Result<Self, Rejected> {
        if bytes.is_empty() {
            return Err(Rejected::Empty);
        }
        let Dimensions { width, height } = header::read(&bytes).ok_or(Rejected::NotAnImage)?;
        if width == 0 || height == 0 {
            return Err(Rejected::NoPixels { width, height });
        }
        let pixels = u64::from(width) * u64::from(height);
        if width.max(height) > MAX_SIDE || pixels > limits.max_pixels {
            return Err(Rejected::TooLarge { width, height, max_pixels: limits.max_pixels });
        }
        // Of several pages Leptonica decodes the first: the others would be missing without a word.
        if header::has_more_pages(&bytes) {
            return Err(Rejected::SeveralPages);
        }
        Ok(Self { bytes, pixels })
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Width times height, as its header has them.
    pub fn pixels(&self) -> u64 {
        self.pixels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { max_pixels: 1_000_000 };

    fn png(width: u32, height: u32) -> Bytes {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.into()
    }

    #[test]
    fn an_image_at_the_limit_is_taken() {
        assert!(Image::check(png(1000, 1000), LIMITS).is_ok());
    }

    #[test]
    fn one_row_more_than_the_limit_is_refused_with_its_size() {
        let rejected = Image::check(png(1000, 1001), LIMITS).unwrap_err();
        assert!(rejected.to_string().contains("1000x1001"), "{rejected}");
    }

    #[test]
    fn a_side_longer_than_tesseract_can_address_is_refused_however_few_the_pixels() {
        assert!(Image::check(png(32_767, 1), LIMITS).is_ok());
        assert!(matches!(Image::check(png(32_768, 1), LIMITS), Err(Rejected::TooLarge { .. })));
    }

    #[test]
    fn a_decompression_bomb_is_refused_by_its_header() {
        assert!(matches!(Image::check(png(u32::MAX, u32::MAX), LIMITS), Err(Rejected::TooLarge { .. })));
    }

    #[test]
    fn an_empty_side_an_empty_file_and_a_text_are_told_apart() {
        assert_eq!(Image::check(png(0, 5), LIMITS).unwrap_err(), Rejected::NoPixels { width: 0, height: 5 });
        assert_eq!(Image::check(Bytes::new(), LIMITS).unwrap_err(), Rejected::Empty);
        assert_eq!(Image::check("hello".into(), LIMITS).unwrap_err(), Rejected::NotAnImage);
    }
}
