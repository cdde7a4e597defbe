//! Helm through its command line: typed calls, JSON answers, failures told apart by their cause.

mod failure;
mod fault;
mod history;
mod inputs;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Doing, Error, Result};
use crate::event::Events;
use crate::host::Host;
use crate::lock;
use crate::process::{Cmd, Processes};
pub use failure::Failure;
pub use fault::Fault;
pub use history::{Revision, Status, before};
pub use inputs::InputsHash;

/// Queries of the cluster that should answer at once.
const QUERY_DEADLINE: Duration = Duration::from_mins(1);
/// Over helm's own time-out, so that helm can say what it waited for before it is killed.
const GRACE: Duration = Duration::from_secs(30);
/// Revisions that helm keeps of a release, and that are looked at.
const HISTORY: &str = "10";

/// What to do about a chart that is broken.
pub(crate) const CORRECT_THE_CHART: &str =
    "correct the chart where it says; cargo xtask test --only chart checks it";

/// A release by name and the namespace that its record lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub name: String,
    pub namespace: String,
}

impl Release {
    pub fn new(name: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self { name: name.into(), namespace: namespace.into() }
    }
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "release {} in namespace {}", self.name, self.namespace)
    }
}

/// Where a chart is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chart {
    /// A folder or a packaged chart on this machine.
    Path(PathBuf),
    /// A chart in a registry: `oci://host/path` at one version.
    Oci { url: String, version: String },
}

impl Chart {
    fn args(&self) -> Vec<String> {
        match self {
            Self::Path(path) => vec![path.display().to_string()],
            Self::Oci { url, version } => vec![url.clone(), "--version".into(), version.clone()],
        }
    }
}

/// What a release is to be.
#[derive(Debug, Clone)]
pub struct Upgrade {
    pub release: Release,
    pub chart: Chart,
    /// Laid over the chart's own values.
    pub values: serde_json::Value,
    /// How long helm may take, with all hooks.
    pub timeout: Duration,
    /// Apply it also where the release is current by its record: its objects were changed behind helm's back.
    pub restore: bool,
    /// Objects that are there and belong to no release, or that somebody else writes, become this one's.
    pub adopt: bool,
}

/// What [`Helm::upgrade_install`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The release already was what was asked for.
    Unchanged { revision: u32 },
    /// Installed or upgraded: the cluster has taken all its objects.
    Changed { revision: u32 },
}

/// The driver. Calls that change a release must not run at the same time for the same release.
#[derive(Clone)]
pub struct Helm {
    processes: Processes,
    program: PathBuf,
    /// The cluster that helm talks to, by the user's own kubeconfig. Always named: never the context that happens to be
    /// current. None for what needs no cluster.
    context: Option<String>,
    /// Held by a helm that changes a release, which is never cut off.
    lock: Option<PathBuf>,
    events: Events,
}

impl Helm {
    /// For the cluster of this context. One helm at a time changes a profile's releases.
    pub fn of_cluster(host: &Host, program: PathBuf, context: &str) -> Self {
        let lock = host.state_dir().join("locks").join(format!("{}.helm", host.config.cluster.profile));
        Self {
            processes: host.processes.clone(),
            program,
            context: Some(context.to_owned()),
            lock: Some(lock),
            events: host.events.clone(),
        }
    }

    /// For what needs no cluster: template, lint, package.
    pub fn offline(processes: Processes, program: impl Into<PathBuf>) -> Self {
        Self { processes, program: program.into(), context: None, lock: None, events: Events::silent() }
    }

    /// Makes the release what `upgrade` says; whether its objects become ready is for the caller to see. A release that
    /// already is so is left alone; a helm that an interrupted run left at work is waited for, and what one that was
    /// killed left half-way is mended first.
    pub async fn upgrade_install(&self, upgrade: &Upgrade) -> Result<Applied> {
        self.wait_for_another(upgrade.timeout).await?;
        let inputs = InputsHash::of(&upgrade.chart, &upgrade.values)?;
        if let Some(current) = self.status(&upgrade.release).await? {
            if !(upgrade.restore || upgrade.adopt)
                && current.status == Status::Deployed
                && inputs.describes(&current.description)
            {
                return Ok(Applied::Unchanged { revision: current.revision });
            }
            // A mended install is a removed one; objects that are to be adopted serve already.
            let serves = upgrade.adopt && current.status.half_there();
            if current.status.interrupted() && !serves {
                self.mend(&upgrade.release, current.status).await?;
            }
        }
        let revision = match self.apply(upgrade, &inputs).await {
            // Helm makes a chart's definitions and goes on before the API server serves them; now they are there.
            Err(Error::Process(error)) if Failure::of(&error) == Failure::UnknownKind => {
                self.apply(upgrade, &inputs).await?
            }
            applied => applied?,
        };
        Ok(Applied::Changed { revision })
    }

