//! Decoding and scaling.

use super::*;

fn write_png(path: &Path, kind: png::ColorType, (width, height): (u32, u32), data: &[u8]) {
    let mut encoder = png::Encoder::new(File::create(path).unwrap(), width, height);
    encoder.set_color(kind);
    encoder.write_header().unwrap().write_image_data(data).unwrap();
}

fn decoded(kind: png::ColorType, size: (u32, u32), data: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    write_png(&path, kind, size, data);
    decode(&path).unwrap().pixels
}

#[test]
fn colours_become_grey_and_what_is_transparent_is_white() {
    assert_eq!(decoded(png::ColorType::Grayscale, (2, 1), &[0, 200]), [0, 200]);
    assert_eq!(decoded(png::ColorType::Rgb, (1, 1), &[255, 0, 0]), [76]);
    assert_eq!(decoded(png::ColorType::Rgba, (2, 1), &[0, 0, 0, 0, 0, 0, 0, 255]), [255, 0]);
    assert_eq!(decoded(png::ColorType::GrayscaleAlpha, (1, 1), &[0, 128]), [127]);
}

#[test]
fn a_jpeg_is_read_as_grey() {
    let letter = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/letter.jpg");
    let image = decode(Path::new(letter)).unwrap();
    assert_eq!(image.pixels.len(), image.width * image.height);
    assert!(image.pixels.iter().any(|pixel| *pixel > 200));
}

#[test]
fn proportions_stay_and_the_rest_is_white() {
    let wide = Grey { width: 256, height: 64, pixels: vec![0; 256 * 64] };
    let square = fit(&wide);
    let dark = square.iter().filter(|pixel| **pixel > 0.99).count();
    assert_eq!(dark, SIDE * SIDE / 4);
    assert!(square[..SIDE].iter().all(|pixel| *pixel <= PAPER));
}

#[test]
fn a_pixel_is_the_mean_of_what_it_covers() {
    let pixels = (0..128 * 128).map(|index| if index % 2 == 0 { 0 } else { 200 }).collect();
    let square = fit(&Grey { width: 128, height: 128, pixels });
    assert!(square.iter().all(|pixel| (pixel - 155.0 / 255.0).abs() < 1e-6));
}

#[test]
fn small_and_narrow_images_are_scaled_up() {
    for (width, height) in [(1, 1), (1, 500), (3, 2)] {
        let square = fit(&Grey { width, height, pixels: vec![9; width * height] });
        assert_eq!(square.len(), PIXELS);
        assert!(square.contains(&(246.0 / 255.0)));
    }
}

#[test]
fn files_that_are_no_images_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    write_png(&folder.path().join("b.png"), png::ColorType::Grayscale, (1, 1), &[7]);
    std::fs::write(folder.path().join("a.txt"), "hello").unwrap();
    std::fs::write(folder.path().join("c.png"), b"\x89PNG\r\n\x1a\nbroken").unwrap();
    std::fs::create_dir(folder.path().join("d")).unwrap();
    assert_eq!(read(folder.path()).unwrap().nrows(), 1);
}

#[test]
fn a_folder_without_images_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "hello").unwrap();
    let error = read(folder.path()).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    let message = error.to_string();
    assert!(message.contains("no PNG or JPEG") && message.contains("1 other files"), "{message}");
}

#[test]
fn a_folder_that_is_not_there_is_unreadable() {
    assert!(matches!(read(Path::new("/nowhere")), Err(TrainError::Unreadable { .. })));
}
