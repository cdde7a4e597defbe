//! What CLOVA reads, told by the file's first bytes.

/// A format that CLOVA OCR takes, as it is named there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Jpeg,
    Png,
    Pdf,
    Tiff,
}

impl Format {
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match () {
            () if bytes.starts_with(b"\xff\xd8\xff") => Some(Self::Jpeg),
            () if bytes.starts_with(b"\x89PNG\r\n\x1a\n") => Some(Self::Png),
            () if bytes.starts_with(b"%PDF-") => Some(Self::Pdf),
            () if bytes.starts_with(b"II\x2a\0") || bytes.starts_with(b"MM\0\x2a") => Some(Self::Tiff),
            () => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Pdf => "pdf",
            Self::Tiff => "tiff",
        }
    }
}
