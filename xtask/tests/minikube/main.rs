//! The provider minikube, with the real command against doubles: a real process in minikube's place, whose arguments are
//! checked, and servers in the places of Docker and of the cluster. As far as doubles go: the cluster itself.

mod double;
mod servers;
mod world;

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

use world::World;

/// Where the doubles keep what they know.
const HOME: &str = "PLATEN_TEST_DOUBLE";

fn main() -> ExitCode {
    let mut args = std::env::args();
    let own = args.next().unwrap_or_default();
    let name = Path::new(&own).file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    if let (Ok(dir), "minikube" | "docker") = (std::env::var(HOME), name.as_str()) {
        let args: Vec<String> = args.collect();
        let dir = Path::new(&dir);
        let code = if name == "docker" { double::docker(dir, &args) } else { double::run(dir, &args) };
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    platform::tls::install();
    let trials = vec![
        trial("a dry run asks minikube and starts nothing", dry_run),
        trial(
            "three nodes are made, wired, opened on loopback, and a second run changes nothing",
            three_nodes,
        ),
        trial("one node publishes its ports itself, with all that platen.toml says", one_node),
        trial("a dead node is repaired by the next up, with what is there kept", dead_node),
        trial("stopped and started again, and down leaves nothing", stop_and_down),
        trial("other settings are refused with what differs, until --recreate", mismatch),
        trial("a profile of somebody else is refused and outlives down", foreign),
        trial("a failure is told with minikube's words, advice and our exit code", failures),
        trial("a crash in the middle is mended by the next up", crash),
        trial("a run that is killed in the middle is mended by the next up", killed),
        trial("without minikube it is said so at once, and kind is named", unobtainable),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: &str, test: fn(&Bench)) -> Trial {
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(1);
    let profile = format!("mk-{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    Trial::test(name, move || {
        test(&Bench::new(&profile));
        Ok::<(), Failed>(())
    })
}

/// The command with doubles on its PATH, in a profile and on ports of its own.
struct Bench {
    dir: tempfile::TempDir,
    profile: String,
    docker_host: String,
    ports: u16,
}

/// As in the configuration that is written.
const STRIDE: u16 = 20;

impl Bench {
    fn new(profile: &str) -> Self {
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

    fn world(&self) -> World {
        World::at(self.dir.path())
    }

    /// What the command keeps of the profile.
    fn records(&self) -> PathBuf {
        root().join(".platen").join(&self.profile)
    }

    fn configure(&self, nodes: u16, cluster: &str, minikube: &str) {
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

    fn door(&self, node: u16) -> u16 {
        self.ports + 8 + node * STRIDE
    }

    fn command(&self, args: &[&str]) -> Command {
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
            .env(HOME, self.dir.path());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran { what: args.join(" "), output: self.command(args).output().expect("starting xtask") }
    }

    /// `up` as far as the doubles go.
    fn up(&self, more: &[&str]) -> Ran {
        self.run(&[&["up", "--only", "cluster"], more].concat())
    }

    /// Calls of `minikube start` so far.
    fn starts(&self) -> Vec<String> {
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

struct Ran {
    what: String,
    output: Output,
}

impl Ran {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.output.status.code(), Some(code), "xtask {}:\n{}", self.what, self.stderr());
        self
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.output.stdout)
            .unwrap_or_else(|error| panic!("xtask {}: {error}", self.what))
    }

    fn events(&self) -> Vec<Value> {
        self.stderr().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    #[track_caller]
    fn says(&self, words: &[&str]) {
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
fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !look() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn dry_run(bench: &Bench) {
    let plan = bench.up(&["--dry-run"]).expect(0).json()["plan"].clone();
    assert_eq!(plan["provider"], "minikube", "{plan}");
    assert_eq!(plan["actions"][0]["step"], "cluster", "{plan}");
    assert_eq!(bench.starts(), Vec::<String>::new());
    assert!(!bench.records().exists(), "nothing is recorded");
}

/// Also shows the progress of slow steps while they last.
fn three_nodes(bench: &Bench) {
    let (world, name) = (bench.world(), bench.profile.as_str());
    world.set_fault(Some(&format!("{name}-m02 slow")));
    let up = bench.up(&[]).expect(0);
    let starts = bench.starts();
    assert_eq!(starts.len(), 1, "{starts:?}");
    assert!(!starts[0].contains("--ports") && starts[0].contains("--nodes=3"), "{}", starts[0]);
    let shares: Vec<(u64, u64)> = up
        .events()
        .iter()
        .filter(|event| event["event"] == "step_progress")
        .filter_map(|event| Some((event["done"].as_u64()?, event["total"].as_u64()?)))
        .collect();
    assert!(shares.len() > 15 && shares.is_sorted(), "{shares:?}");
    assert_eq!(shares.last(), Some(&(57, 57)));
    up.says(&["downloading preload.tar.lz4: 42 %"]);

    for node in [name.to_owned(), format!("{name}-m02"), format!("{name}-m03")] {
        for host in [&format!("localhost:{}", bench.ports + 11), "_default"] {
            let file = world.node_file(&node, &format!("/etc/containerd/certs.d/{host}/hosts.toml"));
            assert!(file.expect("a hosts file").contains("http://platen-registry:5000"), "{node} {host}");
        }
    }
    assert_eq!(world.registry_address(name).as_deref(), Some("192.168.49.253"), "far from the nodes' own");
    doors_lead_to_their_nodes(bench);

    let again = bench.up(&[]).expect(0).json();
    assert_eq!(again["plan"]["actions"], serde_json::json!([]));
    assert_eq!(bench.starts().len(), 1, "a second run starts nothing");
    let status = bench.run(&["status"]).expect(1).json();
    let nodes = status["cluster"]["nodes"].as_array().expect("nodes").clone();
    assert_eq!(nodes.len(), 3, "{status}");
    assert!(
        nodes.iter().all(|node| node["name"] == node["container"] && node["state"] == "ready"),
        "{status}"
    );
}

/// Each node's door on this machine's loopback leads to that node, and a dead node's is closed.
fn doors_lead_to_their_nodes(bench: &Bench) {
    use std::io::{Read, Write};
    // A test's own node ports: what the doors are led to is fixed.
    let nodes: Vec<TcpListener> = (0..3)
        .map(|node| TcpListener::bind((servers::node_address(node), 30001)).expect("a node's address"))
        .collect();
    for (index, node) in (0..).zip(&nodes) {
        let mut client = TcpStream::connect(("127.0.0.1", bench.door(index))).expect("a door");
        let (mut inside, _) = node.accept().expect("it leads to its node");
        inside.write_all(&[u8::try_from(index).expect("small")]).expect("writing");
        drop(inside);
        let mut said = Vec::new();
        client.read_to_end(&mut said).expect("reading");
        assert_eq!(said, [u8::try_from(index).expect("small")]);
    }
}

fn one_node(bench: &Bench) {
    bench.configure(
        1,
        "memory_mib = 3000\ncpus = 2",
        "kubernetes_version = \"1.36.2\"\nbase_image = \"localhost:5001/kicbase:lab\"\nbinary_mirror = \
         \"http://127.0.0.1:18999\"\ncni = \"bridge\"\nfeature_gates = \"KubeletInUserNamespace=true\"\n\
         extra_config = [\"kubelet.resolv-conf=/kind/resolv.conf\"]\npreload = false\ncache_images = false\n\
         install_addons = false\nmount = false\nstart_args = [\"--wait-timeout=9m\"]",
    );
    let up = bench.up(&[]).expect(0).json();
    let starts = bench.starts();
    for flag in [
        &format!("--ports=127.0.0.1:{}:30001", bench.door(0)),
        "--memory=3000",
        "--kubernetes-version=v1.36.2",
        "--base-image=localhost:5001/kicbase:lab",
        "--binary-mirror=http://127.0.0.1:18999",
        "--cni=bridge",
        "--feature-gates=KubeletInUserNamespace=true",
        "--extra-config=kubelet.resolv-conf=/kind/resolv.conf",
        "--preload=false",
        "--cache-images=false",
        "--install-addons=false",
        "--wait-timeout=9m",
    ] {
        assert!(starts[0].contains(flag), "{flag} in {}", starts[0]);
    }
    assert_eq!(up["endpoints"][0]["address"], format!("127.0.0.1:{}", bench.door(0)), "{up}");
    assert!(TcpStream::connect(("127.0.0.1", bench.door(0))).is_err(), "nothing else opens a door");
    bench.up(&[]).expect(0);
    assert_eq!(bench.starts().len(), 1);
}

fn dead_node(bench: &Bench) {
    let world = bench.world();
    bench.up(&[]).expect(0);
    world.kill_node(&bench.profile, 1);
    let status = bench.run(&["status"]).expect(1);
    assert_eq!(status.json()["cluster"]["state"], "stopped", "{}", status.json());
    let up = bench.up(&[]).expect(0);
    assert!(up.json()["plan"]["actions"][0]["title"].as_str().expect("a title").contains("start"));
    assert_eq!(bench.starts().len(), 2, "started, and never deleted");
    assert!(!world.calls().iter().any(|call| call.starts_with("delete")));
    assert!(world.node_runs(&format!("{}-m02", bench.profile)));
}

fn stop_and_down(bench: &Bench) {
    let (world, name) = (bench.world(), bench.profile.as_str());
    bench.up(&[]).expect(0);
    bench.run(&["down", "--stop"]).expect(0);
    assert!(!world.node_runs(name));
    assert!(TcpStream::connect(("127.0.0.1", bench.door(0))).is_err(), "the doors are closed");
    bench.up(&[]).expect(0);
    assert!(TcpStream::connect(("127.0.0.1", bench.door(2))).is_ok(), "and open again");
    let down = bench.run(&["down"]).expect(0).json().to_string();
    for what in ["the doors on loopback", &format!("node {name}-m03"), "the local registry"] {
        assert!(down.contains(what), "{what} in {down}");
    }
    assert!(world.profiles().is_empty() && !world.has_network(name) && !world.has_registry());
    assert!(TcpStream::connect(("127.0.0.1", bench.door(0))).is_err());
    assert!(!bench.records().exists());
    assert_eq!(bench.run(&["down"]).expect(0).json()["removed"], serde_json::json!([]));
}

fn mismatch(bench: &Bench) {
    let world = bench.world();
    bench.up(&[]).expect(0);
    bench.configure(3, "memory_mib = 2500", "");
    let refused = bench.up(&["--nodes", "2"]).expect(2);
    refused.says(&["3 nodes instead of 2", "instead of 2500", "--recreate"]);
    assert_eq!(world.profile(&bench.profile).expect("it is there").nodes.len(), 3);
    let plan = bench.up(&["--nodes", "2", "--recreate", "--dry-run"]).expect(0).json();
    assert!(plan["plan"]["actions"][0]["title"].as_str().expect("a title").contains("delete"), "{plan}");
    assert!(!world.calls().iter().any(|call| call.starts_with("delete")), "a dry run deletes nothing");
    bench.up(&["--nodes", "2", "--recreate"]).expect(0);
    assert_eq!(world.profile(&bench.profile).expect("it is there").nodes.len(), 2);
    assert!(world.calls().iter().any(|call| call.starts_with("delete -p ")));
}

fn foreign(bench: &Bench) {
    let world = bench.world();
    let profile = world::Profile::new(&bench.profile, 3, Vec::new(), 4096, 2, "v1.36.3");
    world.keep(&profile);
    bench.up(&[]).expect(2).says(&["not made from this checkout"]);
    bench.run(&["down"]).expect(0);
    assert!(world.profile(&bench.profile).is_some(), "it is somebody else's");
    assert_eq!(bench.starts(), Vec::<String>::new());
}

fn failures(bench: &Bench) {
    let world = bench.world();
    world.set_fault(Some(&format!("{} 80", bench.profile)));
    let failed = bench.up(&[]).expect(4);
    failed.says(&["exited with 80", "GUEST_START", "kubeadm init", "minikube advises: Check the output of"]);
    assert!(
        !failed.stderr().contains("klog") && !failed.stderr().contains("let us know"),
        "{}",
        failed.stderr()
    );
    world.set_fault(Some("begin 100"));
    bench.up(&[]).expect(4).says(&["exited with 100", "version too new", "kubernetes_version"]);
    world.set_fault(None);
    bench.configure(3, "", "start_args = [\"--nodez=3\"]");
    bench.up(&[]).expect(2).says(&["exited with 14", "unknown flag: --nodez", "[minikube]"]);
    bench.configure(3, "", "start_args = [\"--profile=x\"]");
    bench.up(&[]).expect(2).says(&["--profile is Platen's to give", "profile under [cluster]"]);
    bench.configure(3, "", "");
    bench.up(&[]).expect(0);
}

fn crash(bench: &Bench) {
    let world = bench.world();
    world.set_fault(Some(&format!("{}-m02 crash", bench.profile)));
    bench.up(&[]).expect(4).says(&["exited with 134", "Creating docker container"]);
    world.set_fault(None);
    let plan = bench.up(&["--dry-run"]).expect(0).json();
    assert!(plan["plan"]["actions"][0]["why"].as_str().expect("a reason").contains("cut off"), "{plan}");
    bench.up(&[]).expect(0);
    assert_eq!(world.profile(&bench.profile).expect("it is there").nodes.len(), 3);
}

/// As by Ctrl-C or worse: what it started ends with it, and the next run begins anew.
fn killed(bench: &Bench) {
    let world = bench.world();
    world.set_fault(Some(&format!("{}-m02 hang", bench.profile)));
    let mut running = bench.command(&["up", "--only", "cluster"]);
    let mut running = running.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starting xtask");
    eventually("the first node runs", || world.node_runs(&bench.profile));
    running.kill().expect("killing it");
    running.wait().expect("its end");
    world.set_fault(None);
    bench.up(&[]).expect(0);
    assert!(world.calls().iter().any(|call| call.starts_with("delete -p ")), "its rest goes first");
    assert!(world.node_runs(&format!("{}-m03", bench.profile)));
}

fn unobtainable(bench: &Bench) {
    std::fs::remove_file(bench.dir.path().join("bin/minikube")).expect("removing the link");
    let refused = bench.run(&["up", "--no-install"]).expect(3);
    refused.says(&["minikube is not on this machine", "or use kind", "up --provider kind"]);
    assert!(!bench.records().exists(), "nothing was begun");
}
