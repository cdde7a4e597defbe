//! The service and the bare loop, compiled as the container image's are.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Result;
use crate::host::Host;
use crate::service::{cargo_build, executable};

/// Compiled programs.
#[derive(Debug, Clone)]
pub struct Built {
    pub service: PathBuf,
    pub bare: PathBuf,
}

/// What is measured is what is shipped: the profile of the container image. Cargo does nothing where nothing changed.
pub async fn build(host: &Host) -> Result<Built> {
    let title = "compiling the service and the bare loop as for the image";
    let step = host.events.step("compile", title, Some(Duration::from_mins(3)));
    let wanted =
        ["--package", "ocr-service", "--profile", "image", "--bin", "ocr-service", "--example", "bare"];
    let messages = cargo_build(host, &wanted, &step).await?;
    let built =
        Built { service: executable(&messages, "ocr-service")?, bare: executable(&messages, "bare")? };
    step.done();
    Ok(built)
}
