//! What the mirror holds and what of the stack is missing, where each comes from, and how large it is.

use std::collections::{BTreeMap, BTreeSet};

use bollard::Docker;
use serde::Serialize;

use super::layout::{Item, Layout, Origin};
use super::verify::Fault;
use super::{Artifact, BUILD, CLUSTER, Mirror, STACK};
use crate::error::{Error, Result};
use crate::registry::{self, Reference};

/// Images that the stack asks for and that cannot be built here: taken from an archive, or pulled.
pub const NOT_BUILT: &[(&str, &str)] =
    &[("docker.io/grafana/grafana", "no package registry carries it: take it from an archive, or pull it")];
/// Folders of items that were pulled or imported.
pub const BROUGHT: &str = "brought-";

/// One thing that the stack needs, or that the mirror holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    pub name: String,
    /// What `mirror build` calls it; none where it cannot be built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'static str>,
    pub what: &'static str,
    /// How it came, or would come, here.
    pub origin: Origin,
    pub present: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Of all that it refers to; unknown for what lies in Docker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Listing {
    pub items: Vec<Listed>,
    pub bytes: u64,
    pub missing: usize,
}

/// A folder's layout and what is in it.
type Contents = (Layout, Vec<Item>);

impl Mirror {
    /// Each item that the mirror holds, with the layout that it lies in. What was brought comes before what was built
    /// under the same name. A folder that cannot be read holds nothing: [`Mirror::unreadable`].
    pub(super) fn held(&self) -> Vec<(Layout, Item)> {
        let mut held = BTreeMap::new();
        for (folder, read) in self.read_folders() {
            let Ok((layout, items)) = read else { continue };
            for mut item in items {
                item.artifact = Some(folder.clone()).filter(|folder| !folder.starts_with(BROUGHT));
                held.insert(item.name.clone(), (layout.clone(), item));
            }
        }
        held.into_values().collect()
    }

    /// Whether an image of this path and tag is held, of whatever host: in the registry that nodes ask it is by those.
    pub fn holds(&self, image: &Reference) -> bool {
        let is_it = |name: &str| {
            registry::parse(name)
                .is_ok_and(|held| held.repository() == image.repository() && held.tag() == image.tag())
        };
        self.held().iter().any(|(_, item)| is_it(&item.name))
    }

    /// The folders of items that cannot be read.
    pub(super) fn unreadable(&self) -> Vec<Fault> {
        let broken = self.read_folders().into_iter().filter_map(|(folder, read)| Some((folder, read.err()?)));
        let fault = |(folder, error): (String, Error)| {
            let built = STACK.iter().find(|artifact| self.names.name(**artifact) == folder);
            let command = match built {
                Some(artifact) => format!("cargo xtask mirror build {}", artifact.id()),
                None => format!(
                    "rm -r {}, then bring what was in it again: cargo xtask mirror import or pull",
                    self.store.path(&folder).display()
                ),
            };
            Fault { name: folder, digest: None, why: format!("cannot be read: {error}"), command }
        };
        broken.map(fault).collect()
    }

    /// What was built, then what was brought: each folder with what is in it.
    fn read_folders(&self) -> Vec<(String, Result<Contents>)> {
        let folders = self.store.folders();
        let brought = folders.iter().filter(|name| name.starts_with(BROUGHT)).cloned();
        let built = STACK.iter().map(|artifact| self.names.name(*artifact)).filter(|it| folders.contains(it));
        let read = |folder: String| {
            let read = Layout::opened(&self.store.path(&folder));
            (folder, read)
        };
        built.chain(brought).map(read).collect()
    }

