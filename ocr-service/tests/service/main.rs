//! The real binary with the real Tesseract, asked over HTTP on free ports of loopback.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report, in its helpers too")]

mod crowd;
mod engines;
mod experiments;
mod harness;
mod nutrition;
mod ocr;
mod openapi;
mod orientation;
mod process;
mod protocol;
mod reply;
mod spread;
