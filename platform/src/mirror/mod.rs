//! The source build: everything that a kind cluster and the images on it need, where no image can be pulled.

mod archive;
mod artifact;
mod builder;
mod charts;
pub(crate) mod docker;
mod dry_run;
mod export;
mod fit;
pub(crate) mod foreign;
mod images;
mod inventory;
mod layout;
mod names;
mod node_image;
mod parts;
mod programs;
mod publish;
mod pull;
pub mod registry;
mod rootfs;
mod serve;
mod service_images;
mod services;
mod stack;
mod store;
mod suffice;
mod supply;
mod transfer;
mod verify;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;

pub use artifact::{Artifact, Kind, expected};
pub use builder::buildkit_version;
pub use docker::LABEL;
pub use export::{Exported, Lack, carried};
pub use inventory::{Listed, Listing};
pub(crate) use layout::{CHART_CONFIG, CHART_CONTENT};
pub use layout::{Item, Origin};
pub use names::{Names, Present, missing};
pub use publish::{BuildReport, Published, check_registry};
pub use pull::{PullOptions, Pulled, upstream_chart};
pub use stack::Versions;
pub use supply::Supply;
pub use transfer::Imported;
pub use verify::{Fault, Verified};
pub use wire::{CERTS_D, Wired, hosts_files, plan_files, write as write_hosts_files};

use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::tools::{self, Platform, Tool};
use layout::Layout;
use service_images::Parts;
use store::Store;

/// What a kind cluster needs.
pub const CLUSTER: &[Artifact] = &[Artifact::Programs, Artifact::RegistryImage, Artifact::NodeImage];
/// What building images needs where nothing can be pulled: the builder, the base image, and a registry for the result.
pub const BUILD: &[Artifact] = &[Artifact::RegistryImage, Artifact::BaseImage, Artifact::BuilderImage];
/// What runs on the cluster beside the OCR service: images and charts under their upstream names.
pub const STACK: &[Artifact] = &[
    Artifact::ArgocdImage,
    Artifact::RedisImage,
    Artifact::PrometheusImage,
    Artifact::OperatorImage,
    Artifact::ReloaderImage,
    Artifact::MariadbImage,
    Artifact::Charts,
];
/// Another checkout may be about to use a node image of its own; after this time it is taken for a left-over.
const OUTDATED_AFTER: Duration = Duration::from_hours(24);
/// As [`OUTDATED_AFTER`], for what takes minutes to make.
const OUTDATED_FOLDERS_AFTER: Duration = Duration::from_hours(7 * 24);

/// The source build on this host.
#[derive(Clone)]
pub struct Mirror {
    names: Names,
    store: Store,
}

