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
        // A token is for the cluster; without one no more can be read from there than from here, and here it is known sooner.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::scripted::{Expect, scripted};

    const URL: &str = "https://git.example/me/ocr.git";

    fn host(source: ChartSource, script: impl IntoIterator<Item = Expect>) -> Host {
        let mut host = Host::bare("/nowhere/that/is");
        host.config.gitops.source = source;
        Host { processes: scripted(&["git"], script), ..host }
    }

    /// Git's answers up to whether the chart is committed.
    fn followed(changes: &str) -> Vec<Expect> {
        let upstream = "git for-each-ref '--format=%(upstream:remotename) %(upstream:remoteref) %(upstream)' refs/heads/main";
        vec![
            Expect::new("git rev-parse --show-prefix"),
            Expect::new("git symbolic-ref --short -q HEAD").stdout("main"),
            Expect::new(upstream).stdout("origin refs/heads/main refs/remotes/origin/main"),
            Expect::new("git remote get-url origin").stdout(URL),
            Expect::new("git remote get-url origin").stdout(URL),
            Expect::new("git status --porcelain -- charts/ocr-app").stdout(changes),
        ]
    }

    fn published() -> Vec<Expect> {
        let mut script = followed("");
        script.extend([
            Expect::new("git rev-parse --verify -q HEAD:./charts/ocr-app").stdout("7ee"),
            Expect::new("git rev-list --count refs/remotes/origin/main..HEAD").stdout("0"),
            Expect::new("git rev-parse --verify -q refs/remotes/origin/main:./charts/ocr-app").stdout("7ee"),
        ]);
        script
    }

    fn nowhere() -> Vec<Expect> {
        vec![Expect::new("git rev-parse --show-prefix").fails(128, "fatal: not a git repository")]
    }

    fn from(url: &str) -> Value {
        json!({"repoURL": url})
    }

    #[tokio::test]
    async fn where_the_registry_is_in_use_or_asked_for_git_is_not_even_asked() {
        let registry = from("oci://r:5000/charts/ocr-app");
        let chosen = choose(&host(ChartSource::Auto, []), Some(&registry)).await.unwrap();
        assert_eq!(chosen, Chosen::Registry(None));
        let chosen = choose(&host(ChartSource::Registry, []), Some(&from(URL))).await.unwrap();
        assert_eq!(chosen, Chosen::Registry(None));
    }

    #[tokio::test]
    async fn without_a_repository_it_is_the_registry_and_who_asked_for_git_is_told() {
        let chosen = choose(&host(ChartSource::Auto, nowhere()), None).await.unwrap();
        assert_eq!(chosen, Chosen::Registry(None), "as ever, without a word");
        let error = choose(&host(ChartSource::Git, nowhere()), None).await.unwrap_err();
        assert!(error.hint().unwrap().contains("git remote add origin"), "{error:?}");
    }

    #[tokio::test]
    async fn what_argo_cd_would_not_read_as_it_lies_here_goes_by_the_registry_with_a_reason_or_is_refused() {
        let changed = || followed(" M charts/ocr-app/values.yaml");
        let chosen = choose(&host(ChartSource::Auto, changed()), Some(&from(URL))).await.unwrap();
        let Chosen::Registry(Some(why)) = chosen else { panic!("{chosen:?}") };
        assert!(why.contains("charts/ocr-app/values.yaml"), "{why}");
        assert!(choose(&host(ChartSource::Git, changed()), Some(&from(URL))).await.is_err());
    }

    #[tokio::test]
    async fn git_stays_while_it_is_in_use_and_is_probed_where_it_is_not() {
        let chosen = choose(&host(ChartSource::Auto, published()), Some(&from(URL))).await.unwrap();
        let Chosen::Git(git) = chosen else { panic!("{chosen:?}") };
        assert!(git.in_use && !git.asked_for);
        assert_eq!(git.repository.source.revision, "main");
        let registry = from("oci://r:5000/charts/ocr-app");
        let chosen = choose(&host(ChartSource::Git, published()), Some(&registry)).await.unwrap();
        let Chosen::Git(git) = chosen else { panic!("{chosen:?}") };
        assert!(!git.in_use && git.asked_for);
    }

    #[tokio::test]
    async fn the_synced_commit_is_held_against_the_chart_that_lies_here() {
        let Chosen::Git(git) = choose(&host(ChartSource::Git, published()), None).await.unwrap() else {
            panic!()
        };
        let compared = async |answer: Expect| git.compare(&host(ChartSource::Git, [answer]), "c0ffee").await;
        let asked = || Expect::new("git rev-parse --verify -q c0ffee:./charts/ocr-app");
        assert!(matches!(compared(asked().stdout("7ee")).await.unwrap(), Compared::Same));
        let other = compared(asked().stdout("bad")).await.unwrap();
        let Compared::Other(error) = other else { panic!("{other:?}") };
        assert!(error.hint().unwrap().contains("git push"), "{error:?}");
        let unknown = compared(asked().fails(1, "")).await.unwrap();
        assert!(matches!(&unknown, Compared::Unknown(what) if what.contains("git pull")), "{unknown:?}");
    }
}