    /// Whether [`Helm::upgrade_install`] would change anything.
    pub async fn is_current(&self, upgrade: &Upgrade) -> Result<bool> {
        let inputs = InputsHash::of(&upgrade.chart, &upgrade.values)?;
        let current = self.status(&upgrade.release).await?;
        Ok(current.is_some_and(|it| it.status == Status::Deployed && inputs.describes(&it.description)))
    }

    /// As [`Helm::history`], once a helm that an interrupted run left at work has ended.
    pub async fn settled_history(&self, release: &Release, within: Duration) -> Result<Vec<Revision>> {
        self.wait_for_another(within).await?;
        self.history(release).await
    }

    /// The newest revision; `None` where the release does not exist.
    pub async fn status(&self, release: &Release) -> Result<Option<Revision>> {
        Ok(self.history(release).await?.pop())
    }

    /// The revisions that helm still has, oldest first; none where the release does not exist.
    pub async fn history(&self, release: &Release) -> Result<Vec<Revision>> {
        let cmd = self
            .cmd(&["history", &release.name])
            .args(["--namespace", &release.namespace, "--max", HISTORY, "--output", "json"])
            .deadline(QUERY_DEADLINE);
        match self.processes.run(&cmd).await {
            Ok(output) => {
                let mut revisions: Vec<Revision> = json(&output.stdout, "helm history's answer")?;
                revisions.sort_by_key(|revision| revision.revision);
                Ok(revisions)
            }
            Err(error) if Failure::of(&error) == Failure::NotFound => Ok(Vec::new()),
            Err(error) => Err(failure::explained(error, release)),
        }
    }

    /// What the newest revision was given over the chart's own values; null where that is nothing.
    pub async fn values(&self, release: &Release) -> Result<serde_json::Value> {
        let cmd = self
            .cmd(&["get", "values", &release.name])
            .args(["--namespace", &release.namespace, "--output", "json"])
            .deadline(QUERY_DEADLINE);
        let output = self.processes.run(&cmd).await.map_err(|error| failure::explained(error, release))?;
        json(&output.stdout, "helm get values' answer")
    }

    /// The manifests that a revision was made of.
    pub async fn manifest(&self, release: &Release, revision: u32) -> Result<String> {
        let cmd = self
            .cmd(&["get", "manifest", &release.name])
            .args(["--namespace", &release.namespace, "--revision", &revision.to_string()])
            .deadline(QUERY_DEADLINE);
        let output = self.processes.run(&cmd).await.map_err(|error| failure::explained(error, release))?;
        Ok(output.stdout_text())
    }

    /// Removes the release and waits until its objects are gone; `false` where there was none.
    pub async fn uninstall(&self, release: &Release, timeout: Duration) -> Result<bool> {
        let cmd = self.cmd(&["uninstall", &release.name]).args(["--namespace", &release.namespace, "--wait"]);
        let cmd = self.changing(cmd, timeout);
        match self.processes.run(&cmd).await {
            Ok(_) => Ok(true),
            Err(error) if Failure::of(&error) == Failure::NotFound => Ok(false),
            Err(error) => Err(failure::explained(error, release)),
        }
    }

    /// The manifests as YAML, rendered without a cluster.
    pub async fn template(
        &self,
        release: &Release,
        chart: &Chart,
        values: &serde_json::Value,
    ) -> Result<String> {
        let cmd = self
            .cmd(&["template", &release.name])
            .args(chart.args())
            .args(["--namespace", &release.namespace, "--values", "-"])
            .stdin(values.to_string());
        let output = self.processes.run(&cmd).await.map_err(|error| failure::explained(error, release))?;
        Ok(output.stdout_text())
    }

    /// Refuses a chart with errors or warnings.
    pub async fn lint(&self, chart: &Path) -> Result<()> {
        let cmd = self.cmd(&["lint", "--strict", "--quiet"]).arg(chart);
        self.processes.run(&cmd).await?;
        Ok(())
    }

