//! Many different images out of one: rows of the label, higher and lower, as BMP files.

use bytes::Bytes;

use crate::bench::picture::Picture;
use crate::error::{Error, Result};

/// So many strips differ from each other.
pub const DIFFERENT: usize = 200;
/// Rows of a strip: one line of the label, more or less.
const HEIGHT: usize = 64;
/// Where the label's lines are.
const FIRST_ROW: usize = 20;
/// What is darker is ink.
const INK: u8 = 128;
const HEADER: usize = 54 + 4 * 2;

/// The label, a byte for each pixel.
pub struct Pictures {
    pixels: Vec<u8>,
    width: usize,
    height: usize,
}

impl Pictures {
    pub fn new() -> Result<Self> {
        let wrong = |error: png::DecodingError| Error::malformed("the benchmark's label", error, "");
        let mut decoder = png::Decoder::new(std::io::Cursor::new(Picture::Label.bytes()));
        decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
        let mut reader = decoder.read_info().map_err(wrong)?;
        let size = reader.output_buffer_size().unwrap_or_default();
        let mut pixels = vec![0; size];
        let frame = reader.next_frame(&mut pixels).map_err(wrong)?;
        let samples = frame.color_type.samples();
        // Of several samples for a pixel the first is as good as any: it is black on white.
        let mut pixels: Vec<u8> = pixels.into_iter().step_by(samples).collect();
        let width = frame.width as usize;
        // Strips of the white below the last line would all be alike.
        let last =
            pixels.chunks(width).rposition(|row| row.iter().any(|grey| *grey < INK)).unwrap_or_default();
        pixels.truncate((last + 1) * width);
        Ok(Self { height: pixels.len() / width, pixels, width })
    }

    /// One of [`DIFFERENT`] strips, about as large as a line of text.
    pub fn strip(&self, index: usize) -> Bytes {
        let rows = self.height - HEIGHT - FIRST_ROW;
        self.rows(FIRST_ROW + (index % DIFFERENT) * rows / DIFFERENT, HEIGHT)
    }

    /// Most of the label, by a row more or less: slow to read, and each another image than the one before.
    pub fn page(&self, index: usize) -> Bytes {
        self.rows(0, self.height - index % HEIGHT)
    }

    /// A BMP of one bit for a pixel, 1 is white, from the top down.
    fn rows(&self, from: usize, count: usize) -> Bytes {
        let stride = self.width.div_ceil(32) * 4;
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
        let mut file = Vec::with_capacity(HEADER + stride * count);
        file.extend(b"BM");
        for value in [HEADER + stride * count, 0, HEADER, 40, self.width] {
            file.extend(number(value));
        }
        // A negative height: rows from the top down.
        file.extend(i32::try_from(count).unwrap_or(i32::MAX).wrapping_neg().to_le_bytes());
        file.extend([1, 0, 1, 0]);
        for value in [0, stride * count, 2835, 2835, 2, 0] {
            file.extend(number(value));
        }
        file.extend([0, 0, 0, 0, 255, 255, 255, 0]);
        for row in self.pixels.chunks(self.width).skip(from).take(count) {
            let bits = row.chunks(8).map(|pixels| {
                let bit = |(place, grey): (usize, &u8)| u8::from(*grey >= INK) << (7 - place);
                pixels.iter().enumerate().map(bit).sum::<u8>()
            });
            let end = file.len() + stride;
            file.extend(bits);
            file.resize(end, 0);
        }
        file.into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn strips_differ_and_are_whole_files() {
        let pictures = Pictures::new().unwrap();
        assert_eq!((pictures.width, pictures.height <= 1100), (900, true));
        let strips: BTreeSet<Bytes> = (0..DIFFERENT).map(|index| pictures.strip(index)).collect();
        assert_eq!(strips.len(), DIFFERENT);
        for strip in strips {
            let size = u32::from_le_bytes(strip[2..6].try_into().unwrap());
            assert_eq!((size as usize, strip.len()), (strip.len(), HEADER + 116 * HEIGHT));
        }
        assert_eq!(pictures.strip(0), pictures.strip(DIFFERENT));
        assert_ne!(pictures.page(0), pictures.page(1));
    }
}
