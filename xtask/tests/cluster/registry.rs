//! The local registry: how nodes are made to ask it, and as a test changes it (tags of one architecture, until it has ended).

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams, PostParams};
use tokio::runtime::Runtime;

use crate::support::{Json, Outcome, Xtask};
use crate::{PROFILE, RUNTIME, client, docker, up};

const REGISTRY: &str = "http://127.0.0.1:5000";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// As a cluster of somebody's that was made without Platen: its node asks no mirror until it is told to.
pub fn nodes_are_wired_by_context(xtask: &Xtask) -> Outcome {
    let (node, certs) = (format!("{PROFILE}-worker"), "/etc/containerd/certs.d");
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{REGISTRY}/v2/platen/ocr-service/tags/list");
    let tags: Json = RUNTIME.block_on(async { http.get(url).send().await?.json().await })?;
    let tags = tags["tags"].as_array().expect("a list").iter().filter_map(Json::as_str);
    let tag = tags.filter(|tag| *tag != "staging").max().expect("a tag").to_owned();
    // A host that is nowhere: only a mirror of every host can have it.
    let image = format!("registry.invalid/platen/ocr-service:{tag}");
    let pull = ["exec", &node, "ctr", "-n", "k8s.io", "images", "pull", "--hosts-dir", certs, &image];
    docker(&["exec", &node, "rm", "-r", &format!("{certs}/_default")]);
    assert!(!std::process::Command::new("docker").args(pull).output()?.status.success());
    let context = format!("kind-{PROFILE}");
    let planned = xtask.run(&["mirror", "wire", "--context", &context, "--dry-run"]).expect_code(0).json();
    assert_eq!(planned.as_array().map(Vec::len), Some(4), "a network and three nodes: {planned}");
    let wired = xtask.run(&["mirror", "wire", "--context", &context]).expect_code(0).json();
    assert_eq!(wired[0]["done"].as_array().map(Vec::len), Some(3), "{wired}");
    docker(&pull);
    docker(&["exec", &node, "ctr", "-n", "k8s.io", "images", "rm", &image]);
    Ok(())
}

/// What `up` built is found again, reads an image in a container of its own, and is in the registry as it is told.
pub fn image_is_found_and_tried(xtask: &Xtask) -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("metadata.json");
    let out = file.to_str().expect("a path");
    let built = xtask.run(&["build", "--test", "--metadata-file", out]).expect_code(0).json();
    assert_eq!(built["built"], false, "{built}");
    assert!(built["platforms"][0]["tried"].as_str().expect("what it did").contains("read"), "{built}");
    let metadata: Json = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    let digest = metadata["containerimage.digest"].as_str().expect("a digest").to_owned();
    let name = metadata["image.name"].as_str().expect("a name").to_owned();
    let (repository, tag) = name
        .strip_prefix("localhost:5000/")
        .and_then(|it| it.split_once(':'))
        .expect("a tag of the registry");
    let url = format!("{REGISTRY}/v2/{repository}/manifests/{tag}");
    let http = reqwest::Client::builder().no_proxy().build()?;
    let (found, index) = RUNTIME.block_on(async {
        let answer = http.get(url).header("accept", INDEX).send().await?.error_for_status()?;
        let found = answer.headers().get("docker-content-digest").cloned();
        Ok::<_, reqwest::Error>((found, answer.json::<Json>().await?))
    })?;
    assert_eq!(found.expect("the digest of what was sent"), digest.as_str());
    let own = index["manifests"]
        .as_array()
        .expect("manifests")
        .iter()
        .find(|it| it["digest"] == built["platforms"][0]["digest"]);
    assert_eq!(own.expect("this machine's")["platform"]["os"], "linux", "{index}");
    xtask.run(&["build", "--platform", "linux/s390x"]).expect_code(2);
    Ok(())
}