impl Mirror {
    pub fn new(host: &Host) -> Result<Self> {
        Ok(Self { names: Names::pinned(Platform::host().arch)?, store: Store::new(host) })
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

    /// Builds what is missing of `wanted`: compiling and Debian's part side by side. Returns what was built. Without
    /// Docker only what needs none.
    pub async fn build(
        &self,
        host: &Host,
        docker: Option<&Docker>,
        wanted: &[Artifact],
    ) -> Result<Vec<Artifact>> {
        self.discard_faulty(host, wanted).await?;
        let mut todo = self.missing(&self.observe(docker).await?, wanted);
        if let (None, Some(image)) = (docker, todo.iter().find(|it| it.kind() == Kind::Docker)) {
            return Err(Error::machine(
                format!("the {} is kept in Docker, which does not answer", image.title()),
                "start it: cargo xtask up --provider kind --only engine",
            ));
        }
        if !todo.is_empty() {
            let _lock = self.store.lock(&host.events).await?;
            // Another run may have built some of it while this one waited.
            todo = self.missing(&self.observe(docker).await?, wanted);
            let of = |kinds: &[Kind]| -> Vec<Artifact> {
                todo.iter().copied().filter(|artifact| kinds.contains(&artifact.kind())).collect()
            };
            let (debian, compiled) = (of(&[Kind::Debian]), of(&[Kind::Go]));
            tokio::try_join!(self.in_turn(host, docker, &debian), self.in_turn(host, docker, &compiled))?;
            self.in_turn(host, docker, &of(&[Kind::Docker, Kind::Layout])).await?;
            for folder in self.names.outdated_folders(self.store.older_than(OUTDATED_FOLDERS_AFTER)) {
                host.events.note(format!("removed from the cache, for it is of an older make: {folder}"));
                self.store.discard(&folder)?;
            }
            if let Some(docker) = docker {
                let old = docker::references_older_than(docker, OUTDATED_AFTER).await?;
                docker::prune(docker, self.names.outdated(old)).await?;
            }
        }
        Ok(todo)
    }

    /// The packaged chart of a stand-in, once [`Artifact::Charts`] is built; helm installs it by this path.
    pub fn chart(&self, chart: &str) -> Result<Option<PathBuf>> {
        let name = charts::reference(chart, &self.names);
        let held = self.held();
        held.iter().find(|(_, item)| item.name == name).map_or(Ok(None), |(layout, item)| layout.chart(item))
    }

    /// A program of the cluster, or the registry, where it is built.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let of = |artifact| self.store.path(&self.names.name(artifact)).join("bin").join(name);
        [Artifact::Programs, Artifact::RegistryPrograms].map(of).into_iter().find(|path| path.is_file())
    }

    /// The image of kind's nodes.
    pub fn node_image(&self) -> String {
        self.names.name(Artifact::NodeImage)
    }

