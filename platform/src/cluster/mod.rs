//! Where the platform runs: embedded processes, kind, minikube, and the Kubernetes API of any cluster.

pub mod client;
pub mod consoles;
pub mod containers;
pub mod contexts;
pub mod doors;
pub mod embedded;
pub mod forward;
pub mod kind;
pub mod minikube;
pub mod objects;
mod progress;
mod ready;
pub mod relay;
pub mod secrets;
mod shared;
pub mod wiring;

use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};

/// NodePorts inside a cluster: gateway, frontend, experiments.
pub const NODE_PORTS: [u16; 3] = [30001, 30080, 31112];

/// What this machine lets a node do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostTraits {
    pub cgroup_v1: bool,
    pub cap_sys_resource: bool,
}

/// One node as its provider sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub name: String,
    /// The container that is the node, where the provider runs nodes in containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    pub state: NodeState,
}

impl Node {
    /// One that is the container of its name. Whether one that runs is Ready is the API server's to say.
    pub fn in_container(name: &str, runs: bool) -> Self {
        Self {
            name: name.into(),
            container: Some(name.into()),
            state: if runs { NodeState::NotReady } else { NodeState::Stopped },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    Ready,
    NotReady,
    Stopped,
}

/// What there is of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ClusterState {
    Absent,
    /// All of it is there, and not every node runs.
    Stopped {
        nodes: Vec<Node>,
    },
    /// A part of it is there, or it is not as configured; `why` is a sentence.
    Broken {
        why: String,
    },
    /// It is there and was made with other settings; never mended by deleting it.
    Mismatched {
        why: String,
    },
    Running {
        nodes: Vec<Node>,
    },
}

/// A door on this machine's loopback that leads to the gateway by one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    pub node: String,
    pub address: SocketAddrV4,
}

impl Endpoint {
    pub fn on_loopback(node: impl Into<String>, port: u16) -> Self {
        Self { node: node.into(), address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port) }
    }

    /// The OCR call of the gateway behind this door.
    pub fn ocr_url(&self) -> String {
        format!("http://{}/gateway/ocr", self.address)
    }
}
