//! A real Kubernetes cluster whose nodes are containers, made by minikube with its Docker driver.

mod doors;
mod event;
mod failure;
mod images;
mod names;
mod network;
mod profile;
mod spec;
mod tracker;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

pub use doors::Doors;
pub use names::{endpoints, is_own, network_name};

use doors::{Door, Plan};
use event::parse;
use names::node_names;
use profile::{NodeStatus, Profile, judge};
use spec::Spec;
use tracker::Tracker;

use super::progress::{Progress, ProgressFile};
use super::wiring::{self, RegistryWiring};
use super::{ClusterState, NODE_PORTS, containers, ready, shared};
use crate::engine;
use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::mirror::{self, registry};
use crate::process::{Cmd, Line, Output};
use crate::proxy;
use crate::registry::Reference;
use crate::tools::{self, Tool};

/// A question; minikube looks into each node for its answer.
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);
/// The download of the nodes' image, and the first node.
const STARTS_WITHIN: Duration = Duration::from_mins(12);
/// Each further node.
const JOINS_WITHIN: Duration = Duration::from_mins(4);
const STOPS_WITHIN: Duration = Duration::from_mins(5);

/// The minikube cluster of one profile.
pub struct Minikube {
    host: Host,
    engine: engine::Ready,
}

impl Minikube {
    pub fn new(host: &Host, engine: &engine::Ready) -> Self {
        Self { host: host.clone(), engine: engine.clone() }
    }

    fn name(&self) -> &str {
        self.host.config.cluster.profile.as_str()
    }

    fn cmd(&self, program: &PathBuf) -> Cmd {
        let cmd = Cmd::new(program)
            .env("DOCKER_HOST", self.engine.docker_host())
            // Plain signs; and nothing is asked of the internet that nobody wants to know here.
            .env("MINIKUBE_IN_STYLE", "false")
            .env("MINIKUBE_WANTUPDATENOTIFICATION", "false")
            .cwd(&self.host.root);
        proxy::excepted(cmd)
    }

    /// What is asked for, of the configuration and this machine.
    fn spec(&self) -> Result<Spec> {
        let mut config = self.host.config.clone();
        if let Some(cni) = config.minikube.cni.take() {
            // A file's name is from the root of the checkout; minikube remembers it.
            let file = self.host.root.join(&cni);
            config.minikube.cni = Some(if file.is_file() { file.display().to_string() } else { cni });
        }
        Spec::of(&config, Some(&shared::folder(&self.host)), machine_memory())
    }

    fn progress(&self) -> ProgressFile {
        ProgressFile::of(&self.host, "minikube")
    }

    /// Where minikube is not on this machine it has no profiles: nothing is obtained to ask for them.
    async fn program_if_there(&self) -> Result<Option<PathBuf>> {
        tools::find(&self.host, Tool::Minikube).await
    }

    async fn profile(&self, program: &PathBuf) -> Result<Profile> {
        let cmd = self.cmd(program).args(["profile", "list", "-o", "json"]).deadline(ANSWERS_WITHIN);
        profile::find(&self.host.processes.run(&cmd).await?.stdout, self.name())
    }

    /// Codes 1 to 7 tell of stopped parts (bits: host, cluster, kubeconfig); the answer stands on stdout all the same.
    async fn nodes(&self, program: &PathBuf) -> Result<Vec<NodeStatus>> {
        let cmd =
            self.cmd(program).args(["status", "-p", self.name(), "-o", "json"]).deadline(ANSWERS_WITHIN);
        let begun = Instant::now();
        let output = self.host.processes.output(&cmd).await?;
        match output.code {
            0..=7 => profile::statuses(&output.stdout),
            failure::NO_PROFILE => Ok(Vec::new()),
            _ => Err(failed(&cmd, &output, begun.elapsed())),
        }
    }

    pub async fn observe(&self) -> Result<ClusterState> {
        let Some(program) = self.program_if_there().await? else { return Ok(ClusterState::Absent) };
        let spec = self.spec()?;
        let profile = self.profile(&program).await?;
        let nodes = match profile {
            Profile::Valid(_) => self.nodes(&program).await?,
            Profile::Absent | Profile::Invalid => Vec::new(),
        };
        let mut state = judge(&profile, &nodes, self.progress().read(), &spec);
        ready::mark(self.host.config.cluster.profile.as_str(), &mut state).await;
        Ok(state)
    }

