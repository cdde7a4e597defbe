//! What is taken out of a folder that [`super::export`] wrote, or out of an archive of `docker save`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_LAYER_GZIP_MEDIA_TYPE, IMAGE_LAYER_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::fit::whole_of;
use super::layout::{Item, Layout, Origin};
use super::parts::{Part, is_part};
use super::verify::{fault_in, look};
use super::{Mirror, STACK, inventory::BROUGHT};
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::registry::{self, Manifest, OciDescriptor, OciImageManifest, OciManifest};

/// The first bytes of every gzip stream.
const GZIP: [u8; 2] = [0x1f, 0x8b];

#[derive(Debug, Clone, Default, Serialize)]
pub struct Imported {
    pub names: Vec<String>,
    /// What is for another processor, or what a cluster of another version of Platen is made of: of no use here.
    pub left_out: Vec<String>,
}

impl Mirror {
    /// Takes every named image and chart out of a layout or an archive.
    pub async fn import(&self, host: &Host, from: &Path) -> Result<Imported> {
        must_exist(from)?;
        let _lock = self.store.lock(&host.events).await?;
        let step = host.events.step("mirror-import", format!("importing {}", from.display()), None);
        let staged = self.store.stage()?;
        let (source, items) = opened(from, staged.path()).await?;
        let parts = self.cluster_parts(host)?;
        let mut imported = Imported::default();
        for (done, item) in items.iter().enumerate() {
            step.progress(item.name.clone(), Some(done as u64), Some(items.len() as u64));
            let part = parts.iter().find(|part| part.name == item.name).cloned();
            if part.is_none() && is_part(item) {
                imported.left_out.push(item.name.clone());
                continue;
            }
            let (name, built) = (item.name.clone(), self.built_with(item, &items));
            let (source, item, mirror) = (source.clone(), item.clone(), self.clone());
            let is_taken = blocking(move || {
                match (part, built) {
                    (Some(part), _) => mirror.take_part(&source, &item, &part)?,
                    (None, Some((folder, all))) => mirror.take_built(&source, &folder, &all)?,
                    (None, None) if mirror.of_no_use(&source, &item)?.is_some() => return Ok(false),
                    (None, None) => mirror.take(&source, &item)?,
                }
                Ok(true)
            });
            let list = if is_taken.await? { &mut imported.names } else { &mut imported.left_out };
            list.push(name);
        }
        step.done();
        Ok(imported)
    }

    /// Puts a part where this machine looks for it; one that is there stays.
    fn take_part(&self, source: &Layout, item: &Item, part: &Part) -> Result<()> {
        if part.is_there() {
            return Ok(());
        }
        must_be_whole(source, item)?;
        let parent = part.folder.parent().unwrap_or(&part.folder);
        std::fs::create_dir_all(parent).doing(format!("creating {}", parent.display()))?;
        let staged = self.store.stage()?;
        Part::unpack(source, item, staged.path())?;
        std::fs::rename(staged.keep(), &part.folder)
            .doing(format!("moving {} into place", part.folder.display()))
    }

    /// The folder that an item was built as, and all that was built with it: where this machine would build the very
    /// same, and the source has all of it.
    fn built_with(&self, item: &Item, items: &[Item]) -> Option<(String, Vec<Item>)> {
        let folder = item.artifact.as_ref()?;
        let artifact = STACK.iter().find(|artifact| self.names.name(**artifact) == *folder)?;
        let all: Vec<Item> =
            items.iter().filter(|it| it.artifact.as_ref() == Some(folder)).cloned().collect();
        let expected = self.expected_names(&[*artifact]);
        expected.iter().all(|(name, _)| all.iter().any(|it| it.name == *name)).then(|| (folder.clone(), all))
    }

