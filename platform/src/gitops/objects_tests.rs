//! What becomes of Argo CD's objects on an API server when the source changes.

use std::sync::atomic::{AtomicU32, Ordering};

use super::super::double::Double;
use super::super::remote::Login;
use super::*;
use crate::diagnose::Scope;
use crate::event::Events;
use crate::manifests::Source;

const URL: &str = "https://git.example/me/ocr.git";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn git(token: &str) -> Repository {
    let source = Source { repo_url: URL.into(), path: "charts/ocr-app".into(), revision: "main".into() };
    Repository { source, login: Some(Login { user: "me".into(), token: token.into() }), plain_http: false }
}

fn gitops(client: &kube::Client, repository: Repository) -> GitOps {
    GitOps::new(client.clone(), repository, json!({"model": {"replicas": 2}}), None)
}

/// As Argo CD says of what it synced.
fn synced(application: &Value) -> Value {
    let source = &application["spec"]["source"];
    json!({"sync": {"status": "Synced", "revision": COMMIT, "comparedTo": {"source": source}},
           "health": {"status": "Healthy"}, "operationState": {"phase": "Succeeded"},
           "history": [{"id": 0, "revision": COMMIT, "source": source}]})
}

fn refused(_: &Value) -> Value {
    json!({"conditions": [{"type": "ComparisonError", "message": "failed to list refs: authentication required"}],
           "sync": {"status": "Unknown"}})
}

/// As after a node was lost: one part of Argo CD does not reach another when it is asked for the first times.
fn starting(times: u32) -> impl Fn(&Value) -> Value {
    let asked = AtomicU32::new(0);
    move |application| {
        if asked.fetch_add(1, Ordering::Relaxed) >= times {
            return synced(application);
        }
        let said = "rpc error: code = Unavailable desc = connection error: desc = \"connection refused\"";
        json!({"conditions": [{"type": "ComparisonError", "message": said}]})
    }
}

#[tokio::test]
async fn an_argo_cd_that_only_starts_is_asked_again() {
    let (client, _) = Double::new(starting(1));
    let wanted = gitops(&client, Repository::registry("r:5000", "0.1.0-c1"));
    // Made, and asked to be looked at.
    wanted.apply().await.unwrap();
    wanted.apply().await.unwrap();
    assert!(matches!(wanted.state().await.unwrap(), State::Stuck(trouble) if trouble.is_argocds_own));
    let (scope, step) = (Scope::ours(&["ocr"]), Events::silent().step("apps", "", None));
    wanted.wait(&scope, Duration::from_secs(5), &step).await.unwrap();
}

#[tokio::test]
async fn a_probe_by_an_argo_cd_that_only_starts_is_asked_until_it_answers_or_the_time_is_over() {
    let (client, _) = Double::new(starting(4));
    let found = gitops(&client, git("hunter2")).probe(Duration::from_secs(20)).await.unwrap();
    assert_eq!(found, COMMIT);
    let (client, double) = Double::new(starting(u32::MAX));
    let error = gitops(&client, git("hunter2")).probe(Duration::from_millis(10)).await.unwrap_err();
    assert!(error.to_string().contains("own repository server"), "{error}");
    assert_eq!(double.names(), Vec::<String>::new());
}

fn project(double: &Double) -> Value {
    double.get("appprojects", "platen").unwrap()["spec"]["sourceRepos"].clone()
}

#[tokio::test]
async fn git_takes_the_registrys_place_and_the_registry_that_of_git() {
    let (client, double) = Double::new(synced);
    let registry = || gitops(&client, Repository::registry("r:5000", "0.1.0-c1"));
    registry().apply().await.unwrap();
    assert_eq!(
        double.names(),
        ["platen-charts of secrets", "ocr-app of applications", "platen of appprojects"]
    );

    let from_git = gitops(&client, git("hunter2"));
    assert!(from_git.lacks().await.unwrap().is_some());
    from_git.apply().await.unwrap();
    assert_eq!(double.names(), ["platen-git of secrets", "ocr-app of applications", "platen of appprojects"]);
    assert_eq!(project(&double), json!([URL]), "that one repository");
    let source = double.get("applications", "ocr-app").unwrap()["spec"]["source"].clone();
    assert_eq!((&source["repoURL"], &source["targetRevision"]), (&json!(URL), &json!("main")));
    assert_eq!(source["helm"]["valuesObject"]["model"]["replicas"], 2, "values travel as they did");
    let writes = double.writes();
    let at = |what: &str| writes.iter().rposition(|line| line.contains(what)).unwrap();
    assert!(at("secrets/platen-git") < at("PUT applications/ocr-app"), "{writes:?}");
    assert!(at("PUT applications/ocr-app") < at("DELETE /api/v1/namespaces/argocd/secrets/platen-charts"));
    assert_eq!(from_git.lacks().await.unwrap(), None);

    registry().apply().await.unwrap();
    assert_eq!(double.get("secrets", "platen-git"), None, "the token is gone");
    assert_eq!(project(&double), json!(["oci://r:5000/charts/ocr-app"]));
}