    /// Makes the cluster, or starts and repairs what of it is there, which is the same to minikube.
    pub async fn start(&self, tell: &Step) -> Result<()> {
        let program = tools::ensure(&self.host, Tool::Minikube).await.map_err(unobtainable)?;
        let spec = self.spec()?;
        if self.host.config.minikube.mount {
            shared::prepare(&shared::folder(&self.host))?;
        }
        let as_root = rustix::process::geteuid().is_root();
        let within = STARTS_WITHIN + JOINS_WITHIN * u32::from(spec.nodes().saturating_sub(1));
        let cmd = self.cmd(&program).args(spec.start_args(as_root)).deadline(within);
        self.run(&cmd, spec.nodes(), tell).await
    }

    /// Before anything is made: what is there afterwards is ours to remove.
    pub fn mark_creating(&self) -> Result<()> {
        self.progress().tell(Progress::Creating)
    }

    /// Says that the cluster is whole: created, and wired to its registry.
    pub fn mark_created(&self) -> Result<()> {
        self.progress().tell(Progress::Created)
    }

    /// Runs a command that tells its steps.
    async fn run(&self, cmd: &Cmd, nodes: u16, tell: &Step) -> Result<()> {
        let begun = Instant::now();
        let mut tracker = Tracker::new(nodes);
        let mut last = None;
        let see = &mut |line: Line<'_>| {
            let Line::Out(text) = line else { return };
            let shown = parse(text).and_then(|event| tracker.see(event));
            if let Some(shown) = shown.filter(|shown| last.as_ref() != Some(shown)) {
                let total = Some(shown.total).filter(|total| *total > 0);
                tell.progress(&shown.message, Some(shown.done), total);
                last = Some(shown);
            }
        };
        let output = self.host.processes.output_with(cmd, see).await?;
        match output.code {
            0 => Ok(()),
            _ => Err(failure::explain(cmd, &output, &tracker, begun.elapsed())),
        }
    }

    pub async fn wait_until_ready(&self, within: Duration, since: Timestamp, tell: &Step) -> Result<()> {
        let names = node_names(&self.host.config);
        ready::wait(self.name(), &names, within, since, tell).await
    }

    /// Puts the registry into the nodes' network, far from the addresses that minikube gives to nodes by their number.
    pub async fn connect_registry(&self) -> Result<()> {
        network::connect(&self.engine.docker, &network_name(&self.host.config)).await
    }

    /// Tells every node where images come from, and the cluster's users too.
    pub async fn wire_registry(&self, wiring: &RegistryWiring) -> Result<()> {
        for node in node_names(&self.host.config) {
            self.ensure_reads(&node).await?;
            wiring::wire_node(&self.host.processes, self.engine.docker_host(), &node, wiring).await?;
        }
        let client = super::client::client(self.name()).await?;
        wiring::announce(&client, wiring.host_port).await
    }

    /// containerd looks for registries where they are written only if its configuration names that folder.
    async fn ensure_reads(&self, node: &str) -> Result<()> {
        let dump = containers::exec(self.engine.docker_host(), node).args(["containerd", "config", "dump"]);
        if self.host.processes.run(&dump).await?.stdout_text().contains(mirror::CERTS_D) {
            return Ok(());
        }
        Err(Error::unhealthy(
            format!("containerd in the node {node} does not read {}", mirror::CERTS_D),
            "take another image for the nodes, whose containerd has config_path set: base_image under [minikube] in \
             platen.toml",
        ))
    }

    /// Proves that every node has this image as the registry has it, and brings it to those that do not.
    pub async fn ensure_image(&self, image: &Reference, tell: &Step) -> Result<()> {
        let names = node_names(&self.host.config);
        images::ensure(&self.host, self.engine.docker_host(), &names, image, tell).await
    }

    fn doors(&self) -> Doors {
        Doors::new(&self.host.profile_dir(&self.host.config.cluster.profile))
    }

    /// What is to be open; `None` where the one node publishes its ports itself.
    fn door_plan(&self) -> Option<Plan> {
        let ports = &self.host.config.ports;
        let names = node_names(&self.host.config);
        if names.len() < 2 {
            return None;
        }
        let doors = (0..).zip(&names).flat_map(|(index, name)| {
            std::iter::zip(NODE_PORTS, ports.node_ports).map(move |(target, base)| Door {
                port: ports.on_node(base, index),
                container: name.clone(),
                target,
            })
        });
        Some(Plan {
            docker_host: self.engine.docker_host().to_owned(),
            network: network_name(&self.host.config),
            doors: doors.collect(),
        })
    }

    /// Whether the doors on loopback are as they should be.
    pub fn doors_are_open(&self) -> Result<bool> {
        self.door_plan().map_or(Ok(true), |plan| self.doors().are_open(&plan))
    }

    pub async fn open_doors(&self) -> Result<()> {
        match self.door_plan() {
            Some(plan) if !self.doors().are_open(&plan)? => {
                self.doors().open(&plan, &self.host.internal("doors")).await
            }
            _ => Ok(()),
        }
    }

    pub async fn close_doors(&self) -> Result<()> {
        self.doors().close().await
    }

    /// Nodes and doors that are there, a phrase each.
    pub async fn remains(&self) -> Result<Vec<String>> {
        let mut remains = Vec::new();
        if self.doors().is_held()? {
            remains.push("the doors on loopback".to_owned());
        }
        if let Some(program) = self.program_if_there().await? {
            match self.profile(&program).await? {
                Profile::Absent => {}
                Profile::Invalid => remains.push(format!("the profile {} of minikube", self.name())),
                Profile::Valid(_) => {
                    let nodes = self.nodes(&program).await?;
                    remains.extend(nodes.into_iter().map(|node| format!("node {}", node.name)));
                }
            }
        }
        for node in self.containers().await? {
            let phrase = format!("node {node}");
            if !remains.contains(&phrase) {
                remains.push(phrase);
            }
        }
        Ok(remains)
    }

    /// Containers of the profile's nodes, also those that minikube no longer knows.
    async fn containers(&self) -> Result<Vec<String>> {
        let profile = &self.host.config.cluster.profile;
        let found = containers::labelled(&self.engine.docker, containers::MINIKUBE.to_owned()).await?;
        let names = found.into_iter().filter_map(|it| it.labels?.remove(containers::MINIKUBE));
        let mut names: Vec<String> =
            names.filter(|name| is_own(profile, containers::MINIKUBE, name)).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The program, where there is anything that it must stop or delete.
    async fn program_for_what_is_there(&self) -> Result<Option<PathBuf>> {
        match self.program_if_there().await? {
            None if !self.containers().await?.is_empty() => {
                tools::ensure(&self.host, Tool::Minikube).await.map_err(unobtainable).map(Some)
            }
            found => Ok(found),
        }
    }

    pub async fn stop(&self, tell: &Step) -> Result<()> {
        self.close_doors().await?;
        let Some(program) = self.program_for_what_is_there().await? else { return Ok(()) };
        let cmd = self.cmd(&program).args(["stop", "-p", self.name(), "-o", "json"]).deadline(STOPS_WITHIN);
        self.run(&cmd, 1, tell).await
    }

    /// Deletes the cluster and its kubeconfig context; there may be none.
    pub async fn delete(&self, tell: &Step) -> Result<()> {
        self.close_doors().await?;
        // minikube cannot remove a network in which the registry still is.
        registry::disconnect(&self.engine.docker, &network_name(&self.host.config)).await?;
        if let Some(program) = self.program_for_what_is_there().await? {
            if let Some(node) = self.containers().await?.first() {
                shared::empty(&self.host, self.engine.docker_host(), node).await;
            }
            let cmd = self.cmd(&program).args(["delete", "-p", self.name(), "-o", "json"]);
            self.run(&cmd.deadline(STOPS_WITHIN), 1, tell).await?;
        }
        if let Some(left) = self.containers().await?.first() {
            let what = format!("minikube has deleted the profile {}, and {left} is still there", self.name());
            return Err(Error::unhealthy(what, format!("remove it: docker rm -f {left}")));
        }
        self.progress().forget()
    }
}

