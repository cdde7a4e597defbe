//! A double of the minikube program, strict in its arguments, in the words of recordings of the real one (1.39.0). It keeps
//! its profiles in a folder, and fails or dies where a file there says so.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Profile, World, runs_as_root};

/// Flags of `start` that take a value; the second are those that may come again.
const VALUED: [&str; 13] = [
    "--driver",
    "--container-runtime",
    "--nodes",
    "--memory",
    "--cpus",
    "--kubernetes-version",
    "--mount-string",
    "--base-image",
    "--binary-mirror",
    "--image-repository",
    "--cni",
    "--feature-gates",
    "--wait-timeout",
];
const REPEATED: [&str; 3] = ["--ports", "--extra-config", "--registry-mirror"];
const SWITCHES: [&str; 3] = ["--preload", "--cache-images", "--install-addons"];

/// Runs as the program would; the exit code.
pub fn run(dir: &Path, args: &[String]) -> i32 {
    let world = World::at(dir);
    world.called(&args.join(" "));
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["version", "--short"] => {
            out("v1.39.0");
            0
        }
        ["profile", "list", "-o", "json"] => {
            out(&world.profile_list().to_string());
            0
        }
        ["status", "-p", name, "-o", "json"] => status(&world, name),
        ["start", "-p", name, "-o", "json", flags @ ..] => start(&world, name, flags),
        ["stop", "-p", name, "-o", "json"] => stop(&world, name),
        ["delete", "-p", name, "-o", "json"] => delete(&world, name),
        _ => usage(&format!("unknown command {words:?}")),
    }
}

fn out(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("writing to stdout");
}

fn err(line: &str) {
    writeln!(std::io::stderr(), "{line}").expect("writing to stderr");
}

fn usage(what: &str) -> i32 {
    err(&format!("Error: {what}\nSee 'minikube start --help' for usage."));
    14
}

fn event(kind: &str, data: &Value) {
    let line = json!({
        "specversion": "1.0",
        "id": "592e4983-2570-4f74-b3ef-147d6d1d9e3f",
        "source": "https://minikube.sigs.k8s.io/",
        "type": format!("io.k8s.sigs.minikube.{kind}"),
        "datacontenttype": "application/json",
        "data": data,
    });
    out(&line.to_string());
    std::thread::sleep(Duration::from_millis(5));
}

fn step(current: u8, total: u8, name: &str, message: &str) {
    let data = json!({"currentstep": current.to_string(), "totalsteps": total.to_string(), "name": name, "message": message});
    event("step", &data);
}

fn said(kind: &str, message: &str) {
    event(kind, &json!({"message": message}));
}

fn complaint(code: i32, name: &str, message: &str, advice: &str) {
    let data = json!({"advice": advice, "exitcode": code.to_string(), "issues": "", "message": message, "name": name, "url": ""});
    event("error", &data);
}

fn status(world: &World, name: &str) -> i32 {
    let Some(profile) = world.profile(name) else {
        said(
            "info",
            &format!("Profile \"{name}\" not found. Run \"minikube profile list\" to view all profiles."),
        );
        said("info", &format!("To start a cluster, run: \"minikube start -p {name}\""));
        return 85;
    };
    let nodes: Vec<Value> = profile
        .nodes
        .iter()
        .enumerate()
        .map(|(index, node)| {
            let either = |then: &str| if node.running { then.to_owned() } else { "Stopped".into() };
            let (api_server, known) = if index == 0 { ("Running", "Configured") } else { ("Irrelevant", "Irrelevant") };
            json!({"Name": node.name, "Host": either("Running"), "Kubelet": either("Running"), "APIServer": either(api_server),
                "Kubeconfig": either(known), "Worker": index > 0})
        })
        .collect();
    match nodes.as_slice() {
        [one] => out(&one.to_string()),
        _ => out(&Value::Array(nodes).to_string()),
    }
    if profile.nodes.iter().all(|node| node.running) { 0 } else { 7 }
}