#[tokio::test]
async fn a_probe_finds_the_commit_and_leaves_nothing() {
    let (client, double) = Double::new(synced);
    gitops(&client, Repository::registry("r:5000", "0.1.0-c1")).apply().await.unwrap();
    let before = (double.get("applications", "ocr-app"), project(&double));
    let found = gitops(&client, git("hunter2")).probe(Duration::from_secs(5)).await.unwrap();
    assert_eq!(found, COMMIT);
    assert_eq!((double.get("applications", "ocr-app"), project(&double)), before);
    assert!(!double.names().iter().any(|name| name.contains("probe")), "{:?}", double.names());
    assert!(double.get("secrets", "platen-git").is_none());
}

#[tokio::test]
async fn a_probe_that_is_refused_says_why_and_its_token_does_not_stay() {
    let (client, double) = Double::new(refused);
    let error = gitops(&client, git("hunter2")).probe(Duration::from_secs(5)).await.unwrap_err();
    assert!(error.to_string().contains("asks for a login, or refuses"), "{error}");
    assert!(error.hint().unwrap().contains("GIT_TOKEN") && !format!("{error:?}").contains("hunter2"));
    assert_eq!(double.names(), Vec::<String>::new());
}

fn token(double: &Double, secret: &str) -> Option<Value> {
    double.get("secrets", secret).map(|secret| secret["data"]["password"].clone())
}

#[tokio::test]
async fn a_probe_of_another_login_leaves_the_one_that_is_in_use() {
    let (client, double) = Double::new(|application| {
        if application["metadata"]["name"] == APPLICATION {
            synced(application)
        } else {
            refused(application)
        }
    });
    gitops(&client, git("hunter2")).apply().await.unwrap();
    let before = token(&double, "platen-git");
    let probed = gitops(&client, git("a wrong one")).probe(Duration::from_secs(5)).await;
    assert!(before.is_some() && probed.is_err());
    assert_eq!(token(&double, "platen-git"), before);
    assert_eq!(token(&double, "platen-git-probe"), None);
    let writes = double.writes();
    assert!(
        writes.iter().any(|it| it.starts_with("PATCH") && it.ends_with("platen-git-probe")),
        "{writes:?}"
    );
}

#[tokio::test]
async fn without_the_token_here_the_one_that_is_in_use_stays_there() {
    let (client, double) = Double::new(synced);
    let bare = || Repository { login: None, ..git("") };
    gitops(&client, git("hunter2")).apply().await.unwrap();
    let (before, source) = (token(&double, "platen-git"), gitops(&client, git("")).wanted().unwrap());
    gitops(&client, bare()).apply().await.unwrap();
    assert_eq!(token(&double, "platen-git"), before);
    gitops(&client, bare()).point(&source).await.unwrap();
    assert_eq!(token(&double, "platen-git"), before);
    let mut other = bare();
    other.source.repo_url = "https://git.example/you/ocr.git".into();
    gitops(&client, other).apply().await.unwrap();
    assert_eq!(token(&double, "platen-git"), None, "of another repository it is of no use");
}

