//! The base image for another processor than this machine's, which has to run its programs under emulation. A benchmark
//! alone asks for it: it is no artifact, and nothing of it stays in the cache or in Docker.

use bollard::Docker;

use super::artifact::Artifact;
use super::store::Store;
use super::{Mirror, Names, images, rootfs};
use crate::error::Result;
use crate::event::Step;
use crate::host::Host;

/// Its tag in the base image's repository; it changes with what the image is made of.
pub fn tag(arch: &str) -> Result<String> {
    let names = Names::pinned(arch)?;
    Ok(format!("{}-{arch}-{}", names.base_tag().1, names.key(Artifact::BaseImage)))
}

/// Makes it, and loads it into Docker as `reference`.
pub async fn load(host: &Host, docker: &Docker, arch: &str, reference: &str, tell: &Step) -> Result<()> {
    let mirror = Mirror { names: Names::pinned(arch)?, store: Store::new(host) };
    let _lock = mirror.store.lock(&host.events).await?;
    let staged = mirror.store.stage()?;
    rootfs::make(host, &mirror.names, Artifact::BaseRootfs, staged.path(), tell).await?;
    mirror.load(docker, images::base(reference, &staged.path().join(rootfs::TAR))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_never_the_one_that_dockerfiles_ask_for() {
        let (amd64, arm64) = (tag("amd64").unwrap(), tag("arm64").unwrap());
        assert!(arm64.starts_with("trixie-slim-arm64-"), "{arm64}");
        assert!(amd64.starts_with("trixie-slim-amd64-"), "{amd64}");
    }
}
