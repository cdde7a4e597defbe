//! `cargo xtask bench crowd`: whether the service stays right, small and exact when everybody comes at once.
//!
//! Real processes, gateway and model, in four parts: texts of many images at once against those of one after the other;
//! memory over thousands of requests; which of too many requests is refused, and how soon; engines that crash.

mod admission;
mod crashes;
mod growth;
mod pictures;
mod targets;
mod texts;

use std::path::Path;
use std::time::Duration;

use reqwest::Client;
use serde::Serialize;

pub use self::admission::Admission;
pub use self::crashes::Crashes;
pub use self::growth::Growth;
use self::pictures::Pictures;
pub use self::texts::Texts;
use super::binaries::{self, Built};
use super::peers::{Server, platen};
use super::plan::Plan;
use super::report::verdict;
use super::running::{Running, free_ports};
use super::targets::{self as goals, Target};
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::load;
use crate::service;
use crate::tools;

/// Longer than a whole crowd takes: who waits is not failed by its own impatience.
const PATIENCE: Duration = Duration::from_mins(10);
/// Images a second through one engine, seen once; only for forecasts.
const RATE: u64 = 20;

/// How large each part is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Images that are sent at once.
    pub images: usize,
    /// Requests over which memory is watched.
    pub requests: usize,
    /// How often one request too many is sent.
    pub rounds: usize,
    /// Engines that are made to crash under load.
    pub crashes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { images: 2000, requests: 5000, rounds: 50, crashes: 5 }
    }
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub cores: usize,
    pub texts: Texts,
    pub memory: Growth,
    pub admission: Admission,
    pub crashes: Crashes,
    pub targets: Vec<Target>,
}

/// What would be compiled, started and measured, and about how long it takes. Changes nothing.
pub async fn plan(host: &Host, options: &Options) -> Result<Plan> {
    let missing = tools::missing_packages(host, &service::PACKAGES).await?;
    Ok(planned(options, &missing))
}

fn planned(options: &Options, missing: &[String]) -> Plan {
    let packages = (!missing.is_empty()).then(|| format!("install Debian packages: {}", missing.join(" ")));
    let compile = "compile the service with the image's profile, where sources changed".to_owned();
    let Options { images, requests, rounds, crashes } = options;
    let sent = images + requests + pictures::DIFFERENT;
    Plan {
        prepare: packages.into_iter().chain([compile]).collect(),
        measure: vec![
            format!("texts: {images} images at once against the same one after the other"),
            format!("memory: {requests} requests"),
            format!("admission: {rounds} times one request too many, and health meanwhile"),
            format!("crashes: {crashes} engines ended by a signal under load"),
        ],
        expected: Duration::from_secs(sent as u64 / RATE + *rounds as u64 + 3 * *crashes as u64 + 10),
    }
}

/// The whole run.
pub async fn crowd(host: &Host, options: &Options) -> Result<Report> {
    for line in planned(options, &tools::missing_packages(host, &service::PACKAGES).await?).prepare {
        host.events.note(line);
    }
    tools::ensure_packages(host, &service::PACKAGES, "the benchmark").await?;
    let built = binaries::build(host).await?;
    let folder = tempfile::tempdir().doing("creating a folder for the benchmark")?;
    let crowd = Crowd {
        host,
        built: &built,
        folder: folder.path(),
        client: load::client(PATIENCE)?,
        pictures: Pictures::new()?,
        engines: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    };
    let texts = texts::measure(&crowd, options.images).await?;
    let memory = growth::measure(&crowd, options.requests).await?;
    let admission = admission::measure(&crowd, options.rounds).await?;
    let crashes = crashes::measure(&crowd, options.crashes).await?;
    let mut report = Report { cores: crowd.engines, texts, memory, admission, crashes, targets: Vec::new() };
    report.targets = targets::judged(&report);
    Ok(report)
}

impl Report {
    /// An error that names what was missed.
    pub fn verdict(&self) -> Result<()> {
        let missed = goals::missed(&self.targets).into_iter().map(|what| format!("missed: {what}"));
        verdict(missed, "cargo xtask bench crowd --requests 10000")
    }
}

/// What the parts have in common.
struct Crowd<'a> {
    host: &'a Host,
    built: &'a Built,
    folder: &'a Path,
    client: Client,
    pictures: Pictures,
    engines: usize,
}

impl Crowd<'_> {
    /// Gateway and model, each image read anew, with so many places behind the engines.
    async fn start(&self, name: &str, places: usize) -> Result<Running> {
        let [mut model, gateway] = platen(&self.built.service, free_ports()?);
        model.cmd = model
            .cmd
            .args(["--engines", &self.engines.to_string(), "--queue", &places.to_string()])
            .args(["--cache-mib", "0"]);
        let patient = |server: Server| Server { cmd: server.cmd.args(["--deadline", "10m"]), ..server };
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).doing(format!("creating {}", folder.display()))?;
        Running::of([model, gateway].map(patient), &self.client, &folder).await
    }

    fn step(&self, name: &'static str, title: String, expected: Duration) -> crate::event::Step {
        self.host.events.step(name, title, Some(expected))
    }
}

/// An address of a running server.
fn address(url: Option<String>) -> Result<reqwest::Url> {
    let text = url.unwrap_or_default();
    text.parse().map_err(|error| Error::malformed(format!("the address {text:?}"), error, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_says_what_is_sent_and_about_how_long_it_takes() {
        let plan = planned(&Options::default(), &[]);
        let said = plan.measure.join("\n");
        assert!(said.contains("2000 images at once") && said.contains("5000 requests"), "{said}");
        assert!((200..=900).contains(&plan.expected.as_secs()), "{:?}", plan.expected);
        assert_eq!(plan.prepare.len(), 1);
    }
}
