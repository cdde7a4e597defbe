//! The base image in the local registry, where the builder asks for it under Docker Hub's name.

use bollard::Docker;
use bollard::query_parameters::PushImageOptionsBuilder;
use futures_util::StreamExt;

use super::builder::registry_in_network;
use super::image::local_registry;
use crate::error::{Doing, Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::mirror::{Mirror, docker, foreign};
use crate::registry::{Reference, Registries};

/// Pushes the base image of the source build, unless this very one is there.
pub async fn ensure(
    host: &Host,
    docker: &Docker,
    registries: &Registries,
    mirror: &Mirror,
    tell: &Step,
) -> Result<()> {
    let (name, tag) = mirror.base_tag();
    let (registry, repository) = (local_registry(&host.config), format!("library/{name}"));
    let own = mirror.base_image();
    // Its own name tells what it was made of; the plain tag is moved with it.
    let key = own.rsplit_once(':').map_or("base", |(_, key)| key);
    let at = |tag: &str| Reference::with_tag(registry.clone(), repository.clone(), tag.to_owned());
    let made = registries.manifest(&at(key)).await?;
    let asked_for = registries.manifest(&at(&tag)).await?;
    if made.is_some_and(|made| asked_for.is_some_and(|found| found.digest == made.digest)) {
        return Ok(());
    }
    for tag in [key, &tag] {
        docker::tag(docker, &own, &format!("{registry}/{repository}"), tag).await?;
        push(docker, &format!("{registry}/{repository}"), tag, tell).await?;
    }
    Ok(())
}

/// The same for another processor, under a tag of its own; returns its name for the builder. It is kept in the registry
/// alone.
pub async fn ensure_foreign(
    host: &Host,
    docker: &Docker,
    registries: &Registries,
    mirror: &Mirror,
    arch: &str,
    tell: &Step,
) -> Result<String> {
    let (repository, tag) = (format!("library/{}", mirror.base_tag().0), foreign::tag(arch)?);
    let image = Reference::with_tag(local_registry(&host.config), repository.clone(), tag.clone());
    if registries.manifest(&image).await?.is_none() {
        let (name, whole) = (format!("{}/{repository}", image.registry()), image.to_string());
        foreign::load(host, docker, arch, &whole, tell).await?;
        let pushed = push(docker, &name, &tag, tell).await;
        docker::remove_image(docker, &whole).await?;
        pushed?;
    }
    Ok(format!("{}/{repository}:{tag}", registry_in_network()))
}

async fn push(docker: &Docker, name: &str, tag: &str, tell: &Step) -> Result<()> {
    let options = PushImageOptionsBuilder::default().tag(tag).build();
    let mut events = docker.push_image(name, Some(options), None);
    while let Some(event) = events.next().await {
        let event = event.doing(format!("pushing {name}:{tag}"))?;
        if let Some(error) = event.error_detail.and_then(|detail| detail.message) {
            return Err(Error::Build { why: format!("pushing {name}:{tag} failed: {error}") });
        }
        if let Some(status) = event.status {
            tell.message(format!("pushing the base image: {status}"));
        }
    }
    Ok(())
}