/// A node of another architecture, as the API server would show a small board that is switched off.
pub fn foreign_node_is_refused(xtask: &Xtask) -> Outcome {
    const BOARD: &str = "e2e-arm64-board";
    let other = if cfg!(target_arch = "aarch64") { "amd64" } else { "arm64" };
    let node: Node = serde_json::from_value(serde_json::json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": BOARD, "labels": {"kubernetes.io/arch": other, "kubernetes.io/os": "linux"}},
    }))?;
    let own_alone = OneArchitecture::of(&RUNTIME, "platen/ocr-service", other);
    let nodes = Api::<Node>::all(client());
    RUNTIME.block_on(nodes.create(&PostParams::default(), &node))?;
    let generation = || -> Result<Option<i64>, kube::Error> {
        let api = Api::<Deployment>::namespaced(client(), "ocr");
        Ok(RUNTIME.block_on(api.get("ocr-gateway"))?.metadata.generation)
    };
    let before = generation()?;
    // One node more than gateways: the release would have to change.
    let refused = xtask.run(&["up"]);
    RUNTIME.block_on(nodes.delete(BOARD, &DeleteParams::default()))?;
    drop(own_alone);
    let refused = refused.expect_code(1);
    let said = refused.stderr();
    assert!(said.contains(BOARD) && said.contains(&format!("not for linux/{other}")), "{said}");
    assert!(
        said.contains("cargo xtask") && said.contains("build --platform linux/amd64,linux/arm64"),
        "{said}"
    );
    assert_eq!(generation()?, before, "nothing was changed in the cluster");
    up(xtask).expect_code(0);
    Ok(())
}

/// Every tag of a repository without one architecture; dropped, each is what it was.
pub struct OneArchitecture<'a> {
    runtime: &'a Runtime,
    http: reqwest::Client,
    repository: String,
    /// Tags and their indexes, as they were.
    before: Vec<(String, String)>,
}

impl<'a> OneArchitecture<'a> {
    pub fn of(runtime: &'a Runtime, repository: &str, without: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut changed = Self { runtime, http, repository: repository.into(), before: Vec::new() };
        let tags: Json = serde_json::from_str(&changed.get("tags/list")).expect("the tags");
        for tag in tags["tags"].as_array().expect("a list").iter().filter_map(Json::as_str) {
            let text = changed.get(&format!("manifests/{tag}"));
            let mut index: Json = serde_json::from_str(&text).expect("an index");
            let Some(entries) = index["manifests"].as_array_mut() else { continue };
            let all = entries.len();
            entries.retain(|entry| entry["platform"]["architecture"] != without);
            if entries.len() < all {
                changed.put(tag, index.to_string());
                changed.before.push((tag.to_owned(), text));
            }
        }
        changed
    }

    fn get(&self, path: &str) -> String {
        let request =
            self.http.get(format!("{REGISTRY}/v2/{}/{path}", self.repository)).header("accept", INDEX);
        let answer = async { request.send().await.expect("an answer").text().await };
        self.runtime.block_on(answer).expect("its text")
    }

    fn put(&self, tag: &str, index: String) {
        let url = format!("{REGISTRY}/v2/{}/manifests/{tag}", self.repository);
        let request = self.http.put(url).header("content-type", INDEX).body(index);
        let status = self.runtime.block_on(async { request.send().await }).expect("an answer").status();
        assert!(status.is_success(), "{tag}: {status}");
    }
}

/// A tag whose index names another processor for each of its images than they are for; dropped, it is gone.
pub struct OtherPlatform<'a> {
    registry: OneArchitecture<'a>,
    digest: String,
}

impl<'a> OtherPlatform<'a> {
    const TAG: &'static str = "other-platform";

    pub fn of(runtime: &'a Runtime, repository: &str, architecture: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let registry = OneArchitecture { runtime, http, repository: repository.into(), before: Vec::new() };
        let tags: Json = serde_json::from_str(&registry.get("tags/list")).expect("the tags");
        let mut tags = tags["tags"].as_array().expect("a list").iter().filter_map(Json::as_str);
        let tag = tags.find(|tag| *tag != "staging").expect("a tag");
        let mut index: Json =
            serde_json::from_str(&registry.get(&format!("manifests/{tag}"))).expect("an index");
        let entries = index["manifests"].as_array_mut().expect("an index");
        entries.retain(|entry| entry["platform"]["os"] == "linux");
        for entry in entries {
            entry["platform"]["architecture"] = architecture.into();
        }
        let text = index.to_string();
        let digest = platform::registry::digest_of(text.as_bytes());
        registry.put(Self::TAG, text);
        Self { registry, digest }
    }

    pub fn image(&self) -> String {
        format!("localhost:5000/{}:{}", self.registry.repository, Self::TAG)
    }
}

impl Drop for OtherPlatform<'_> {
    fn drop(&mut self) {
        let url = format!("{REGISTRY}/v2/{}/manifests/{}", self.registry.repository, self.digest);
        let removed = async { self.registry.http.delete(url).send().await };
        let status = self.registry.runtime.block_on(removed).expect("an answer").status();
        assert!(status.is_success(), "{status}");
    }
}

impl Drop for OneArchitecture<'_> {
    fn drop(&mut self) {
        for (tag, index) in std::mem::take(&mut self.before) {
            self.put(&tag, index);
        }
    }
}
