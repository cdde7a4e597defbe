//! Nutrition labels: whatever was read from one, it is parsed, and the same way again.

pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let nutrition = ocr_service::nutrition::parse(&text);
    assert_eq!(nutrition, ocr_service::nutrition::parse(&text));
}