    /// Takes over what was built elsewhere as it would have been built here, also in place of one that is damaged: where
    /// nothing can be fetched it cannot be built again.
    fn take_built(&self, source: &Layout, folder: &str, items: &[Item]) -> Result<()> {
        let is_there = self.store.folders().contains(folder);
        if !is_there || self.is_damaged(folder, items) {
            let staged = self.store.stage()?;
            let target = Layout::create(staged.path())?;
            for item in items {
                copy(source, item, &target, Origin::Source)?;
            }
            if is_there {
                self.store.discard(folder)?;
            }
            self.store.publish(staged, folder)?;
        }
        // What was brought before would be taken for it.
        items.iter().try_for_each(|item| self.forget(&item.name, None))
    }

    /// Whether the folder of an artifact lacks something of these.
    fn is_damaged(&self, folder: &str, items: &[Item]) -> bool {
        let Some(artifact) = STACK.iter().find(|artifact| self.names.name(**artifact) == folder) else {
            return false;
        };
        let names: Vec<_> = items.iter().map(|item| (item.name.clone(), *artifact)).collect();
        fault_in(&self.store.path(folder), &names).is_some()
    }

    /// What an item is for, a phrase, where this machine could not run it.
    pub(super) fn of_no_use(&self, source: &Layout, item: &Item) -> Result<Option<String>> {
        let there = narrowed(source, item)?.or_else(|| source.manifest(&item.digest).ok());
        Ok(there.and_then(|there| self.foreign(source, &there)))
    }

    /// Takes one item over into a folder of its own.
    fn take(&self, source: &Layout, item: &Item) -> Result<()> {
        registry::parse(&item.name)?;
        let staged = self.store.stage()?;
        let target = Layout::create(staged.path())?;
        let origin = if item.origin == Origin::Pulled { Origin::Pulled } else { Origin::Archive };
        let digest = match narrowed(source, item)? {
            None => {
                copy(source, item, &target, origin)?;
                item.digest.clone()
            }
            Some(narrowed) => {
                for entry in narrowed.entries() {
                    let entry = Item { digest: entry.digest.clone(), size: entry.size, ..item.clone() };
                    must_be_whole(source, &entry)?;
                }
                copy_tree(source, &narrowed, &target)?;
                target.add(&item.name, origin, &narrowed)?;
                narrowed.digest
            }
        };
        self.bring(staged, &item.name, &digest)
    }

    /// Gives a brought item its folder, in place of what had its name before.
    fn bring(&self, staged: tempfile::TempDir, name: &str, digest: &str) -> Result<()> {
        self.bring_folder(&staged.keep(), name, digest)
    }

    /// As [`Mirror::bring`], from a folder that outlives a killed run.
    pub(super) fn bring_folder(&self, staged: &Path, name: &str, digest: &str) -> Result<()> {
        let folder = brought(name, digest);
        // The same item, which is brought again because it is not whole: two folders cannot have one name.
        if self.store.folders().contains(&folder) {
            self.store.discard(&folder)?;
        }
        self.store.publish_folder(staged, &folder)?;
        self.forget_others(name, digest)
    }

    /// Removes what had the name before, once this digest is there under it.
    pub(super) fn forget_others(&self, name: &str, digest: &str) -> Result<()> {
        let kept = brought(name, digest);
        if self.store.folders().contains(&kept) { self.forget(name, Some(&kept)) } else { Ok(()) }
    }

    /// Removes what was brought under this name, but for one folder.
    fn forget(&self, name: &str, kept: Option<&str>) -> Result<()> {
        let of_name = brought_as(name);
        let folders = self.store.folders();
        let mut old = folders.iter().filter(|it| it.starts_with(&of_name) && Some(it.as_str()) != kept);
        old.try_for_each(|folder| self.store.discard(folder))
    }
}

/// How the folders of brought items of this name begin.
fn brought_as(name: &str) -> String {
    format!("{BROUGHT}{}-", &hex::encode(Sha256::digest(name))[..12])
}

fn brought(name: &str, digest: &str) -> String {
    format!("{}{}", brought_as(name), &hex::encode(Sha256::digest(digest))[..12])
}