    /// What the stack needs and what else is there.
    pub async fn list(&self, docker: Option<&Docker>) -> Result<Listing> {
        let present = self.observe(docker).await?;
        let mut held: BTreeMap<String, (Layout, Item)> =
            self.held().into_iter().map(|(layout, item)| (item.name.clone(), (layout, item))).collect();
        let mut items = Vec::new();
        let parts: BTreeSet<&Artifact> = CLUSTER.iter().chain(BUILD).collect();
        for artifact in parts {
            items.push(Listed {
                name: self.names.name(*artifact),
                id: Some(artifact.id()),
                what: artifact.title(),
                origin: Origin::Source,
                present: present.has(&self.names, *artifact),
                digest: None,
                bytes: None,
                note: docker.is_none().then_some("Docker does not answer").filter(|_| !artifact.is_file()),
            });
        }
        for (name, artifact) in self.expected_names(STACK) {
            let found = held.remove(&name);
            items.push(listed(&name, Some(artifact), found.as_ref()));
        }
        for (repository, note) in NOT_BUILT {
            if !held.keys().any(|name| name.starts_with(repository)) {
                let mut missing = listed(repository, None, None);
                missing.note = Some(note);
                items.push(missing);
            }
        }
        items.extend(held.iter().map(|(name, found)| listed(name, None, Some(found))));
        let bytes = items.iter().filter_map(|item| item.bytes).sum();
        let missing = items.iter().filter(|item| !item.present).count();
        Ok(Listing { items, bytes, missing })
    }
}

fn listed(name: &str, artifact: Option<Artifact>, found: Option<&(Layout, Item)>) -> Listed {
    let origin = match (found, artifact) {
        (Some((_, item)), _) => item.origin,
        (None, Some(_)) => Origin::Source,
        (None, None) => Origin::Archive,
    };
    Listed {
        name: name.into(),
        id: artifact.map(Artifact::id),
        what: artifact.map_or("image", Artifact::title),
        origin,
        present: found.is_some(),
        digest: found.map(|(_, item)| item.digest.clone()),
        bytes: found.map(|(layout, item)| size(layout, &item.digest)),
        note: None,
    }
}

/// Bytes of an item with all that it refers to; what is not there counts nothing.
fn size(layout: &Layout, digest: &str) -> u64 {
    let Ok(manifest) = layout.manifest(digest) else { return 0 };
    let children: u64 = manifest.entries().iter().map(|entry| size(layout, &entry.digest)).sum();
    manifest.bytes.len() as u64 + manifest.blob_bytes() + children
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::layout::tests::with_image;
    use crate::mirror::pull::tests::mirror;

    #[tokio::test]
    async fn a_folder_that_cannot_be_read_takes_nothing_from_the_others_and_is_named() {
        let (_dir, host, mirror) = mirror();
        let redis = mirror.names.name(Artifact::RedisImage);
        with_image(&mirror.store.path(&redis), &mirror.expected_names(&[Artifact::RedisImage])[0].0);
        let (cut, lost) = (mirror.names.name(Artifact::MariadbImage), format!("{BROUGHT}1-2"));
        with_image(&mirror.store.path(&cut), "example.com/cut:1");
        std::fs::write(mirror.store.path(&cut).join("index.json"), "{").unwrap();
        std::fs::create_dir_all(mirror.store.path(&lost)).unwrap();

        assert_eq!(mirror.held().len(), 1);
        mirror.list(None).await.unwrap();
        let verified = mirror.verify(&host, None, &[]).await.unwrap();
        let told: Vec<_> = verified.faults.iter().map(|it| (it.name.clone(), it.command.clone())).collect();
        assert_eq!(told[0], (cut, "cargo xtask mirror build mariadb".to_owned()));
        assert!(told[1].0 == lost && told[1].1.contains("import"), "{told:?}");
        let fault = mirror.fault_of(Artifact::MariadbImage).await.unwrap().unwrap();
        assert!(fault.contains("index.json"), "{fault}");
        assert_eq!(mirror.fault_of(Artifact::RedisImage).await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_artifact_without_one_of_its_names_is_built_again() {
        let (_dir, _host, mirror) = mirror();
        with_image(&mirror.store.path(&mirror.names.name(Artifact::RedisImage)), "example.com/other:1");
        let fault = mirror.fault_of(Artifact::RedisImage).await.unwrap().unwrap();
        assert!(fault.contains("redis") && fault.contains("not in it"), "{fault}");
    }
}
