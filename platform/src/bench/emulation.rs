//! What emulation costs: one dependency of the service with all below it, compiled natively and for the other platform
//! under qemu, by the same steps. Only the compiling counts; its compiler and its sources are there by then.

use std::path::Path;
use std::time::Duration;

use bollard::Docker;
use serde::Serialize;

use super::copy;
use crate::error::{Doing, Result};
use crate::host::Host;
use crate::images;
use crate::mirror::Supply;
use crate::registry::Platform;

/// Libraries and macros, all of it Rust: 48 s of processor time natively.
const DEPENDENCY: &str = "axum";
const DOCKERFILE: &str = include_str!("../../stack/bench/emulated.Dockerfile");
/// The stage of it that is timed.
const STAGE: &str = "compile";
/// What it takes from the checkout.
const TAKEN: [&str; 3] = ["Cargo.toml", "Cargo.lock", "ocr-service/image/cargo.sh"];
/// With the compiler's installation, on two cores; for the forecast only.
const NATIVE: Duration = Duration::from_mins(2);
/// As [`NATIVE`], with the base image.
const EMULATED: Duration = Duration::from_mins(25);

/// What was measured, in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Emulation {
    /// The one that was emulated.
    pub platform: Platform,
    /// The crate that was compiled, with all that it depends on.
    pub dependency: &'static str,
    pub native: f64,
    pub emulated: f64,
    /// How many times as long as natively.
    pub times: f64,
}

/// Both, one after the other. `platform` has to be emulated here.
pub async fn measure(host: &Host, docker: &Docker, supply: Supply, platform: Platform) -> Result<Emulation> {
    let folder = tempfile::tempdir().doing("creating a folder for the benchmark")?;
    lay_out(&host.root, folder.path())?;
    let copied = Host { root: folder.path().to_owned(), ..host.clone() };
    let time = async |how: &str, platform: &Platform, expected: Duration| -> Result<f64> {
        let minutes = expected.as_secs() / 60;
        let title = format!("{DEPENDENCY} for {platform} {how}, about {minutes} min with its compiler");
        let step = host.events.step("bench-build", title, Some(expected));
        let seconds = images::stage_seconds(&copied, docker, supply, platform, STAGE, &step).await?;
        step.done();
        Ok(seconds)
    };
    let native = time("natively", &images::own_platform(), NATIVE).await?;
    let emulated = time("under emulation", &platform, EMULATED).await?;
    Ok(Emulation { platform, dependency: DEPENDENCY, native, emulated, times: emulated / native })
}

/// The benchmark's own Dockerfile, and the service with one dependency. It keeps its name: so Cargo only drops what the
/// lock file no longer needs.
fn lay_out(checkout: &Path, folder: &Path) -> Result<()> {
    for file in TAKEN {
        copy(&checkout.join(file), &folder.join(file))?;
    }
    let manifest = format!(
        "[package]\nname = \"ocr-service\"\nversion.workspace = true\nedition.workspace = true\n\n[dependencies]\n\
         {DEPENDENCY}.workspace = true\n"
    );
    for (file, text) in [("Dockerfile", DOCKERFILE), ("Cargo.toml", &manifest)] {
        std::fs::write(folder.join("ocr-service").join(file), text).doing(format!("writing {file}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compiled_is_a_dependency_of_the_service_in_a_stage_of_its_own() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let folder = tempfile::tempdir().unwrap();
        lay_out(root, folder.path()).unwrap();
        let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap();
        let dependency = format!("\n{DEPENDENCY}.workspace = true\n");
        assert!(read(root.join("ocr-service/Cargo.toml")).contains(&dependency));
        let manifest = read(folder.path().join("ocr-service/Cargo.toml"));
        assert!(manifest.contains(&dependency), "{manifest}");
        manifest.parse::<toml::Table>().unwrap();
        let dockerfile = read(folder.path().join("ocr-service/Dockerfile"));
        assert_eq!(dockerfile.matches(&format!(" AS {STAGE}\n")).count(), 1);
        for argument in ["ARG BASE=", "ARG BEGUN\n"] {
            assert!(dockerfile.contains(argument), "{argument}");
        }
    }
}
