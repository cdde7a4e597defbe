//! See the property itself, which the service's tests drive too.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../ocr-service/tests/fuzz/image_header.rs"]
mod image_header;

fuzz_target!(|data: &[u8]| image_header::run(data));
