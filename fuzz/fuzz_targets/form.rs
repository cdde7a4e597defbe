//! See the property itself, which the service's tests drive too.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../ocr-service/tests/fuzz/form.rs"]
mod form;

fuzz_target!(|data: &[u8]| form::run(data));
