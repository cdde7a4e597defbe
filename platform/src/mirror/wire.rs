//! Where nodes find the mirror: containerd's hosts files (`certs.d`), which are the same on every kind of cluster. They are
//! written into nodes that are containers here, or into a folder for nodes that are not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bollard::models::ContainerInspectResponse;
use serde::Serialize;

use super::docker::{self, found};
use super::registry;
use super::{Mirror, Supply, transfer};
use crate::cluster::client::client;
use crate::cluster::containers;
use crate::cluster::objects::nodes;
use crate::cluster::wiring::{RegistryWiring, wire_node};
use crate::engine;
use crate::error::{Doing, Error, Result};
use crate::host::{Host, write_atomically};

/// Where containerd looks, in a node.
pub const CERTS_D: &str = "/etc/containerd/certs.d";
/// On containers that are nodes of kind and of minikube.
const NODE_LABELS: [&str; 2] = [containers::KIND, containers::MINIKUBE];

/// A file below [`CERTS_D`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsFile {
    pub folder: String,
    pub content: String,
}

/// The files by which a registry at `url` is found under these names; `_default` is every name that has no file.
pub fn hosts_files<'a>(url: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<HostsFile> {
    let content = format!("[host.\"{url}\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
    names.into_iter().map(|name| HostsFile { folder: name.into(), content: content.clone() }).collect()
}

/// What was wired.
#[derive(Debug, Clone, Serialize)]
pub struct Wired {
    /// Nodes, or files.
    pub done: Vec<String>,
    /// Where nodes now ask for images.
    pub registry: String,
}

/// Writes the files below `root` as they lie in a node, for a registry that nodes reach at `url`.
pub fn write_files(root: &Path, url: &str) -> Result<Wired> {
    let mut done = Vec::new();
    for (path, content) in files_below(root, url)? {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).doing(format!("creating {}", dir.display()))?;
        }
        write_atomically(&path, content.as_bytes())?;
        done.push(path.display().to_string());
    }
    Ok(Wired { done, registry: url.into() })
}

/// What [`write_files`] would do, a phrase each.
pub fn plan_files(root: &Path, url: &str) -> Result<Vec<String>> {
    let files = files_below(root, url)?;
    Ok(files.into_iter().map(|(path, _)| format!("write {}", path.display())).collect())
}

fn files_below(root: &Path, url: &str) -> Result<Vec<(PathBuf, String)>> {
    let name = host_of(url)?;
    let below = root.join(CERTS_D.trim_start_matches('/'));
    let files = hosts_files(url, [name.as_str(), "_default"]).into_iter();
    Ok(files.map(|file| (below.join(file.folder).join("hosts.toml"), file.content)).collect())
}

/// `host[:port]` of `http://host[:port]`.
fn host_of(url: &str) -> Result<String> {
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or_default();
    let host = host.trim_end_matches('/');
    if host.is_empty() || host.contains(['/', '"', '\\']) || host.contains(char::is_whitespace) {
        return Err(Error::usage(
            format!("{url:?} is no address of a registry"),
            "write it as nodes reach it: --registry http://HOST:PORT",
        ));
    }
    Ok(host.into())
}

/// Nodes that are containers of this machine.
struct Reached {
    ready: engine::Ready,
    names: Vec<String>,
    /// Docker's, that they are in.
    networks: BTreeSet<String>,
}

/// The nodes of a cluster; an error where they could not be wired.
async fn reach(host: &Host, context: &str) -> Result<Reached> {
    let ready = match engine::observe(host).await? {
        engine::State::Ready(ready) => ready,
        engine::State::NotThere(lack) => return Err(lack.into_error()),
    };
    let names: Vec<String> =
        nodes(&client(context).await?).await?.into_iter().map(|node| node.name).collect();
    let mut networks = BTreeSet::new();
    for name in &names {
        let options = None::<bollard::query_parameters::InspectContainerOptions>;
        let container = found(ready.docker.inspect_container(name, options).await)
            .doing(format!("looking at the node {name}"))?;
        networks.insert(network_of(name, container)?);
        ensure_reads(&ready.docker, name).await?;
    }
    Ok(Reached { ready, names, networks })
}

impl Mirror {
    /// What [`Mirror::wire`] would do, a phrase each.
    pub async fn plan_wire(&self, host: &Host, context: &str) -> Result<Vec<String>> {
        let Reached { names, networks, .. } = reach(host, context).await?;
        let connect =
            networks.into_iter().map(|it| format!("put the local registry into Docker's network {it}"));
        let ask =
            names.into_iter().map(|it| format!("make {it} ask the local registry for images of every host"));
        Ok(connect.chain(ask).collect())
    }

