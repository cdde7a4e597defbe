//! Doors on loopback to the NodePorts of several nodes. `minikube start --ports` gives every node the same host port, which
//! only one can have; so a process of this machine passes connections on to the nodes' addresses in Docker's network. An
//! address is asked of Docker anew, for Docker may hand out another after a restart, and one that is no node's any more must
//! not be tried: it would lead out of this machine.

use std::collections::HashMap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bollard::Docker;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{Doing, Error, Result};
use crate::host::write_atomically;
use crate::lock;
use crate::mirror::docker::found;
use crate::process::{Cmd, Started, spawn_detached};

const OPEN_WITHIN: Duration = Duration::from_secs(10);
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);
/// How long an address is taken to be a node's.
const FRESH: Duration = Duration::from_secs(1);
/// As Docker's own proxy: a node that is there answers within microseconds.
const CONNECTS_WITHIN: Duration = Duration::from_secs(10);

/// What is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The engine that knows the nodes' addresses.
    pub docker_host: String,
    pub network: String,
    pub doors: Vec<Door>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// On loopback.
    pub port: u16,
    /// A node's container, and the port in it.
    pub container: String,
    pub target: u16,
}

/// The doors of one profile: their plan, their process, and its log.
#[derive(Debug, Clone)]
pub struct Doors(PathBuf);

impl Doors {
    /// `dir` is the profile's folder.
    pub fn new(dir: &Path) -> Self {
        Self(dir.join("doors"))
    }

    fn plan(&self) -> PathBuf {
        self.0.join("plan.json")
    }

    fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    fn record(&self) -> PathBuf {
        self.0.join("process.json")
    }

    /// Who holds the doors open, or did.
    pub fn process(&self) -> Option<Started> {
        read(&self.record())
    }

    /// Whether a process holds the doors open, and as planned.
    pub fn are_open(&self, plan: &Plan) -> Result<bool> {
        Ok(self.is_held()? && read::<Plan>(&self.plan()).is_some_and(|open| open == *plan))
    }

    /// Whether a process holds any doors open.
    pub fn is_held(&self) -> Result<bool> {
        Ok(self.0.is_dir() && lock::attempt(&self.lock())?.is_none())
    }

    /// Opens them by a process of its own; those that were open before are closed first.
    pub async fn open(&self, plan: &Plan, program: &Cmd) -> Result<()> {
        let lock = self.closed().await?;
        crate::ports::ensure_free(
            plan.doors.iter().map(|door| (door.port, format!("the door to {}", door.container))),
        )?;
        let text =
            serde_json::to_vec_pretty(plan).map_err(|error| Error::malformed("the doors", error, ""))?;
        write_atomically(&self.plan(), &text)?;
        let log = self.0.join("log");
        spawn_detached(program, &log, Some(&lock))?;
        drop(lock);
        let hint = format!("look into {}", log.display());
        crate::wait::until_every(POLL, OPEN_WITHIN, &hint, || async {
            for door in &plan.doors {
                if TcpStream::connect((Ipv4Addr::LOCALHOST, door.port)).await.is_err() {
                    return Ok(crate::wait::Seen::Awaiting(format!("the door {} to open", door.port)));
                }
            }
            Ok(crate::wait::Seen::Ready(()))
        })
        .await
    }

    /// Closes them; where none are open, nothing is to do.
    pub async fn close(&self) -> Result<()> {
        if self.0.is_dir() { self.closed().await.map(drop) } else { Ok(()) }
    }

