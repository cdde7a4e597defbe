//! How large an image is, read from its headers without decoding it.
//!
//! A few hundred bytes can decode to gigabytes, so the size must be known before any decoder sees them. Each reader
//! takes the same field that the decoder will allocate by: PNG's IHDR, JPEG's first frame header, TIFF's first
//! directory, BMP's information header, the WebP canvas, GIF's first image descriptor.

mod gif;

use super::Format;

/// Pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimensions {
    pub width: u32,
    pub height: u32,
}

/// The size, or nothing when these are not the first bytes of an image that can be read.
pub fn read(bytes: &[u8]) -> Option<Dimensions> {
    let (width, height) = match Format::of(bytes)? {
        Format::Png => png(bytes)?,
        Format::Jpeg => jpeg(bytes)?,
        Format::Tiff => tiff(bytes)?,
        Format::Bmp => bmp(bytes)?,
        Format::Webp => webp(bytes)?,
        Format::Gif => gif::frames(bytes).next()?,
        Format::Pdf => return None,
    };
    Some(Dimensions { width, height })
}

fn png(bytes: &[u8]) -> Option<(u32, u32)> {
    (bytes.get(12..16)? == b"IHDR").then_some(())?;
    Some((u32_be(bytes, 16)?, u32_be(bytes, 20)?))
}

/// Walks the segments up to the first frame header (SOF0 to SOF15 without DHT, JPG and DAC, which share the range).
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        // Any number of 0xff may pad a marker.
        while *bytes.get(at)? == 0xff && *bytes.get(at + 1)? == 0xff {
            at += 1;
        }
        (*bytes.get(at)? == 0xff).then_some(())?;
        let marker = *bytes.get(at + 1)?;
        match marker {
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                return Some((u16_be(bytes, at + 7)?.into(), u16_be(bytes, at + 5)?.into()));
            }
            0x01 | 0xd0..=0xd8 => at += 2,
            // A scan or the end before any frame header.
            0xd9 | 0xda => return None,
            _ => at += 2 + usize::from(u16_be(bytes, at + 2)?.max(2)),
        }
    }
}

/// Tags 256 and 257 of the first directory; SHORT or LONG, as TIFF 6.0 allows.
fn tiff(bytes: &[u8]) -> Option<(u32, u32)> {
    let first = Directory::first(bytes)?;
    Some((first.value(256)?, first.value(257)?))
}

/// Whether a TIFF has more pages, or a GIF more frames, than its first.
pub fn has_more_pages(bytes: &[u8]) -> bool {
    match Format::of(bytes) {
        Some(Format::Tiff) => has_more_directories(bytes),
        Some(Format::Gif) => gif::frames(bytes).nth(1).is_some(),
        _ => false,
    }
}

/// Thumbnails and masks (tag 254, bits 0 and 2) are no pages.
fn has_more_directories(bytes: &[u8]) -> bool {
    let mut directory = Directory::first(bytes).and_then(|first| first.next());
    // A chain that is longer, or runs in a circle, has no good reason.
    for _ in 0..16 {
        match directory {
            None => return false,
            Some(page) if page.value(254).unwrap_or(0) & 0b101 == 0 => return true,
            Some(other) => directory = other.next(),
        }
    }
    true
}

/// One of a TIFF's directories.
struct Directory<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Directory<'a> {
    fn first(bytes: &'a [u8]) -> Option<Self> {
        Self::at(bytes, 4)
    }

    /// The directory whose offset stands at `place`.
    fn at(bytes: &'a [u8], place: usize) -> Option<Self> {
        let at = usize::try_from(Self { bytes, at: 0 }.long(place)?).ok()?;
        (at != 0).then_some(Self { bytes, at })
    }

    fn next(&self) -> Option<Self> {
        Self::at(self.bytes, self.at.checked_add(2 + 12 * self.entries()?)?)
    }

    fn entries(&self) -> Option<usize> {
        self.short(self.at).map(usize::from)
    }

    /// The number under `tag`.
    fn value(&self, tag: u16) -> Option<u32> {
        for index in 0..self.entries()? {
            let entry = self.at.checked_add(2 + 12 * index)?;
            if self.short(entry)? == tag {
                return match self.short(entry.checked_add(2)?)? {
                    3 => self.short(entry.checked_add(8)?).map(u32::from),
                    4 => self.long(entry.checked_add(8)?),
                    _ => None,
                };
            }
        }
        None
    }

    fn is_big(&self) -> bool {
        self.bytes.first() == Some(&b'M')
    }

    fn short(&self, at: usize) -> Option<u16> {
        if self.is_big() { u16_be(self.bytes, at) } else { u16_le(self.bytes, at) }
    }

    fn long(&self, at: usize) -> Option<u32> {
        if self.is_big() { u32_be(self.bytes, at) } else { u32_le(self.bytes, at) }
    }
}

