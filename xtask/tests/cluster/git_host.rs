//! A private Git repository with the chart of this checkout, served over HTTP to the cluster's pods: on the gateway of kind's
//! Docker network, which no other machine reaches.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::io::AsyncWriteExt;

use crate::support::{Outcome, Ran, Xtask, root};
use crate::{RUNTIME, docker};

pub const TOKEN: &str = "a-token-of-the-cluster-suite";
const BRANCH: &str = "main";
const LARGEST: usize = 64 << 20;

/// A copy of this checkout whose branch follows the repository. Dropped, both are gone.
pub struct GitHost {
    folder: tempfile::TempDir,
    pub url: String,
    server: tokio::task::JoinHandle<()>,
}

impl GitHost {
    pub fn start() -> Result<Self, libtest_mimic::Failed> {
        let folder = tempfile::tempdir()?;
        let gateways =
            docker(&["network", "inspect", "kind", "-f", "{{range .IPAM.Config}}{{.Gateway}} {{end}}"]);
        let gateway =
            gateways.split(' ').find_map(|it| it.parse::<Ipv4Addr>().ok()).expect("an IPv4 gateway");
        let projects = folder.path().join("served");
        std::fs::create_dir(&projects)?;
        let listener = RUNTIME.block_on(tokio::net::TcpListener::bind((gateway, 0)))?;
        let url = format!("http://{}/ocr.git", listener.local_addr()?);
        let router = Router::new().fallback(answer).with_state(projects.clone());
        let server = RUNTIME.spawn(async move {
            axum::serve(listener, router).await.expect("serving Git");
        });
        let host = Self { folder, url, server };
        host.copy()?;
        let bare = projects.join("ocr.git");
        host.git(&["init", "-q", "--bare", "-b", BRANCH, text(&bare)])?;
        host.git(&["init", "-q", "-b", BRANCH])?;
        host.git(&["remote", "add", "origin", &host.url])?;
        host.git(&["remote", "set-url", "--push", "origin", text(&bare)])?;
        host.git(&["add", "charts"])?;
        host.git(&["commit", "-q", "-m", "The chart"])?;
        host.git(&["push", "-q", "-u", "origin", BRANCH])?;
        Ok(host)
    }

    /// The files as they lie here, and the records of what was made from here.
    fn copy(&self) -> Outcome {
        let checkout = self.checkout();
        std::fs::create_dir(&checkout)?;
        let without = ["--exclude=target", "--exclude=./.git", "--exclude=./.platen"];
        let mut packing = Command::new("tar")
            .args(without)
            .args(["-c", "."])
            .current_dir(root())
            .stdout(Stdio::piped())
            .spawn()?;
        let packed = packing.stdout.take().expect("its output");
        let unpacked = Command::new("tar").arg("-x").current_dir(&checkout).stdin(packed).status()?;
        assert!(packing.wait()?.success() && unpacked.success(), "the checkout is copied");
        std::os::unix::fs::symlink(root().join(".platen"), checkout.join(".platen"))?;
        Ok(())
    }

    fn checkout(&self) -> PathBuf {
        self.folder.path().join("checkout")
    }

    /// A file of the chart.
    pub fn chart(&self, file: &str) -> PathBuf {
        self.checkout().join("charts/ocr-app").join(file)
    }

    pub fn git(&self, args: &[&str]) -> Result<String, libtest_mimic::Failed> {
        let who =
            ["-c", "user.name=suite", "-c", "user.email=suite@example.org", "-c", "commit.gpgsign=false"];
        let output = Command::new("git").args(who).args(args).current_dir(self.checkout()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {said}");
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The command in the copy, with a token in the environment.
    pub fn run(&self, xtask: &Xtask, args: &[&str], token: &str) -> Ran {
        Ran::of(args, xtask.command(args).current_dir(self.checkout()).env("GIT_TOKEN", token))
    }
}

impl Drop for GitHost {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Git's own server program behind a login.
async fn answer(State(projects): State<PathBuf>, request: Request) -> Response {
    let headers = request.headers().clone();
    if !may_read(&headers) {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")])
            .into_response();
    }
    let (method, uri) = (request.method().to_string(), request.uri().clone());
    let body = to_bytes(request.into_body(), LARGEST).await.expect("a body");
    let given = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
    let variables = [
        ("GIT_PROJECT_ROOT", text(&projects).to_owned()),
        ("GIT_HTTP_EXPORT_ALL", "1".to_owned()),
        ("REQUEST_METHOD", method),
        ("PATH_INFO", uri.path().to_owned()),
        ("QUERY_STRING", uri.query().unwrap_or_default().to_owned()),
        ("CONTENT_TYPE", given("content-type")),
        ("CONTENT_LENGTH", body.len().to_string()),
        ("HTTP_CONTENT_ENCODING", given("content-encoding")),
        ("GIT_PROTOCOL", given("git-protocol")),
    ];
    of_cgi(&http_backend(variables.into(), &body).await)
}

fn may_read(headers: &HeaderMap) -> bool {
    let login = reqwest::Client::new().get("http://git.invalid").basic_auth("git", Some(TOKEN)).build();
    headers.get(header::AUTHORIZATION) == login.expect("a request").headers().get(header::AUTHORIZATION)
}

async fn http_backend(variables: BTreeMap<&str, String>, body: &Bytes) -> Vec<u8> {
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .envs(variables)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("git http-backend");
    let mut input = child.stdin.take().expect("its input");
    // What it does not read it does not want.
    let _ = input.write_all(body).await;
    drop(input);
    child.wait_with_output().await.expect("its answer").stdout
}

/// Header lines, an empty one, and the body (RFC 3875, section 6).
fn of_cgi(output: &[u8]) -> Response {
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").expect("the end of the header");
    let (head, body) = (String::from_utf8_lossy(&output[..end]), output[end + 4..].to_vec());
    let mut response = body.into_response();
    response.headers_mut().clear();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        if name == "Status" {
            let code = value.split(' ').next().and_then(|code| code.parse::<StatusCode>().ok());
            *response.status_mut() = code.expect("a code");
        } else {
            let name = name.parse::<HeaderName>().expect("a header");
            response.headers_mut().insert(name, value.parse().expect("its value"));
        }
    }
    response
}
