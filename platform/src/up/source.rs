//! Which source Argo CD is to read the chart from: the checkout's Git remote, which it then follows by itself, or the registry.

use std::time::Duration;

use serde_json::{Value, json};

use crate::config::ChartSource;
use crate::error::{Error, Result};
use crate::event::Events;
use crate::gitops::{self, Checkout, GitOps, Login, Protocol, Repository};
use crate::host::Host;
use crate::manifests::Source;
use crate::registry::variables;

/// Argo CD gives up on a host that does not answer only later.
const PROBED_WITHIN: Duration = Duration::from_secs(45);

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// With the reason where Git was meant or had been in use.
    Registry(Option<String>),
    Git(Box<FromGit>),
}

/// The chart at the checkout's remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromGit {
    pub checkout: Checkout,
    pub repository: Repository,
    /// Whether somebody asked for it: then what is in its way is an error.
    pub asked_for: bool,
    /// Whether the cluster reads the chart from there already.
    pub in_use: bool,
}

/// From what is wanted, the source of the Application that is there, and what Git says here. Asks no other machine; where
/// an Application reads from the registry and nothing else is asked for, not even Git.
pub async fn choose(host: &Host, there: Option<&Value>) -> Result<Chosen> {
    let config = &host.config.gitops;
    let asked_for = config.source == ChartSource::Git || config.repository.is_some();
    let by_registry = there.is_some_and(|source| !gitops::is_from_git(source));
    if config.source == ChartSource::Registry || (by_registry && !asked_for) {
        return Ok(Chosen::Registry(None));
    }
    let checkout = match gitops::observe(host).await {
        Ok(Some(checkout)) => checkout,
        Ok(None) if !asked_for => {
            let why = there.map(|_| "this checkout has no Git remote any more".to_owned());
            return Ok(Chosen::Registry(why));
        }
        Ok(None) => {
            return Err(Error::usage(
                "this checkout has no Git remote that Argo CD could read the chart from",
                "add one: git remote add origin URL; or deploy by the registry: cargo xtask deploy --source registry",
            ));
        }
        Err(error) if asked_for => return Err(error),
        Err(error) => return Ok(Chosen::Registry(Some(error.to_string()))),
    };
    let (remote, login) = checkout.remote.clone().with_login(variables(host)?);
    let checkout = Checkout { remote, ..checkout };
    let in_use = there.is_some_and(|source| source["repoURL"] == checkout.remote.url.as_str());
    Ok(Chosen::Git(Box::new(FromGit {
        repository: repository(&checkout, login),
        checkout,
        asked_for,
        in_use,
    })))
}

/// What Argo CD needs to read a source that it read before. `registry`: as it would be now.
pub fn repository_of(host: &Host, source: &Value, registry: Repository) -> Result<Repository> {
    let text = |key: &str| source[key].as_str().unwrap_or_default().to_owned();
    let source_then =
        Source { repo_url: text("repoURL"), path: text("path"), revision: text("targetRevision") };
    if !gitops::is_from_git(source) {
        return Ok(Repository { source: source_then, ..registry });
    }
    let (_, login) = gitops::Remote::parse(&source_then.repo_url)?.with_login(variables(host)?);
    Ok(Repository { source: source_then, login, plain_http: false })
}

fn repository(checkout: &Checkout, login: Option<Login>) -> Repository {
    let source = Source {
        repo_url: checkout.remote.url.clone(),
        path: checkout.path.clone(),
        revision: checkout.branch.clone(),
    };
    Repository { source, login, plain_http: false }
}

impl FromGit {
    /// Asks Argo CD whether it can read the chart there, where it does not do so already. An error says why not.
    pub async fn ensure_reached(&self, host: &Host, gitops: &GitOps) -> Result<()> {
        if self.in_use {
            return Ok(());
        }
        // A token is for the cluster; whoever has none reaches no more from there than from here.
        if !self.asked_for
            && self.repository.login.is_none()
            && let Some(why) = gitops::unreachable(host, &self.checkout).await
        {
            return Err(Error::unhealthy(why, ""));
        }
        gitops.probe(PROBED_WITHIN).await.map(drop)
    }

    /// What is to be known before it is deployed from there.
    pub fn tell(&self, events: &Events) {
        let Checkout { remote, branch, unpushed, .. } = &self.checkout;
        if remote.protocol == Protocol::Http && self.repository.login.is_some() {
            events.warn(format!(
                "{} is asked without encryption: its token can be read on the way",
                remote.url
            ));
        }
        if *unpushed > 0 {
            events.note(format!(
                "{unpushed} commits here are not pushed to {branch}; none of them changes the chart"
            ));
        }
    }

    /// Whether the commit that Argo CD synced has this checkout's chart; the error says what is between them. A commit that
    /// is not known here was pushed by somebody else.
    pub async fn compare(&self, host: &Host, synced: &str) -> Result<Compared> {
        Ok(match gitops::chart_at(host, synced).await {
            Some(chart) if chart == self.checkout.chart => Compared::Same,
            Some(_) => Compared::Other(Error::unhealthy(
                format!(
                    "Argo CD synced {}, whose chart is not the one of this checkout",
                    self.version(synced)
                ),
                "push what lies here: git push; or take what is there: git pull; then deploy again: cargo xtask deploy",
            )),
            None => Compared::Unknown(format!(
                "Argo CD synced {}, which this checkout does not know: git pull",
                self.version(synced)
            )),
        })
    }

    /// The branch, and the commit of it that serves.
    pub fn version(&self, synced: &str) -> String {
        let source = &self.repository.source;
        gitops::revision(&json!({"repoURL": source.repo_url, "targetRevision": source.revision}), synced)
    }
}

/// What serves, held against what lies here.
#[derive(Debug)]
pub enum Compared {
    Same,
    Other(Error),
    Unknown(String),
}
