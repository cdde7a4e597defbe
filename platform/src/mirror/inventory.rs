//! What the mirror holds and what of the stack is missing, where each comes from, and how large it is.

use std::collections::{BTreeMap, BTreeSet};

use bollard::Docker;
use serde::Serialize;

use super::layout::{Item, Layout, Origin};
use super::{Artifact, BUILD, CLUSTER, Mirror, STACK};
use crate::error::Result;

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

impl Mirror {
    /// Each item that the mirror holds, with the layout that it lies in. What was brought comes before what was built
    /// under the same name.
    pub(super) fn held(&self) -> Result<Vec<(Layout, Item)>> {
        let folders = self.store.folders();
        let brought = folders.iter().filter(|name| name.starts_with(BROUGHT)).cloned();
        let built = STACK.iter().map(|artifact| self.names.name(*artifact)).filter(|it| folders.contains(it));
        let mut held = BTreeMap::new();
        for folder in built.chain(brought) {
            let layout = Layout::open(&self.store.path(&folder))?;
            for mut item in layout.items()? {
                item.artifact = Some(folder.clone()).filter(|folder| !folder.starts_with(BROUGHT));
                held.insert(item.name.clone(), (layout.clone(), item));
            }
        }
        Ok(held.into_values().collect())
    }

    /// What the stack needs and what else is there.
    pub async fn list(&self, docker: Option<&Docker>) -> Result<Listing> {
        let present = self.observe(docker).await?;
        let mut held: BTreeMap<String, (Layout, Item)> =
            self.held()?.into_iter().map(|(layout, item)| (item.name.clone(), (layout, item))).collect();
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
