//! The local registry beside the nodes: `127.0.0.1:5000` on the host, `localhost:5000` in every node.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, EndpointSettings, HostConfig, NetworkConnectRequest,
    NetworkDisconnectRequest, PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::ListContainersOptions;

use super::docker::{self, LABEL, found};
use crate::engine;
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::lock;
use crate::ports;
use crate::wait::{self, Seen};

/// The container, and its name in Docker's DNS; the nodes' containerd asks it for every image.
pub const NAME: &str = "platen-registry";
/// The port inside the container.
pub const PORT: u16 = 5000;
/// What the image starts with.
pub const CONFIGURATION: &str = "\
version: 0.1
log:
  level: warn
storage:
  filesystem:
    rootdirectory: /var/lib/registry
  delete:
    enabled: true
http:
  addr: :5000
";

/// What the container runs where images can be pulled.
pub const UPSTREAM_IMAGE: &str = "docker.io/library/registry:3.1.2";

const STARTUP: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(200);

/// What the registry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Absent,
    /// There, and not running, or with another image or port than it should have.
    Stale,
    Running {
        /// Docker networks that it is in.
        networks: Vec<String>,
    },
}

/// Looks at the container; `image` and `port` are what it should have.
pub async fn observe(docker: &Docker, image: &str, port: u16) -> Result<State> {
    let options = None::<bollard::query_parameters::InspectContainerOptions>;
    let inspected = found(docker.inspect_container(NAME, options).await).doing("looking at the registry")?;
    Ok(inspected.map_or(State::Absent, |container| classify(container, image, port)))
}

fn classify(container: ContainerInspectResponse, image: &str, port: u16) -> State {
    let running = container.state.and_then(|state| state.running).unwrap_or(false);
    let same_image = container.config.and_then(|config| config.image).is_some_and(|found| found == image);
    let published = container
        .host_config
        .and_then(|host| host.port_bindings)
        .and_then(|mut bindings| bindings.remove(&format!("{PORT}/tcp")).flatten())
        .unwrap_or_default();
    let same_port = published.iter().any(|binding| binding.host_port.as_deref() == Some(&port.to_string()));
    if !(running && same_image && same_port) {
        return State::Stale;
    }
    let networks = container.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let mut networks: Vec<_> = networks.into_keys().collect();
    networks.sort();
    State::Running { networks }
}

async fn serves(docker: &Docker, image: &str, port: u16) -> Result<bool> {
    Ok(matches!(observe(docker, image, port).await?, State::Running { .. }) && answers(port).await)
}

/// Makes the registry run and answer. True where something was changed.
pub async fn ensure(host: &Host, docker: &Docker, image: &str) -> Result<bool> {
    let port = host.config.ports.registry;
    if serves(docker, image, port).await? {
        return Ok(false);
    }
    let path = host.cache.join("registry.lock");
    let tell = || host.events.note("another run is making the local registry: waiting for it");
    let _lock = lock::wait_for(&path, tell).await.doing(format!("locking {}", path.display()))?;
    // That one may have made it just as it should be.
    if serves(docker, image, port).await? {
        return Ok(false);
    }
    docker::ensure_image(host, docker, image).await?;
    let networks = networks(docker).await?;
    docker::remove_container(docker, NAME).await?;
    free_port(docker, port).await?;
    let storage = host.cache.join("registry");
    std::fs::create_dir_all(&storage).doing(format!("creating {}", storage.display()))?;
    let body = container(image, port, &storage.display().to_string());
    docker::create_container(docker, NAME, &body).await?;
    let options = None::<bollard::query_parameters::StartContainerOptions>;
    docker.start_container(NAME, options).await.doing("starting the registry")?;
    // The nodes of clusters that are there go on asking it.
    for network in networks {
        if engine::has_network(docker, &network).await? {
            connect(docker, &network).await?;
        }
    }
    wait(port).await?;
    Ok(true)
}

/// The Docker networks that the container is in, running or not; none where there is no container.
async fn networks(docker: &Docker) -> Result<Vec<String>> {
    let options = None::<bollard::query_parameters::InspectContainerOptions>;
    let container = found(docker.inspect_container(NAME, options).await).doing("looking at the registry")?;
    let networks = container.and_then(|it| it.network_settings).and_then(|settings| settings.networks);
    Ok(networks.unwrap_or_default().into_keys().collect())
}

/// An error that names who has the port: the container where it is one, else the program.
async fn free_port(docker: &Docker, port: u16) -> Result<()> {
    let filters = HashMap::from([("publish".to_owned(), vec![port.to_string()])]);
    let options = ListContainersOptions { filters: Some(filters), ..Default::default() };
    let holders = docker.list_containers(Some(options)).await.doing("listing Docker's containers")?;
    let Some(holder) = holders.into_iter().find_map(|container| container.names?.into_iter().next()) else {
        return ports::ensure_free([(port, "the local registry".into())]);
    };
    let holder = holder.trim_start_matches('/');
    Err(Error::machine(
        format!("port {port}, wanted for the local registry, is in use by the container {holder}"),
        format!("docker stop {holder}, or set registry under [ports] in platen.toml"),
    ))
}

