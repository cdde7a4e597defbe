//! `cargo xtask bench build`: how long the image takes for one platform and for both, from an empty cache, after a change
//! of one line, and when nothing changed; and with `--emulated`, what compiling for the other platform costs under emulation.

use std::path::Path;
use std::time::Instant;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::copy;
use super::emulation::{self, Emulation};
use super::targets::{Goal, Target};
use crate::engine;
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::images::{self, BuildOptions, builder};
use crate::mirror::{self, Mirror, Supply, registry};
use crate::registry::Platform;
use crate::service::source_files;

/// Both platforms from empty caches, against one.
const BOTH_OF_ONE: f64 = 1.35;
/// Both platforms after a change of one line, in seconds on two cores.
const AFTER_A_LINE: f64 = 40.0;
/// Both platforms when nothing changed, in seconds.
const UNCHANGED: f64 = 3.0;
/// The file that gets another line.
const CHANGED: &str = "ocr-service/src/main.rs";

/// What is measured beside what always is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// A dependency of the service, compiled under emulation.
    pub emulated: bool,
}

/// What was measured, in seconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Building {
    pub one_cold: f64,
    pub both_cold: f64,
    pub after_a_line: f64,
    pub unchanged: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emulation: Option<Emulation>,
    pub targets: Vec<Target>,
}

impl Building {
    fn new(one_cold: f64, both_cold: f64, after_a_line: f64, unchanged: f64) -> Self {
        let target =
            |what: &str, unit, bound, measured| Target::new(what, unit, Goal::AtMost(bound), Some(measured));
        let targets = vec![
            target(
                "both platforms from empty caches, of one platform's time",
                "times",
                BOTH_OF_ONE,
                both_cold / one_cold,
            ),
            target("both platforms after a change of one line", "s", AFTER_A_LINE, after_a_line),
            target("both platforms when nothing changed", "s", UNCHANGED, unchanged),
        ];
        Self { one_cold, both_cold, after_a_line, unchanged, emulation: None, targets }
    }

    /// An error that names the targets that were missed.
    pub fn verdict(&self) -> Result<()> {
        let missed = super::targets::missed(&self.targets);
        if missed.is_empty() {
            return Ok(());
        }
        Err(Error::unhealthy(
            format!("missed: {}", missed.join("; ")),
            "measure again on a machine that is idle",
        ))
    }
}

/// The whole run; the builder's cache is emptied twice. The checkout is not touched: a copy of the sources is built.
pub async fn building(host: &Host, options: Options) -> Result<Building> {
    let emulated = options.emulated.then(images::emulated_platform).transpose()?;
    let ready = engine::ensure(host).await?;
    let supply = crate::up::supply(host).await?;
    let mirror = Mirror::new(host)?;
    if supply == Supply::Source {
        mirror.build(host, Some(&ready.docker), mirror::BUILD).await?;
    }
    registry::ensure(host, &ready.docker, &mirror.registry_image(supply)).await?;
    let folder = tempfile::tempdir().doing("creating a folder for the benchmark")?;
    for file in source_files(&host.root)? {
        copy(&host.root.join(&file), &folder.path().join(&file))?;
    }
    let copied = Host { root: folder.path().to_owned(), ..host.clone() };
    let both = images::platforms();
    let time = async |title: &str, platforms: &[Platform]| -> Result<f64> {
        let step = host.events.step("bench-build", title, None);
        builder::ensure(&copied, &ready.docker, &mirror, supply, &step).await?;
        let options = BuildOptions { platforms: platforms.to_vec(), ..BuildOptions::default() };
        let begun = Instant::now();
        images::build_on(&copied, &ready.docker, supply, &options, &step).await?;
        let seconds = begun.elapsed().as_secs_f64();
        step.done();
        Ok(seconds)
    };
    // What the registry has of the same sources is not built again: each has to be new to it.
    change(folder.path(), "one")?;
    images::remove(host, &ready.docker, false).await?;
    let one_cold = time("one platform from an empty cache", &[images::own_platform()]).await?;
    change(folder.path(), "both")?;
    images::remove(host, &ready.docker, false).await?;
    let both_cold = time("both platforms from an empty cache", &both).await?;
    change(folder.path(), "line")?;
    let after_a_line = time("both platforms after a change of one line", &both).await?;
    let unchanged = time("both platforms when nothing changed", &both).await?;
    let emulation = match emulated {
        Some(platform) => Some(emulation::measure(host, &ready.docker, supply, platform).await?),
        None => None,
    };
    Ok(Building { emulation, ..Building::new(one_cold, both_cold, after_a_line, unchanged) })
}

/// Adds a line that the compiler sees: a comment would be compiled away before anything is linked.
fn change(root: &Path, why: &str) -> Result<()> {
    let path = root.join(CHANGED);
    let text = std::fs::read_to_string(&path).doing(format!("reading {CHANGED}"))?;
    let name = format!("PLATEN_BENCH_{}_{}", why.to_uppercase(), std::process::id());
    std::fs::write(&path, format!("{text}\npub const {name}: &str = {:?};\n", Timestamp::now().to_string()))
        .doing(format!("changing {CHANGED}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_is_named() {
        let good = Building::new(100.0, 130.0, 39.0, 2.0);
        good.verdict().unwrap();
        let slow = Building::new(100.0, 140.0, 39.0, 4.0).verdict().unwrap_err().to_string();
        assert!(slow.contains("of one platform's time") && slow.contains("nothing changed"), "{slow}");
        assert!(!slow.contains("one line"), "{slow}");
    }
}
