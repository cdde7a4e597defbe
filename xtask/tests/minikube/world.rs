//! What the doubles have in common: a folder that stands for Docker and for minikube's home.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub struct World(PathBuf);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Profile {
    pub name: String,
    pub nodes: Vec<Node>,
    ports: Vec<String>,
    memory: u64,
    cpus: u64,
    pub kubernetes: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Node {
    pub name: String,
    pub running: bool,
}

impl Profile {
    pub fn new(name: &str, nodes: u64, ports: Vec<String>, memory: u64, cpus: u64, kubernetes: &str) -> Self {
        let node = |number: u64| Node {
            name: if number == 1 { name.to_owned() } else { format!("{name}-m{number:02}") },
            running: false,
        };
        Self {
            name: name.into(),
            nodes: (1..=nodes).map(node).collect(),
            ports,
            memory,
            cpus,
            kubernetes: kubernetes.into(),
        }
    }

    /// As `minikube profile list -o json` has it, shortened to what may be read.
    fn listed(&self) -> Value {
        let nodes: Vec<Value> = self.nodes.iter().map(|node| json!({"Name": node.name})).collect();
        let config = json!({
            "Name": self.name, "KicBaseImage": "localhost:5001/kicbase:lab", "Memory": self.memory, "CPUs": self.cpus,
            "Driver": "docker", "ContainerVolumeMounts": null, "ExposedPorts": self.ports, "Nodes": nodes,
            "KubernetesConfig": {"KubernetesVersion": self.kubernetes, "ContainerRuntime": "containerd"},
        });
        json!({"Name": self.name, "Status": "OK", "Config": config, "Active": false})
    }
}

impl World {
    pub fn at(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Remembers a command line.
    pub fn called(&self, line: &str) {
        use std::io::Write;
        let file = std::fs::OpenOptions::new().create(true).append(true).open(self.path("calls"));
        writeln!(file.expect("the list of calls"), "{line}").expect("adding to it");
    }

    /// Command lines so far.
    pub fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("calls")).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }

    pub fn fault(&self) -> Option<String> {
        std::fs::read_to_string(self.path("fault")).ok()
    }

    /// What goes wrong from now on: a place, and what happens there.
    pub fn set_fault(&self, fault: Option<&str>) {
        match fault {
            Some(fault) => std::fs::write(self.path("fault"), fault).expect("writing the fault"),
            None => drop(std::fs::remove_file(self.path("fault"))),
        }
    }

    fn profile_file(&self, name: &str) -> PathBuf {
        self.path("profiles").join(format!("{name}.json"))
    }

    pub fn profile(&self, name: &str) -> Option<Profile> {
        serde_json::from_slice(&std::fs::read(self.profile_file(name)).ok()?).ok()
    }

    pub fn profiles(&self) -> Vec<Profile> {
        let entries = std::fs::read_dir(self.path("profiles")).into_iter().flatten().flatten();
        entries.filter_map(|entry| serde_json::from_slice(&std::fs::read(entry.path()).ok()?).ok()).collect()
    }

    pub fn profile_list(&self) -> Value {
        json!({"invalid": [], "valid": self.profiles().iter().map(Profile::listed).collect::<Vec<_>>()})
    }

    pub fn keep(&self, profile: &Profile) {
        let file = self.profile_file(&profile.name);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("making it");
        let staged = file.with_extension("new");
        std::fs::write(&staged, serde_json::to_vec(profile).expect("JSON")).expect("writing a profile");
        std::fs::rename(staged, file).expect("keeping a profile");
        std::fs::create_dir_all(self.path("networks").join(&profile.name)).expect("making its network");
    }

    pub fn forget(&self, name: &str) {
        let _ = std::fs::remove_file(self.profile_file(name));
        let _ = std::fs::remove_file(self.kubeconfig());
    }

    pub fn node_runs(&self, name: &str) -> bool {
        self.profiles().iter().flat_map(|it| &it.nodes).any(|node| node.name == name && node.running)
    }

    /// As `docker kill` of a node's container.
    pub fn kill_node(&self, profile: &str, index: usize) {
        let mut profile = self.profile(profile).expect("the profile");
        profile.nodes[index].running = false;
        self.keep(&profile);
    }

    /// A file that was written into a node.
    pub fn node_file(&self, node: &str, file: &str) -> Option<String> {
        let path = self.path("nodes").join(node).join(file.trim_start_matches('/'));
        std::fs::read_to_string(path).ok()
    }

    pub fn has_network(&self, name: &str) -> bool {
        self.path("networks").join(name).is_dir()
    }

    pub fn forget_network(&self, name: &str) {
        let _ = std::fs::remove_dir_all(self.path("networks").join(name));
    }

    /// The address that the registry asked for in a network.
    pub fn registry_address(&self, network: &str) -> Option<String> {
        std::fs::read_to_string(self.path("networks").join(network).join("registry")).ok()
    }

    pub fn registry_is_in(&self, network: &str) -> bool {
        self.registry_address(network).is_some()
    }

    pub fn connect_registry(&self, network: &str, address: &str) {
        std::fs::write(self.path("networks").join(network).join("registry"), address).expect("connecting");
    }

    pub fn disconnect_registry(&self, network: &str) {
        let _ = std::fs::remove_file(self.path("networks").join(network).join("registry"));
    }

    /// Whether the registry's container is there.
    pub fn has_registry(&self) -> bool {
        !self.path("no-registry").exists()
    }

    pub fn remove_registry(&self) {
        std::fs::write(self.path("no-registry"), "").expect("removing the registry");
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    pub fn write_kubeconfig(&self, name: &str) {
        let server = std::fs::read_to_string(self.path("apiserver")).expect("the API server's address");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": server}}],
            "users": [{"name": name, "user": {}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        });
        std::fs::write(self.kubeconfig(), config.to_string()).expect("writing the kubeconfig");
    }
}

pub fn runs_as_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
