//! The local registry as a test changes it: tags of one architecture, until the test has ended.

use tokio::runtime::Runtime;

use crate::support::Json;

const REGISTRY: &str = "http://127.0.0.1:5000";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

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

impl Drop for OneArchitecture<'_> {
    fn drop(&mut self) {
        for (tag, index) in std::mem::take(&mut self.before) {
            self.put(&tag, index);
        }
    }
}
