//! How a photograph has to be turned to be shown upright, as its EXIF data say (tag Orientation, EXIF 2.32, 4.6.5).

use std::io::Cursor;

use exif::{In, Reader, Tag};

use super::Format;

/// Turned clockwise by so many quarters, and then mirrored, left for right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orientation {
    pub quarters: u8,
    pub is_mirrored: bool,
}

impl Orientation {
    pub const UPRIGHT: Self = Self { quarters: 0, is_mirrored: false };

    /// Of the formats whose decoder leaves the turning to the caller: Leptonica turns a TIFF itself. What cannot be read
    /// is upright, as browsers have it.
    pub fn of(bytes: &[u8]) -> Self {
        match Format::of(bytes) {
            Some(Format::Jpeg | Format::Png | Format::Webp) => {
                tag(bytes).and_then(Self::tagged).unwrap_or(Self::UPRIGHT)
            }
            _ => Self::UPRIGHT,
        }
    }

    /// The tag's eight values.
    fn tagged(value: u32) -> Option<Self> {
        let (quarters, is_mirrored) = match value {
            1 => (0, false),
            2 => (0, true),
            3 => (2, false),
            4 => (2, true),
            5 => (1, true),
            6 => (1, false),
            7 => (3, true),
            8 => (3, false),
            _ => return None,
        };
        Some(Self { quarters, is_mirrored })
    }
}

fn tag(bytes: &[u8]) -> Option<u32> {
    let exif = Reader::new().read_from_container(&mut Cursor::new(bytes)).ok()?;
    exif.get_field(Tag::Orientation, In::PRIMARY)?.value.get_uint(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// EXIF data with the orientation alone: a TIFF header and one directory of one entry.
    fn exif(value: u8) -> Vec<u8> {
        let entry = [1, 0x12, 0, 3, 0, 0, 0, 1, 0, value, 0, 0];
        [&b"MM\0\x2a\0\0\0\x08\0\x01"[..], &entry, &[0; 4]].concat()
    }

    /// The letter with EXIF data behind its first marker.
    fn jpeg(exif: &[u8]) -> Vec<u8> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/letter.jpg");
        let letter = std::fs::read(path).unwrap();
        let length = u16::try_from(exif.len() + 8).unwrap().to_be_bytes();
        [&letter[..2], b"\xff\xe1", &length, b"Exif\0\0", exif, &letter[2..]].concat()
    }

    #[test]
    fn each_value_of_the_tag_is_read_and_others_are_upright() {
        let turned = |value| Orientation::of(&jpeg(&exif(value)));
        assert_eq!(turned(6), Orientation { quarters: 1, is_mirrored: false });
        let all: Vec<_> = (1..=8).map(turned).collect();
        assert_eq!(all, (1..=8).map(|value| Orientation::tagged(value).unwrap()).collect::<Vec<_>>());
        assert_eq!((turned(0), turned(9)), (Orientation::UPRIGHT, Orientation::UPRIGHT));
    }

    #[test]
    fn without_exif_data_and_with_torn_ones_an_image_is_upright() {
        let whole = exif(6);
        for torn in [&[][..], &whole[..4], &whole[..12]] {
            assert_eq!(Orientation::of(&jpeg(torn)), Orientation::UPRIGHT, "{torn:?}");
        }
        assert_eq!(Orientation::of(b"BM"), Orientation::UPRIGHT);
    }

    proptest! {
        #[test]
        fn no_exif_data_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Orientation::of(&jpeg(&[&b"MM\0\x2a\0\0\0\x08"[..], &bytes].concat()));
        }
    }
}
