//! The mirror as one folder that can be carried to a machine without a network, and what is taken out of such a folder or
//! of an archive of `docker save`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::layout::{Item, Layout, Origin};
use super::verify::look;
use super::{Mirror, inventory::BROUGHT};
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::registry::{self, Manifest, OciDescriptor, OciImageManifest, OciManifest};

const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// The first bytes of every gzip stream.
const GZIP: [u8; 2] = [0x1f, 0x8b];

#[derive(Debug, Clone, Serialize)]
pub struct Exported {
    pub folder: PathBuf,
    pub names: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Imported {
    pub names: Vec<String>,
}

impl Mirror {
    /// Writes everything that the mirror holds into one layout. What is there already is not copied again.
    pub async fn export(&self, host: &Host, folder: &Path) -> Result<Exported> {
        self.verify(host, &[]).await?.verdict()?;
        let held = self.held()?;
        if held.is_empty() {
            return Err(Error::unhealthy(
                "the mirror holds nothing that could be exported",
                "cargo xtask mirror build",
            ));
        }
        let step = host.events.step("mirror-export", format!("exporting to {}", folder.display()), None);
        let total = held.len() as u64;
        let target = Layout::create(folder)?;
        let mut names = Vec::new();
        for (done, (layout, item)) in held.into_iter().enumerate() {
            step.progress(item.name.clone(), Some(done as u64), Some(total));
            names.push(item.name.clone());
            let target = target.clone();
            blocking(move || copy(&layout, &item, &target, item.origin)).await?;
        }
        step.done();
        Ok(Exported { folder: folder.into(), names })
    }

    /// Takes every named image and chart out of a layout or an archive.
    pub async fn import(&self, host: &Host, from: &Path) -> Result<Imported> {
        must_exist(from)?;
        let _lock = self.store.lock(&host.events).await?;
        let step = host.events.step("mirror-import", format!("importing {}", from.display()), None);
        let staged = self.store.stage()?;
        let (source, items) = opened(from, staged.path()).await?;
        let mut names = Vec::new();
        for (done, item) in items.iter().enumerate() {
            step.progress(item.name.clone(), Some(done as u64), Some(items.len() as u64));
            let (source, item, mirror) = (source.clone(), item.clone(), self.clone());
            names.push(item.name.clone());
            blocking(move || mirror.take(&source, &item)).await?;
        }
        step.done();
        Ok(Imported { names })
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
        let (of_name, kept) = (brought_as(name), brought(name, digest));
        let folders = self.store.folders();
        if !folders.contains(&kept) {
            return Ok(());
        }
        for old in folders.iter().filter(|folder| folder.starts_with(&of_name) && **folder != kept) {
            self.store.discard(old)?;
        }
        Ok(())
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
fn copy(from: &Layout, item: &Item, to: &Layout, origin: Origin) -> Result<()> {
    must_be_whole(from, item)?;
    let manifest = from.manifest(&item.digest)?;
    copy_tree(from, &manifest, to)?;
    to.add(&item.name, origin, &manifest)
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

/// `docker save` writes an image's whole index and the one platform that was there: an index of what is there, each
/// whole; `None` where nothing is left out.
fn narrowed(layout: &Layout, item: &Item) -> Result<Option<Manifest>> {
    let Ok(manifest) = layout.manifest(&item.digest) else { return Ok(None) };
    let there = |digest: &str| layout.blob_path(digest).is_file();
    if manifest.entries().iter().all(|entry| there(&entry.digest)) {
        return Ok(None);
    }
    let Some(narrowed) = manifest.only(|entry| there(&entry.digest))? else { return Ok(None) };
    for entry in narrowed.entries() {
        must_be_whole(layout, &Item { digest: entry.digest.clone(), size: entry.size, ..item.clone() })?;
    }
    Ok(Some(narrowed))
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
        let config = layout.put(IMAGE_CONFIG, &config)?;
        let layers: Result<Vec<OciDescriptor>> = image
            .layers
            .iter()
            .map(|layer| {
                let path = inside(content, layer)?;
                let bytes = std::fs::read(&path).doing(format!("reading {}", path.display()))?;
                layout.put(if bytes.starts_with(&GZIP) { LAYER_GZIP } else { LAYER }, &bytes)
            })
            .collect();
        let manifest = OciImageManifest {
            media_type: Some("application/vnd.oci.image.manifest.v1+json".into()),
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