pub(super) fn must_exist(from: &Path) -> Result<()> {
    if from.exists() {
        return Ok(());
    }
    Err(Error::usage(
        format!("there is no {}", from.display()),
        "give a folder that `cargo xtask mirror export` wrote, or an archive of `docker save`",
    ))
}

/// A layout or an archive, which is unpacked into `dir`, with its items.
pub(super) async fn opened(from: &Path, dir: &Path) -> Result<(Layout, Vec<Item>)> {
    let source = if from.is_dir() {
        Layout::open(from)?
    } else {
        let (archive, dir) = (from.to_owned(), dir.to_owned());
        blocking(move || unpacked(&archive, &dir)).await?
    };
    let items = source.items()?;
    if items.is_empty() {
        return Err(Error::usage(
            format!("{} names no image", from.display()),
            "save it by its name: docker save -o FILE NAME:TAG",
        ));
    }
    Ok((source, items))
}

/// Work on large files, off the threads that serve everything else.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::malformed("the mirror", error, "run the same command again"))?
}

/// Copies an item with all that it refers to, and names it only when all of it is there.
pub(super) fn copy(from: &Layout, item: &Item, to: &Layout, origin: Origin) -> Result<()> {
    must_be_whole(from, item)?;
    let manifest = from.manifest(&item.digest)?;
    copy_tree(from, &manifest, to)?;
    if origin == Origin::Pulled
        && let Some(whole) = whole_of(from, &manifest)?
    {
        to.put(&whole.media_type, &whole.bytes)?;
    }
    to.add_made(&item.name, origin, item.artifact.as_deref(), &manifest)
}

fn must_be_whole(from: &Layout, item: &Item) -> Result<()> {
    match look(from, item, "").faults.first() {
        None => Ok(()),
        Some(fault) => Err(Error::unhealthy(format!("not whole: {fault}"), "export or save it again")),
    }
}

fn copy_tree(from: &Layout, root: &Manifest, to: &Layout) -> Result<()> {
    let mut open = vec![root.clone()];
    let mut done = BTreeSet::new();
    while let Some(manifest) = open.pop() {
        if !done.insert(manifest.digest.clone()) {
            continue;
        }
        for entry in manifest.entries() {
            open.push(from.manifest(&entry.digest)?);
        }
        for blob in manifest.blobs() {
            copy_blob(from, to, &blob.digest, blob.size)?;
        }
        to.put(&manifest.media_type, &manifest.bytes)?;
    }
    Ok(())
}

/// By a second name for the same file where the file system has that, else by its bytes; whole or not at all.
fn copy_blob(from: &Layout, to: &Layout, digest: &str, size: i64) -> Result<()> {
    let (source, target) = (from.blob_path(digest), to.blob_path(digest));
    let doing = || format!("copying {} to {}", source.display(), target.display());
    let there = std::fs::metadata(&target).is_ok_and(|found| i64::try_from(found.len()) == Ok(size));
    if there || std::fs::hard_link(&source, &target).is_ok() {
        return Ok(());
    }
    let staged = target.with_extension("new");
    std::fs::copy(&source, &staged).doing(doing())?;
    std::fs::rename(&staged, &target).doing(doing())
}

/// `docker save` writes an image's whole index and the one platform that was there: an index of what is there; `None` where
/// nothing is left out.
fn narrowed(layout: &Layout, item: &Item) -> Result<Option<Manifest>> {
    let Ok(manifest) = layout.manifest(&item.digest) else { return Ok(None) };
    let there = |digest: &str| layout.blob_path(digest).is_file();
    if manifest.entries().iter().all(|entry| there(&entry.digest)) {
        return Ok(None);
    }
    manifest.only(|entry| there(&entry.digest))
}

