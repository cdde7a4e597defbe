//! What must hold of this project before a change is good: each check runs, whatever became of the others.

mod browser;
mod cargo;
mod chart;
mod clients;
mod dashboards;
mod deny;
mod scripts;

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::{manifests, service, tools};

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Form of sources, scripts and manifests.
    Style,
    /// The chart, rendered and looked at.
    Chart,
    /// Dependencies: licences, sources, advisories.
    Supply,
    /// Lints and tests of the code.
    Code,
    /// The whole on the embedded provider.
    EndToEnd,
    /// The whole on a real cluster.
    Cluster,
}

/// Ends well with what was seen, in a few words for the table.
pub type Run = for<'a> fn(&'a Host, &'a Step) -> BoxFuture<'a, Result<String>>;

/// One check.
#[derive(Clone, Copy)]
pub struct Check {
    /// One word, by which it is chosen and its log is named.
    pub name: &'static str,
    pub title: &'static str,
    pub group: Group,
    /// A forecast for two cores and empty caches.
    pub expected: Duration,
    pub run: Run,
}

impl Check {
    pub const fn new(
        name: &'static str,
        title: &'static str,
        group: Group,
        expected_s: u64,
        run: Run,
    ) -> Self {
        Self { name, title, group, expected: Duration::from_secs(expected_s), run }
    }
}

/// The checks that need neither a cluster nor a running service, the quick ones first: what they find is found
/// before the long ones have compiled. Clippy compiles nothing to machine code, so it comes before the tests.
pub const STATIC: &[Check] = &[
    Check::new("format", "rustfmt leaves every source as it is", Group::Style, 2, |host, _| {
        Box::pin(cargo::format(host))
    }),
    Check::new("render", "committed manifests are what the templates give", Group::Style, 1, |host, _| {
        Box::pin(std::future::ready(render(host)))
    }),
    Check::new("shellcheck", "scripts pass shellcheck", Group::Style, 2, |host, _| {
        Box::pin(scripts::shellcheck(host))
    }),
    Check::new(
        "chart",
        "the chart lints, renders, is strict and fits Pod Security restricted",
        Group::Chart,
        10,
        |host, step| Box::pin(chart::check(host, step)),
    ),
    Check::new(
        "dashboards",
        "dashboards keep dashboard-linter's rules, alerts pass promtool's tests",
        Group::Chart,
        15,
        |host, _| Box::pin(dashboards::check(host)),
    ),
    Check::new(
        "deny",
        "licences, bans, sources and advisories of the dependencies",
        Group::Supply,
        10,
        |host, _| Box::pin(deny::check(host)),
    ),
    Check::new("clippy", "clippy has nothing to say", Group::Code, 120, |host, step| {
        Box::pin(cargo::clippy(host, step))
    }),
    Check::new("tests", "unit and integration tests", Group::Code, 180, |host, step| {
        Box::pin(cargo::test(host, step))
    }),
    Check::new("fuzz", "the fuzz targets compile", Group::Code, 120, |host, step| {
        Box::pin(cargo::fuzz(host, step))
    }),
];

pub use clients::PACKAGES as CLIENTS_PACKAGES;

const CLIENTS: Check = Check::new(
    "clients",
    "the protocol's official Python clients against a model",
    Group::EndToEnd,
    60,
    |host, step| Box::pin(clients::check(host, step)),
);

const EMBEDDED: Check =
    Check::new("embedded", "end to end on the embedded provider", Group::EndToEnd, 150, |host, step| {
        Box::pin(embedded(host, step))
    });

const BROWSER: Check = Check::new(
    "browser",
    "the page and the drawn dashboards in a real browser",
    Group::EndToEnd,
    120,
    |host, step| Box::pin(browser::check(host, step)),
);

const CLUSTER: Check =
    Check::new("cluster", "end to end on a real Kubernetes cluster", Group::Cluster, 2400, |host, step| {
        Box::pin(cargo::end_to_end(host, step, "cluster", Duration::from_mins(75)))
    });

/// The live view is looked at in a terminal that tmux draws.
async fn embedded(host: &Host, step: &Step) -> Result<String> {
    tools::ensure_packages(host, &["tmux"], "the tests of the live view").await?;
    cargo::end_to_end(host, step, "embedded", Duration::from_mins(15)).await
}