fn container(image: &str, port: u16, storage: &str) -> ContainerCreateBody {
    let binding = PortBinding { host_ip: Some("127.0.0.1".into()), host_port: Some(port.to_string()) };
    ContainerCreateBody {
        image: Some(image.into()),
        labels: Some(HashMap::from([(LABEL.to_owned(), "registry".to_owned())])),
        exposed_ports: Some(vec![format!("{PORT}/tcp")]),
        host_config: Some(HostConfig {
            binds: Some(vec![format!("{storage}:/var/lib/registry")]),
            port_bindings: Some(HashMap::from([(format!("{PORT}/tcp"), Some(vec![binding]))])),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                maximum_retry_count: None,
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Puts the registry into a Docker network, so that the containers there find it by [`NAME`]. True where it was not.
pub async fn connect(docker: &Docker, network: &str) -> Result<bool> {
    let doing = || format!("connecting the registry to the network {network}");
    let options = None::<bollard::query_parameters::InspectContainerOptions>;
    let container = docker.inspect_container(NAME, options).await.doing(doing())?;
    let networks = container.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    if networks.contains_key(network) {
        return Ok(false);
    }
    let request =
        NetworkConnectRequest { container: NAME.into(), endpoint_config: Some(EndpointSettings::default()) };
    docker.connect_network(network, request).await.doing(doing())?;
    Ok(true)
}

/// Takes the registry out of a Docker network; where it is in none of that name, nothing is to do.
pub async fn disconnect(docker: &Docker, network: &str) -> Result<()> {
    let request = NetworkDisconnectRequest { container: NAME.into(), force: Some(true) };
    match docker.disconnect_network(network, request).await {
        Err(bollard::errors::Error::DockerResponseServerError { .. }) | Ok(()) => Ok(()),
        failed => failed.doing(format!("taking the registry out of the network {network}")),
    }
}

/// Whether the container is there, running or not.
pub async fn exists(docker: &Docker) -> Result<bool> {
    let options = None::<bollard::query_parameters::InspectContainerOptions>;
    let there = found(docker.inspect_container(NAME, options).await).doing("looking at the registry")?;
    Ok(there.is_some())
}

/// Removes the container; what it stored stays in the cache.
pub async fn remove(docker: &Docker) -> Result<()> {
    docker::remove_container(docker, NAME).await
}

/// Whether a registry answers on this port of loopback.
pub async fn answers(port: u16) -> bool {
    let Ok(client) = crate::http::direct(Duration::from_secs(2)) else { return false };
    let response = client.get(format!("http://127.0.0.1:{port}/v2/")).send().await;
    response.is_ok_and(|response| response.status().is_success())
}

async fn wait(port: u16) -> Result<()> {
    let hint = format!("look at its log: docker logs {NAME}");
    wait::until_every(POLL, STARTUP, &hint, || async move {
        Ok(if answers(port).await {
            Seen::Ready(())
        } else {
            Seen::Awaiting(format!("the local registry on 127.0.0.1:{port}"))
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::{ContainerConfig, ContainerState, NetworkSettings};

    fn inspected(running: bool, image: &str, port: u16) -> ContainerInspectResponse {
        let body = container(image, port, "/cache/registry");
        ContainerInspectResponse {
            state: Some(ContainerState { running: Some(running), ..Default::default() }),
            config: Some(ContainerConfig { image: body.image, ..Default::default() }),
            host_config: body.host_config,
            network_settings: Some(NetworkSettings {
                networks: Some(HashMap::from([
                    ("kind".to_owned(), EndpointSettings::default()),
                    ("bridge".to_owned(), EndpointSettings::default()),
                ])),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_registry_as_it_should_be_is_left_alone() {
        let networks = vec!["bridge".to_owned(), "kind".to_owned()];
        assert_eq!(classify(inspected(true, "r:1", 5000), "r:1", 5000), State::Running { networks });
    }

    #[test]
    fn a_stopped_registry_or_one_of_another_image_or_port_is_stale() {
        for (running, image, port) in [(false, "r:1", 5000), (true, "r:0", 5000), (true, "r:1", 5001)] {
            assert_eq!(classify(inspected(running, image, port), "r:1", 5000), State::Stale);
        }
    }

    #[test]
    fn the_registry_listens_on_loopback_only() {
        let bindings = container("r:1", 5000, "/s").host_config.unwrap().port_bindings.unwrap();
        assert_eq!(bindings["5000/tcp"].as_ref().unwrap()[0].host_ip.as_deref(), Some("127.0.0.1"));
    }
}