    /// What the local registry's container runs.
    pub fn registry_image(&self, supply: Supply) -> String {
        match supply {
            Supply::Pull => registry::UPSTREAM_IMAGE.into(),
            Supply::Source => self.names.name(Artifact::RegistryImage),
        }
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

    /// Takes those of `wanted` away that have lost a blob, so that they are built again.
    async fn discard_faulty(&self, host: &Host, wanted: &[Artifact]) -> Result<()> {
        for artifact in wanted {
            if self.fault_of(*artifact).await?.is_none() {
                continue;
            }
            let _lock = self.store.lock(&host.events).await?;
            // Another run may have built it anew while this one waited.
            if let Some(fault) = self.fault_of(*artifact).await? {
                host.events.note(format!("{} is built again: {fault}", artifact.title()));
                self.store.discard(&self.names.name(*artifact))?;
            }
        }
        Ok(())
    }

    /// What is wrong with an artifact that is there, where it is a layout.
    async fn fault_of(&self, artifact: Artifact) -> Result<Option<String>> {
        let folder = self.names.name(artifact);
        if artifact.kind() != Kind::Layout || !self.store.folders().contains(&folder) {
            return Ok(None);
        }
        let (path, names) = (self.store.path(&folder), self.expected_names(&[artifact]));
        transfer::blocking(move || Ok(verify::fault_in(&path, &names))).await
    }

    async fn in_turn(&self, host: &Host, docker: Option<&Docker>, artifacts: &[Artifact]) -> Result<()> {
        for artifact in artifacts {
            let step = host.events.step(
                format!("mirror-{}", artifact.id()),
                format!("building {}", artifact.title()),
                Some(artifact.expected()),
            );
            match (artifact.kind(), docker) {
                (Kind::Docker, Some(docker)) => self.build_in_docker(docker, *artifact, &step).await?,
                (Kind::Docker, None) => {}
                _ => self.build_in_cache(host, *artifact, &step).await?,
            }
            step.done();
        }
        Ok(())
    }

    async fn build_in_cache(&self, host: &Host, artifact: Artifact, step: &Step) -> Result<()> {
        let (store, names) = (&self.store, &self.names);
        match artifact.kind() {
            Kind::Debian => rootfs::build(host, store, names, artifact, step).await,
            Kind::Go if artifact == Artifact::BuilderPrograms => {
                builder::build(host, store, names, step).await
            }
            Kind::Go => programs::build(host, store, names, artifact, step).await,
            Kind::Layout if artifact == Artifact::Charts => charts::build(host, store, names, step).await,
            Kind::Layout => self.build_service(host, artifact).await,
            Kind::Docker => Ok(()),
        }
    }

    async fn build_in_docker(&self, docker: &Docker, artifact: Artifact, step: &Step) -> Result<()> {
        let (store, names) = (&self.store, &self.names);
        match artifact {
            Artifact::NodeImage => node_image::build(docker, store, names, step).await,
            Artifact::BaseImage => {
                if !self.observe(Some(docker)).await?.is_made(names, artifact) {
                    let rootfs = store.path(&names.name(Artifact::BaseRootfs)).join(rootfs::TAR);
                    self.load(docker, images::base(&self.base_image(), &rootfs)).await?;
                }
                self.tag_base(docker).await
            }
            Artifact::BuilderImage => {
                let programs = store.path(&names.name(Artifact::BuilderPrograms)).join("bin");
                let rootfs = store.path(&names.name(Artifact::BuilderRootfs)).join(rootfs::TAR);
                self.load(docker, builder::image(&self.builder_image(), &programs, &rootfs)).await
            }
            Artifact::RegistryImage => {
                let programs = store.path(&names.name(Artifact::RegistryPrograms)).join("bin");
                self.load(docker, images::registry(&self.registry_image(Supply::Source), &programs)).await
            }
            _ => Ok(()),
        }
    }

    /// The image of a service, as an OCI layout of its own.
    async fn build_service(&self, host: &Host, artifact: Artifact) -> Result<()> {
        let (names, arch) = (self.names.clone(), self.names.arch().to_owned());
        let mut parts = self.parts(artifact);
        if artifact == Artifact::ArgocdImage {
            parts.helm = tools::ensure(host, Tool::Helm).await?;
        }
        let staged = self.store.stage()?;
        let dir = staged.path().to_owned();
        let written = tokio::task::spawn_blocking(move || -> Result<()> {
            if parts.rootfs.is_file() {
                parts.certificates = rootfs::certificates(&parts.rootfs)?;
            }
            let image = names
                .image(artifact, &parts)
                .ok_or_else(|| Error::malformed(artifact.title(), "nobody knows what is in it", ""))?;
            Layout::create(&dir)?.write_image(&arch, &image)
        });
        written.await.map_err(|error| Error::malformed(artifact.title(), error, ""))??;
        self.store.publish(staged, &self.names.name(artifact))?;
        Ok(())
    }

    fn parts(&self, artifact: Artifact) -> Parts {
        let of = |kind: Kind| {
            let need = artifact.needs().iter().find(|need| need.kind() == kind)?;
            Some(self.store.path(&self.names.name(*need)))
        };
        let rootfs = of(Kind::Debian).map(|dir| dir.join(rootfs::TAR)).unwrap_or_default();
        let programs = of(Kind::Go).map(|dir| dir.join("bin")).unwrap_or_default();
        Parts { rootfs, programs, ..Parts::default() }
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

/// The artifacts of these names; without any: all of the stack, and what a cluster needs as far as it can be built with
/// or without Docker.
pub fn named(names: &[String], has_docker: bool) -> Result<Vec<Artifact>> {
    if names.is_empty() {
        let cluster = if has_docker {
            [CLUSTER, BUILD].concat()
        } else {
            vec![Artifact::Programs, Artifact::RegistryPrograms]
        };
        return Ok([&cluster, STACK].concat());
    }
    let of_name = |name: &String| {
        Artifact::ALL.into_iter().find(|artifact| artifact.id() == name).ok_or_else(|| {
            let known: Vec<_> = Artifact::ALL.iter().map(|artifact| artifact.id()).collect();
            Error::usage(
                format!("the mirror builds nothing called {name:?}"),
                format!("it builds {}", known.join(", ")),
            )
        })
    };
    names.iter().map(of_name).collect()
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