/// What `cargo xtask test` runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Leave out what is end to end.
    pub quick: bool,
    /// Add what needs a real cluster.
    pub cluster: bool,
}

/// The checks of this extent, in the order in which they run.
pub fn list(extent: Extent) -> Vec<Check> {
    let mut checks = STATIC.to_vec();
    if !extent.quick {
        checks.extend([CLIENTS, EMBEDDED, BROWSER]);
    }
    if extent.cluster {
        checks.push(CLUSTER);
    }
    checks
}

/// How a check ended.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub name: &'static str,
    pub title: &'static str,
    pub group: Group,
    pub passed: bool,
    /// What was seen, or why it failed.
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    pub seconds: f64,
}

/// All of them.
#[derive(Debug, Serialize)]
pub struct Report {
    pub outcomes: Vec<Outcome>,
    pub seconds: f64,
}

impl Report {
    pub fn failed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| !outcome.passed).count()
    }

    pub fn passed(&self) -> usize {
        self.outcomes.len() - self.failed()
    }

    /// The last line.
    pub fn summary(&self) -> String {
        format!("{} passed, {} failed", self.passed(), self.failed())
    }

    /// An error where a check failed.
    pub fn verdict(&self) -> Result<()> {
        let failed: Vec<_> = self.outcomes.iter().filter(|it| !it.passed).map(|it| it.name).collect();
        match failed.first() {
            None => Ok(()),
            Some(first) => {
                let asked_for = if *first == CLUSTER.name { "--cluster " } else { "" };
                Err(Error::unhealthy(
                    format!("{}: {}", self.summary(), failed.join(", ")),
                    format!("run it alone: cargo xtask test {asked_for}--only {first}"),
                ))
            }
        }
    }
}

/// Those of `checks` that are named; a name that there is not is a usage error. No names: all.
pub fn choose(checks: &[Check], names: &[String]) -> Result<Vec<Check>> {
    if let Some(unknown) = names.iter().find(|name| !checks.iter().any(|check| check.name == name.as_str())) {
        let known: Vec<_> = checks.iter().map(|check| check.name).collect();
        return Err(Error::usage(
            format!("there is no check called {unknown:?}"),
            format!("the checks are {}", known.join(", ")),
        ));
    }
    let wanted = |check: &&Check| names.is_empty() || names.iter().any(|name| name == check.name);
    Ok(checks.iter().filter(wanted).copied().collect())
}

/// Installs what the code needs to compile, then runs every check, one after the other.
pub async fn run(host: &Host, checks: &[Check]) -> Result<Report> {
    let begun = Instant::now();
    if checks.iter().any(|check| matches!(check.group, Group::Code | Group::EndToEnd | Group::Cluster)) {
        tools::ensure_packages(host, &service::PACKAGES, "compiling the OCR service").await?;
    }
    let mut outcomes = Vec::new();
    for check in checks {
        outcomes.push(run_one(host, check).await);
    }
    Ok(Report { outcomes, seconds: rounded(begun.elapsed()) })
}

async fn run_one(host: &Host, check: &Check) -> Outcome {
    let begun = Instant::now();
    let step = host.events.step(check.name, check.title, Some(check.expected));
    let result = (check.run)(host, &step).await;
    let (passed, detail, hint) = match result {
        Ok(seen) => {
            step.done();
            (true, seen, None)
        }
        Err(error) => {
            drop(step);
            (false, error.to_string(), error.hint())
        }
    };
    let seconds = rounded(begun.elapsed());
    Outcome { name: check.name, title: check.title, group: check.group, passed, detail, hint, seconds }
}

fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

fn render(host: &Host) -> Result<String> {
    let params = manifests::Params::default();
    let mut drifts = manifests::check(&host.root.join(manifests::DIR), &params)?;
    drifts.extend(manifests::chart_readme::check(&host.root)?);
    if drifts.is_empty() {
        return Ok(format!("{} files", manifests::files(&params)?.len() + 1));
    }
    let list: Vec<_> = drifts.iter().map(ToString::to_string).collect();
    Err(Error::unhealthy(list.join("\n"), "run: cargo xtask render"))
}

#[cfg(test)]
mod tests;