#[tokio::test]
async fn what_an_interrupted_probe_left_goes_with_the_next_change() {
    for end in ["apply", "release", "uninstall"] {
        let (client, double) = Double::new(|_| json!({}));
        let wanted = gitops(&client, git("hunter2"));
        // Dropped while Argo CD has not answered yet.
        let probe = wanted.probe(Duration::from_mins(1));
        tokio::time::timeout(Duration::from_millis(200), probe).await.unwrap_err();
        let left = || double.names().iter().filter(|name| name.contains("-probe")).count();
        assert_eq!(left(), 3, "{:?}", double.names());
        match end {
            "apply" => wanted.apply().await.unwrap(),
            "release" => drop(GitOps::release(&client).await.unwrap()),
            _ => GitOps::uninstall(&client, Duration::from_secs(5)).await.unwrap(),
        }
        assert_eq!(left(), 0, "{end}: {:?}", double.names());
    }
}

#[tokio::test]
async fn what_argo_cd_was_given_goes_with_the_service_and_with_its_release_to_helm() {
    for end in ["release", "uninstall"] {
        let (client, double) = Double::new(synced);
        gitops(&client, git("hunter2")).apply().await.unwrap();
        let remains = GitOps::remains(&client).await.unwrap();
        assert_eq!(remains, ["the AppProject platen in argocd", "the Secret platen-git in argocd"]);
        match end {
            "release" => assert!(GitOps::release(&client).await.unwrap()),
            _ => GitOps::uninstall(&client, Duration::from_secs(5)).await.unwrap(),
        }
        assert_eq!(double.names(), Vec::<String>::new(), "{end}");
        assert!(GitOps::remains(&client).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_probe_is_never_synced_and_its_end_deletes_nothing() {
    let (client, double) = Double::new(|application| {
        assert_eq!(application["spec"]["syncPolicy"], json!({}), "{application}");
        assert_eq!(application["metadata"]["finalizers"], Value::Null);
        assert_eq!(application["metadata"]["labels"], Value::Null, "it is none of those that status shows");
        synced(application)
    });
    gitops(&client, git("hunter2")).probe(Duration::from_secs(5)).await.unwrap();
    assert!(double.writes().iter().any(|line| line == "DELETE applications/platen-probe"));
}

#[tokio::test]
async fn a_rollback_over_the_sources_lets_argo_cd_into_the_one_that_was_before() {
    let (client, double) = Double::new(synced);
    gitops(&client, git("hunter2")).apply().await.unwrap();
    let mut before = double.get("applications", "ocr-app").unwrap()["spec"]["source"].clone();
    before["targetRevision"] = json!(COMMIT);
    let registry = gitops(&client, Repository::registry("r:5000", "0.1.0-c1"));
    registry.apply().await.unwrap();
    gitops(&client, git("hunter2")).point(&before).await.unwrap();
    assert_eq!(double.get("applications", "ocr-app").unwrap()["spec"]["source"], before);
    assert_eq!(project(&double), json!([URL]));
    assert!(
        double.get("secrets", "platen-git").is_some() && double.get("secrets", "platen-charts").is_none()
    );
}

#[test]
fn a_missing_namespace_or_definition_is_told_as_a_missing_argo_cd() {
    let answered = |code| {
        let status = kube::core::Status::failure("namespaces \"argocd\" not found", "NotFound");
        let source = Box::new(kube::Error::Api(status.with_code(code).boxed()));
        without_argocd(Error::Kube { doing: "telling it".into(), source })
    };
    let missing = answered(404);
    assert!(missing.to_string().contains("has no Argo CD"), "{missing}");
    assert!(missing.hint().unwrap().contains("argocd = false"), "{missing:?}");
    assert!(answered(403).to_string().starts_with("telling it"));
}

#[test]
fn what_was_deployed_from_a_branch_is_gone_back_to_by_its_commit() {
    let branch = json!({"repoURL": "https://git.example/ocr.git", "targetRevision": "main"});
    assert_eq!(pinned(&branch, "c0ffee")["targetRevision"], "c0ffee");
    let chart = json!({"repoURL": "oci://r:5000/charts/ocr-app", "targetRevision": "0.1.0-c1"});
    assert_eq!(pinned(&chart, "sha256:00"), chart);
}

#[test]
fn a_value_that_was_added_behind_our_back_makes_another_source() {
    let wanted = json!({"targetRevision": "1", "helm": {"valuesObject": {"a": 1}}});
    assert!(same_source(&wanted, &wanted));
    let other = json!({"targetRevision": "1", "helm": {"valuesObject": {"a": 1, "b": 2}}});
    assert!(!same_source(&other, &wanted));
}
