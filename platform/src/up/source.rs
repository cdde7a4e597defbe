//! Which source Argo CD is to read the chart from: the checkout's Git remote, which it then follows by itself, or the registry.

use std::time::Duration;

use serde_json::{Value, json};

use crate::config::ChartSource;
use crate::error::{Error, Result};
use crate::event::Events;
use crate::gitops::{self, Checkout, GitOps, Login, Protocol, Repository};
use crate::host::Host;
use crate::manifests::Source;
use crate::variables::variables;

/// Argo CD gives up on a host that does not answer only later.
const PROBED_WITHIN: Duration = Duration::from_secs(45);

/// What was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// With the reason where Git would have been the first choice.
    Registry(Option<String>),
    Git(Box<FromGit>),
}

/// The chart at the checkout's remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromGit {
    pub checkout: Checkout,
    pub repository: Repository,
    /// Whether somebody asked for it, or the cluster has the service from Git: then what is in its way is an error.
    pub asked_for: bool,
    /// Whether the cluster reads the chart from there already, that branch and that folder.
    pub in_use: bool,
}

/// From what is wanted, the source of the Application that is there, and what Git says here. Asks no other machine; where
/// an Application reads from the registry and nothing else is asked for, not even Git. Where one reads from Git, only who asks
/// for the registry gets it: it would take back what others pushed, and nobody would notice.
pub async fn choose(host: &Host, there: Option<&Value>) -> Result<Chosen> {
    let config = &host.config.gitops;
    let asked_for = config.source == ChartSource::Git
        || (config.repository.is_some() && there.is_none())
        || there.is_some_and(gitops::is_from_git);
    let by_registry = there.is_some_and(|source| !gitops::is_from_git(source));
    if config.source == ChartSource::Registry || (by_registry && !asked_for) {
        return Ok(Chosen::Registry(None));
    }
    let checkout = match gitops::observe(host).await {
        Ok(Some(checkout)) => checkout,
        Ok(None) if !asked_for => return Ok(Chosen::Registry(None)),
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
    let git = FromGit { repository: repository(&checkout, login), checkout, asked_for, in_use: false };
    if git.shows_its_token() && !asked_for {
        let why = format!(
            "{} is asked without encryption, so that its login is sent only where that is asked for: --source git",
            git.checkout.remote.url
        );
        return Ok(Chosen::Registry(Some(why)));
    }
    let in_use = there.is_some_and(|source| git.is_read_by(source));
    Ok(Chosen::Git(Box::new(FromGit { in_use, ..git })))
}

/// What Argo CD needs to read a source that it read before. `registry`: as it would be now. An Application does not hold the
/// login of its address, which the checkout's own remote may have.
pub async fn repository_of(host: &Host, source: &Value, registry: Repository) -> Result<Repository> {
    let text = |key: &str| source[key].as_str().unwrap_or_default().to_owned();
    let source_then =
        Source { repo_url: text("repoURL"), path: text("path"), revision: text("targetRevision") };
    if !gitops::is_from_git(source) {
        return Ok(Repository { source: source_then, ..registry });
    }
    let variable = variables(host)?;
    let here = gitops::remote_here(host).await.ok().flatten().map(|remote| remote.with_login(&variable));
    let login = match here {
        Some((remote, login)) if remote.url == source_then.repo_url => login,
        _ => gitops::Remote::parse(&source_then.repo_url)?.with_login(&variable).1,
    };
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

    /// What is to be known before its login is given to anybody.
    pub fn warn(&self, events: &Events) {
        if self.shows_its_token() {
            let url = &self.checkout.remote.url;
            events.warn(format!("{url} is asked without encryption: its token can be read on the way"));
        }
    }

    /// What is to be known before it is deployed from there.
    pub fn tell(&self, events: &Events) {
        let Checkout { branch, unpushed, .. } = &self.checkout;
        if *unpushed > 0 {
            events.note(format!(
                "{unpushed} commits here are not pushed to {branch}; none of them changes the chart"
            ));
        }
    }

    fn shows_its_token(&self) -> bool {
        self.checkout.remote.protocol == Protocol::Http && self.repository.login.is_some()
    }

    /// Whether an Application with this source reads just that.
    fn is_read_by(&self, source: &Value) -> bool {
        let Source { repo_url, path, revision } = &self.repository.source;
        [("repoURL", repo_url), ("path", path), ("targetRevision", revision)]
            .into_iter()
            .all(|(key, own)| source[key] == own.as_str())
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
        json!({"repoURL": url, "path": "charts/ocr-app", "targetRevision": "main"})
    }

    #[tokio::test]
    async fn where_the_registry_is_in_use_or_asked_for_git_is_not_even_asked() {
        let registry = from("oci://r:5000/charts/ocr-app");
        let chosen = choose(&host(ChartSource::Auto, []), Some(&registry)).await.unwrap();
        assert_eq!(chosen, Chosen::Registry(None));
        let chosen = choose(&host(ChartSource::Registry, []), Some(&from(URL))).await.unwrap();
        assert_eq!(chosen, Chosen::Registry(None));
        // A repository that is named decides at the first time.
        let mut named = host(ChartSource::Auto, []);
        named.config.gitops.repository = Some(URL.into());
        assert_eq!(choose(&named, Some(&registry)).await.unwrap(), Chosen::Registry(None));
    }

    #[tokio::test]
    async fn without_a_repository_it_is_the_registry_and_who_asked_for_git_is_told() {
        let chosen = choose(&host(ChartSource::Auto, nowhere()), None).await.unwrap();
        assert_eq!(chosen, Chosen::Registry(None), "as ever, without a word");
        let error = choose(&host(ChartSource::Git, nowhere()), None).await.unwrap_err();
        assert!(error.hint().unwrap().contains("git remote add origin"), "{error:?}");
    }

    #[tokio::test]
    async fn what_argo_cd_would_not_read_as_it_lies_here_goes_by_the_registry_at_the_first_time() {
        let changed = || followed(" M charts/ocr-app/values.yaml");
        let chosen = choose(&host(ChartSource::Auto, changed()), None).await.unwrap();
        let Chosen::Registry(Some(why)) = chosen else { panic!("{chosen:?}") };
        assert!(why.contains("charts/ocr-app/values.yaml"), "{why}");
        assert!(choose(&host(ChartSource::Git, changed()), None).await.is_err());
    }

    #[tokio::test]
    async fn a_cluster_that_follows_git_is_not_taken_off_it_for_what_lies_here() {
        let changed = followed(" M charts/ocr-app/values.yaml");
        let error = choose(&host(ChartSource::Auto, changed), Some(&from(URL))).await.unwrap_err();
        assert!(error.hint().unwrap().contains("--source registry"), "{error:?}");
        let error = choose(&host(ChartSource::Auto, nowhere()), Some(&from(URL))).await.unwrap_err();
        assert!(error.hint().unwrap().contains("--source registry"), "{error:?}");
    }

    #[tokio::test]
    async fn git_stays_while_it_is_in_use_and_is_probed_where_it_is_not() {
        let chosen = choose(&host(ChartSource::Auto, published()), Some(&from(URL))).await.unwrap();
        let Chosen::Git(git) = chosen else { panic!("{chosen:?}") };
        assert!(git.in_use);
        assert_eq!(git.repository.source.revision, "main");
        let registry = from("oci://r:5000/charts/ocr-app");
        for key in ["path", "targetRevision"] {
            let mut other = from(URL);
            other[key] = json!("another");
            for there in [&registry, &other] {
                let chosen = choose(&host(ChartSource::Git, published()), Some(there)).await.unwrap();
                let Chosen::Git(git) = chosen else { panic!("{chosen:?}") };
                assert!(!git.in_use && git.asked_for, "{there}");
            }
        }
    }

    /// With a login in the remote's address.
    fn published_at(url: &str) -> Vec<Expect> {
        let mut script = published();
        script[3] = Expect::new("git remote get-url origin").stdout(url);
        script
    }

    #[tokio::test]
    async fn a_token_goes_over_plain_http_only_where_somebody_asked_for_that() {
        let url = "http://me:hunter2@git.example/me/ocr.git";
        let chosen = choose(&host(ChartSource::Auto, published_at(url)), None).await.unwrap();
        let Chosen::Registry(Some(why)) = chosen else { panic!("{chosen:?}") };
        assert!(why.contains("without encryption") && !why.contains("hunter2"), "{why}");
        let chosen = choose(&host(ChartSource::Git, published_at(url)), None).await.unwrap();
        let Chosen::Git(git) = chosen else { panic!("{chosen:?}") };
        let seen = crate::event::Recorded::default();
        git.warn(&Events::new(seen.clone()));
        assert!(format!("{:?}", seen.events()).contains("can be read on the way"));
    }

    #[tokio::test]
    async fn a_rollback_takes_the_login_of_the_checkouts_own_remote() {
        let here = |url: &str| published_at(url).into_iter().take(4).collect::<Vec<_>>();
        let login = async |url: &str, there: &str| {
            let registry = Repository::registry("r:5000", "");
            repository_of(&host(ChartSource::Auto, here(url)), &from(there), registry).await.unwrap().login
        };
        let own = "https://me:hunter2@git.example/me/ocr.git";
        assert_eq!(login(own, URL).await, Some(Login { user: "me".into(), token: "hunter2".into() }));
        assert_eq!(login(own, "https://other.example/me/ocr.git").await, None, "it is that one's alone");
        let registry = Repository::registry("r:5000", "1");
        let there = from("oci://r:5000/charts/ocr-app");
        let found = repository_of(&host(ChartSource::Auto, []), &there, registry).await.unwrap();
        assert_eq!(found.source.repo_url, "oci://r:5000/charts/ocr-app");
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
