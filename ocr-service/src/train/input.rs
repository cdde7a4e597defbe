//! The images of a folder as rows of pixels, each fitted into the same square.

use std::fs::File;
use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ndarray::Array2;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::TrainError;
use crate::image::{Format, Image, Limits};

/// Width and height of what the network sees.
pub const SIDE: usize = 64;
pub const PIXELS: usize = SIDE * SIDE;

/// A training reads no more than this many, the first by name.
const MOST_IMAGES: usize = 2048;
const MOST_BYTES: u64 = 64 << 20;
const LIMITS: Limits = Limits { max_pixels: 40_000_000 };
/// Ink is 1: paper, which is most of a page, is nothing that has to be learnt.
const PAPER: f32 = 0.0;

/// A decoded image: one grey byte a pixel.
struct Grey {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

/// One row for each image, 0 is white and 1 is black. Other files are passed over and named in the log.
pub fn read(folder: &Path) -> Result<Array2<f32>, TrainError> {
    let paths =
        files(folder).map_err(|source| TrainError::Unreadable { folder: folder.to_owned(), source })?;
    let (mut rows, mut images, mut skipped) = (Vec::new(), 0, 0);
    for path in paths {
        if images == MOST_IMAGES {
            tracing::warn!(most = MOST_IMAGES, "the folder has more images; the others are left out");
            break;
        }
        match decode(&path) {
            Ok(image) => {
                rows.extend(fit(&image));
                images += 1;
            }
            Err(why) => {
                tracing::warn!(file = %path.display(), why, "passed over");
                skipped += 1;
            }
        }
    }
    let none = || TrainError::NoImages { folder: folder.to_owned(), skipped };
    Array2::from_shape_vec((images, PIXELS), rows).ok().filter(|_| images > 0).ok_or_else(none)
}

/// By name, so that a run can be repeated.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if std::fs::metadata(entry.path()).is_ok_and(|about| about.is_file()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

fn decode(path: &Path) -> Result<Grey, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST_BYTES) {
        return Err(format!("larger than {} MiB", MOST_BYTES >> 20));
    }
    // The header is looked at before anything is decoded.
    let image = Image::check(Bytes::from(bytes), LIMITS).map_err(|rejected| rejected.to_string())?;
    let bytes = image.bytes();
    match Format::of(bytes) {
        Some(Format::Png) => png(bytes),
        Some(Format::Jpeg) => jpeg(bytes),
        _ => Err("neither PNG nor JPEG".into()),
    }
}

fn png(bytes: &[u8]) -> Result<Grey, String> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|error| error.to_string())?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or("too large")?];
    let info = reader.next_frame(&mut pixels).map_err(|error| error.to_string())?;
    pixels.truncate(info.buffer_size());
    let channels = info.color_type.samples();
    let grey = pixels.chunks_exact(channels).map(|pixel| match *pixel {
        [grey] => grey,
        [grey, alpha] => on_white(grey, alpha),
        [red, green, blue] => luma([red, green, blue]),
        [red, green, blue, alpha] => on_white(luma([red, green, blue]), alpha),
        _ => 0,
    });
    Ok(Grey { width: size(info.width), height: size(info.height), pixels: grey.collect() })
}

fn jpeg(bytes: &[u8]) -> Result<Grey, String> {
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::Luma);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    let pixels = decoder.decode().map_err(|error| error.to_string())?;
    let (width, height) = decoder.dimensions().ok_or("no size in its header")?;
    if pixels.len() != width * height {
        return Err("a kind of colour that is not read here".into());
    }
    Ok(Grey { width, height, pixels })
}

fn size(pixels: u32) -> usize {
    usize::try_from(pixels).unwrap_or(usize::MAX)
}

/// ITU-R BT.601.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let sum = u32::from(red) * 299 + u32::from(green) * 587 + u32::from(blue) * 114;
    u8::try_from(sum / 1000).unwrap_or(u8::MAX)
}

fn on_white(grey: u8, alpha: u8) -> u8 {
    let (grey, alpha) = (u32::from(grey), u32::from(alpha));
    u8::try_from((grey * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX)
}

/// Scaled into the square by the mean of what each of its pixels covers; the proportions stay, the rest is white.
fn fit(image: &Grey) -> Vec<f32> {
    let longer = image.width.max(image.height);
    let scaled = |side: usize| (side * SIDE / longer).max(1);
    let (width, height) = (scaled(image.width), scaled(image.height));
    let (left, top) = ((SIDE - width) / 2, (SIDE - height) / 2);
    let mut square = vec![PAPER; PIXELS];
    for y in 0..height {
        let rows = covered(y, height, image.height);
        for x in 0..width {
            let columns = covered(x, width, image.width);
            let mut sum = 0_u64;
            for row in rows.clone() {
                let line = &image.pixels[row * image.width..(row + 1) * image.width];
                sum += line[columns.clone()].iter().map(|pixel| u64::from(*pixel)).sum::<u64>();
            }
            let mean = sum / u64::try_from(rows.len() * columns.len()).unwrap_or(u64::MAX);
            let grey = u8::try_from(mean).unwrap_or(u8::MAX);
            square[(top + y) * SIDE + left + x] = f32::from(u8::MAX - grey) / 255.0;
        }
    }
    square
}

/// The source's pixels under pixel `index` of `scaled`; at least one.
fn covered(index: usize, scaled: usize, source: usize) -> std::ops::Range<usize> {
    let begin = index * source / scaled;
    begin..((index + 1) * source / scaled).max(begin + 1)
}

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;
