//! Names that follow from all that goes into an artifact: the same inputs are never built twice.

use std::collections::BTreeSet;

use super::archive::Image;
use super::artifact::Artifact;
use super::builder;
use super::charts::CHART_FILES;
use super::service_images::{self, Parts};
use super::services::{self, ServiceVersions};
use super::stack::{GO_MODULE, GO_PROGRAMS, KIND_FILES, NODE_FILES, NODE_TREE, Versions};
use crate::digest;
use crate::error::Result;
use crate::tools::Tool;

/// The name under which Dockerfiles ask for the base image.
const BASE_REPO: &str = "debian";
/// Raised when the code that puts things together changes what comes out.
const RECIPE: &str = "1";

/// Names of all artifacts for one set of versions and one processor architecture.
#[derive(Debug, Clone)]
pub struct Names {
    versions: Versions,
    services: ServiceVersions,
    arch: String,
}

impl Names {
    pub fn new(versions: Versions, services: ServiceVersions, arch: impl Into<String>) -> Self {
        Self { versions, services, arch: arch.into() }
    }

    /// The pinned versions.
    pub fn pinned(arch: impl Into<String>) -> Result<Self> {
        Ok(Self::new(Versions::pinned()?, ServiceVersions::pinned()?, arch))
    }

    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    pub fn services(&self) -> &ServiceVersions {
        &self.services
    }

    pub fn arch(&self) -> &str {
        &self.arch
    }

    /// Repository and tag under which Dockerfiles ask for the base image.
    pub fn base_tag(&self) -> (&'static str, String) {
        (BASE_REPO, format!("{}-slim", self.versions.suite))
    }

    /// Twelve hexadecimal digits that change whenever an input of the artifact does.
    pub fn key(&self, artifact: Artifact) -> String {
        let mut parts = digest::Parts::default();
        let mut add = |part: &str| parts.add(part);
        for part in [RECIPE, artifact.id(), &self.arch] {
            add(part);
        }
        for need in artifact.needs() {
            add(&self.key(*need));
        }
        if let Some(packages) = services::packages(artifact) {
            add(&self.versions.suite);
            packages.names.iter().chain(packages.without).copied().for_each(&mut add);
        }
        if let Some(module) = services::go_module(artifact) {
            module.files.iter().flat_map(|file| [file.path, file.content]).for_each(&mut add);
            add(&format!("{:?} {:?}", module.programs, module.flags(&self.services)));
        }
        if let Some(image) = self.image(artifact, &Parts::default()) {
            add(&format!("{image:?}"));
        }
        match artifact {
            Artifact::Programs => {
                GO_MODULE.iter().flat_map(|file| [file.path, file.content]).for_each(&mut add);
                GO_PROGRAMS.iter().flat_map(|(package, name)| [*package, *name]).for_each(&mut add);
                add(&format!("{:?} {:?}", self.versions, Tool::Kubectl.spec().ok()));
            }
            Artifact::RegistryPrograms => {
                GO_MODULE.iter().flat_map(|file| [file.path, file.content]).for_each(&mut add);
            }
            Artifact::NodeImage => {
                NODE_FILES.iter().flat_map(|file| [file.path, file.content]).for_each(&mut add);
                NODE_TREE.iter().chain(KIND_FILES).for_each(|entry| add(&format!("{entry:?}")));
                add(&format!("{:?}", self.versions));
            }
            Artifact::BuilderPrograms => {
                builder::MODULE.iter().flat_map(|file| [file.path, file.content]).for_each(&mut add);
            }
            Artifact::Charts => {
                CHART_FILES.iter().flat_map(|file| [file.path, file.content]).for_each(&mut add);
                add(&format!("{:?}", self.services));
            }
            _ => {}
        }
        parts.short()
    }

    /// The image of a service, put together from `parts`; none where the artifact is no such image.
    pub fn image(&self, artifact: Artifact, parts: &Parts) -> Option<Image> {
        service_images::image(artifact, &self.services.reference(artifact)?, parts)
    }

    /// Those of `references` that are node images of another make. (The other images are small.)
    pub fn outdated(&self, references: impl IntoIterator<Item = String>) -> Vec<String> {
        let current = self.name(Artifact::NodeImage);
        let repository = current.split_once(':').map_or("", |(repository, _)| repository);
        let other = |reference: &String| {
            reference.split_once(':').is_some_and(|(found, _)| found == repository) && *reference != current
        };
        references.into_iter().filter(other).collect()
    }

    /// Those of `folders` that are artifacts of another make.
    pub fn outdated_folders(&self, folders: impl IntoIterator<Item = String>) -> Vec<String> {
        let of_other_make = |folder: &String| {
            let Some((id, key)) = folder.rsplit_once('-') else { return false };
            let artifact =
                Artifact::ALL.into_iter().find(|artifact| artifact.is_file() && artifact.id() == id);
            artifact.is_some_and(|artifact| self.key(artifact) != key)
        };
        folders.into_iter().filter(of_other_make).collect()
    }

    /// The folder in the cache, or the reference in Docker.
    pub fn name(&self, artifact: Artifact) -> String {
        let key = self.key(artifact);
        match artifact {
            Artifact::BaseImage => format!("platen/base:{}-{key}", self.versions.suite),
            Artifact::RegistryImage => format!("platen/registry:v{}-{key}", self.versions.registry),
            Artifact::BuilderImage => format!("platen/builder:{key}"),
            Artifact::NodeImage => format!("platen/node:v{}-{key}", self.versions.kubernetes),
            file => format!("{}-{key}", file.id()),
        }
    }
}

