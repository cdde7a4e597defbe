//! Starts the binary, waits until it is ready, asks it, and ends it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use reqwest::multipart::{Form, Part};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

/// Generous, because other tests and builds share the machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// Of `serve`.
const ROLES: [&str; 6] = ["gateway", "model", "ocr-server", "translate", "frontend", "experiments"];
const LOG: &str = "stderr.log";

/// A running `ocr-service`, ended when dropped.
pub struct Service {
    child: Child,
    ports: BTreeMap<String, String>,
    /// Its working directory.
    folder: TempDir,
}

impl Service {
    /// `serve` on free ports with `args`, ready to read.
    pub async fn serve(args: &[&str]) -> Self {
        let free = ROLES.map(|role| format!("--{role}-port=0"));
        let free = free.each_ref().map(String::as_str);
        let service = Self::start("serve", &[&free, args].concat(), "").await;
        for role in ROLES {
            service.ready(role).await;
        }
        service
    }

    /// A single role on a free port, ready.
    pub async fn role(role: &str, args: &[&str]) -> Self {
        Self::role_with(role, args, "").await
    }

    /// As [`Service::role`], with this in its `.env`.
    pub async fn role_with(role: &str, args: &[&str], env: &str) -> Self {
        let service = Self::start(role, &[&["--port=0"], args].concat(), env).await;
        service.ready(role).await;
        service
    }

    /// A single role on a free port with variables in its `.env`, perhaps not ready.
    pub async fn unready(role: &str, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let env: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Self::start(role, &[&["--port=0"], args].concat(), &env.join("\n")).await
    }

    async fn start(command: &str, args: &[&str], env: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".env"), env).unwrap();
        let ports_file = folder.path().join("ports.json");
        let child = binary(command)
            .args(args)
            .arg("--ports-file")
            .arg(&ports_file)
            .current_dir(folder.path())
            // A file, not a pipe: nobody reads along, and a full pipe would stop the service.
            .stderr(File::create(folder.path().join(LOG)).unwrap())
            .spawn()
            .unwrap();
        let mut service = Self { child, ports: BTreeMap::new(), folder };
        until("the ports file", async || ports_file.exists()).await;
        service.ports = serde_json::from_str(&fs::read_to_string(ports_file).unwrap()).unwrap();
        service
    }

    pub async fn ready(&self, role: &str) {
        let url = self.url(role, "/healthz/ready");
        let is_ready = async || reqwest::get(&url).await.is_ok_and(|response| response.status().is_success());
        until("readiness", is_ready).await;
    }

    pub fn url(&self, role: &str, path: &str) -> String {
        format!("http://{}{path}", self.ports[role])
    }

    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }

    pub async fn get(&self, role: &str, path: &str) -> Response {
        reqwest::get(self.url(role, path)).await.unwrap()
    }

    /// The gateway's answer for an image.
    pub async fn gateway(&self, image: Vec<u8>) -> Answer {
        post(self.url("gateway", "/gateway/ocr"), "image_file", image).await
    }

    /// The OCR server's answer for an image.
    pub async fn ocr(&self, image: Vec<u8>) -> Answer {
        post(self.url("ocr-server", "/ocr"), "file", image).await
    }

    pub fn signal(&self, name: &str) {
        kill(name, &self.pid());
    }

    /// Waits for the end of the process; gives its status and what it wrote to standard error.
    pub async fn end(mut self) -> (ExitStatus, String) {
        let mut status = None;
        until("the process's end", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        (status.unwrap(), self.log())
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join(LOG)).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A status, headers of interest, and a JSON body.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.json().await.unwrap() }
    }

    pub fn text(&self) -> &str {
        self.body["text"].as_str().unwrap_or_else(|| panic!("no text in {self:?}"))
    }

    pub fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_else(|| panic!("no error in {self:?}"))
    }
}

/// Sends a signal to a process.
pub fn kill(signal: &str, pid: &str) {
    let sent = Command::new("kill").args([&format!("-{signal}"), pid]).status().unwrap();
    assert!(sent.success());
}

/// The binary, with nothing of this process's settings.
pub fn binary(command: &str) -> Command {
    let mut binary = Command::new(env!("CARGO_BIN_EXE_ocr-service"));
    for (name, _) in std::env::vars_os() {
        if ["PLATEN_", "KSERVE_URL", "NAVER_", "LIBRETRANSLATE_", "DB_"]
            .iter()
            .any(|ours| name.to_string_lossy().starts_with(ours))
        {
            binary.env_remove(name);
        }
    }
    binary.arg(command).stdin(Stdio::null());
    binary
}

pub async fn post(url: String, field: &'static str, image: Vec<u8>) -> Answer {
    let form = Form::new().part(field, Part::bytes(image).file_name("image"));
    Answer::of(Client::new().post(url).multipart(form).send().await.unwrap()).await
}

pub fn data(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Asks again and again until `condition` holds.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    while !condition().await {
        assert!(Instant::now() < give_up, "{what} did not come about within {PATIENCE:?}");
        ticks.tick().await;
    }
}
