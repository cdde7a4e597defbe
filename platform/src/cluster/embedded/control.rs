//! Starts, observes and stops the supervised processes.

use std::fs::File;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::Serialize;

use super::grace;
use super::scrape;
use super::spec::{Role, RoleSpec, Spec};
use super::supervisor::{Layout, Record, read_spec};
use crate::cluster::{ClusterState, Endpoint, Node, NodeState};
use crate::config::Config;
use crate::error::{Doing, Error, Result};
use crate::host::{Host, write_atomically};
use crate::process::{Cmd, Started, spawn_detached};
use crate::wait::{self, Seen};
use crate::{lock, ports};

/// From start to all roles ready; the models read their language data first.
const READY_WITHIN: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(100);

/// The embedded processes of one profile.
#[derive(Debug, Clone)]
pub struct Embedded {
    layout: Layout,
    http: reqwest::Client,
}

/// One role of one node, as found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoleStatus {
    pub node: String,
    pub role: Role,
    pub port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    pub restarts: u32,
    pub ready: bool,
}

impl Embedded {
    pub fn new(host: &Host) -> Result<Self> {
        let http = crate::http::direct(Duration::from_secs(2))?;
        Ok(Self { layout: Layout::new(&host.profile_dir(&host.config.cluster.profile)), http })
    }

    /// What was last told to run, if anything.
    pub fn spec(&self) -> Option<Spec> {
        read_spec(&self.layout.spec()).ok()
    }

    pub fn endpoints(config: &Config) -> Vec<Endpoint> {
        let ports = &config.ports;
        (0..config.cluster.nodes.get())
            .map(|node| {
                let name = format!("{}-{}", config.cluster.profile, node + 1);
                Endpoint::on_loopback(name, ports.on_node(ports.gateway, node))
            })
            .collect()
    }

    /// The supervisor removes its record when it ends in order.
    fn supervisor(&self) -> Option<Record> {
        Record::read(&self.layout.record("supervisor"))
    }

    /// What was last started under a name: a node, or `node/role`.
    pub fn process(&self, name: &str) -> Option<Started> {
        Record::read(&self.layout.record(name)).map(|record| record.process)
    }

    /// Each role that is to run, with what it is now.
    pub async fn roles(&self) -> Vec<RoleStatus> {
        self.roles_where(|_, _| true).await
    }

    /// As [`Embedded::roles`], of those nodes and roles alone.
    pub async fn roles_where(&self, wanted: impl Fn(&str, Role) -> bool) -> Vec<RoleStatus> {
        let Some(spec) = self.spec() else { return Vec::new() };
        let roles = spec.roles().filter(|(node, role)| wanted(&node.name, role.role));
        let probes = roles.map(|(node, role)| async move {
            let record = Record::read(&self.layout.record(&format!("{}/{}", node.name, role.role.name())));
            let alive = record.as_ref().is_some_and(Record::is_alive);
            RoleStatus {
                node: node.name.clone(),
                role: role.role,
                port: role.port,
                pid: record.as_ref().filter(|_| alive).map(|record| record.process.pid),
                restarts: record.map(|record| record.restarts).unwrap_or_default(),
                ready: alive && self.is_ready(role).await,
            }
        });
        futures_util::future::join_all(probes).await
    }

    async fn is_ready(&self, role: &RoleSpec) -> bool {
        let url = format!("http://127.0.0.1:{}{}", role.port, role.role.ready_path());
        self.http.get(url).send().await.is_ok_and(|response| response.status().is_success())
    }

    /// What there is, against `wanted` where that is known.
    pub async fn observe(&self, wanted: Option<&Spec>) -> ClusterState {
        let spec = match self.supervised() {
            Ok(spec) => spec,
            Err(state) => return state,
        };
        if wanted.is_some_and(|wanted| *wanted != spec) {
            return ClusterState::Broken {
                why: "what runs differs from the configuration or the sources".into(),
            };
        }
        let roles = self.roles().await;
        let nodes = spec
            .nodes
            .iter()
            .map(|node| {
                let ready = roles.iter().filter(|role| role.node == node.name).all(|role| role.ready);
                let state = if ready { NodeState::Ready } else { NodeState::NotReady };
                Node { name: node.name.clone(), container: None, state }
            })
            .collect();
        ClusterState::Running { nodes }
    }

    /// What runs under its supervisor; else what there is instead. No role is asked for it.
    pub fn supervised(&self) -> Result<Spec, ClusterState> {
        let Some(spec) = self.spec() else { return Err(ClusterState::Absent) };
        match self.supervisor() {
            None => Err(ClusterState::Stopped { nodes: Vec::new() }),
            Some(record) if !record.is_alive() => {
                Err(ClusterState::Broken { why: "their supervisor was killed or crashed".into() })
            }
            Some(_) => Ok(spec),
        }
    }

    /// Starts `spec` and waits until every role is ready; what ran before is stopped first.
    pub async fn start(&self, spec: &Spec, supervisor: &Cmd, tell: impl Fn(String)) -> Result<()> {
        let lock = self.stop_and_lock().await?;
        let roles =
            spec.roles().map(|(node, role)| (role.port, format!("{} on {}", role.role.name(), node.name)));
        let nodes =
            spec.nodes.iter().map(|node| (node.metrics_port, format!("the metrics of {}", node.name)));
        ports::ensure_free(roles.chain(nodes))?;
        let text =
            serde_json::to_vec_pretty(spec).map_err(|error| Error::malformed("the plan", error, ""))?;
        for dir in ["run", "logs"] {
            let dir = self.layout.dir().join(dir);
            std::fs::create_dir_all(&dir).doing(format!("creating {}", dir.display()))?;
        }
        scrape::write(spec, self.layout.dir())?;
        write_atomically(&self.layout.spec(), &text)?;
        spawn_detached(supervisor, &self.layout.log("supervisor"), Some(&lock))?;
        drop(lock);
        self.wait_until_ready(tell).await
    }

