//! The formats that CLOVA OCR takes, as they are named there.

use crate::image::Format;

/// None where CLOVA does not read the format of these bytes.
pub fn name(bytes: &[u8]) -> Option<&'static str> {
    match Format::of(bytes)? {
        Format::Jpeg => Some("jpg"),
        Format::Png => Some("png"),
        Format::Pdf => Some("pdf"),
        Format::Tiff => Some("tiff"),
        Format::Bmp | Format::Webp | Format::Gif => None,
    }
}
