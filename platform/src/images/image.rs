//! Names of the service's image, and what was built under them.

use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::CreateImageOptions;
use futures_util::TryStreamExt;

use super::builder;
use crate::config::Config;
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::mirror::docker;
use crate::process::Cmd;
use crate::proxy;
use crate::registry::{Manifest, Platform, Reference, Registries, at_digest, at_tag};
use crate::service;

/// The image's repository in a registry.
pub(super) const REPOSITORY: &str = "platen/ocr-service";
/// What was built and not tried yet. Only one build runs at a time, so one name serves all.
const STAGING: &str = "staging";

const GIT_ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// The registry on this machine, by the name that nodes know it by too.
pub fn local_registry(config: &Config) -> String {
    format!("localhost:{}", config.ports.registry)
}

/// The service's image of these sources, in a registry named as `host[:port]` or `host[:port]/path`.
pub fn service_image(registry: &str, inputs: &str) -> Reference {
    let (host, path) = registry.split_once('/').unwrap_or((registry, ""));
    let repository = if path.is_empty() { REPOSITORY.to_owned() } else { format!("{path}/{REPOSITORY}") };
    Reference::with_tag(host.into(), repository, inputs.into())
}

/// The service's image of these sources, in the local registry.
pub fn own_image(host: &Host) -> Result<Reference> {
    Ok(service_image(&local_registry(&host.config), &service::inputs_hash(&host.root)?))
}

/// Where the builder puts what it built, as this machine knows it.
pub fn staging(host: &Host) -> Reference {
    service_image(&local_registry(&host.config), STAGING)
}

/// The same, as the builder knows it.
pub fn staging_for_builder() -> String {
    format!("{}/{REPOSITORY}:{STAGING}", builder::registry_in_network())
}

/// Whether the registry has the image for this machine's own platform, whole: that is what containers here run.
pub async fn is_in_registry(host: &Host, image: &Reference) -> Result<bool> {
    is_whole(&Registries::new(host)?, image, &super::own_platform()).await
}

async fn is_whole(registries: &Registries, image: &Reference, platform: &Platform) -> Result<bool> {
    let there = registries.platforms(image).await?.unwrap_or_default();
    let own = there.iter().find(|it| it.platform.runs_on(&platform.os, &platform.architecture));
    let Some(own) = own else { return Ok(false) };
    let Some(manifest) = registries.manifest(&at_digest(image, &own.digest)).await? else { return Ok(false) };
    Ok(registries.lacks(image, &manifest).await?.is_none())
}

/// The images that were built, by platform: BuildKit makes an index only for several.
pub async fn images_of(registries: &Registries, staging: &Reference) -> Result<Vec<(Platform, Manifest)>> {
    let platforms = registries.platforms(staging).await?.unwrap_or_default();
    if platforms.is_empty() {
        return Err(Error::malformed(
            format!("what was built as {staging}"),
            "it names no platform",
            "build it again",
        ));
    }
    let mut images = Vec::new();
    for found in platforms {
        images.push((found.platform, registries.require(&at_digest(staging, &found.digest)).await?));
    }
    Ok(images)
}

/// Arguments that become the image's labels: the same sources at the same commit give the same image. And the proxy for the
/// steps of the build, which BuildKit keeps out of image and cache.
pub async fn build_args(host: &Host) -> Vec<(String, String)> {
    let git = async |args: &[&str]| {
        let cmd = Cmd::new("git").args(args).cwd(&host.root).deadline(GIT_ANSWERS_WITHIN);
        // Sources that are no checkout have neither.
        let text = host.processes.run(&cmd).await.ok()?.stdout_text().trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let known = [
        ("VERSION", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("REVISION", git(&["rev-parse", "HEAD"]).await),
        ("CREATED", git(&["log", "-1", "--format=%cI"]).await),
    ];
    let labels = known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    labels.chain(proxy::variables(|name| std::env::var(name).ok())).collect()
}

/// Pulls the image of one platform from the local registry into Docker.
pub async fn pull(
    docker: &Docker,
    staging: &Reference,
    manifest: &Manifest,
    platform: &Platform,
) -> Result<String> {
    let image = at_digest(staging, &manifest.digest).to_string();
    let options = CreateImageOptions {
        from_image: Some(image.clone()),
        platform: platform.to_string(),
        ..CreateImageOptions::default()
    };
    let pulled: Vec<_> = docker::patient(docker)
        .create_image(Some(options), None, None)
        .try_collect()
        .await
        .doing(format!("pulling {image} into Docker"))?;
    drop(pulled);
    Ok(image)
}

/// Gives Docker the image of this machine's platform, under the tag.
pub async fn load(
    docker: &Docker,
    staging: &Reference,
    built: &[(Platform, Manifest)],
    target: &Reference,
) -> Result<String> {
    let own = super::own_platform();
    let (platform, manifest) = built.iter().find(|(platform, _)| *platform == own).ok_or_else(|| {
        Error::usage(
            format!("nothing was built for {own}, which is what Docker here runs"),
            format!("add it: --platform {own}"),
        )
    })?;
    let pulled = pull(docker, staging, manifest, platform).await?;
    let tag = target.tag().unwrap_or("latest");
    let name = at_tag(target, tag);
    let repository = format!("{}/{}", name.registry(), name.repository());
    docker::tag(docker, &pulled, &repository, tag).await?;
    Ok(name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Keyring;
    use crate::registry::double::{Double, Login};

    #[test]
    fn the_image_in_the_local_registry_is_named_as_nodes_know_it() {
        let image = service_image(&local_registry(&Config::default()), "0123456789ab");
        assert_eq!(image.to_string(), "localhost:5000/platen/ocr-service:0123456789ab");
    }

    #[tokio::test]
    async fn an_image_counts_as_pushed_where_it_is_whole_for_the_platform_that_runs_it() {
        crate::tls::install();
        let registries = Registries::with_keyring(&Host::bare("/nowhere"), Keyring::only([]));
        let double = Double::start(Login::None).await;
        let image = service_image(&double.name(), "0123");
        let is_there = async || is_whole(&registries, &image, &Platform::linux("arm64")).await.unwrap();
        assert!(!is_there().await, "nothing is there");
        for architecture in ["amd64", "arm64"] {
            let config = format!(r#"{{"architecture":"{architecture}","os":"linux"}}"#).into_bytes();
            let manifest = serde_json::json!({
                "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [],
                "config": Registries::descriptor("application/vnd.oci.image.config.v1+json", &config),
            });
            registries.push_blob(&image, config).await.unwrap();
            let manifest = Manifest::parse(manifest.to_string().into_bytes()).unwrap();
            registries.push_manifest(&image, &manifest).await.unwrap();
            assert_eq!(is_there().await, architecture == "arm64");
        }
    }

    #[test]
    fn a_path_of_the_registry_is_part_of_the_repository() {
        let image = service_image("ghcr.example/me", "0123456789ab");
        assert_eq!(image.to_string(), "ghcr.example/me/platen/ocr-service:0123456789ab");
        assert_eq!(image.repository(), "me/platen/ocr-service");
    }
}
