//! The command under test among its doubles.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::servers;
use crate::world::World;

/// The variable that names the doubles' folder.
pub const DOUBLE: &str = "PLATEN_TEST_DOUBLE";

/// The command with doubles on its PATH, in a profile and on ports of its own.
pub struct Bench {
    pub dir: tempfile::TempDir,
    pub profile: String,
    docker_host: String,
    /// The first of its block.
    pub ports: u16,
}

/// As in the configuration that is written.
const STRIDE: u16 = 20;

impl Bench {
    pub fn new(profile: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let bin = dir.path().join("bin");
        std::fs::create_dir(&bin).expect("making it");
        let own = std::env::current_exe().expect("this program");
        for name in ["minikube", "docker"] {
            std::os::unix::fs::symlink(&own, bin.join(name)).expect("a link");
        }
        // By it, what a killed run started ends with it.
        if let Some(setpriv) =
            ["/usr/bin/setpriv", "/bin/setpriv"].into_iter().find(|it| Path::new(it).exists())
        {
            std::os::unix::fs::symlink(setpriv, bin.join("setpriv")).expect("a link");
        }
        let docker_host = servers::serve(dir.path());
        let bench = Self { dir, profile: profile.to_owned(), docker_host, ports: free_block() };
        bench.configure(3, "", "");
        let _ = std::fs::remove_dir_all(bench.records());
        bench
    }

    pub fn world(&self) -> World {
        World::at(self.dir.path())
    }

    /// What the command keeps of the profile.
    pub fn records(&self) -> PathBuf {
        root().join(".platen").join(&self.profile)
    }

    pub fn configure(&self, nodes: u16, cluster: &str, minikube: &str) {
        let base = self.ports;
        let text = format!(
            "[cluster]\nprovider = \"minikube\"\nnodes = {nodes}\n{cluster}\n[images]\nsource = \"source\"\n\
             [minikube]\n{minikube}\n[ports]\ngateway = {base}\nmodel = {}\nocr_server = {}\ntranslate = {}\n\
             frontend = {}\nexperiments = {}\nprometheus = {}\nnode_metrics = {}\nnode_ports = [{}, {}, {}]\n\
             stride = {STRIDE}\nregistry = {}\n",
            base + 1,
            base + 2,
            base + 3,
            base + 4,
            base + 5,
            base + 6,
            base + 7,
            base + 8,
            base + 9,
            base + 10,
            base + 11,
        );
        std::fs::write(self.dir.path().join("platen.toml"), text).expect("the configuration");
    }

    pub fn door(&self, node: u16) -> u16 {
        self.ports + 8 + node * STRIDE
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(args)
            .args(["-o", "json", "--profile", &self.profile, "--config"])
            .arg(self.dir.path().join("platen.toml"))
            .current_dir(root())
            .stdin(Stdio::null())
            // Nothing of this machine: neither its programs nor its routes.
            .env("PATH", self.dir.path().join("bin"))
            .env("HOME", self.dir.path())
            .env("PLATEN_CACHE", self.dir.path().join("cache"))
            .env("DOCKER_HOST", &self.docker_host)
            .env("KUBECONFIG", self.world().kubeconfig())
            .env(DOUBLE, self.dir.path());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran { what: args.join(" "), output: self.command(args).output().expect("starting xtask") }
    }

    /// `up` as far as the doubles go.
    pub fn up(&self, more: &[&str]) -> Ran {
        self.run(&[&["up", "--only", "cluster"], more].concat())
    }

    /// Calls of `minikube start` so far.
    pub fn starts(&self) -> Vec<String> {
        self.world().calls().into_iter().filter(|call| call.starts_with("start ")).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.world().set_fault(None);
        // Also after a failed test no process of it stays behind.
        let _ = self.command(&["down"]).output();
        let _ = std::fs::remove_dir_all(self.records());
    }
}

pub struct Ran {
    what: String,
    output: Output,
}

impl Ran {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.output.status.code(), Some(code), "xtask {}:\n{}", self.what, self.stderr());
        self
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.output.stdout)
            .unwrap_or_else(|error| panic!("xtask {}: {error}", self.what))
    }

    pub fn events(&self) -> Vec<Value> {
        self.stderr().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    #[track_caller]
    pub fn says(&self, words: &[&str]) {
        let said = self.stderr();
        for word in words {
            assert!(said.contains(word), "{word:?} is not in: {said}");
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the project")
}

/// The first of a block of ports that nobody listens on; tests run side by side, each from a place of its own.
fn free_block() -> u16 {
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(18_000);
    loop {
        let base = NEXT.fetch_add(100, std::sync::atomic::Ordering::Relaxed);
        assert!(base < 20_000, "no free ports");
        if (base..base + 100).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
}

#[track_caller]
pub fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !look() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
