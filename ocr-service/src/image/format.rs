//! Which kind of file this is, told by its first bytes: the one place that knows them.

/// A kind of file that some reader here takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Png,
    Jpeg,
    Tiff,
    Bmp,
    Webp,
    Gif,
    /// No image; CLOVA OCR reads it.
    Pdf,
}

impl Format {
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let starts = |magic: &[u8]| bytes.starts_with(magic);
        match () {
            () if starts(b"\x89PNG\r\n\x1a\n") => Some(Self::Png),
            () if starts(b"\xff\xd8\xff") => Some(Self::Jpeg),
            () if starts(b"II\x2a\0") || starts(b"MM\0\x2a") => Some(Self::Tiff),
            () if starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") => Some(Self::Webp),
            () if starts(b"GIF87a") || starts(b"GIF89a") => Some(Self::Gif),
            () if starts(b"BM") => Some(Self::Bmp),
            () if starts(b"%PDF-") => Some(Self::Pdf),
            () => None,
        }
    }
}