/// An archive as a layout: one that holds a layout already, or one of `docker save`.
fn unpacked(archive: &Path, dir: &Path) -> Result<Layout> {
    let doing = || format!("unpacking {}", archive.display());
    let mut file = File::open(archive).doing(doing())?;
    let mut first = [0; 2];
    let is_gzip = file.read_exact(&mut first).is_ok() && first == GZIP;
    let file = std::io::BufReader::with_capacity(1 << 20, File::open(archive).doing(doing())?);
    let reader: Box<dyn Read> =
        if is_gzip { Box::new(flate2::read::GzDecoder::new(file)) } else { Box::new(file) };
    let content = dir.join("archive");
    tar::Archive::new(reader).unpack(&content).map_err(|error| {
        Error::malformed(archive.display().to_string(), error, "give a tar of `docker save`, whole")
    })?;
    must_stay_inside(&content)?;
    if let Ok(layout) = Layout::open(&content)
        && !layout.items()?.is_empty()
    {
        return Ok(layout);
    }
    from_docker(&content, &dir.join("layout")).map_err(|error| match error {
        Error::Io { .. } => Error::usage(
            format!("{} is neither an OCI image layout nor an archive of `docker save`", archive.display()),
            "save it again: docker save -o FILE NAME:TAG",
        ),
        other => other,
    })
}

/// A link of an archive leads to something in it: through one that leads out, a file of this machine would be taken for an
/// image's.
fn must_stay_inside(content: &Path) -> Result<()> {
    let doing = || format!("looking into {}", content.display());
    let root = content.canonicalize().doing(doing())?;
    for entry in walkdir::WalkDir::new(content) {
        let entry = entry.map_err(std::io::Error::from).doing(doing())?;
        let is_inside = || entry.path().canonicalize().is_ok_and(|leads| leads.starts_with(&root));
        if entry.path_is_symlink() && !is_inside() {
            let name = entry.path().strip_prefix(content).unwrap_or(entry.path()).display();
            return Err(Error::malformed(
                "the archive",
                format!("its link {name} leads out of it"),
                "save it again",
            ));
        }
    }
    Ok(())
}

/// What `docker save` writes beside the layers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

fn from_docker(content: &Path, target: &Path) -> Result<Layout> {
    let path = content.join("manifest.json");
    let bytes = std::fs::read(&path).doing(format!("reading {}", path.display()))?;
    let saved: Vec<Saved> = serde_json::from_slice(&bytes)
        .map_err(|error| Error::malformed("the archive's manifest.json", error, "save it again"))?;
    let layout = Layout::create(target)?;
    for image in saved {
        let config =
            std::fs::read(inside(content, &image.config)?).doing("reading the image's configuration")?;
        let config = layout.put(IMAGE_CONFIG_MEDIA_TYPE, &config)?;
        let layers: Result<Vec<OciDescriptor>> = image
            .layers
            .iter()
            .map(|layer| {
                let path = inside(content, layer)?;
                let bytes = std::fs::read(&path).doing(format!("reading {}", path.display()))?;
                let is_gzip = bytes.starts_with(&GZIP);
                layout.put(if is_gzip { IMAGE_LAYER_GZIP_MEDIA_TYPE } else { IMAGE_LAYER_MEDIA_TYPE }, &bytes)
            })
            .collect();
        let manifest = OciImageManifest {
            media_type: Some(OCI_IMAGE_MEDIA_TYPE.into()),
            config,
            layers: layers?,
            ..OciImageManifest::default()
        };
        let manifest = Manifest::of(&OciManifest::Image(manifest))?;
        for name in image.repo_tags.unwrap_or_default() {
            // Docker leaves out its own host.
            layout.add(&registry::parse(&name)?.whole(), Origin::Archive, &manifest)?;
        }
    }
    Ok(layout)
}

/// A path that an archive names, which must not lead out of it.
fn inside(content: &Path, name: &str) -> Result<PathBuf> {
    let path = Path::new(name);
    let plain = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if plain && !name.is_empty() {
        return Ok(content.join(path));
    }
    Err(Error::malformed(
        "the archive's manifest.json",
        format!("it names the path {name:?}"),
        "save it again",
    ))
}

#[cfg(test)]
#[path = "transfer_tests.rs"]
mod tests;
