//! Photographs that are to be shown turned: read as people see them.

use png::{BitDepth, ColorType, Decoder, Encoder, Transformations};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, StatusCode};

use super::harness::{Answer, Service, data};

/// Grey pixels.
struct Pixels {
    width: usize,
    height: usize,
    grey: Vec<u8>,
}

fn line() -> Pixels {
    let file = data("line.png");
    let mut decoder = Decoder::new(std::io::Cursor::new(file));
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    let grey = bytes.into_iter().step_by(info.color_type.samples()).collect();
    Pixels { width: info.width as usize, height: info.height as usize, grey }
}

/// As a camera stores it that was held so that `orientation` shows it upright: what the standard calls row 0 and column
/// 0 is where that value puts them.
fn stored(upright: &Pixels, orientation: u8) -> Pixels {
    let Pixels { width, height, grey } = upright;
    let (right, bottom) = (width - 1, height - 1);
    let is_lying = orientation >= 5;
    let (columns, rows) = if is_lying { (*height, *width) } else { (*width, *height) };
    let at = |column: usize, row: usize| match orientation {
        1 => (column, row),
        2 => (right - column, row),
        3 => (right - column, bottom - row),
        4 => (column, bottom - row),
        5 => (row, column),
        6 => (right - row, column),
        7 => (right - row, bottom - column),
        _ => (row, bottom - column),
    };
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row)));
    let grey = places.map(|(column, row)| at(column, row)).map(|(x, y)| grey[y * width + x]).collect();
    Pixels { width: columns, height: rows, grey }
}

/// A PNG with its orientation in EXIF data.
fn png(pixels: &Pixels, orientation: u8) -> Vec<u8> {
    let mut file = Vec::new();
    let side = |length: usize| u32::try_from(length).unwrap();
    let mut encoder = Encoder::new(&mut file, side(pixels.width), side(pixels.height));
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header().unwrap();
    let entry = [1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0];
    let exif = [&b"MM\0\x2a\0\0\0\x08\0\x01"[..], &entry, &[0; 4]].concat();
    writer.write_chunk(png::chunk::ChunkType(*b"eXIf"), &exif).unwrap();
    writer.write_image_data(&pixels.grey).unwrap();
    writer.finish().unwrap();
    file
}

#[tokio::test]
async fn each_of_the_eight_orientations_is_read_upright_with_boxes_of_the_upright_image() {
    let service = Service::role("ocr-server", &["--engines=1", "--cache-mib=0"]).await;
    let upright = line();
    let mut seen = Vec::new();
    for orientation in 1..=8 {
        let file = png(&stored(&upright, orientation), orientation);
        let form = Form::new().part("file", Part::bytes(file).file_name("photo.png"));
        // With a mode the image is read as it was sent, and that is upright too.
        let path = if orientation % 2 == 0 { "/ocr?output=words" } else { "/ocr?output=words&psm=7" };
        let sent = Client::new().post(service.url("ocr-server", path)).multipart(form).send().await;
        let answer = Answer::of(sent.unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.text().trim(), "Platen 1", "orientation {orientation}");
        seen.push((orientation % 2, answer.body["words"].clone()));
    }
    for (way, words) in &seen {
        let same = seen.iter().find(|(other, _)| other == way).unwrap();
        assert_eq!(words, &same.1, "boxes differ");
    }
}
