//! `cargo xtask bench`. Here `ocr`: the service measured against what it replaces and against the bare library, in one run, on
//! the same images. Peers are started one after the other, each by turns with the bare library.

pub mod accuracy;
mod bare;
mod binaries;
pub mod building;
mod cpu;
pub mod crowd;
pub mod emulation;
pub mod faults;
mod hop;
mod judge;
pub mod loadgen;
mod measure;
mod memory;
mod peers;
mod picture;
mod plan;
pub mod report;
mod running;
mod targets;
mod traces;

pub use peers::{PEERS, Peer};
pub use picture::Picture;
pub use plan::{Options, Plan};
pub use report::{Cell, Hop, Open, Report};
pub use targets::{Goal, Target};

use std::path::Path;

use crate::error::{Doing, Result};
use crate::event::Events;
use crate::host::Host;
use crate::tools::{self, PythonEnvironment};
use plan::Missing;

/// A machine whose own speed changes by more during a run is not idle.
const TRUSTED_DRIFT: f64 = 0.05;

/// A file of the checkout into a copy of it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let doing = || format!("copying {}", from.display());
    std::fs::create_dir_all(to.parent().unwrap_or(to)).doing(doing())?;
    std::fs::copy(from, to).map(drop).doing(doing())
}

/// What would be installed, started and measured, and about how long it takes. Changes nothing.
pub async fn plan(host: &Host, options: &Options) -> Result<Plan> {
    Ok(plan::plan(options, &missing(host, options).await?))
}

/// The whole run.
pub async fn ocr(host: &Host, options: &Options) -> Result<Report> {
    let planned = plan(host, options).await?;
    for line in &planned.prepare {
        host.events.note(line);
    }
    host.events.note(format!("measuring takes about {} s", planned.expected.as_secs()));
    let programs = prepare(host, options).await?;
    let folder = tempfile::tempdir().doing("creating a folder for the benchmark")?;
    let bench = measure::Bench::new(host, options, &programs, folder.path())?;
    let mut report = Report::new(options);
    bench.run(&mut report).await?;
    report.drift = report.drifts();
    for drift in report.drift.iter().filter(|drift| drift.change() > TRUSTED_DRIFT) {
        host.events.warn(format!(
            "the machine was not idle: the bare library was between {:.1} and {:.1} images a second with the {}",
            drift.slowest, drift.fastest, drift.image
        ));
    }
    report.targets = targets::judged(&report);
    Ok(report)
}

/// What the machine lacks for these peers.
async fn missing(host: &Host, options: &Options) -> Result<Missing> {
    let wanted = peers::packages(options.peers());
    Ok(Missing {
        packages: tools::missing_packages(host, &wanted).await?,
        python: options.peers().any(Peer::is_python)
            && !PythonEnvironment::of(&host.cache, PEERS).is_complete(),
    })
}

/// Installs and builds what is missing, each with a line that says so.
async fn prepare(host: &Host, options: &Options) -> Result<peers::Programs> {
    let wanted = peers::packages(options.peers());
    tools::ensure_packages(host, &wanted, "the benchmark").await?;
    let built = binaries::build(host).await?;
    let needed = options.peers().any(Peer::is_python);
    let python = if needed { Some(tools::ensure_python(host, PEERS).await?) } else { None };
    Ok(peers::Programs { built, python })
}

/// A step of the run, with its forecast.
fn step(events: &Events, peer: Peer, what: &str, expected: std::time::Duration) -> crate::event::Step {
    events.step(peer.name(), format!("{}: {what}", peer.title()), Some(expected))
}