/// A negative height means rows from the top down; OS/2's first header has 16-bit fields.
fn bmp(bytes: &[u8]) -> Option<(u32, u32)> {
    if u32_le(bytes, 14)? == 12 {
        return Some((u16_le(bytes, 18)?.into(), u16_le(bytes, 20)?.into()));
    }
    let signed = |at| u32_le(bytes, at).map(|raw| raw.cast_signed().unsigned_abs());
    Some((signed(18)?, signed(22)?))
}

fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    match bytes.get(12..16)? {
        b"VP8X" => Some((u24_le(bytes, 24)? + 1, u24_le(bytes, 27)? + 1)),
        b"VP8L" => {
            let bits = u32_le(bytes, 21)?;
            Some(((bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1))
        }
        b"VP8 " => {
            (bytes.get(23..26)? == b"\x9d\x01\x2a").then_some(())?;
            Some(((u16_le(bytes, 26)? & 0x3fff).into(), (u16_le(bytes, 28)? & 0x3fff).into()))
        }
        _ => None,
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_be(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

fn u16_le(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_be(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn u24_le(bytes: &[u8], at: usize) -> Option<u32> {
    let [low, middle, high] = array(bytes, at)?;
    Some(u32::from_le_bytes([low, middle, high, 0]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn every_format_gives_its_size() {
        for (name, width, height) in [
            ("nutrition-label.png", 900, 1100),
            ("letter.jpg", 1260, 928),
            ("line.tif", 200, 56),
            ("line.bmp", 200, 56),
            ("line.webp", 200, 56),
            ("line-lossy.webp", 200, 56),
            ("line.gif", 200, 56),
        ] {
            assert_eq!(read(&data(name)), Some(Dimensions { width, height }), "{name}");
        }
    }

    #[test]
    fn text_and_nothing_are_no_images() {
        assert_eq!(read(b""), None);
        assert_eq!(read(b"Hello from your child"), None);
        assert_eq!(read(b"%PDF-1.7"), None);
    }

    #[test]
    fn a_jpeg_with_padded_markers_is_read() {
        let bytes = b"\xff\xd8\xff\xff\xff\xe0\x00\x04ab\xff\xc2\x00\x0b\x08\x00\x10\x00\x20\x03";
        let size = Dimensions { width: 32, height: 16 };
        assert_eq!(read(bytes), Some(size));
    }

    #[test]
    fn a_bmp_from_the_top_down_has_a_positive_height() {
        let mut bytes = b"BM".to_vec();
        bytes.resize(14, 0);
        for word in [40_u32, 7, (-9_i32).cast_unsigned()] {
            bytes.extend(word.to_le_bytes());
        }
        assert_eq!(read(&bytes), Some(Dimensions { width: 7, height: 9 }));
    }

    /// A big-endian TIFF with a directory for each of these subfile types.
    fn tiff_of(types: &[u32]) -> Vec<u8> {
        let mut bytes = b"MM\0\x2a\0\0\0\x08".to_vec();
        for (index, subfile) in types.iter().enumerate() {
            bytes.extend(3_u16.to_be_bytes());
            for (tag, value) in [(254_u16, *subfile), (256, 10), (257, 20)] {
                bytes.extend(tag.to_be_bytes());
                bytes.extend(4_u16.to_be_bytes());
                bytes.extend(1_u32.to_be_bytes());
                bytes.extend(value.to_be_bytes());
            }
            let next = if index + 1 < types.len() { u32::try_from(bytes.len()).unwrap() + 4 } else { 0 };
            bytes.extend(next.to_be_bytes());
        }
        bytes
    }

    #[test]
    fn a_tiffs_pages_are_told_from_its_thumbnails() {
        assert!(!has_more_pages(&data("line.tif")) && !has_more_pages(&data("line.png")));
        assert_eq!(read(&tiff_of(&[0, 2])), Some(Dimensions { width: 10, height: 20 }));
        assert!(has_more_pages(&tiff_of(&[2, 2])) && has_more_pages(&tiff_of(&[0, 1, 0])));
        assert!(!has_more_pages(&tiff_of(&[0])) && !has_more_pages(&tiff_of(&[0, 1, 4])));
        assert!(has_more_pages(&tiff_of(&[1; 40])));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(magic in 0_usize..7, tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let magics: [&[u8]; 7] =
                [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II\x2a\0", b"MM\0\x2a", b"BM", b"GIF89a", b"RIFF1234WEBPVP8"];
            let mut bytes = magics[magic].to_vec();
            bytes.extend(tail);
            let _ = read(&bytes);
            let _ = has_more_pages(&bytes);
        }
    }
}
