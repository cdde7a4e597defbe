//! The builder: BuildKit's daemon in a container of its own, made once and found again, its cache in a volume.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, EndpointSettings, HostConfig, Mount, MountType,
    NetworkCreateRequest, NetworkingConfig, RestartPolicy,
};
use bollard::query_parameters::{RemoveVolumeOptions, UploadToContainerOptions};

use super::context;
use crate::digest::Parts;
use crate::engine;
use crate::error::{Doing, Result};
use crate::event::Step;
use crate::host::Host;
use crate::mirror::{LABEL, Mirror, Supply, buildkit_version, docker, registry};
use crate::proxy;
use crate::wait::{self, Seen};

/// The container.
pub const NAME: &str = "platen-builder";
/// The Docker network in which it finds the local registry by its name.
const NETWORK: &str = "platen-builder";
/// Where its cache is kept when the container is made anew.
const VOLUME: &str = "platen-builder-cache";
/// On the container: what it was made of.
const MADE_OF: &str = "dev.platen.builder";
const STARTS_WITHIN: Duration = Duration::from_mins(1);

/// The local registry as the builder reaches it.
pub fn registry_in_network() -> String {
    format!("{}:{}", registry::NAME, registry::PORT)
}

/// What the builder is made of.
struct Recipe {
    image: String,
    config: String,
    authorities: Option<Vec<u8>>,
    /// By which base images are pulled, and build steps ask other machines.
    proxy: Vec<(String, String)>,
}

impl Recipe {
    fn new(mirror: &Mirror, supply: Supply) -> Result<Self> {
        let image = match supply {
            Supply::Pull => format!("docker.io/moby/buildkit:v{}", buildkit_version()?),
            Supply::Source => mirror.builder_image(),
        };
        let authorities = match context::certificate_bundle() {
            Some(path) => Some(std::fs::read(&path).doing(format!("reading {}", path.display()))?),
            None => None,
        };
        let proxy = proxy::variables(|name| std::env::var(name).ok());
        Ok(Self { image, config: config(supply), authorities, proxy })
    }

    fn key(&self) -> String {
        let mut parts = Parts::default();
        parts.add(&self.image);
        parts.add(&self.config);
        parts.add(self.authorities.as_deref().unwrap_or_default());
        for (name, value) in &self.proxy {
            parts.add(name);
            parts.add(value);
        }
        parts.short()
    }

    /// Its configuration, and the authorities that this machine trusts: base images may come from behind a proxy.
    fn files(&self) -> Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        let config = Some(("etc/buildkit/buildkitd.toml", self.config.as_bytes()));
        let authorities = self.authorities.as_deref().map(|pem| ("etc/ssl/certs/ca-certificates.crt", pem));
        for (path, bytes) in config.into_iter().chain(authorities) {
            context::append(&mut tar, std::path::Path::new(path), bytes)?;
        }
        tar.into_inner().doing("packing the builder's configuration")
    }
}

/// Build steps share the container's network, so that no further program is needed to connect them. The cache is
/// bounded: what was not used longest goes first.
fn config(supply: Supply) -> String {
    let local = registry_in_network();
    let mirrors = match supply {
        Supply::Pull => String::new(),
        Supply::Source => format!("\n[registry.\"docker.io\"]\n  mirrors = [\"{local}\"]\n"),
    };
    format!(
        "# Written by cargo xtask build.\n[worker.oci]\n  enabled = true\n  networkMode = \"host\"\n  gc = true\n  \
         reservedSpace = \"2GB\"\n  maxUsedSpace = \"12GB\"\n  minFreeSpace = \"5GB\"\n[worker.containerd]\n  \
         enabled = false\n[registry.\"{local}\"]\n  http = true\n{mirrors}"
    )
}

/// Whether the builder runs and is as it would be made now.
pub async fn is_current(docker: &Docker, mirror: &Mirror, supply: Supply) -> Result<bool> {
    let recipe = Recipe::new(mirror, supply)?;
    Ok(inspect(docker).await?.is_some_and(|found| runs(&found) && is_made_of(&found, &recipe.key())))
}

/// Makes the builder run; one that is as it should be is left alone.
pub async fn ensure(
    host: &Host,
    docker: &Docker,
    mirror: &Mirror,
    supply: Supply,
    tell: &Step,
) -> Result<()> {
    let recipe = Recipe::new(mirror, supply)?;
    if let Some(told) = proxy::out_of_reach(|name| std::env::var(name).ok()) {
        host.events.warn(told);
    }
    let found = inspect(docker).await?;
    let network_is_there = engine::has_network(docker, NETWORK).await?;
    match found {
        Some(found) if is_made_of(&found, &recipe.key()) && network_is_there => {
            if !runs(&found) {
                start(docker).await?;
            }
        }
        _ => create(host, docker, &recipe, tell).await?,
    }
    registry::connect(docker, NETWORK).await?;
    let hint = format!("look at its log: docker logs {NAME}");
    wait::until_every(Duration::from_millis(200), STARTS_WITHIN, &hint, || async {
        let argv = ["buildctl", "debug", "workers"];
        Ok(match docker::exec(docker, NAME, &argv).await {
            Ok(_) => Seen::Ready(()),
            Err(error) => Seen::Awaiting(format!("BuildKit to answer: {error}")),
        })
    })
    .await
}