/// The flags of `start`, or what is wrong with them.
fn flags<'a>(given: &[&'a str]) -> Result<Vec<(&'a str, &'a str)>, String> {
    let mut flags: Vec<(&str, &str)> = Vec::new();
    for flag in given {
        let (name, value) = flag.split_once('=').unwrap_or((flag, "true"));
        let once = VALUED.contains(&name) || SWITCHES.contains(&name) || name == "--force";
        if !once && !REPEATED.contains(&name) {
            return Err(format!("unknown flag: {name}"));
        }
        if once && flags.iter().any(|(other, _)| *other == name) {
            return Err(format!("{name} is given twice"));
        }
        if VALUED.contains(&name) && !flag.contains('=') {
            return Err(format!("flag needs an argument: {name}"));
        }
        flags.push((name, value));
    }
    Ok(flags)
}

/// The profile that flags ask for, or the exit code of a refusal.
fn asked(name: &str, given: &[&str]) -> Result<Profile, i32> {
    let flags = flags(given).map_err(|what| usage(&what))?;
    let all = |name: &str| -> Vec<String> {
        flags.iter().filter(|(flag, _)| *flag == name).map(|(_, value)| (*value).to_owned()).collect()
    };
    let text = |name: &str| all(name).pop().unwrap_or_default();
    let number = |name: &str| text(name).parse::<u64>().map_err(|_| usage(&format!("{name} is no number")));
    let (nodes, memory, cpus) = (number("--nodes")?, number("--memory")?, number("--cpus")?);
    if text("--driver") != "docker" || text("--container-runtime") != "containerd" {
        return Err(usage("another driver or runtime than the test asked for"));
    }
    let ports = all("--ports");
    if nodes > 1 && !ports.is_empty() {
        // Docker refuses the second node's container.
        let why = "docker: Bind for 127.0.0.1 failed: port is already allocated";
        complaint(80, "GUEST_PROVISION", why, "");
        return Err(80);
    }
    Ok(Profile::new(name, nodes, ports, memory, cpus, &text("--kubernetes-version")))
}

fn start(world: &World, name: &str, given: &[&str]) -> i32 {
    let asked = match asked(name, given) {
        Ok(asked) => asked,
        Err(code) => return code,
    };
    let hello = format!("[{name}] minikube v1.39.0 on Debian 12.11 (docker/amd64)");
    step(0, 19, "Initial Minikube Setup", &hello);
    said("info", "MINIKUBE_IN_STYLE=false");
    let existing = world.profile(name);
    let basis = if existing.is_some() { "existing profile" } else { "user configuration" };
    step(1, 19, "Selecting Driver", &format!("Using the docker driver based on {basis}"));
    if runs_as_root() {
        let refusal = "The \"docker\" driver should not be used with root privileges.";
        said("error", &format!("{refusal} If you wish to continue as root, use --force."));
        if !given.contains(&"--force") {
            complaint(57, "DRV_AS_ROOT", refusal, "");
            return 57;
        }
    }
    if let Some(code) = fault_at(world, "begin") {
        return code;
    }
    let mut profile = existing.unwrap_or(asked);
    world.keep(&profile);
    for index in 0..profile.nodes.len() {
        if let Some(code) = start_node(world, &mut profile, index) {
            return code;
        }
    }
    world.write_kubeconfig(name);
    let done = format!(
        "Done! kubectl is now configured to use \"{name}\" cluster and \"default\" namespace by default"
    );
    step(19, 19, "Done", &done);
    0
}

/// Some exit code where it ends here.
fn start_node(world: &World, profile: &mut Profile, index: usize) -> Option<i32> {
    let node = profile.nodes[index].name.clone();
    let role = if index == 0 { "primary control-plane" } else { "worker" };
    step(3, 19, "Starting Node", &format!("Starting \"{node}\" {role} node in \"{}\" cluster", profile.name));
    step(5, 19, "Pulling Base Image", "Pulling base image v0.0.50-1787134061-23516 ...");
    event(
        "download.progress",
        &json!({"artifact": "preload.tar.lz4", "currentstep": "6", "progress": "0.42", "totalsteps": "19"}),
    );
    step(8, 19, "Creating Container", "Creating docker container (CPUs=2, Memory=3000MB) ...");
    // As the real one: lines of other programs, complaints that mean nothing, and klog.
    out("    > a line of another program {");
    err("E1121 04:26:34.963549   24791 docker.go:244] \"Failed to disable\" err=<\n >");
    said(
        "warning",
        "Failing to connect to https://registry.k8s.io/ from both inside the minikube container and host machine",
    );
    said("error", "To pull new external images, you may need to configure a proxy");
    if let Some(code) = fault_at(world, &node) {
        return Some(code);
    }
    profile.nodes[index].running = true;
    world.keep(profile);
    step(
        11,
        19,
        "Preparing Kubernetes",
        &format!("Preparing Kubernetes {} on containerd 2.2.1+unknown ...", profile.kubernetes),
    );
    step(17, 19, "Verifying Kubernetes", "Verifying Kubernetes components...");
    None
}

