//! The frontend's page in a real browser. Needs chromium and fonts-nanum, which `cargo xtask test` installs; left out
//! of a plain `cargo test`.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report, in its helpers too")]

mod chromium;
mod compare;
mod looks;
mod page;
mod use_of_it;

#[path = "../service/harness.rs"]
#[expect(dead_code, reason = "the tests of the service use the rest of it")]
mod harness;
