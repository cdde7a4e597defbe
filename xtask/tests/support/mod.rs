//! What the end-to-end tests share: the real command in a profile of its own, on ports of its own.

pub mod daily;
pub mod roles;
pub mod steady;
pub mod terminal;
pub mod watching;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub type Outcome = Result<(), libtest_mimic::Failed>;

/// The command under test, always with the same profile and configuration.
pub struct Xtask {
    pub profile: &'static str,
    pub ports: Ports,
    config: tempfile::NamedTempFile,
}

/// First ports of each kind; every node's are `STRIDE` further.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub gateway: u16,
    pub ocr_server: u16,
    pub frontend: u16,
    pub experiments: u16,
}

pub const STRIDE: u16 = 12;
const NODES: u16 = 3;

impl Xtask {
    /// A profile with free ports, after anything that a killed run of the same tests left is gone.
    pub fn new(profile: &'static str) -> Self {
        Self::configured(profile, "")
    }

    /// As [`Xtask::new`], with more of `platen.toml` before the ports.
    pub fn configured(profile: &'static str, more: &str) -> Self {
        let base = free_block();
        let ports = Ports { gateway: base, ocr_server: base + 2, frontend: base + 7, experiments: base + 8 };
        let text = format!(
            "{more}\n[ports]\ngateway = {}\nmodel = {}\nocr_server = {}\nnode_ports = [{}, {}, {}]\ntranslate = {}\nfrontend = {}\nexperiments = {}\nnode_metrics = {}\nprometheus = {}\nstride = {STRIDE}\n",
            ports.gateway,
            base + 1,
            ports.ocr_server,
            base + 3,
            base + 4,
            base + 5,
            base + 6,
            ports.frontend,
            ports.experiments,
            base + 9,
            base + 10,
        );
        let config = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(config.path(), text).expect("writing the configuration");
        let xtask = Self { profile, ports, config };
        xtask.run(&["down"]).expect_code(0);
        xtask
    }

    /// The NodePort of the gateway on the first node.
    pub fn node_port(&self) -> u16 {
        self.ports.gateway + 3
    }

    /// The NodePort of the page on each node.
    pub fn page_ports(&self) -> impl Iterator<Item = u16> {
        (0..NODES).map(|node| self.node_port() + 1 + node * STRIDE)
    }

    /// The NodePort of the experiments on the first node.
    pub fn experiments_port(&self) -> u16 {
        self.node_port() + 2
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(args)
            .args(["-o", "json", "--profile", self.profile, "--config"])
            .arg(self.config.path())
            .current_dir(root())
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(args, &mut self.command(args))
    }

    /// Starts the command and kills it (SIGKILL) `after` the beginning of `step`. True: it was killed there; false: it
    /// was done before. The error is what it said when it failed before.
    pub fn kill_in_step(&self, args: &[&str], step: &str, after: Duration) -> Result<bool, String> {
        self.kill_when(args, &format!("\"event\":\"step_started\",\"id\":\"{step}\""), after)
    }

    /// As [`Xtask::kill_in_step`], `after` it told a line that holds `wanted`.
    pub fn kill_when(&self, args: &[&str], wanted: &str, after: Duration) -> Result<bool, String> {
        self.signal_when(args, wanted, after, "KILL").map(|code| code.is_none())
    }

