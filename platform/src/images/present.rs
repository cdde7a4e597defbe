//! An image that the local registry has of the very same sources: it is not built again.

use super::{BuildOptions, can_be_built, own_platform};
use crate::error::Result;
use crate::registry::{Manifest, Platform, Reference, Registries, at_digest};

/// The index and the images of the wanted platforms, where all of them are there, whole. The tag in the local registry is a
/// hash of the sources; another tag says nothing of what is under it.
pub async fn find(
    registries: &Registries,
    options: &BuildOptions,
    target: &Reference,
) -> Result<Option<(Manifest, Vec<(Platform, Manifest)>)>> {
    if options.no_cache || options.push.is_some() {
        return Ok(None);
    }
    let Some(index) = registries.manifest(target).await? else { return Ok(None) };
    let there = index.platforms();
    let mut images = Vec::new();
    for platform in wanted(options) {
        let Some(found) = there.iter().find(|it| it.platform == platform) else { return Ok(None) };
        let Some(image) = registries.manifest(&at_digest(target, &found.digest)).await? else {
            return Ok(None);
        };
        if registries.lacks(target, &image).await?.is_some() {
            return Ok(None);
        }
        images.push((platform, image));
    }
    Ok(Some((index, images)))
}

/// The wanted platforms, and those that the local registry has of the very same sources already: the new index takes the
/// place of theirs.
pub async fn to_build(
    registries: &Registries,
    options: &BuildOptions,
    target: &Reference,
) -> Result<Vec<Platform>> {
    let mut platforms = wanted(options);
    if options.push.is_some() {
        return Ok(platforms);
    }
    for found in registries.platforms(target).await?.unwrap_or_default() {
        if can_be_built(&found.platform.to_string()) && !platforms.contains(&found.platform) {
            platforms.push(found.platform);
        }
    }
    Ok(platforms)
}

/// This machine's own where none is named.
pub fn wanted(options: &BuildOptions) -> Vec<Platform> {
    if options.platforms.is_empty() { vec![own_platform()] } else { options.platforms.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::event::Events;
    use crate::host::Host;
    use crate::registry::double::{Double, Login};
    use crate::registry::{Keyring, parse};

    fn options(platforms: &[&str]) -> BuildOptions {
        let platforms = platforms.iter().map(|name| name.parse().unwrap()).collect();
        BuildOptions { platforms, ..BuildOptions::default() }
    }

    async fn index(registries: &Registries, target: &Reference, platforms: &[&str]) -> Manifest {
        let config = br#"{"architecture":"any","os":"linux"}"#.to_vec();
        registries.push_blob(target, config.clone()).await.unwrap();
        let image = serde_json::json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [],
            "config": Registries::descriptor("application/vnd.oci.image.config.v1+json", &config),
        });
        let image = Manifest::parse(image.to_string().into_bytes()).unwrap();
        registries.push_manifest(&at_digest(target, &image.digest), &image).await.unwrap();
        let entry = |architecture: &&str| {
            serde_json::from_value(serde_json::json!({
                "mediaType": image.media_type, "digest": image.digest, "size": image.bytes.len(),
                "platform": {"os": "linux", "architecture": architecture},
            }))
            .unwrap()
        };
        let index = Manifest::index(platforms.iter().map(entry).collect()).unwrap();
        registries.push_manifest(target, &index).await.unwrap();
        index
    }

    #[tokio::test]
    async fn the_same_sources_for_the_same_platforms_are_not_built_again() {
        crate::tls::install();
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path().into(), Config::default(), Events::silent()).unwrap();
        let registries = Registries::with_keyring(&host, Keyring::only([]));
        let double = Double::start(Login::None).await;
        let target = parse(&format!("{}/platen/ocr-service:0123", double.name())).unwrap();
        let both = options(&["linux/amd64", "linux/arm64"]);
        assert!(find(&registries, &both, &target).await.unwrap().is_none(), "nothing is there");

        index(&registries, &target, &["amd64"]).await;
        assert!(find(&registries, &both, &target).await.unwrap().is_none(), "one platform is missing");
        let index = index(&registries, &target, &["amd64", "arm64"]).await;
        let (found, images) = find(&registries, &both, &target).await.unwrap().unwrap();
        assert_eq!((found.digest, images.len()), (index.digest, 2));

        let anew = BuildOptions { no_cache: true, ..both.clone() };
        assert!(find(&registries, &anew, &target).await.unwrap().is_none(), "asked for anew");
        let elsewhere = BuildOptions { push: Some(target.clone()), ..both.clone() };
        assert!(find(&registries, &elsewhere, &target).await.unwrap().is_none(), "a tag of the user's");

        double.content().blobs.clear();
        assert!(find(&registries, &both, &target).await.unwrap().is_none(), "the registry lost a blob");
    }

    #[tokio::test]
    async fn a_platform_that_is_there_stays_where_another_is_asked_for() {
        crate::tls::install();
        let root = tempfile::tempdir().unwrap();
        let registries = Registries::with_keyring(&Host::bare(root.path()), Keyring::only([]));
        let double = Double::start(Login::None).await;
        let target = parse(&format!("{}/platen/ocr-service:0123", double.name())).unwrap();
        let arm = options(&["linux/arm64"]);
        assert_eq!(to_build(&registries, &arm, &target).await.unwrap(), arm.platforms);
        index(&registries, &target, &["amd64", "arm64", "riscv64"]).await;
        let both = to_build(&registries, &arm, &target).await.unwrap();
        assert_eq!(both, options(&["linux/arm64", "linux/amd64"]).platforms);
        let elsewhere = BuildOptions { push: Some(target.clone()), ..arm.clone() };
        assert_eq!(to_build(&registries, &elsewhere, &target).await.unwrap(), arm.platforms);
    }
}