/// The error of a question that failed.
fn failed(cmd: &Cmd, output: &Output, took: Duration) -> Error {
    let mut tracker = Tracker::new(1);
    for event in output.stdout_text().lines().filter_map(parse) {
        tracker.see(event);
    }
    failure::explain(cmd, output, &tracker, took)
}

/// Of this machine, in MiB; where it cannot be asked, enough for what is usual.
fn machine_memory() -> u64 {
    sysinfo::System::new().map_or(u64::MAX >> 20, |mut system| {
        system.refresh_memory();
        system.total_memory() >> 20
    })
}

/// An error where minikube is neither here nor to be had, told before anything is begun.
pub async fn ensure_obtainable(host: &Host) -> Result<()> {
    host.config.minikube.check()?;
    match tools::reach(host, Tool::Minikube).await? {
        tools::Reach::Here | tools::Reach::Downloadable => Ok(()),
        tools::Reach::None(why) => Err(unobtainable(Error::machine(
            format!("minikube is not on this machine and cannot be obtained ({why})"),
            "",
        ))),
    }
}

/// What else there is, where minikube cannot be had.
fn unobtainable(error: Error) -> Error {
    match error {
        Error::Machine { what, .. } => Error::machine(
            what,
            "install minikube 1.37 or later, or use kind, which makes the same cluster: cargo xtask up --provider kind",
        ),
        other => other,
    }
}

/// Whether this checkout ever began to make a cluster in the profile, and did not remove it since.
pub fn was_begun(host: &Host) -> bool {
    ProgressFile::of(host, "minikube").exists()
}
