//! Items of the mirror into a registry, under their upstream paths: nodes ask it for images of any host.

use bollard::Docker;
use serde::Serialize;

use super::layout::{Item, Layout};
use super::{Artifact, Mirror};
use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::registry::{self, Manifest, Reference, Registries, at_digest};

/// One item that a registry now has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Published {
    pub name: String,
    pub digest: String,
    /// False where it was there already.
    pub sent: bool,
}

impl Mirror {
    /// Pushes items into the registry at `host[:port]`; all where `only` is empty. What is there by its digest is left
    /// alone.
    pub async fn publish(
        &self,
        registries: &Registries,
        to: &str,
        only: &[String],
        step: &Step,
    ) -> Result<Vec<Published>> {
        let wanted = self.held_of(only)?;
        let mut published = Vec::new();
        for (done, (layout, item)) in wanted.iter().enumerate() {
            step.progress(format!("pushing {}", item.name), Some(done as u64), Some(wanted.len() as u64));
            let sent = push(registries, to, layout, item).await?;
            published.push(Published { name: item.name.clone(), digest: item.digest.clone(), sent });
        }
        Ok(published)
    }

    /// The items of these names; all where there are none.
    pub(super) fn held_of(&self, only: &[String]) -> Result<Vec<(Layout, Item)>> {
        let held = self.held();
        if let Some(unknown) = only.iter().find(|name| !held.iter().any(|(_, item)| item.name == **name)) {
            return Err(Error::unhealthy(
                format!("the mirror has no {unknown}"),
                "see what it has: cargo xtask mirror list",
            ));
        }
        Ok(held.into_iter().filter(|(_, item)| only.is_empty() || only.contains(&item.name)).collect())
    }
}

/// A registry as `publish` takes it: nodes ask a mirror for the paths that upstream has, so it can have none of its own.
pub fn check_registry(text: &str) -> Result<()> {
    let probe = registry::parse(&format!("{text}/probe:1"));
    if text.contains('/') || probe.is_err() || !text.contains(['.', ':']) && text != "localhost" {
        return Err(Error::usage(
            format!("{text:?} is no registry"),
            "write it as HOST[:PORT], without a path: nodes ask it for the paths that upstream has",
        ));
    }
    Ok(())
}

/// What `mirror build` did.
#[derive(Debug, Clone, Serialize)]
pub struct BuildReport {
    pub built: Vec<&'static str>,
    /// Where it was pushed to; none where the local registry does not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    pub published: Vec<Published>,
}

impl Mirror {
    /// Builds the artifacts of these names, all that can be built where there are none, and brings the local registry up
    /// to date where it runs.
    pub async fn build_and_publish(
        &self,
        host: &Host,
        docker: Option<&Docker>,
        names: &[String],
    ) -> Result<BuildReport> {
        let wanted = super::named(names, docker.is_some())?;
        let built = self.build(host, docker, &wanted).await?.into_iter().map(Artifact::id).collect();
        let port = host.config.ports.registry;
        if !super::registry::answers(port).await {
            return Ok(BuildReport { built, registry: None, published: Vec::new() });
        }
        let registry = host.config.ports.local_registry();
        let step = host.events.step("mirror-publish", format!("pushing to {registry}"), None);
        let published = self.publish(&Registries::new(host)?, &registry, &[], &step).await?;
        step.done();
        Ok(BuildReport { built, registry: Some(registry), published })
    }
}

/// The same repository and tag in another registry, without the upstream's host: that is how a mirror is asked.
pub fn target(name: &str, registry: &str) -> Result<Reference> {
    let upstream = registry::parse(name)?;
    let tag = upstream.tag().unwrap_or("latest");
    Ok(Reference::with_tag(registry.into(), upstream.repository().into(), tag.into()))
}

/// Pushes one item; false where it was there. Each blob is asked for: a registry may have lost one, and goes on telling the
/// manifest.
pub async fn push(registries: &Registries, to: &str, layout: &Layout, item: &Item) -> Result<bool> {
    let target = target(&item.name, to)?;
    let manifest = layout.manifest(&item.digest)?;
    let mut sent = false;
    for entry in manifest.entries() {
        let child = layout.manifest(&entry.digest)?;
        sent |= push_blobs(registries, &target, layout, &child).await?;
        sent |= push_manifest(registries, &at_digest(&target, &entry.digest), &child).await?;
    }
    sent |= push_blobs(registries, &target, layout, &manifest).await?;
    sent |= push_manifest(registries, &target, &manifest).await?;
    Ok(sent)
}

async fn push_blobs(
    registries: &Registries,
    target: &Reference,
    layout: &Layout,
    manifest: &Manifest,
) -> Result<bool> {
    let mut sent = false;
    for blob in manifest.blobs() {
        let path = layout.blob_path(&blob.digest);
        if path.is_file() {
            sent |= registries.push_blob_file(target, &blob.digest, &path).await?;
        } else if !registries.blob_exists(target, &blob.digest).await? {
            return Err(Error::unhealthy(
                format!("the mirror lacks the blob {} of {}", blob.digest, target.repository()),
                "see all that is missing: cargo xtask mirror verify",
            ));
        }
    }
    Ok(sent)
}

async fn push_manifest(registries: &Registries, target: &Reference, manifest: &Manifest) -> Result<bool> {
    if registries.manifest(target).await?.is_some_and(|there| there.digest == manifest.digest) {
        return Ok(false);
    }
    registries.push_manifest(target, manifest).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_a_host_and_has_no_path() {
        for good in ["127.0.0.1:5000", "registry.example", "localhost", "registry:5000"] {
            check_registry(good).unwrap();
        }
        for bad in ["registry.example/team", "", "http://registry.example", "two words", "registry"] {
            assert!(check_registry(bad).is_err(), "{bad}");
        }
    }
}
