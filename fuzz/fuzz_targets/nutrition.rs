//! Nutrition labels: whatever was read from one, it is parsed, and the same way again.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let nutrition = ocr_service::nutrition::parse(text);
    assert_eq!(nutrition, ocr_service::nutrition::parse(text));
});
