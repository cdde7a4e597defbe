//! The provider minikube, with the real command against doubles: a real process in minikube's place, whose arguments are
//! checked, and servers in the places of Docker and of the cluster. As far as doubles go: the cluster itself.

mod bench;
mod double;
mod servers;
mod world;

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{ExitCode, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};

use bench::{Bench, DOUBLE, eventually};

fn main() -> ExitCode {
    let mut args = std::env::args();
    let own = args.next().unwrap_or_default();
    let name = Path::new(&own).file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    if let (Ok(dir), "minikube" | "docker") = (std::env::var(DOUBLE), name.as_str()) {
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
        trial("doors whose process was killed are opened again by the next up", killed_doors),
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

fn killed_doors(bench: &Bench) {
    bench.up(&[]).expect(0);
    let process = std::fs::read(bench.records().join("doors/process.json")).expect("its record");
    let process: serde_json::Value = serde_json::from_slice(&process).expect("JSON");
    let kill = std::process::Command::new("kill").args(["-KILL", &process["pid"].to_string()]).status();
    assert!(kill.expect("kill").success());
    let closed = || TcpStream::connect(("127.0.0.1", bench.door(1))).is_err();
    eventually("the doors are closed", closed);
    let again = bench.up(&[]).expect(0).json();
    assert_eq!(again["plan"]["actions"][0]["why"], "the doors on loopback to its nodes are closed");
    assert!(!closed());
    assert_eq!(bench.starts().len(), 1, "the nodes were left alone");
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