    pub async fn wait_until_ready(&self, tell: impl Fn(String)) -> Result<()> {
        let hint = format!("look into {}", self.layout.dir().join("logs").display());
        let tell = &tell;
        wait::until_every(POLL, READY_WITHIN, &hint, || async move {
            let roles = self.roles().await;
            let waiting: Vec<String> = roles
                .iter()
                .filter(|role| !role.ready)
                .map(|role| format!("{} on {}", role.role.name(), role.node))
                .collect();
            if waiting.is_empty() {
                return Ok(Seen::Ready(()));
            }
            let awaited = waiting.join(", ");
            tell(format!("waiting for {awaited}"));
            Ok(Seen::Awaiting(awaited))
        })
        .await
    }

    /// Stops whatever runs; with nothing running it does nothing.
    pub async fn stop(&self) -> Result<()> {
        if !self.layout.dir().exists() {
            return Ok(());
        }
        self.stop_and_lock().await.map(drop)
    }

    /// Stops whatever runs, and returns the supervisor's lock: while that is held, none begins.
    async fn stop_and_lock(&self) -> Result<File> {
        let lock = self.end_supervisor().await?;
        // Whoever is left had no supervisor, or did not obey it.
        let begun = Instant::now();
        loop {
            let alive: Vec<Record> = self.records().into_iter().filter(Record::is_alive).collect();
            let Some(first) = alive.first() else { return Ok(lock) };
            if begun.elapsed() > grace::KILLED {
                return Err(Error::unhealthy(
                    format!("process {} of the embedded platform does not end", first.process.pid),
                    format!("end it by hand: kill -9 {}", first.process.pid),
                ));
            }
            for pid in alive.iter().filter_map(pid_of) {
                let _ = kill_process_group(pid, Signal::KILL);
                let _ = kill_process(pid, Signal::KILL);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// A supervisor holds the lock from before its first moment to its last. It can be told to end once its record is
    /// there, some time after its start.
    async fn end_supervisor(&self) -> Result<File> {
        let begun = Instant::now();
        let mut told = None;
        loop {
            if let Some(lock) = lock::attempt(&self.layout.lock())? {
                return Ok(lock);
            }
            let record = Record::read(&self.layout.record("supervisor")).filter(Record::is_alive);
            let pid = record.as_ref().and_then(pid_of);
            if pid.is_some() && told != pid {
                send(pid, Signal::TERM);
                told = pid;
            }
            if begun.elapsed() > grace::SUPERVISOR {
                send(pid, Signal::KILL);
            }
            if begun.elapsed() > grace::SUPERVISOR + grace::KILLED {
                let lock = self.layout.lock();
                return Err(Error::unhealthy(
                    format!("{} is held by a process that does not end", lock.display()),
                    format!("find it and end it by hand: lsof {}", lock.display()),
                ));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// What a role has said.
    pub fn log(&self, node: &str, role: Role) -> std::path::PathBuf {
        self.layout.log(&format!("{node}/{}", role.name()))
    }

    /// Forgets the profile's processes; logs go with it.
    pub fn forget(&self) -> Result<()> {
        match std::fs::remove_dir_all(self.layout.dir()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).doing(format!("removing {}", self.layout.dir().display()))
            }
            _ => Ok(()),
        }
    }

    /// How many processes of this profile live.
    pub fn alive(&self) -> usize {
        self.records().iter().filter(|record| record.is_alive()).count()
    }

    /// Every process that is or was there under this profile.
    fn records(&self) -> Vec<Record> {
        let Ok(entries) = std::fs::read_dir(self.layout.dir().join("run")) else { return Vec::new() };
        entries.flatten().filter_map(|entry| Record::read(&entry.path())).collect()
    }
}

fn pid_of(record: &Record) -> Option<Pid> {
    i32::try_from(record.process.pid).ok().and_then(Pid::from_raw)
}

/// Fails only when it has just ended, which is what is wanted.
fn send(pid: Option<Pid>, signal: Signal) {
    if let Some(pid) = pid {
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::super::supervisor::write_record;
    use super::*;

    fn embedded(profile: &tempfile::TempDir) -> Embedded {
        Embedded { layout: Layout::new(profile.path()), http: reqwest::Client::new() }
    }

    /// Stands for a supervisor: it holds the lock and ends by SIGTERM.
    fn starting_supervisor(layout: &Layout) -> u32 {
        std::fs::create_dir_all(layout.dir().join("logs")).unwrap();
        let lock = lock::attempt(&layout.lock()).unwrap().unwrap();
        spawn_detached(&Cmd::new("sleep").arg("60"), &layout.log("supervisor"), Some(&lock)).unwrap()
    }

    #[tokio::test]
    async fn a_supervisor_that_has_no_record_yet_is_awaited_and_ended() {
        crate::tls::install();
        let profile = tempfile::tempdir().unwrap();
        let embedded = embedded(&profile);
        let record = Record::of(starting_supervisor(&embedded.layout), 0);
        let layout = embedded.layout.clone();
        let late = async {
            tokio::time::sleep(POLL * 2).await;
            write_record(&layout, "supervisor", &record).unwrap();
        };
        let (stopped, ()) = tokio::join!(embedded.stop(), late);
        stopped.unwrap();
        assert!(!record.is_alive());
    }

    #[tokio::test]
    async fn stopping_where_nothing_ever_ran_leaves_nothing() {
        crate::tls::install();
        let profile = tempfile::tempdir().unwrap();
        let embedded = embedded(&profile);
        embedded.stop().await.unwrap();
        assert!(!embedded.layout.dir().exists());
    }
}