/// What the test wants to go wrong at this place.
fn fault_at(world: &World, place: &str) -> Option<i32> {
    let fault = world.fault()?;
    let (at, what) = fault.split_once(' ')?;
    if at != place {
        return None;
    }
    match what {
        "slow" => {
            std::thread::sleep(Duration::from_millis(600));
            None
        }
        "hang" => {
            // Until the test is over, should nobody end it before.
            while world.fault().is_some() {
                std::thread::sleep(Duration::from_millis(50));
            }
            Some(1)
        }
        // As the kernel ends a program that takes too much.
        "crash" => std::process::abort(),
        "80" => {
            said("error", "initialization failed, will try again: wait: sudo kubeadm init");
            complaint(
                80,
                "GUEST_START",
                "failed to start node: wait: kubeadm init: Process exited with status 1",
                "Check the output of 'journalctl -xeu kubelet'",
            );
            said("error", "If the above advice does not help, please let us know");
            Some(80)
        }
        "100" => {
            complaint(
                23,
                "RSRC_INSUFFICIENT_REQ_MEMORY",
                "Requested memory allocation 300MiB is less than the usable minimum of 1800MB",
                "",
            );
            complaint(
                100,
                "K8S_INSTALL_FAILED",
                "Failed to update cluster: kubeadm images: version too new: 9.9.9",
                "",
            );
            Some(100)
        }
        other => panic!("no such fault: {other}"),
    }
}

fn stop(world: &World, name: &str) -> i32 {
    let Some(mut profile) = world.profile(name) else { return 85 };
    for node in profile.nodes.iter_mut().rev() {
        step(0, 2, "Stopping", &format!("Stopping node \"{}\"  ...", node.name));
        step(1, 2, "PowerOff", &format!("Powering off \"{}\" via SSH ...", node.name));
        node.running = false;
    }
    world.keep(&profile);
    step(2, 2, "Done", &format!("{} nodes stopped.", profile.nodes.len()));
    0
}

fn delete(world: &World, name: &str) -> i32 {
    said("info", &format!("Deleting \"{name}\" in docker ..."));
    if world.registry_is_in(name) {
        // The real one only warns, and leaves the network behind.
        err("W1121 04:25:31.000000 delete.go:300] error deleting network: has active endpoints");
    } else {
        world.forget_network(name);
    }
    if let Some(profile) = world.profile(name) {
        for node in &profile.nodes {
            step(0, 3, "Deleting", &format!("Deleting container \"{}\" ...", node.name));
        }
    }
    world.forget(name);
    said("info", &format!("Removed all traces of the \"{name}\" cluster."));
    0
}

/// The docker command in front of the double: what is run in nodes.
pub fn docker(dir: &Path, args: &[String]) -> i32 {
    let world = World::at(dir);
    world.called(&format!("docker {}", args.join(" ")));
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["exec", node, "containerd", "config", "dump"] if world.node_runs(node) => {
            out("config_path = \"/etc/containerd/certs.d\"");
            0
        }
        ["exec", "-i", node, "sh", "-c", script] if world.node_runs(node) => {
            let mut given = String::new();
            let _ = std::io::Read::read_to_string(&mut std::io::stdin(), &mut given);
            let file = script.rsplit_once("cat > ").map(|(_, file)| file).unwrap_or_default();
            let path: PathBuf = dir.join("nodes").join(node).join(file.trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("making it");
            std::fs::write(path, given).expect("writing a node's file");
            0
        }
        ["exec", node, "find", ..] if world.node_runs(node) => 0,
        _ => {
            err(&format!("Error response from daemon: {words:?}"));
            1
        }
    }
}
