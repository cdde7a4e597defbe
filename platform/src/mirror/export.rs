//! The mirror as one folder that can be carried to a machine without a network: images, charts, what a cluster is made of,
//! and the service's image.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Mirror;
use super::layout::{Item, Layout, Origin};
use super::parts::Part;
use super::pull::fetch_tree;
use super::transfer::{blocking, copy};
use super::verify::{look, remove_damaged};
use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::registry::{self, Reference, Registries};

/// The registry of the service's image in a carried folder: wherever that is unpacked, this is left out of its name.
const CARRIED: &str = "platen.dev";

#[derive(Debug, Clone, Serialize)]
pub struct Exported {
    pub folder: PathBuf,
    pub names: Vec<String>,
    pub lacks: Vec<Lack>,
}

/// Something that the folder would have held, had it been there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lack {
    pub what: String,
    /// What brings it here, before it is exported again.
    pub command: String,
}

/// The service's image as a carried folder names it.
pub fn carried(service: &Reference) -> String {
    let tag = service.tag().unwrap_or("latest").to_owned();
    Reference::with_tag(CARRIED.into(), service.repository().into(), tag).whole()
}

impl Mirror {
    /// Writes everything that the mirror holds into one layout, with what a cluster is made of and the service's image
    /// out of the local registry. What is there already, whole, is not written again.
    pub async fn export(
        &self,
        host: &Host,
        registries: &Registries,
        service: &Reference,
        folder: &Path,
    ) -> Result<Exported> {
        let (held, parts) = self.exportable(host).await?;
        let step = host.events.step("mirror-export", format!("exporting to {}", folder.display()), None);
        let (target, total) = (Layout::create(folder)?, (held.len() + parts.len() + 1) as u64);
        let there = target.clone();
        let (damaged, step) = blocking(move || {
            let tell =
                |done, all| step.progress("looking at what is there", Some(done as u64), Some(all as u64));
            Ok((remove_damaged(&there, tell)?, step))
        })
        .await?;
        let (mut names, mut lacks) = (Vec::new(), Vec::new());
        for (done, (layout, item)) in held.into_iter().enumerate() {
            step.progress(item.name.clone(), Some(done as u64), Some(total));
            names.push(item.name.clone());
            let target = target.clone();
            blocking(move || copy(&layout, &item, &target, item.origin)).await?;
        }
        for part in parts {
            step.progress(part.name.clone(), Some(names.len() as u64), Some(total));
            if part.is_there() {
                names.push(part.name.clone());
                let (target, arch) = (target.clone(), self.names.arch().to_owned());
                blocking(move || write(&part, &arch, &target)).await?;
            } else {
                lacks.push(Lack { what: part.title, command: part.command });
            }
        }
        match self.export_service(host, registries, service, &target, &step).await? {
            Some(name) => names.push(name),
            None => lacks.push(Lack {
                what: format!("{service} in the local registry"),
                command: "cargo xtask build".into(),
            }),
        }
        if damaged > 0 {
            host.events.warn(format!("{damaged} blobs there were cut off or changed, and were removed"));
            lacks.extend(not_whole(&target, &names)?);
        }
        step.done();
        names.sort();
        names.dedup();
        Ok(Exported { folder: folder.into(), names, lacks })
    }

    /// What is to be exported, whole.
    pub(super) async fn exportable(&self, host: &Host) -> Result<(Vec<(Layout, Item)>, Vec<Part>)> {
        self.whole(host).await?.verdict()?;
        let (held, parts) = (self.held(), self.cluster_parts(host)?);
        if held.is_empty() && !parts.iter().any(Part::is_there) {
            return Err(Error::unhealthy(
                "the mirror holds nothing that could be exported",
                "cargo xtask mirror build",
            ));
        }
        Ok((held, parts))
    }

    /// The service's image, from the local registry; none where that does not answer or has none of these sources.
    async fn export_service(
        &self,
        host: &Host,
        registries: &Registries,
        service: &Reference,
        target: &Layout,
        step: &Step,
    ) -> Result<Option<String>> {
        if !super::registry::answers(host.config.ports.registry).await {
            return Ok(None);
        }
        let Some(manifest) = registries.manifest(service).await? else { return Ok(None) };
        let name = carried(service);
        fetch_tree(registries, service, target, &manifest, step).await?;
        target.add(&name, Origin::Archive, &manifest)?;
        Ok(Some(name))
    }

    /// Whether the mirror holds this machine's image of the service, brought from elsewhere.
    pub fn holds_service(&self, service: &Reference) -> Result<bool> {
        let name = carried(service);
        let held = self.held();
        let Some((layout, item)) = held.iter().find(|(_, item)| item.name == name) else { return Ok(false) };
        let own = registry::Platform::linux(self.names.arch());
        let runs = |manifest: registry::Manifest| {
            manifest.platforms().iter().any(|it| it.platform.runs_on(&own.os, &own.architecture))
        };
        Ok(layout.manifest(&item.digest).is_ok_and(runs))
    }
}

/// Items of an earlier export that lost a blob, and that this one does not write.
fn not_whole(target: &Layout, written: &[String]) -> Result<Vec<Lack>> {
    let others = target.items()?.into_iter().filter(|item| !written.contains(&item.name));
    let damaged = others.filter(|item| !look(target, item, "").faults.is_empty());
    let lack = |item: Item| Lack {
        what: format!("{} of an earlier export, which is damaged there", item.name),
        command: "cargo xtask mirror export, where it came from".into(),
    };
    Ok(damaged.map(lack).collect())
}

/// One part; its name says what is in it, so that it is there already where its name is, whole.
fn write(part: &Part, arch: &str, target: &Layout) -> Result<()> {
    let items: Vec<Item> = target.items()?;
    let there = items.iter().find(|item| item.name == part.name);
    if there.is_some_and(|item| look(target, item, "").faults.is_empty()) {
        return Ok(());
    }
    target.write_image(arch, &part.image()?)
}
