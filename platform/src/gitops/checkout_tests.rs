//! What is refused and what is not, in repositories that Git itself made.

use std::process::Command;

use super::*;
use crate::config::GitopsConfig;
use crate::process::scripted::{Expect, scripted};

/// A checkout whose branch `main` follows `origin`, which fetches by https and pushes into a folder.
struct Repository {
    root: tempfile::TempDir,
}

impl Repository {
    fn pushed() -> Self {
        let root = tempfile::tempdir().unwrap();
        let it = Self { root };
        it.git(&["init", "-q", "--bare", "-b", "main", "there.git"]);
        it.git(&["init", "-q", "-b", "main"]);
        it.commit(CHART, "a: 1");
        it.git(&["remote", "add", "origin", "https://git.example/me/ocr.git"]);
        it.git(&["remote", "set-url", "--push", "origin", "there.git"]);
        it.git(&["push", "-q", "-u", "origin", "main"]);
        it
    }

    fn git(&self, args: &[&str]) {
        let ran = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"])
            .args(args)
            .current_dir(self.root.path())
            .output()
            .unwrap();
        assert!(ran.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    fn write(&self, folder: &str, text: &str) {
        let folder = self.root.path().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("file.yaml"), text).unwrap();
    }

    fn commit(&self, folder: &str, text: &str) {
        self.write(folder, text);
        self.git(&["add", folder]);
        self.git(&["commit", "-q", "-m", "a change"]);
    }

    fn host(&self, folder: &str, config: GitopsConfig) -> Host {
        let mut host = Host::bare(self.root.path().join(folder));
        host.config.gitops = config;
        host
    }

    async fn observed(&self) -> Result<Option<Checkout>> {
        observe(&self.host("", GitopsConfig::default())).await
    }
}

#[track_caller]
fn refused(found: Result<Option<Checkout>>, why: &str, next: &str) {
    let error = found.unwrap_err();
    assert!(error.to_string().contains(why), "{error}");
    let hint = error.hint().unwrap();
    assert!(hint.contains(next) && hint.contains("--source registry"), "{hint}");
}

#[tokio::test]
async fn what_is_pushed_is_found_by_the_branchs_own_remote() {
    let it = Repository::pushed();
    it.git(&["remote", "rename", "origin", "upstream"]);
    let found = it.observed().await.unwrap().unwrap();
    assert_eq!(found.remote.url, "https://git.example/me/ocr.git");
    assert_eq!((found.branch.as_str(), found.path.as_str(), found.unpushed), ("main", CHART, 0));
}

#[tokio::test]
async fn a_branch_may_have_another_name_at_the_remote_and_the_project_a_folder_of_its_own() {
    let it = Repository::pushed();
    it.commit(&format!("deep/{CHART}"), "a: 1");
    it.git(&["push", "-q"]);
    it.git(&["switch", "-q", "-c", "mine", "--track", "origin/main"]);
    let found = observe(&it.host("deep", GitopsConfig::default())).await.unwrap().unwrap();
    assert_eq!((found.branch.as_str(), found.path), ("main", format!("deep/{CHART}")));
}

#[tokio::test]
async fn a_chart_that_is_not_committed_or_not_pushed_is_refused() {
    let it = Repository::pushed();
    it.write(CHART, "a: 2");
    refused(it.observed().await, "charts/ocr-app/file.yaml", "git commit");
    it.commit(CHART, "a: 2");
    refused(it.observed().await, "1 commits are not pushed to origin/main", "git push");
    it.git(&["push", "-q"]);
    assert!(it.observed().await.unwrap().is_some());
    it.git(&["reset", "-q", "--hard", "HEAD~1"]);
    refused(it.observed().await, "1 commits behind", "git pull");
    it.commit(CHART, "a: 3");
    refused(it.observed().await, "1 commits only here, 1 only there", "git pull --rebase");
}

#[tokio::test]
async fn commits_that_leave_the_chart_alone_are_counted_and_not_refused() {
    let it = Repository::pushed();
    it.commit("docs", "text");
    assert_eq!(it.observed().await.unwrap().unwrap().unpushed, 1);
}

#[tokio::test]
async fn without_an_upstream_or_a_branch_the_next_step_is_told() {
    let it = Repository::pushed();
    it.git(&["switch", "-q", "-c", "other"]);
    refused(it.observed().await, "other has no upstream", "git push -u origin other");
    it.git(&["switch", "-q", "--detach"]);
    refused(it.observed().await, "on no branch", "git switch");
    let named = GitopsConfig { branch: Some("main".into()), ..GitopsConfig::default() };
    assert_eq!(observe(&it.host("", named)).await.unwrap().unwrap().branch, "main");
}

#[tokio::test]
async fn a_remote_on_this_machine_is_refused_and_a_configured_one_goes_before_it() {
    let it = Repository::pushed();
    it.git(&["remote", "set-url", "origin", "/srv/there.git"]);
    refused(it.observed().await, "/srv/there.git is on this machine", "[gitops] repository");
    let config =
        GitopsConfig { repository: Some("https://git.example/us/ocr.git".into()), ..GitopsConfig::default() };
    let found = observe(&it.host("", config)).await.unwrap().unwrap();
    assert_eq!(
        (found.remote.url.as_str(), found.branch.as_str()),
        ("https://git.example/us/ocr.git", "main")
    );
}

#[tokio::test]
async fn no_repository_or_no_remote_is_no_error() {
    let it = Repository::pushed();
    it.git(&["remote", "remove", "origin"]);
    assert_eq!(it.observed().await.unwrap(), None);
    let nowhere = tempfile::tempdir().unwrap();
    assert_eq!(observe(&Host::bare(nowhere.path())).await.unwrap(), None);
}

#[tokio::test]
async fn what_git_refuses_is_not_taken_for_no_repository() {
    let said = |complaint: &str| {
        let script = [Expect::new("git rev-parse --show-prefix").fails(128, complaint)];
        Host { processes: scripted(&["git"], script), ..Host::bare("/nowhere/that/is") }
    };
    let anothers = "fatal: detected dubious ownership in repository at '/srv/ocr'\nTo add an exception for this directory, \
                    call:\n\n\tgit config --global --add safe.directory /srv/ocr";
    refused(observe(&said(anothers)).await, "another user's", "--add safe.directory /srv/ocr");
    let error = observe(&said("fatal: bad config line 1")).await.unwrap_err();
    assert!(error.to_string().contains("bad config"), "{error}");
    let missing = explained(ProcessError::NotFound { program: "git".into() });
    refused(Err(missing), "git is not on this machine", "apt-get install git");
}

#[tokio::test]
async fn a_branch_that_follows_another_one_here_has_nothing_at_the_remote() {
    let it = Repository::pushed();
    it.git(&["switch", "-q", "-c", "mine", "--track", "main"]);
    refused(it.observed().await, "mine has no upstream", "git push -u origin mine");
}

#[tokio::test]
async fn the_same_repository_in_another_form_is_held_against_what_is_pushed() {
    let it = Repository::pushed();
    it.commit(CHART, "a: 2");
    let observed = async |url: &str| {
        let config = GitopsConfig { repository: Some(url.into()), ..GitopsConfig::default() };
        observe(&it.host("", config)).await
    };
    refused(observed("git@git.example:me/ocr").await, "1 commits are not pushed", "git push");
    assert!(observed("https://git.example/us/ocr.git").await.is_ok(), "of another one nothing is known");
    it.git(&["remote", "set-url", "origin", "ftp://git.example/me/ocr.git"]);
    assert!(observed("https://git.example/me/ocr.git").await.is_ok(), "what is not asked may be of any form");
}

#[tokio::test]
async fn the_charts_content_is_known_by_commit() {
    let it = Repository::pushed();
    let host = it.host("", GitopsConfig::default());
    let first = chart_at(&host, "HEAD").await.unwrap();
    it.commit(CHART, "a: 2");
    assert_ne!(chart_at(&host, "HEAD").await.unwrap(), first);
    assert_eq!(chart_at(&host, "HEAD~1").await.unwrap(), first);
    assert_eq!(chart_at(&host, &"0".repeat(40)).await, None);
}