    /// Packs the chart into `to` at `version` and returns the file.
    pub async fn package(&self, chart: &Path, to: &Path, version: &str) -> Result<PathBuf> {
        let cmd = self.cmd(&["package"]).arg(chart).args(["--version", version, "--destination"]).arg(to);
        let said = self.processes.run(&cmd).await?.stdout_text();
        said.lines()
            .find_map(|line| line.split_once("saved it to: "))
            .map(|(_, path)| path.trim().into())
            .ok_or_else(|| {
                Error::malformed("helm package's answer", said.clone(), "look which helm it is: helm version")
            })
    }

    async fn wait_for_another(&self, within: Duration) -> Result<()> {
        let Some(lock) = &self.lock else { return Ok(()) };
        let tell = || self.events.note("another run's helm is still at work: waiting for it");
        let held = tokio::time::timeout(within + GRACE, lock::wait_for(lock, tell)).await;
        let held = held.map_err(|_| {
            let hint = format!("find it and see what it waits for: lsof {}", lock.display());
            Error::timed_out("another run's helm to end", within + GRACE, hint)
        })?;
        held.map(drop).doing(format!("locking {}", lock.display()))
    }

    /// Brings a release that an interrupted helm left pending to a state that can be upgraded.
    async fn mend(&self, release: &Release, status: Status) -> Result<()> {
        if status.half_there() {
            self.uninstall(release, QUERY_DEADLINE).await?;
        } else {
            let cmd = self.cmd(&["rollback", &release.name]).args(["--namespace", &release.namespace]);
            self.run_rollback(cmd, release, QUERY_DEADLINE).await?;
        }
        Ok(())
    }

    /// Makes the release again what it was at a revision; whether its objects become ready is for the caller to see. What
    /// others wrote into them meanwhile gives way.
    pub async fn roll_back(&self, release: &Release, revision: u32, timeout: Duration) -> Result<()> {
        let cmd = self.cmd(&["rollback", &release.name, &revision.to_string()]).args([
            "--namespace",
            &release.namespace,
            "--force-conflicts",
        ]);
        self.run_rollback(cmd, release, timeout).await
    }

    async fn run_rollback(&self, cmd: Cmd, release: &Release, timeout: Duration) -> Result<()> {
        let rolled_back = self.processes.run(&self.changing(cmd, timeout)).await;
        rolled_back.map(drop).map_err(|error| failure::explained(error, release))
    }

    /// A helm that changes a release is not cut off by the end of this run: half of its objects would be changed.
    fn changing(&self, cmd: Cmd, timeout: Duration) -> Cmd {
        let cmd = cmd.args(["--timeout", &seconds(timeout)]).deadline(timeout + GRACE);
        match &self.lock {
            Some(lock) => cmd.finishes(lock),
            None => cmd,
        }
    }

    async fn apply(&self, upgrade: &Upgrade, inputs: &InputsHash) -> Result<u32> {
        #[derive(Deserialize)]
        struct Answer {
            version: u32,
        }
        // On stdin, so that nothing secret in the values stands in the argv that every user of the machine can read.
        let cmd = self.cmd(&["upgrade", &upgrade.release.name]).args(upgrade.chart.args()).args([
            "--namespace",
            &upgrade.release.namespace,
            "--install",
            "--reset-values",
            "--values",
            "-",
        ]);
        let cmd = self
            .changing(cmd, upgrade.timeout)
            .args(["--history-max", HISTORY, "--description", &inputs.to_string(), "--output", "json"])
            .args((upgrade.restore || upgrade.adopt).then_some("--force-conflicts"))
            .args(upgrade.adopt.then_some("--take-ownership"))
            .stdin(upgrade.values.to_string());
        let run = self.processes.run(&cmd).await;
        let output = run.map_err(|error| match Failure::of(&error) {
            Failure::TimedOut => Error::timed_out(
                format!("helm to apply {}", upgrade.release),
                upgrade.timeout,
                format!(
                    "look at what is not ready: kubectl get pods --namespace {}",
                    upgrade.release.namespace
                ),
            ),
            _ => failure::explained(error, &upgrade.release),
        })?;
        json(&output.stdout, "helm upgrade's answer").map(|answer: Answer| answer.version)
    }

    fn cmd(&self, args: &[&str]) -> Cmd {
        let mut cmd = Cmd::new(&self.program).args(args);
        if let Some(context) = &self.context {
            cmd = cmd.args(["--kube-context", context]);
        }
        cmd
    }
}

fn seconds(duration: Duration) -> String {
    format!("{}s", duration.as_secs())
}

fn json<T: serde::de::DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::malformed(what, error, "look which helm it is: helm version"))
}
