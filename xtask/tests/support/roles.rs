//! The page and the experiments, asked in the same way wherever they run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Runtime;

use super::{Json, eventually, letter, post_file, root};

/// The sample letter through the page behind this port of loopback: frontend, gateway, a model, translate.
#[track_caller]
pub fn expect_translated(runtime: &Runtime, port: u16) {
    let url = format!("http://127.0.0.1:{port}/api/translate");
    let image = std::fs::read(letter()).expect("the letter");
    let translated = post_file(runtime, &url, "file", "letter.jpg", image);
    assert_eq!(translated.status, 200, "{url}: {}", translated.body);
    assert!(translated.body["text"].as_str().expect("text").contains("Hello from your child"));
    assert_eq!(translated.body["translation"], "자녀로부터 온 편지입니다. 안녕하세요.");
}

/// The experiments behind a port of loopback, and the folder that they read and write.
pub struct Experiments<'a> {
    runtime: &'a Runtime,
    client: reqwest::Client,
    url: String,
    folder: PathBuf,
}

impl<'a> Experiments<'a> {
    pub fn new(runtime: &'a Runtime, profile: &str, port: u16) -> Self {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build();
        Self {
            runtime,
            client: client.expect("a client"),
            url: format!("http://127.0.0.1:{port}"),
            folder: root().join(".platen").join(profile).join("experiments"),
        }
    }

    /// Puts an image where the Jobs look for some.
    pub fn give_an_image(&self) {
        let input = self.folder.join("input");
        std::fs::create_dir_all(&input).expect("the input folder");
        std::fs::copy(letter(), input.join("letter.jpg")).expect("an image in it");
    }

    /// The status of the answer to `POST /test`.
    pub fn start(&self, id: &str) -> u16 {
        let form = format!("learning_rate=0.01&epoch=2&experiment_id={id}");
        let request = self
            .client
            .post(format!("{}/test", self.url))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        self.runtime.block_on(async { request.send().await }).expect("an answer").status().as_u16()
    }

    /// What a path answers.
    pub fn get(&self, path: &str) -> Json {
        let request = self.client.get(format!("{}{path}", self.url));
        let answer = async { request.send().await.expect("an answer").json().await };
        self.runtime.block_on(answer).expect("a JSON answer")
    }

    /// Its last state, when it has ended.
    #[track_caller]
    pub fn ended(&self, id: &str) -> Json {
        let state = || self.get(&format!("/test/{id}"));
        eventually("the experiment's end", Duration::from_mins(2), || {
            matches!(state()["state"].as_str(), Some("succeeded" | "failed"))
        });
        state()
    }

    pub fn result(&self, id: &str, file: &str) -> PathBuf {
        Path::new(&self.folder).join("output").join(id).join(file)
    }
}
