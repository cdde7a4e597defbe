//! See the property itself, which the service's tests drive too.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../ocr-service/tests/fuzz/v2_body.rs"]
mod v2_body;

fuzz_target!(|data: &[u8]| v2_body::run(data));