    /// Makes the nodes of a cluster ask the local registry for images of every host. Its nodes must be containers of
    /// this machine's Docker; the registry is put into their network.
    pub async fn wire(&self, host: &Host, supply: Supply, context: &str) -> Result<Wired> {
        let Reached { ready, names, networks } = reach(host, context).await?;
        registry::ensure(host, &ready.docker, &self.registry_image(supply)).await?;
        for network in &networks {
            registry::connect(&ready.docker, network).await?;
        }
        let wiring = RegistryWiring {
            host_port: host.config.ports.registry,
            node_url: format!("http://{}:{}", registry::NAME, registry::PORT),
            mirrors_everything: true,
        };
        for name in &names {
            wire_node(&host.processes, ready.docker_host(), name, &wiring).await?;
        }
        Ok(Wired { done: names, registry: wiring.node_url })
    }
}

/// The Docker network of a node's container.
fn network_of(name: &str, container: Option<ContainerInspectResponse>) -> Result<String> {
    let not_here = |why: &str| {
        Error::usage(
            format!("the node {name} {why}"),
            "write the files for its nodes, and copy them there: cargo xtask mirror wire FOLDER --registry \
             http://HOST:PORT",
        )
    };
    let container = container.ok_or_else(|| not_here("is no container of this machine's Docker"))?;
    let labels = container.config.and_then(|config| config.labels).unwrap_or_default();
    if !NODE_LABELS.iter().any(|label| labels.contains_key(*label)) {
        return Err(not_here("has the name of a container here that is no node of kind or minikube"));
    }
    let networks = container.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    networks.into_keys().min().ok_or_else(|| not_here("is in no network of Docker: it does not run"))
}

/// containerd reads the files only where its configuration names their folder.
async fn ensure_reads(docker: &bollard::Docker, node: &str) -> Result<()> {
    let argv = ["containerd", "config", "dump"];
    let configured = docker::exec(docker, node, &argv).await?;
    if configured.contains(CERTS_D) {
        return Ok(());
    }
    Err(Error::unhealthy(
        format!("containerd in the node {node} does not read {CERTS_D}"),
        format!("set config_path = \"{CERTS_D}\" in its /etc/containerd/config.toml, and restart it"),
    ))
}

/// As [`write_files`], off the threads that serve everything else.
pub async fn write(root: PathBuf, url: String) -> Result<Wired> {
    transfer::blocking(move || write_files(&root, &url)).await
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::{ContainerConfig, EndpointSettings, NetworkSettings};

    use super::*;

    fn container(label: &str, network: &str) -> ContainerInspectResponse {
        let labels = HashMap::from([(label.to_owned(), "platen".to_owned())]);
        let networks = HashMap::from([(network.to_owned(), EndpointSettings::default())]);
        ContainerInspectResponse {
            config: Some(ContainerConfig { labels: Some(labels), ..Default::default() }),
            network_settings: Some(NetworkSettings { networks: Some(networks), ..Default::default() }),
            ..Default::default()
        }
    }

    #[test]
    fn files_lie_as_in_a_node() {
        let dir = tempfile::tempdir().unwrap();
        let planned = plan_files(dir.path(), "http://192.168.49.1:5000").unwrap();
        assert!(dir.path().read_dir().unwrap().next().is_none(), "a plan writes nothing");
        let wired = write_files(dir.path(), "http://192.168.49.1:5000").unwrap();
        let written: Vec<String> = wired.done.iter().map(|path| format!("write {path}")).collect();
        assert_eq!(planned, written);
        assert_eq!(wired.done.len(), 2);
        for name in ["_default", "192.168.49.1:5000"] {
            let path = dir.path().join("etc/containerd/certs.d").join(name).join("hosts.toml");
            let hosts: toml::Table = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            assert!(hosts["host"].get("http://192.168.49.1:5000").is_some(), "{hosts}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in ["192.168.49.1:5000", "http://", "http://a/b", "http://a\"b", "ftp://a"] {
            let error = write_files(Path::new("/never"), url).unwrap_err();
            assert!(error.hint().unwrap().contains("http://HOST:PORT"), "{url}");
        }
    }

    #[test]
    fn only_nodes_of_kind_and_minikube_are_written_into() {
        for label in NODE_LABELS {
            assert_eq!(network_of("n", Some(container(label, "kind"))).unwrap(), "kind");
        }
        for other in [None, Some(container("com.example", "bridge"))] {
            let error = network_of("n", other).unwrap_err();
            assert!(error.hint().unwrap().contains("mirror wire FOLDER"), "{error}");
        }
    }
}