    /// Starts the command and sends it a signal `after` it told a line that holds `wanted`. Its exit code, none where the
    /// signal ended it. The error is what it said when it failed before.
    pub fn signal_when(
        &self,
        args: &[&str],
        wanted: &str,
        after: Duration,
        signal: &str,
    ) -> Result<Option<i32>, String> {
        let mut child =
            self.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starting xtask");
        let mut stderr = BufReader::new(child.stderr.take().expect("its stderr")).lines();
        let mut said = Vec::new();
        for line in stderr.by_ref().map_while(Result::ok) {
            let reached = line.contains(wanted);
            said.push(line);
            if reached {
                std::thread::sleep(after);
                break;
            }
        }
        match child.try_wait().expect("its state") {
            None => {}
            Some(status) if status.success() => return Ok(Some(0)),
            Some(status) => {
                said.extend(stderr.map_while(Result::ok));
                return Err(format!("{status} before its signal at {wanted}:\n{}", said.join("\n")));
            }
        }
        let id = child.id().to_string();
        Command::new("kill").args([&format!("-{signal}"), &id]).status().expect("sending the signal");
        // Read to its end, which a process that it started may hold open for longer: it must not end by a full pipe.
        std::thread::spawn(move || stderr.map_while(Result::ok).count());
        Ok(child.wait().expect("its end").code())
    }
}

/// What a run of the command left.
pub struct Ran {
    what: String,
    output: Output,
    pub elapsed: Duration,
}

impl Ran {
    /// Runs a command of [`Xtask::command`] to its end.
    pub fn of(args: &[&str], command: &mut Command) -> Self {
        let begun = Instant::now();
        let output = command.output().expect("starting xtask");
        Self { what: args.join(" "), output, elapsed: begun.elapsed() }
    }

    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        let said = told(&self.stderr());
        assert_eq!(self.output.status.code(), Some(code), "xtask {}:\n{said}", self.what);
        self
    }

    pub fn code(&self) -> Option<i32> {
        self.output.status.code()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.output.stdout)
            .unwrap_or_else(|error| panic!("xtask {}: {error}", self.what))
    }
}

/// What was said without the progress of what went on afterwards: of a long run the end counts.
fn told(said: &str) -> String {
    let is_progress = |line: &&str| line.contains(r#""event":"step_progress""#);
    let lines: Vec<&str> = said.lines().collect();
    let last = lines.iter().rposition(is_progress);
    let kept = lines.iter().enumerate().filter(|(at, line)| !is_progress(line) || Some(*at) == last);
    kept.map(|(_, line)| *line).collect::<Vec<_>>().join("\n")
}

pub type Json = serde_json::Value;

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the project")
}

pub fn letter() -> PathBuf {
    root().join("platform/stack/sample.jpg")
}

/// The first of a block of ports that nobody listens on, below those that the system hands out by itself.
fn free_block() -> u16 {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    (20_000..30_000)
        .step_by(100)
        .find(|base| (*base..base + STRIDE * NODES).all(is_free))
        .expect("thirty free ports in a row")
}

/// A blocking view of an HTTP answer.
pub struct Answer {
    pub status: u16,
    pub body: Json,
}

/// Posts one file as multipart form data.
pub fn post_file(
    runtime: &tokio::runtime::Runtime,
    url: &str,
    field: &str,
    name: &str,
    bytes: Vec<u8>,
) -> Answer {
    runtime.block_on(async {
        let part = reqwest::multipart::Part::bytes(bytes).file_name(name.to_owned());
        let form = reqwest::multipart::Form::new().part(field.to_owned(), part);
        let client =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_mins(1)).build().expect("a client");
        let response = client.post(url).multipart(form).send().await.expect("an answer");
        Answer { status: response.status().as_u16(), body: response.json().await.expect("a JSON answer") }
    })
}

/// Polls until `look` is true.
#[track_caller]
pub fn eventually(what: &str, within: Duration, mut look: impl FnMut() -> bool) {
    let until = Instant::now() + within;
    while !look() {
        assert!(Instant::now() < until, "not within {} s: {what}", within.as_secs());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// As [`eventually`], and what is missing at the end is told.
pub fn eventually_whole(what: &str, within: Duration, mut missing: impl FnMut() -> Vec<String>) {
    let until = Instant::now() + within;
    loop {
        let missing = missing();
        if missing.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "not within {} s: {what}: {missing:?}", within.as_secs());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Process ids of live processes whose command line holds `text`.
pub fn processes_with(text: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        std::fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).replace('\0', " ").contains(text))
    })
    .collect()
}