async fn create(host: &Host, docker: &Docker, recipe: &Recipe, tell: &Step) -> Result<()> {
    tell.message(format!("making the builder of {}", recipe.image));
    docker::ensure_image(host, docker, &recipe.image).await?;
    if !engine::has_network(docker, NETWORK).await? {
        let request = NetworkCreateRequest {
            name: NETWORK.into(),
            labels: Some(HashMap::from([(LABEL.to_owned(), "builder".to_owned())])),
            ..Default::default()
        };
        docker.create_network(request).await.doing(format!("creating Docker's network {NETWORK}"))?;
    }
    docker::create_container(docker, NAME, &container(recipe)).await?;
    let options = UploadToContainerOptions { path: "/".into(), ..Default::default() };
    let files = bollard::body_full(recipe.files()?.into());
    docker.upload_to_container(NAME, Some(options), files).await.doing("configuring the builder")?;
    start(docker).await?;
    host.events.note(format!("the builder {NAME} runs BuildKit; `cargo xtask down --all` removes it"));
    Ok(())
}

fn container(recipe: &Recipe) -> ContainerCreateBody {
    let labels = [(LABEL.to_owned(), "builder".to_owned()), (MADE_OF.to_owned(), recipe.key())];
    ContainerCreateBody {
        image: Some(recipe.image.clone()),
        env: Some(recipe.proxy.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(HashMap::from(labels)),
        host_config: Some(HostConfig {
            // BuildKit mounts and runs containers itself.
            privileged: Some(true),
            mounts: Some(vec![Mount {
                target: Some("/var/lib/buildkit".into()),
                source: Some(VOLUME.into()),
                typ: Some(MountType::VOLUME),
                ..Default::default()
            }]),
            network_mode: Some(NETWORK.into()),
            restart_policy: Some(RestartPolicy::default()),
            ..Default::default()
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(NETWORK.to_owned(), EndpointSettings::default())])),
        }),
        ..Default::default()
    }
}

async fn start(docker: &Docker) -> Result<()> {
    let options = None::<bollard::query_parameters::StartContainerOptions>;
    docker.start_container(NAME, options).await.doing("starting the builder")
}

async fn inspect(docker: &Docker) -> Result<Option<ContainerInspectResponse>> {
    let options = None::<bollard::query_parameters::InspectContainerOptions>;
    docker::found(docker.inspect_container(NAME, options).await).doing("looking at the builder")
}

fn runs(found: &ContainerInspectResponse) -> bool {
    found.state.as_ref().and_then(|state| state.running).unwrap_or(false)
}

fn is_made_of(found: &ContainerInspectResponse, key: &str) -> bool {
    let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
    labels.and_then(|labels| labels.get(MADE_OF)).is_some_and(|made_of| made_of == key)
}

/// Removes the builder with its cache and network, each where it is there; tells what was.
pub async fn remove(docker: &Docker, dry_run: bool) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    // Each is looked at for itself: whoever removed the container by hand, or was cut off here, left the others.
    if inspect(docker).await?.is_some() {
        removed.push(format!("the builder {NAME}"));
        if !dry_run {
            docker::remove_container(docker, NAME).await?;
        }
    }
    let volume = docker::found(docker.inspect_volume(VOLUME).await);
    if volume.doing(format!("looking at Docker's volume {VOLUME}"))?.is_some() {
        removed.push(format!("the builder's cache, the volume {VOLUME}"));
        if !dry_run {
            let options = RemoveVolumeOptions { force: true };
            docker::found(docker.remove_volume(VOLUME, Some(options)).await)
                .doing(format!("removing Docker's volume {VOLUME}"))?;
        }
    }
    if engine::has_network(docker, NETWORK).await? {
        removed.push(format!("the builder's network {NETWORK}"));
        if !dry_run {
            registry::disconnect(docker, NETWORK).await?;
            engine::remove_network(docker, NETWORK).await?;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(config: &str) -> Recipe {
        Recipe {
            image: "platen/builder:1".into(),
            config: config.into(),
            authorities: None,
            proxy: Vec::new(),
        }
    }

    fn inspected(recipe: &Recipe) -> ContainerInspectResponse {
        let labels = container(recipe).labels;
        let config = bollard::models::ContainerConfig { labels, ..Default::default() };
        ContainerInspectResponse { config: Some(config), ..Default::default() }
    }

    #[test]
    fn a_builder_of_another_configuration_is_not_taken() {
        let now = recipe(&config(Supply::Source));
        assert!(is_made_of(&inspected(&now), &now.key()));
        assert!(!is_made_of(&inspected(&recipe(&config(Supply::Pull))), &now.key()));
        let proxy = vec![("HTTP_PROXY".to_owned(), "http://proxy.lan:3128".to_owned())];
        let behind = Recipe { proxy, ..recipe(&config(Supply::Source)) };
        assert!(!is_made_of(&inspected(&now), &behind.key()));
        assert_eq!(container(&behind).env.unwrap(), ["HTTP_PROXY=http://proxy.lan:3128"]);
    }

    #[test]
    fn where_nothing_can_be_pulled_base_images_come_from_the_local_registry() {
        assert!(config(Supply::Source).contains("mirrors = [\"platen-registry:5000\"]"));
        assert!(!config(Supply::Pull).contains("mirrors"));
        toml::from_str::<toml::Table>(&config(Supply::Source)).unwrap();
    }
}
