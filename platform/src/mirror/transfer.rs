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
        if !from.exists() {
            return Err(Error::usage(
                format!("there is no {}", from.display()),
                "give a folder that `cargo xtask mirror export` wrote, or an archive of `docker save`",
            ));
        }
        let _lock = self.store.lock(&host.events).await?;
        let step = host.events.step("mirror-import", format!("importing {}", from.display()), None);
        let staged = self.store.stage()?;
        let source = if from.is_dir() {
            Layout::open(from)?
        } else {
            let (archive, dir) = (from.to_owned(), staged.path().to_owned());
            blocking(move || unpacked(&archive, &dir)).await?
        };
        let items = source.items()?;
        if items.is_empty() {
            return Err(Error::usage(
                format!("{} names no image", from.display()),
                "save it by its name: docker save -o FILE NAME:TAG",
            ));
        }
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
        let item = whole_platforms(source, item)?;
        let staged = self.store.stage()?;
        let target = Layout::create(staged.path())?;
        let origin = if item.origin == Origin::Pulled { Origin::Pulled } else { Origin::Archive };
        copy(source, &item, &target, origin)?;
        self.bring(staged, &item.name, &item.digest)
    }

    /// Gives a brought item its folder, in place of what had its name before.
    fn bring(&self, staged: tempfile::TempDir, name: &str, digest: &str) -> Result<()> {
        self.bring_folder(&staged.keep(), name, digest)
    }

    /// As [`Mirror::bring`], from a folder that outlives a killed run.
    pub(super) fn bring_folder(&self, staged: &Path, name: &str, digest: &str) -> Result<()> {
        let of_name = format!("{BROUGHT}{}-", &hex::encode(Sha256::digest(name))[..12]);
        let folder = format!("{of_name}{}", &hex::encode(Sha256::digest(digest))[..12]);
        for old in self.store.folders().into_iter().filter(|it| it.starts_with(&of_name)) {
            self.store.discard(&old)?;
        }
        self.store.publish_folder(staged, &folder)
    }
}

/// Work on large files, off the threads that serve everything else.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::malformed("the mirror", error, "run the same command again"))?
}

/// Copies an item with all that it refers to, and names it only when all of it is there.
fn copy(from: &Layout, item: &Item, to: &Layout, origin: Origin) -> Result<()> {
    let seen = look(from, item, "").faults;
    if let Some(fault) = seen.first() {
        return Err(Error::unhealthy(format!("not whole: {fault}"), "export or save it again"));
    }
    let mut open = vec![item.digest.clone()];
    let mut done = BTreeSet::new();
    while let Some(digest) = open.pop() {
        if !done.insert(digest.clone()) {
            continue;
        }
        let manifest = from.manifest(&digest)?;
        open.extend(manifest.entries().iter().map(|entry| entry.digest.clone()));
        for blob in manifest.blobs() {
            copy_blob(from, to, &blob.digest, blob.size)?;
        }
        to.put(&manifest.media_type, &manifest.bytes)?;
    }
    to.add(&item.name, origin, &from.manifest(&item.digest)?)
}

/// By a second name for the same file where the file system has that, else by its bytes; whole or not at all.
fn copy_blob(from: &Layout, to: &Layout, digest: &str, size: i64) -> Result<()> {
    let (source, target) = (from.blob_path(digest), to.blob_path(digest));
    let doing = || format!("copying {} to {}", source.display(), target.display());
    let there = std::fs::metadata(&target).is_ok_and(|found| i64::try_from(found.len()) == Ok(size));
    if there {
        return Ok(());
    }
    let staged = target.with_extension("new");
    std::fs::copy(&source, &staged).doing(doing())?;
    std::fs::rename(&staged, &target).doing(doing())
}

/// `docker save` writes an image's whole index and the one platform that was there: what is not there is left out.
fn whole_platforms(layout: &Layout, item: &Item) -> Result<Item> {
    let Ok(manifest) = layout.manifest(&item.digest) else { return Ok(item.clone()) };
    let there = |digest: &str| layout.blob_path(digest).is_file();
    if manifest.entries().iter().all(|entry| there(&entry.digest)) {
        return Ok(item.clone());
    }
    let narrowed = manifest.only(|entry| there(&entry.digest))?;
    let Some(narrowed) = narrowed else { return Ok(item.clone()) };
    let kept = layout.put(&narrowed.media_type, &narrowed.bytes)?;
    Ok(Item { digest: kept.digest, media_type: kept.media_type, size: kept.size, ..item.clone() })
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
mod tests {
    use super::*;
    use crate::mirror::archive::{self, Entry, Image};
    use crate::mirror::layout::tests::with_image;
    use crate::mirror::pull::tests::mirror;

    const NAME: &str = "quay.io/a/b:v1";

    #[tokio::test]
    async fn what_one_machine_exports_another_imports_whole() {
        let (dir, host, here) = mirror();
        with_image(&dir.path().join("given"), NAME);
        here.import(&host, &dir.path().join("given")).await.unwrap();
        let folder = dir.path().join("carried");
        assert_eq!(here.export(&host, &folder).await.unwrap().names, [NAME]);
        assert_eq!(here.export(&host, &folder).await.unwrap().names, [NAME], "a second time");

        let (_dir, elsewhere, there) = mirror();
        assert_eq!(there.import(&elsewhere, &folder).await.unwrap().names, [NAME]);
        let verified = there.verify(&elsewhere, &[]).await.unwrap();
        assert_eq!((verified.items, verified.faults.len()), (1, 0));
    }

    #[tokio::test]
    async fn a_folder_with_a_blob_missing_is_not_imported() {
        let (dir, host, mirror) = mirror();
        let layout = with_image(&dir.path().join("given"), NAME);
        let manifest = layout.manifest(&layout.items().unwrap()[0].digest).unwrap();
        let lost = manifest.blobs()[1].digest.clone();
        std::fs::remove_file(layout.blob_path(&lost)).unwrap();
        let error = mirror.import(&host, &dir.path().join("given")).await.unwrap_err();
        assert!(error.to_string().contains(&lost), "{error}");
        assert!(mirror.held().unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_archive_of_docker_is_taken_under_its_full_name_and_replaces_an_older_one() {
        let (dir, host, mirror) = mirror();
        for content in ["one", "two"] {
            let image = Image {
                reference: "grafana/grafana:13.2.0".into(),
                entries: vec![Entry::text("etc/grafana", content)],
                ..Image::default()
            };
            let path = dir.path().join("grafana.tar");
            archive::write(&path, "amd64", &[image]).unwrap();
            mirror.import(&host, &path).await.unwrap();
        }
        let held = mirror.held().unwrap();
        let names: Vec<_> = held.iter().map(|(_, item)| item.name.as_str()).collect();
        assert_eq!(names, ["docker.io/grafana/grafana:13.2.0"]);
        assert_eq!(mirror.store.folders().len(), 1);
        assert!(mirror.verify(&host, &[]).await.unwrap().faults.is_empty());
    }

    #[tokio::test]
    async fn a_file_that_is_no_archive_is_refused() {
        let (dir, host, mirror) = mirror();
        let path = dir.path().join("noise.tar");
        std::fs::write(&path, b"no tar at all").unwrap();
        let error = mirror.import(&host, &path).await.unwrap_err();
        assert!(error.to_string().contains("noise.tar"), "{error}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn a_path_that_leads_out_of_the_archive_is_refused() {
        for name in ["../config.json", "/etc/passwd", ""] {
            assert!(inside(Path::new("a"), name).is_err(), "{name}");
        }
    }
}
