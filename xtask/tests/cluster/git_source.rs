//! The chart from a private Git repository: Argo CD follows the branch of the checkout.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, ListParams};

use crate::git_host::{GitHost, TOKEN};
use crate::gitops::argocd;
use crate::support::{Json, Outcome, Xtask};
use crate::{RUNTIME, client, serving, up};

/// The pods of the service, by their names.
pub fn names() -> BTreeSet<String> {
    let list = |namespace| {
        let (api, all) = (Api::<Pod>::namespaced(client(), namespace), ListParams::default());
        RUNTIME.block_on(api.list(&all)).expect("the pods").items
    };
    let pods = ["ocr", "backend"].into_iter().flat_map(list);
    let ours = pods.filter(|pod| {
        pod.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key("app.kubernetes.io/component"))
    });
    ours.filter_map(|pod| pod.metadata.name).collect()
}

fn get(kind: &str, name: &str) -> Json {
    let found = RUNTIME.block_on(argocd(kind).get(name)).expect("Argo CD's object");
    serde_json::to_value(found).expect("JSON")
}

fn secret_of_git() -> Option<Secret> {
    let api = Api::<Secret>::namespaced(client(), "argocd");
    RUNTIME.block_on(api.get_opt("platen-git")).expect("the Secrets of Argo CD")
}

fn repositories() -> Json {
    get("AppProject", "platen")["spec"]["sourceRepos"].clone()
}

pub fn follows_a_private_repository(xtask: &Xtask) -> Outcome {
    // This test alone makes its own cluster; after others there is nothing to do.
    up(xtask).expect_code(0);
    let git = GitHost::start()?;
    let (pods, before) = (names(), get("Application", "ocr-app")["spec"].clone());

    let refused = git.run(xtask, &["deploy", "--source", "git"], "a-wrong-token").expect_code(1);
    let said = refused.stderr();
    assert!(said.contains("asks for a login, or refuses") && said.contains("GIT_TOKEN"), "{said}");
    assert!(!said.contains("a-wrong-token"), "{said}");
    assert_eq!(get("Application", "ocr-app")["spec"], before, "nothing was changed");
    assert!(secret_of_git().is_none(), "and no token that is of no use stays");

    let deployed = git.run(xtask, &["deploy", "--source", "git"], TOKEN).expect_code(0);
    let commit = git.git(&["rev-parse", "HEAD"])?;
    assert_eq!(deployed.json()["version"], format!("main at {}", &commit[..12]));
    assert!(deployed.stderr().contains("without encryption"), "{}", deployed.stderr());
    assert!(!deployed.stderr().contains(TOKEN));
    let application = get("Application", "ocr-app");
    assert_eq!(application["spec"]["source"]["repoURL"], git.url.as_str());
    assert_eq!(application["status"]["sync"]["status"], "Synced");
    assert_eq!(application["status"]["sync"]["revision"], commit.as_str());
    assert_eq!(repositories(), serde_json::json!([git.url]), "that one repository and no other");
    assert_eq!(names(), pods, "no pod was started anew");
    serving::demo_reads_the_letter(xtask)?;

    it_stays_and_follows(xtask, &git, &commit)?;

    let back = xtask.run(&["deploy", "--source", "registry"]).expect_code(0);
    assert!(back.json()["version"].as_str().expect("a version").contains("-c"), "{}", back.json());
    assert!(secret_of_git().is_none(), "the token is gone");
    let again = up(xtask).expect_code(0).json();
    assert_eq!(again["plan"]["actions"], serde_json::json!([]), "it stays with the registry");
    assert_eq!(get("Application", "ocr-app")["spec"]["source"]["repoURL"], before["source"]["repoURL"]);
    assert_eq!(repositories(), serde_json::json!([before["source"]["repoURL"]]));
    assert_eq!(names(), pods, "no pod was ever taken away");
    xtask.run(&["status"]).expect_code(0);
    Ok(())
}

/// While nobody says otherwise; with new commits, and back to an old one.
fn it_stays_and_follows(xtask: &Xtask, git: &GitHost, first: &str) -> Outcome {
    let again = git.run(xtask, &["up", "--provider", "kind"], TOKEN).expect_code(0).json();
    assert_eq!(again["plan"]["actions"], serde_json::json!([]), "up keeps the source");

    let values = git.chart("values.yaml");
    let text = std::fs::read_to_string(&values)? + "\n# A change of no consequence.\n";
    std::fs::write(&values, text)?;
    let deploy = ["deploy", "--source", "git"];
    let dirty = git.run(xtask, &deploy, TOKEN).expect_code(2);
    assert!(dirty.stderr().contains("charts/ocr-app/values.yaml"), "{}", dirty.stderr());
    git.git(&["commit", "-q", "-a", "-m", "A change"])?;
    let unpushed = git.run(xtask, &deploy, TOKEN).expect_code(2);
    assert!(unpushed.stderr().contains("git push"), "{}", unpushed.stderr());
    git.git(&["push", "-q"])?;
    git.run(xtask, &deploy, TOKEN).expect_code(0);
    let second = git.git(&["rev-parse", "HEAD"])?;
    assert_eq!(get("Application", "ocr-app")["status"]["sync"]["revision"], second.as_str());

    git.run(xtask, &["deploy", "--rollback"], TOKEN).expect_code(0);
    let application = get("Application", "ocr-app");
    assert_eq!(application["spec"]["source"]["targetRevision"], first, "by the commit");
    assert_eq!(application["status"]["sync"]["revision"], first);
    Ok(())
}
