//! What Git says of this checkout: where its chart is published, and whether what is published is what lies here.

use std::time::Duration;

use super::CHART;
use super::remote::{Protocol, Remote, TOKEN};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::process::{Cmd, ProcessError};

/// None of these questions leaves the machine.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// One that does, and that is asked only to save a longer wait.
const REMOTE_ANSWERS_WITHIN: Duration = Duration::from_secs(5);
const INSTEAD: &str = "or deploy what lies here by the registry: cargo xtask deploy --source registry";

/// A checkout whose chart stands at its remote as it is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    pub remote: Remote,
    pub branch: String,
    /// The chart's folder in the repository.
    pub path: String,
    /// What Git calls the content of the chart's folder.
    pub chart: String,
    /// How many commits here are not at the remote; none of them changes the chart.
    pub unpushed: usize,
}

/// `None` where there is no repository or no remote. What lies here and not there is refused, with what to do; so is a
/// remote that no cluster can ask. Asks no other machine: what is there is as of the last fetch or push.
pub async fn observe(host: &Host) -> Result<Option<Checkout>> {
    let Some(prefix) = prefix(host).await? else { return Ok(None) };
    let (current, upstream) = followed(host).await?;
    let Some(remote) = remote_of(host, upstream.as_ref()).await? else { return Ok(None) };
    if remote.protocol == Protocol::ThisMachine {
        return Err(Error::usage(
            format!("the Git repository {} is on this machine: no pod of a cluster reaches it", remote.url),
            format!("name one that pods reach, in platen.toml: [gitops] repository = \"URL\"; {INSTEAD}"),
        ));
    }
    let there = There::of(host, &remote, current.as_deref(), upstream).await?;
    is_committed(host).await?;
    let chart = chart_at(host, "HEAD").await.ok_or_else(|| {
        Error::usage(
            format!("no commit here has {CHART}"),
            format!("commit and push it: git add {CHART}; {INSTEAD}"),
        )
    })?;
    let unpushed = match &there.tracking {
        Some(tracking) => is_pushed(host, tracking, &chart).await?,
        None => 0,
    };
    Ok(Some(Checkout { remote, branch: there.branch, path: format!("{prefix}{CHART}"), chart, unpushed }))
}

/// The repository that [`observe`] would name, whatever lies here; `None` where there is none.
pub async fn remote(host: &Host) -> Result<Option<Remote>> {
    if prefix(host).await?.is_none() {
        return Ok(None);
    }
    let (_, upstream) = followed(host).await?;
    remote_of(host, upstream.as_ref()).await
}

/// Where the project is in its repository; `None` where it is in none.
async fn prefix(host: &Host) -> Result<Option<String>> {
    let told = git(host, &["rev-parse", "--show-prefix"]).await;
    or_none(told, |_, complaint| complaint.contains("not a git repository"))
}

/// The branch that is checked out, and what it follows.
async fn followed(host: &Host) -> Result<(Option<String>, Option<Upstream>)> {
    let told = git(host, &["symbolic-ref", "--short", "-q", "HEAD"]).await;
    let Some(branch) = or_none(told, |code, _| code == 1)? else { return Ok((None, None)) };
    let upstream = Upstream::of(host, &branch).await?;
    Ok((Some(branch), upstream))
}

async fn remote_of(host: &Host, upstream: Option<&Upstream>) -> Result<Option<Remote>> {
    if let Some(repository) = &host.config.gitops.repository {
        return Remote::parse(repository).map(Some);
    }
    let name = upstream.map_or("origin", |upstream| upstream.remote.as_str());
    let told = git(host, &["remote", "get-url", name]).await;
    let url = or_none(told, |_, complaint| complaint.contains("No such remote"))?;
    url.map(|url| Remote::parse(&url)).transpose()
}

/// What Git calls the chart's content at a commit; `None` where it is not known here.
pub async fn chart_at(host: &Host, commit: &str) -> Option<String> {
    git(host, &["rev-parse", "--verify", "-q", &format!("{commit}:./{CHART}")]).await.ok()
}

/// Why this machine itself does not read the remote, without a login of Platen's; nobody is asked for one.
pub async fn unreachable(host: &Host, checkout: &Checkout) -> Option<String> {
    if checkout.remote.protocol == Protocol::Ssh {
        return Some(format!(
            "{} is asked by ssh, for which Argo CD has no key; set {TOKEN} in .env",
            checkout.remote.url
        ));
    }
    let cmd = Cmd::new("git")
        .args(["ls-remote", "--exit-code", &checkout.remote.url, &checkout.branch])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "true")
        .cwd(&host.root)
        .deadline(REMOTE_ANSWERS_WITHIN);
    host.processes.run(&cmd).await.err().map(|error| error.to_string())
}

/// What a branch follows.
struct Upstream {
    remote: String,
    /// The branch's name there.
    branch: String,
    /// The reference here that remembers what is there.
    tracking: String,
}

impl Upstream {
    async fn of(host: &Host, branch: &str) -> Result<Option<Self>> {
        let format = "--format=%(upstream:remotename) %(upstream:remoteref) %(upstream)";
        let told = git(host, &["for-each-ref", format, &format!("refs/heads/{branch}")]).await?;
        let words: Vec<&str> = told.split_whitespace().collect();
        let [remote, there, tracking] = words.as_slice() else { return Ok(None) };
        // The upstream is another branch of this very repository.
        if *remote == "." {
            return Ok(None);
        }
        let there = there.strip_prefix("refs/heads/").unwrap_or(there);
        Ok(Some(Self { remote: (*remote).into(), branch: there.into(), tracking: (*tracking).into() }))
    }
}

