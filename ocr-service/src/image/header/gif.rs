//! A GIF's frames: each has a size of its own, and the decoder allocates by that, not by the logical screen's.
//!
//! The same walk as giflib's `DGifSlurp`, which decodes every frame before Leptonica takes the first.

use super::u16_le;

const EXTENSION: u8 = 0x21;
const IMAGE: u8 = 0x2c;

/// The sizes of the frames, up to the trailer or whatever else is no frame and no extension.
pub fn frames(bytes: &[u8]) -> impl Iterator<Item = (u32, u32)> + '_ {
    // The logical screen's descriptor stands behind six bytes of magic.
    let mut at = colours(bytes, 10).and_then(|size| 13_usize.checked_add(size));
    std::iter::from_fn(move || {
        let (size, next) = frame(bytes, at?)?;
        at = next;
        Some(size)
    })
}

/// The first frame from `at` on, and where it ends if it does.
fn frame(bytes: &[u8], mut at: usize) -> Option<((u32, u32), Option<usize>)> {
    loop {
        match *bytes.get(at)? {
            // Its label, then its blocks.
            EXTENSION => at = blocks(bytes, at + 2)?,
            IMAGE => {
                let size = (u16_le(bytes, at + 5)?.into(), u16_le(bytes, at + 7)?.into());
                // Between the colours and the blocks stands the code size.
                let end = colours(bytes, at + 9).and_then(|size| blocks(bytes, at + 10 + size + 1));
                return Some((size, end));
            }
            _ => return None,
        }
    }
}

/// Bytes of the table of colours that the flags at `flags` announce.
fn colours(bytes: &[u8], flags: usize) -> Option<usize> {
    let flags = *bytes.get(flags)?;
    Some(if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) })
}

/// Where the blocks that begin at `at` end: each behind its length, the last is empty.
fn blocks(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = usize::from(*bytes.get(at)?);
        at += 1 + length;
        if length == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::header::{Dimensions, has_more_pages, read};

    /// A GIF with a logical screen of one pixel, a table of two colours, and a comment before each of these frames,
    /// every other one of which has colours of its own.
    fn gif(frames: &[(u16, u16)]) -> Vec<u8> {
        let mut bytes = b"GIF89a\x01\0\x01\0\x80\0\0".to_vec();
        bytes.extend([IMAGE; 6]);
        for (index, (width, height)) in frames.iter().enumerate() {
            bytes.extend(b"\x21\xfe\x02\x2c\x2c\x01\x2c\0\x2c\0\0\0\0");
            bytes.extend(width.to_le_bytes());
            bytes.extend(height.to_le_bytes());
            let own = index % 2 == 0;
            bytes.push(if own { 0x81 } else { 0 });
            bytes.extend(vec![IMAGE; if own { 12 } else { 0 }]);
            bytes.extend(b"\x02\x02\x2c\x01\0");
        }
        bytes.push(0x3b);
        bytes
    }

    #[test]
    fn a_gif_is_as_large_as_its_frame_and_not_as_its_screen() {
        assert_eq!(read(&gif(&[(30_000, 20_000)])), Some(Dimensions { width: 30_000, height: 20_000 }));
        assert!(!has_more_pages(&gif(&[(7, 8)])));
    }

    #[test]
    fn a_second_frame_is_seen() {
        let sizes = [(1, 2), (30_000, 30_000), (3, 4)];
        assert!(has_more_pages(&gif(&sizes)));
        let found: Vec<_> = frames(&gif(&sizes)).collect();
        assert_eq!(found, [(1, 2), (30_000, 30_000), (3, 4)]);
    }

    #[test]
    fn a_gif_without_a_frame_is_no_image() {
        assert_eq!(read(&gif(&[])), None);
    }
}