    /// Ends the process, and returns the lock that it held.
    async fn closed(&self) -> Result<File> {
        let begun = Instant::now();
        let mut signal = rustix::process::Signal::TERM;
        loop {
            if let Some(lock) = lock::attempt(&self.lock())? {
                return Ok(lock);
            }
            // It may not have recorded itself yet.
            let process = self.process().filter(|process| process.is_alive());
            let pid =
                process.and_then(|it| i32::try_from(it.pid).ok()).and_then(rustix::process::Pid::from_raw);
            if begun.elapsed() > CLOSED_WITHIN {
                let lock = self.lock();
                return Err(Error::unhealthy(
                    format!("{} is held by a process that does not end", lock.display()),
                    format!("find it and end it by hand: lsof {}", lock.display()),
                ));
            }
            if let Some(pid) = pid {
                // Fails only when it has just ended, which is what is wanted.
                let _ = rustix::process::kill_process(pid, signal);
            }
            if begun.elapsed() > CLOSED_WITHIN / 2 {
                signal = rustix::process::Signal::KILL;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// What the process does: passes connections on until it is ended.
    pub async fn serve(&self) -> Result<()> {
        let plan: Plan = read(&self.plan()).ok_or_else(|| {
            Error::unhealthy("there is no plan of doors", "open them: cargo xtask up --provider minikube")
        })?;
        // Before the record: who reads it may send the signal. And that before the ports: who finds one taken looks there.
        let mut end = signal(SignalKind::terminate()).doing("listening for the end")?;
        self.write_record()?;
        let docker = Docker::connect_with_host(&plan.docker_host).doing("connecting to Docker")?;
        let nodes = Arc::new(Nodes { docker, network: plan.network.clone(), known: Mutex::default() });
        let mut listeners = Vec::new();
        for door in plan.doors {
            let listening = TcpListener::bind((Ipv4Addr::LOCALHOST, door.port)).await;
            listeners.push((listening.doing(format!("opening the door {}", door.port))?, door));
        }
        for (listener, door) in listeners {
            tokio::spawn(accept(listener, door, Arc::clone(&nodes)));
        }
        end.recv().await;
        Ok(())
    }

    /// By the process itself, so that no other's end can leave it without a record.
    fn write_record(&self) -> Result<()> {
        let process = Started::of(std::process::id());
        let text = serde_json::to_vec(&process).map_err(|error| Error::malformed("a process", error, ""))?;
        write_atomically(&self.record(), &text)
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Where the nodes are.
struct Nodes {
    docker: Docker,
    network: String,
    known: Mutex<HashMap<String, (Option<IpAddr>, Instant)>>,
}

impl Nodes {
    /// `None` where the node does not run.
    async fn address(&self, container: &str) -> Option<IpAddr> {
        let known = self.known.lock().ok().and_then(|known| known.get(container).copied());
        if let Some((address, seen)) = known
            && seen.elapsed() < FRESH
        {
            return address;
        }
        let address = self.ask(container).await;
        if let Ok(mut known) = self.known.lock() {
            known.insert(container.to_owned(), (address, Instant::now()));
        }
        address
    }

    async fn ask(&self, container: &str) -> Option<IpAddr> {
        let options = None::<bollard::query_parameters::InspectContainerOptions>;
        let found = found(self.docker.inspect_container(container, options).await);
        let found = found.inspect_err(|error| tracing::warn!(%error, container, "asking Docker")).ok()??;
        if found.state.as_ref().and_then(|state| state.running) != Some(true) {
            return None;
        }
        let mut networks = found.network_settings?.networks?;
        networks.remove(&self.network)?.ip_address?.parse().ok()
    }
}

async fn accept(listener: TcpListener, door: Door, nodes: Arc<Nodes>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let (door, nodes) = (door.clone(), Arc::clone(&nodes));
                tokio::spawn(async move { pass(client, &door, &nodes).await });
            }
            Err(error) => {
                // Out of descriptors, for one: what is open goes on, and ends some time.
                tracing::warn!(%error, port = door.port, "accepting");
                tokio::time::sleep(POLL).await;
            }
        }
    }
}

/// A connection to a node that does not run is reset, as if nobody listened there.
async fn pass(mut client: TcpStream, door: &Door, nodes: &Nodes) {
    let Some(address) = nodes.address(&door.container).await else { return reset(&client) };
    let node = TcpStream::connect(SocketAddr::new(address, door.target));
    match tokio::time::timeout(CONNECTS_WITHIN, node).await {
        Ok(Ok(mut node)) => {
            let _ = (client.set_nodelay(true), node.set_nodelay(true));
            // Ends with either side; a broken connection is the client's to see.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut node).await;
        }
        _ => reset(&client),
    }
}

fn reset(client: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(client, Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Nodes of which one is here, under an address that was just asked for.
    fn nodes(known: &[(&str, Option<IpAddr>)]) -> Nodes {
        let now = Instant::now() + Duration::from_mins(1);
        let known = known.iter().map(|(name, address)| ((*name).to_owned(), (*address, now))).collect();
        Nodes {
            docker: Docker::connect_with_host("http://127.0.0.1:9").unwrap(),
            network: "platen".into(),
            known: Mutex::new(known),
        }
    }

    async fn door_to(container: &str, target: u16, nodes: Nodes) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let door = Door { port, container: container.into(), target };
        tokio::spawn(accept(listener, door, Arc::new(nodes)));
        port
    }

    #[tokio::test]
    async fn a_door_leads_to_its_nodes_port_in_both_directions() {
        let node = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let target = node.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = node.accept().await.unwrap();
            let mut asked = [0; 4];
            stream.read_exact(&mut asked).await.unwrap();
            stream.write_all(&asked.map(|byte| byte.to_ascii_uppercase())).await.unwrap();
        });
        let here = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let port = door_to("pc-m02", target, nodes(&[("pc-m02", here)])).await;
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        client.write_all(b"text").await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "TEXT");
    }

    #[tokio::test]
    async fn the_door_of_a_dead_node_is_reset_and_no_address_is_tried() {
        let port = door_to("pc-m02", 9, nodes(&[("pc-m02", None)])).await;
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let error = client.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn the_process_is_recorded_before_a_door_fails_to_open() {
        let dir = tempfile::tempdir().unwrap();
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let door = Door { port, container: "pc-m02".into(), target: 30001 };
        let plan = Plan { docker_host: "http://127.0.0.1:9".into(), network: "pc".into(), doors: vec![door] };
        let doors = Doors::new(dir.path());
        write_atomically(&doors.plan(), &serde_json::to_vec(&plan).unwrap()).unwrap();
        assert_eq!(doors.process(), None);
        doors.serve().await.unwrap_err();
        assert_eq!(doors.process(), Some(Started::of(std::process::id())));
    }

    #[tokio::test]
    async fn doors_that_were_never_opened_are_closed() {
        let dir = tempfile::tempdir().unwrap();
        let doors = Doors::new(dir.path());
        doors.close().await.unwrap();
        assert!(!doors.is_held().unwrap() && !dir.path().join("doors").exists());
    }
}