/// The branch at the remote, and what is known of it here.
struct There {
    branch: String,
    tracking: Option<String>,
}

impl There {
    async fn of(
        host: &Host,
        remote: &Remote,
        current: Option<&str>,
        upstream: Option<Upstream>,
    ) -> Result<Self> {
        let config = &host.config.gitops;
        let followed = match upstream {
            // A repository that platen.toml names need not be the one that this branch follows.
            Some(upstream) if config.repository.is_some() => {
                let url = git(host, &["remote", "get-url", &upstream.remote]).await?;
                Remote::parse(&url).is_ok_and(|own| own.is_same(remote)).then_some(upstream)
            }
            followed => followed,
        };
        match (&config.branch, followed, current) {
            (Some(branch), Some(upstream), _) if *branch == upstream.branch => {
                Ok(Self { branch: branch.clone(), tracking: Some(upstream.tracking) })
            }
            (Some(branch), ..) => Ok(Self { branch: branch.clone(), tracking: None }),
            (None, Some(upstream), _) => {
                Ok(Self { branch: upstream.branch, tracking: Some(upstream.tracking) })
            }
            (None, None, Some(current)) if config.repository.is_some() => {
                Ok(Self { branch: current.into(), tracking: None })
            }
            (None, None, Some(current)) => Err(Error::usage(
                format!("the branch {current} has no upstream, so that nothing of it is at the remote"),
                format!("push it: git push -u origin {current}; {INSTEAD}"),
            )),
            (None, None, None) => Err(Error::usage(
                "HEAD is on no branch, so that there is none for Argo CD to follow",
                format!(
                    "switch to one: git switch BRANCH; or name it in platen.toml: [gitops] branch = \"BRANCH\"; {INSTEAD}"
                ),
            )),
        }
    }
}

async fn is_committed(host: &Host) -> Result<()> {
    let changes = git(host, &["status", "--porcelain", "--", CHART]).await?;
    let mut files = changes.lines().filter_map(|line| line.split_whitespace().last());
    let Some(first) = files.next() else { return Ok(()) };
    let others = match files.count() {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    Err(Error::usage(
        format!(
            "the chart has changes that no commit has ({first}{others}): Argo CD would read it without them"
        ),
        format!("commit and push them: git commit {CHART} && git push; {INSTEAD}"),
    ))
}

/// Refuses another chart at the remote; else the number of commits that only this checkout has.
async fn is_pushed(host: &Host, tracking: &str, chart: &str) -> Result<usize> {
    let count = async |range: &str| -> Result<usize> {
        let count = git(host, &["rev-list", "--count", range]).await?;
        count.parse().map_err(|error| Error::malformed("what git counted", error, "run: git status"))
    };
    let ahead = count(&format!("{tracking}..HEAD")).await?;
    if chart_at(host, tracking).await.as_deref() == Some(chart) {
        return Ok(ahead);
    }
    let there = tracking.strip_prefix("refs/remotes/").unwrap_or(tracking);
    let behind = count(&format!("HEAD..{tracking}")).await?;
    Err(match (ahead, behind) {
        (0, _) => Error::usage(
            format!("{there} has another chart than this checkout, which is {behind} commits behind"),
            format!("take it: git pull; {INSTEAD}"),
        ),
        (_, 0) => Error::usage(
            format!(
                "the chart of this checkout is not at the remote: {ahead} commits are not pushed to {there}"
            ),
            format!("push them: git push; {INSTEAD}"),
        ),
        _ => Error::usage(
            format!(
                "{there} has another chart than this checkout: {ahead} commits only here, {behind} only there"
            ),
            format!("bring them together: git pull --rebase && git push; {INSTEAD}"),
        ),
    })
}

async fn git(host: &Host, args: &[&str]) -> Result<String> {
    // What it complains of is told apart by its words.
    let cmd = Cmd::new("git").args(args).env("LC_ALL", "C").cwd(&host.root).deadline(ANSWERS_WITHIN);
    Ok(host.processes.run(&cmd).await.map_err(explained)?.stdout_text().trim().to_owned())
}

/// `None` where Git says, by its exit code and its complaint, that there is no such thing.
fn or_none(told: Result<String>, is_none: impl Fn(i32, &str) -> bool) -> Result<Option<String>> {
    match told {
        Err(Error::Process(ProcessError::Failed { code, complaint, .. })) if is_none(code, &complaint) => {
            Ok(None)
        }
        told => told.map(Some),
    }
}

/// With the next step where it is known.
fn explained(error: ProcessError) -> Error {
    let trust = |line: &&str| line.starts_with("git config --global --add safe.directory");
    match &error {
        ProcessError::NotFound { program } => {
            Error::machine(error.to_string(), format!("install it: apt-get install {program}; {INSTEAD}"))
        }
        ProcessError::Failed { complaint, .. } => match complaint.lines().map(str::trim).find(trust) {
            Some(command) => Error::machine(
                "git does not read this checkout, since it is another user's",
                format!("have it trusted: {command}; {INSTEAD}"),
            ),
            None => error.into(),
        },
        _ => error.into(),
    }
}

#[cfg(test)]
#[path = "checkout_tests.rs"]
mod tests;