/// What is there already.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Present {
    /// Names of folders in the cache.
    pub folders: BTreeSet<String>,
    /// References of images in Docker.
    pub images: BTreeSet<String>,
}

impl Present {
    /// Whether it is there and can be used: the base image is asked for by its tag.
    pub fn has(&self, names: &Names, artifact: Artifact) -> bool {
        let tagged = || {
            let (repo, tag) = names.base_tag();
            self.images.contains(&format!("{repo}:{tag}"))
        };
        self.is_made(names, artifact) && (artifact != Artifact::BaseImage || tagged())
    }

    /// Whether it is there under its own name.
    pub fn is_made(&self, names: &Names, artifact: Artifact) -> bool {
        let name = names.name(artifact);
        if artifact.is_file() { self.folders.contains(&name) } else { self.images.contains(&name) }
    }
}

/// What has to be built so that all of `wanted` is there, in building order. What only served to build something that
/// is there is not built again.
pub fn missing(names: &Names, present: &Present, wanted: &[Artifact]) -> Vec<Artifact> {
    let mut needed = BTreeSet::new();
    let mut open: Vec<Artifact> = wanted.to_vec();
    while let Some(artifact) = open.pop() {
        // What is made and only lacks its tag needs nothing.
        if !present.has(names, artifact) && needed.insert(artifact) && !present.is_made(names, artifact) {
            open.extend(artifact.needs());
        }
    }
    Artifact::ALL.into_iter().filter(|artifact| needed.contains(artifact)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::STACK;

    const WANTED: &[Artifact] =
        &[Artifact::BaseImage, Artifact::RegistryImage, Artifact::NodeImage, Artifact::BuilderImage];

    fn names() -> Names {
        Names::pinned("amd64").unwrap()
    }

    fn everything(names: &Names) -> Present {
        let mut present = Present::default();
        for artifact in Artifact::ALL {
            let names_of_kind = if artifact.is_file() { &mut present.folders } else { &mut present.images };
            names_of_kind.insert(names.name(artifact));
        }
        present.images.insert("debian:trixie-slim".into());
        present
    }

    #[test]
    fn on_a_bare_machine_everything_is_missing_and_needs_come_first() {
        let missing = missing(&names(), &Present::default(), &[WANTED, STACK].concat());
        assert_eq!(missing, Artifact::ALL);
        for (position, artifact) in missing.iter().enumerate() {
            assert!(artifact.needs().iter().all(|need| missing[..position].contains(need)));
        }
    }

    #[test]
    fn where_everything_is_there_nothing_is_missing() {
        let names = names();
        assert_eq!(missing(&names, &everything(&names), WANTED), []);
    }

    #[test]
    fn what_only_served_to_build_something_present_is_not_built_again() {
        let names = names();
        let mut present = everything(&names);
        present.folders.retain(|name| !name.starts_with("node-rootfs"));
        assert_eq!(missing(&names, &present, WANTED), []);
    }

    #[test]
    fn a_lost_image_is_made_again_from_the_cache_alone() {
        let names = names();
        let mut present = everything(&names);
        present.images.remove(&names.name(Artifact::NodeImage));
        assert_eq!(missing(&names, &present, WANTED), [Artifact::NodeImage]);
    }

    #[test]
    fn a_base_image_without_its_tag_is_tagged_again_and_nothing_is_built_for_it() {
        let names = names();
        let mut present = everything(&names);
        present.images.remove("debian:trixie-slim");
        present.folders.clear();
        assert_eq!(missing(&names, &present, &[Artifact::BaseImage]), [Artifact::BaseImage]);
    }

    #[test]
    fn a_changed_version_changes_what_depends_on_it_and_nothing_else() {
        let before = names();
        let mut versions = before.versions().clone();
        versions.kubernetes = "1.36.4".into();
        let after = Names::new(versions, before.services().clone(), "amd64");
        let changed: Vec<_> = Artifact::ALL.into_iter().filter(|a| before.key(*a) != after.key(*a)).collect();
        assert_eq!(changed, [Artifact::Programs, Artifact::NodeImage]);
    }

    #[test]
    fn images_of_an_older_make_are_outdated_and_those_of_others_are_not() {
        let names = names();
        let references =
            ["platen/node:v1.35.0-0", &names.name(Artifact::NodeImage), "platen/ocr-service:1", "debian:12"];
        assert_eq!(names.outdated(references.map(ToOwned::to_owned)), ["platen/node:v1.35.0-0"]);
    }

    #[test]
    fn folders_of_an_older_make_are_outdated_and_what_was_brought_is_not() {
        let names = names();
        let folders =
            ["programs-000000000000", "argocd-0", &names.name(Artifact::Programs), "brought-1-2", "go-1"];
        let outdated = names.outdated_folders(folders.map(ToOwned::to_owned));
        assert_eq!(outdated, ["programs-000000000000", "argocd-0"]);
    }

    #[test]
    fn another_architecture_shares_nothing() {
        let (amd64, arm64) = (names(), Names::pinned("arm64").unwrap());
        assert!(Artifact::ALL.into_iter().all(|artifact| amd64.key(artifact) != arm64.key(artifact)));
    }
}
