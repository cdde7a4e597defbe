//! The source build: everything that a kind cluster and the images on it need, where no image can be pulled.

mod archive;
mod artifact;
mod builder;
pub(crate) mod docker;
mod images;
mod node_image;
mod programs;
pub mod registry;
mod rootfs;
mod stack;
mod store;

use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;

pub use artifact::{Artifact, Names, Present, expected, missing};
pub use builder::buildkit_version;
pub use docker::{BUILDING, LABEL};
pub use stack::Versions;

use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::tools::Platform;
use store::Store;

/// What a kind cluster needs.
pub const CLUSTER: &[Artifact] = &[Artifact::Programs, Artifact::RegistryImage, Artifact::NodeImage];
/// What building images needs where nothing can be pulled: the builder, the base image, and a registry for the result.
pub const BUILD: &[Artifact] = &[Artifact::RegistryImage, Artifact::BaseImage, Artifact::BuilderImage];
/// Another checkout may be about to use a node image of its own; after this time it is taken for a left-over.
const OUTDATED_AFTER: Duration = Duration::from_hours(24);

/// The source build on this host.
pub struct Mirror {
    names: Names,
    store: Store,
}

impl Mirror {
    pub fn new(host: &Host) -> Result<Self> {
        let names = Names::new(Versions::pinned()?, Platform::host().arch);
        Ok(Self { names, store: Store::new(host) })
    }

    /// What is there: folders of the cache, and images where an engine is given.
    pub async fn observe(&self, docker: Option<&Docker>) -> Result<Present> {
        let images = match docker {
            Some(docker) => docker::references(docker).await?,
            None => std::collections::BTreeSet::new(),
        };
        Ok(Present { folders: self.store.folders(), images })
    }

    /// What has to be built for `wanted`; with [`expected`] this is what `up` tells first.
    pub fn missing(&self, present: &Present, wanted: &[Artifact]) -> Vec<Artifact> {
        missing(&self.names, present, wanted)
    }

    /// Builds what is missing of `wanted`: compiling and Debian's part side by side. Returns what was built.
    pub async fn build(&self, host: &Host, docker: &Docker, wanted: &[Artifact]) -> Result<Vec<Artifact>> {
        let mut todo = self.missing(&self.observe(Some(docker)).await?, wanted);
        if !todo.is_empty() {
            let _lock = self.store.lock(&host.events).await?;
            // Another run may have built some of it while this one waited.
            todo = self.missing(&self.observe(Some(docker)).await?, wanted);
            let (files, loaded): (Vec<Artifact>, Vec<Artifact>) =
                todo.iter().partition(|artifact| artifact.is_file());
            let (programs, debian): (Vec<Artifact>, Vec<Artifact>) =
                files.into_iter().partition(|artifact| artifact.is_compiled());
            tokio::try_join!(self.in_turn(host, docker, &debian), self.in_turn(host, docker, &programs))?;
            self.in_turn(host, docker, &loaded).await?;
            let old = docker::references_older_than(docker, OUTDATED_AFTER).await?;
            docker::prune(docker, self.names.outdated(old)).await?;
        }
        Ok(todo)
    }

    /// A program of [`Artifact::Programs`], where they are built.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let path = self.store.path(&self.names.name(Artifact::Programs)).join("bin").join(name);
        path.is_file().then_some(path)
    }

    /// The image of kind's nodes.
    pub fn node_image(&self) -> String {
        self.names.name(Artifact::NodeImage)
    }

    /// The image of the local registry.
    pub fn registry_image(&self) -> String {
        self.names.name(Artifact::RegistryImage)
    }

    /// The image of the builder.
    pub fn builder_image(&self) -> String {
        self.names.name(Artifact::BuilderImage)
    }

    /// The base image's repository and tag, as Dockerfiles name it.
    pub fn base_tag(&self) -> (&'static str, String) {
        self.names.base_tag()
    }

    /// The base image under its own name; Dockerfiles find it as `debian:trixie-slim`.
    pub fn base_image(&self) -> String {
        self.names.name(Artifact::BaseImage)
    }

    async fn in_turn(&self, host: &Host, docker: &Docker, artifacts: &[Artifact]) -> Result<()> {
        for artifact in artifacts {
            let step = host.events.step(
                format!("mirror-{}", artifact.id()),
                format!("building {}", artifact.title()),
                Some(artifact.expected()),
            );
            self.build_one(host, docker, *artifact, &step).await?;
            step.done();
        }
        Ok(())
    }

    async fn build_one(&self, host: &Host, docker: &Docker, artifact: Artifact, step: &Step) -> Result<()> {
        let (store, names) = (&self.store, &self.names);
        match artifact {
            Artifact::BaseRootfs | Artifact::NodeRootfs | Artifact::ProxyRootfs | Artifact::BuilderRootfs => {
                rootfs::build(host, store, names, artifact, step).await
            }
            Artifact::Programs => programs::build(host, store, names, step).await,
            Artifact::BuilderPrograms => builder::build(host, store, names, step).await,
            Artifact::BuilderImage => {
                let programs = store.path(&names.name(Artifact::BuilderPrograms)).join("bin");
                let rootfs = store.path(&names.name(Artifact::BuilderRootfs)).join(rootfs::TAR);
                self.load(docker, builder::image(&self.builder_image(), &programs, &rootfs)).await
            }
            Artifact::NodeImage => node_image::build(docker, store, names, step).await,
            Artifact::BaseImage => {
                if !self.observe(Some(docker)).await?.is_made(names, artifact) {
                    let rootfs = store.path(&names.name(Artifact::BaseRootfs)).join(rootfs::TAR);
                    self.load(docker, images::base(&self.base_image(), &rootfs)).await?;
                }
                self.tag_base(docker).await
            }
            Artifact::RegistryImage => {
                let programs = store.path(&names.name(Artifact::Programs)).join("bin");
                self.load(docker, images::registry(&self.registry_image(), &programs)).await
            }
        }
    }

    async fn load(&self, docker: &Docker, image: archive::Image) -> Result<()> {
        let staged = self.store.stage()?;
        let (path, arch) = (staged.path().join("image.tar"), self.names.arch().to_owned());
        let target = path.clone();
        tokio::task::spawn_blocking(move || archive::write(&target, &arch, &[image]))
            .await
            .map_err(|error| Error::malformed("the image", error, ""))??;
        docker::load(docker, &path).await
    }

    /// An image that somebody pulled or tagged under that name stays what it is.
    async fn tag_base(&self, docker: &Docker) -> Result<()> {
        let (repo, tag) = self.names.base_tag();
        if docker::references(docker).await?.contains(&format!("{repo}:{tag}")) {
            return Ok(());
        }
        docker::tag(docker, &self.base_image(), repo, &tag).await
    }
}

/// One line on what has to be built and how long that takes, for the plan.
pub fn forecast(artifacts: &[Artifact]) -> Option<String> {
    if artifacts.is_empty() {
        return None;
    }
    let titles: Vec<_> = artifacts.iter().map(|artifact| artifact.title()).collect();
    let minutes = (expected(artifacts) + Duration::from_secs(59)).as_secs() / 60;
    Some(format!("to be built from source, about {minutes} min on two cores: {}", titles.join(", ")))
}
