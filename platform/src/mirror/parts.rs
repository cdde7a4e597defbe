//! What a cluster is made of, as items that can be carried: each folder of the cache as an image of its files. What lies
//! in Docker is not carried, for it is put together from these within seconds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::archive::{Entry, Image};
use super::artifact::{Artifact, Kind};
use super::layout::{Item, Layout};
use super::{BUILD, CLUSTER, Mirror};
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::tools::{self, Platform, Tool};

/// How names of parts begin; no registry has them.
const PARTS: &str = "platen.dev/parts/";

/// Files of the cache that a cluster is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// With a tag that changes whenever an input does: what has the same name has the same files.
    pub name: String,
    pub title: String,
    /// Where the files belong.
    pub folder: PathBuf,
    /// What brings it here.
    pub command: String,
}

impl Part {
    pub fn is_there(&self) -> bool {
        self.folder.is_dir()
    }

    /// Its files, as an image of one layer.
    pub fn image(&self) -> Result<Image> {
        let mut entries = Vec::new();
        for file in walkdir::WalkDir::new(&self.folder).min_depth(1).sort_by_file_name() {
            let doing = || format!("reading {}", self.folder.display());
            let file = file.map_err(std::io::Error::from).doing(doing())?;
            let path = file.path().strip_prefix(&self.folder).unwrap_or(file.path()).display().to_string();
            let metadata = file.metadata().map_err(std::io::Error::from).doing(doing())?;
            entries.push(if metadata.is_dir() {
                Entry::dir(path)
            } else if metadata.is_file() {
                Entry::Copy { path, from: file.path().into(), mode: mode(&metadata) }
            } else {
                return Err(Error::malformed(
                    self.title.clone(),
                    format!("{path} is no file"),
                    &self.command,
                ));
            });
        }
        Ok(Image { reference: self.name.clone(), entries, ..Image::default() })
    }

    /// Puts the files of its image into an empty folder. The image is whole.
    pub fn unpack(source: &Layout, item: &Item, folder: &Path) -> Result<()> {
        let manifest = source.manifest(&item.digest)?;
        for layer in manifest.image().map(|image| image.layers.as_slice()).unwrap_or_default() {
            let path = source.blob_path(&layer.digest);
            let file = std::fs::File::open(&path).doing(format!("opening {}", path.display()))?;
            tar::Archive::new(std::io::BufReader::with_capacity(1 << 20, file))
                .unpack(folder)
                .doing(format!("unpacking {}", item.name))?;
        }
        Ok(())
    }
}

/// Programs stay programs; nothing else of the mode matters.
fn mode(metadata: &std::fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 }
}

/// Whether an item is a part, of whatever make.
pub fn is_part(item: &Item) -> bool {
    item.name.starts_with(PARTS)
}

impl Mirror {
    /// All parts of a cluster and of what builds images, there or not.
    pub(super) fn cluster_parts(&self, host: &Host) -> Result<Vec<Part>> {
        let mut parts: Vec<Part> = files_below(&[CLUSTER, BUILD].concat())
            .into_iter()
            .map(|artifact| Part {
                name: format!("{PARTS}{}:{}", artifact.id(), self.names.key(artifact)),
                title: artifact.title().into(),
                folder: self.store.path(&self.names.name(artifact)),
                command: format!("cargo xtask mirror build {}", artifact.id()),
            })
            .collect();
        let (helm, place) = (Tool::Helm, tools::place(host, Tool::Helm)?);
        parts.push(Part {
            name: format!("{PARTS}{}:{}-{}", helm.name(), helm.spec()?.version, Platform::host()),
            title: helm.name().into(),
            folder: place.parent().unwrap_or(&host.cache).into(),
            command: "cargo xtask up --provider kind".into(),
        });
        Ok(parts)
    }
}

/// The folders of the cache that these and what they need are made from.
fn files_below(wanted: &[Artifact]) -> BTreeSet<Artifact> {
    let (mut open, mut found) = (wanted.to_vec(), BTreeSet::new());
    while let Some(artifact) = open.pop() {
        if matches!(artifact.kind(), Kind::Debian | Kind::Go) {
            found.insert(artifact);
        }
        open.extend(artifact.needs());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::pull::tests::mirror;

    #[test]
    fn a_cluster_is_made_of_debian_go_programs_and_helm() {
        let (_dir, host, mirror) = mirror();
        let parts = mirror.cluster_parts(&host).unwrap();
        let names: Vec<&str> =
            parts.iter().filter_map(|part| part.name.strip_prefix(PARTS)?.split(':').next()).collect();
        let expected = [
            "base-rootfs",
            "node-rootfs",
            "proxy-rootfs",
            "programs",
            "registry-programs",
            "builder-rootfs",
            "builder-programs",
            "helm",
        ];
        assert_eq!(names, expected);
        assert!(parts.iter().all(|part| crate::registry::parse(&part.name).is_ok()));
    }

    #[test]
    fn the_files_of_a_part_arrive_as_they_were() {
        use std::os::unix::fs::PermissionsExt;
        let (dir, host, mirror) = mirror();
        let part = mirror.cluster_parts(&host).unwrap().remove(3);
        std::fs::create_dir_all(part.folder.join("bin")).unwrap();
        let program = part.folder.join("bin/kind");
        std::fs::write(&program, "kind").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let layout = Layout::create(&dir.path().join("carried")).unwrap();
        layout.write_image("amd64", &part.image().unwrap()).unwrap();
        let target = dir.path().join("there");
        std::fs::create_dir(&target).unwrap();
        Part::unpack(&layout, &layout.items().unwrap()[0], &target).unwrap();
        assert_eq!(std::fs::read_to_string(target.join("bin/kind")).unwrap(), "kind");
        let mode = std::fs::metadata(target.join("bin/kind")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }
}
