//! An OCI image layout: a folder with images and charts under their upstream names. Each built or brought item lies in
//! one of its own in the cache; `mirror export` joins them into one that can be carried elsewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci_client::manifest::{
    IMAGE_CONFIG_MEDIA_TYPE, IMAGE_LAYER_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::archive::{self, Image};
use crate::error::{Doing, Error, Result};
use crate::host::write_atomically;
use crate::registry::{Manifest, OciDescriptor, digest_of};

/// The file that makes a folder a layout, and what stands in it.
const MARKER: (&str, &str) = ("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
const INDEX: &str = "index.json";
/// Under which containerd and Docker look for a name, and under which the specification does.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
const ORIGIN: &str = "dev.platen.origin";
const ARTIFACT: &str = "dev.platen.artifact";
pub(crate) const CHART_CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
pub(crate) const CHART_CONTENT: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// Where an item came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Built on a machine of the user's.
    Source,
    /// From its upstream registry.
    Pulled,
    /// From an archive that was given.
    Archive,
}

impl Origin {
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Pulled => "pulled",
            Self::Archive => "archive",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "source" => Self::Source,
            "pulled" => Self::Pulled,
            _ => Self::Archive,
        }
    }
}

/// One image or chart of a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The upstream reference, with its tag.
    pub name: String,
    pub digest: String,
    pub media_type: String,
    pub size: i64,
    pub origin: Origin,
    /// The folder of the artifact that it was built as: a machine of the same make takes it as built, too.
    pub artifact: Option<String>,
}

/// The index of a layout, as far as it is read: entries of others may carry more.
#[derive(Debug, Default, Deserialize)]
struct Index {
    manifests: Vec<IndexEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct IndexEntry {
    media_type: String,
    digest: String,
    size: i64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// An empty layout in a folder that may be there already.
    pub fn create(dir: &Path) -> Result<Self> {
        let layout = Self { dir: dir.into() };
        let blobs = dir.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).doing(format!("creating {}", blobs.display()))?;
        if !dir.join(MARKER.0).is_file() {
            write_atomically(&dir.join(INDEX), &index(&[])?)?;
            write_atomically(&dir.join(MARKER.0), MARKER.1.as_bytes())?;
        }
        Ok(layout)
    }

    /// A folder that is a layout.
    pub fn open(dir: &Path) -> Result<Self> {
        if dir.join(MARKER.0).is_file() && dir.join(INDEX).is_file() {
            return Ok(Self { dir: dir.into() });
        }
        Err(Error::usage(
            format!("{} is no OCI image layout: it has no {} and {INDEX}", dir.display(), MARKER.0),
            "give a folder that `cargo xtask mirror export` wrote, or an archive of `docker save`",
        ))
    }

    /// A folder that is a layout, with its items.
    pub fn opened(dir: &Path) -> Result<(Self, Vec<Item>)> {
        let layout = Self::open(dir)?;
        let items = layout.items()?;
        Ok((layout, items))
    }

    /// The items that have a name.
    pub fn items(&self) -> Result<Vec<Item>> {
        let path = self.dir.join(INDEX);
        let bytes = std::fs::read(&path).doing(format!("reading {}", path.display()))?;
        let index: Index = serde_json::from_slice(&bytes)
            .map_err(|error| Error::malformed(path.display().to_string(), error, "export it again"))?;
        let item = |entry: IndexEntry| {
            let mut names = NAMES.iter().filter_map(|name| entry.annotations.get(*name));
            let name = names.find(|name| name.contains('/'))?.clone();
            let origin = entry.annotations.get(ORIGIN).map_or(Origin::Archive, |text| Origin::parse(text));
            let artifact = entry.annotations.get(ARTIFACT).cloned();
            let IndexEntry { digest, media_type, size, .. } = entry;
            Some(Item { name, digest, media_type, size, origin, artifact })
        };
        Ok(index.manifests.into_iter().filter_map(item).collect())
    }

    /// What its blobs are called, whole or not. What else lies beside them, as a copy that was cut off leaves it, is none.
    pub fn digests(&self) -> Result<Vec<String>> {
        let blobs = self.dir.join("blobs/sha256");
        let doing = || format!("reading {}", blobs.display());
        let names = std::fs::read_dir(&blobs).doing(doing())?.map(|entry| Ok(entry?.file_name()));
        let names: Vec<_> = names.collect::<std::io::Result<_>>().doing(doing())?;
        let is_digest = |name: &&str| name.len() == 64 && name.bytes().all(|it| it.is_ascii_hexdigit());
        let names = names.iter().filter_map(|name| name.to_str()).filter(is_digest);
        Ok(names.map(|name| format!("sha256:{name}")).collect())
    }

    /// Where a blob lies. A digest that is no SHA-256 leads to no file, and never out of the folder.
    pub fn blob_path(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap_or_default();
        let is_hex = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.dir.join("blobs/sha256").join(if is_hex { hex } else { "not-a-sha256-digest" })
    }

    pub fn read(&self, digest: &str) -> Result<Vec<u8>> {
        let path = self.blob_path(digest);
        std::fs::read(&path).doing(format!("reading {}", path.display()))
    }

    pub fn manifest(&self, digest: &str) -> Result<Manifest> {
        Manifest::parse(self.read(digest)?)
    }

    /// Keeps these bytes as a blob.
    pub fn put(&self, media_type: &str, bytes: &[u8]) -> Result<OciDescriptor> {
        let digest = digest_of(bytes);
        let path = self.blob_path(&digest);
        if !path.is_file() {
            write_atomically(&path, bytes)?;
        }
        let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        Ok(OciDescriptor { media_type: media_type.into(), digest, size, ..OciDescriptor::default() })
    }

    /// Gives a file of this SHA-256 its place as a blob.
    fn take(&self, media_type: &str, file: &Path, sha256: &str) -> Result<OciDescriptor> {
        let digest = format!("sha256:{sha256}");
        let doing = || format!("moving {} into place", file.display());
        let size = std::fs::metadata(file).doing(doing())?.len();
        std::fs::rename(file, self.blob_path(&digest)).doing(doing())?;
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        Ok(OciDescriptor { media_type: media_type.into(), digest, size, ..OciDescriptor::default() })
    }

    /// Writes an image of one layer. The layer is not compressed: it goes to registries on loopback.
    pub fn write_image(&self, arch: &str, image: &Image) -> Result<()> {
        let staged = self.dir.join("layer.tar");
        let layer = archive::write_layer(&staged, image).doing(format!("writing {}", staged.display()))?;
        let config = archive::image_config(arch, image, &layer).to_string();
        let layer = self.take(IMAGE_LAYER_MEDIA_TYPE, &staged, &layer)?;
        let config = self.put(IMAGE_CONFIG_MEDIA_TYPE, config.as_bytes())?;
        self.add(&image.reference, Origin::Source, &manifest(&config, &layer)?)
    }

    /// Writes a packaged chart as Helm pushes it; `metadata` is its Chart.yaml.
    pub fn write_chart(&self, name: &str, metadata: &serde_json::Value, package: &[u8]) -> Result<()> {
        let config = self.put(CHART_CONFIG, metadata.to_string().as_bytes())?;
        let content = self.put(CHART_CONTENT, package)?;
        self.add(name, Origin::Source, &manifest(&config, &content)?)
    }

    /// The packaged chart of an item; none where it is an image.
    pub fn chart(&self, item: &Item) -> Result<Option<PathBuf>> {
        let manifest = self.manifest(&item.digest)?;
        let content = manifest.blobs().into_iter().find(|blob| blob.media_type == CHART_CONTENT);
        Ok(content.map(|blob| self.blob_path(&blob.digest)))
    }

    /// Names a manifest, in place of what had the name before. Everything that it refers to must be there already.
    pub fn add(&self, name: &str, origin: Origin, manifest: &Manifest) -> Result<()> {
        self.add_made(name, origin, None, manifest)
    }

    /// As [`Layout::add`], with the folder of the artifact that it was built as.
    pub fn add_made(
        &self,
        name: &str,
        origin: Origin,
        artifact: Option<&str>,
        manifest: &Manifest,
    ) -> Result<()> {
        let descriptor = self.put(&manifest.media_type, &manifest.bytes)?;
        let item = Item {
            name: name.into(),
            digest: descriptor.digest,
            media_type: descriptor.media_type,
            size: descriptor.size,
            origin,
            artifact: artifact.map(ToOwned::to_owned),
        };
        let mut items = self.items()?;
        items.retain(|other| other.name != item.name);
        items.push(item);
        items.sort_by(|one, other| one.name.cmp(&other.name));
        write_atomically(&self.dir.join(INDEX), &index(&items)?)
    }
}

/// A manifest of one layer.
fn manifest(config: &OciDescriptor, layer: &OciDescriptor) -> Result<Manifest> {
    let content = json!({
        "schemaVersion": 2, "mediaType": OCI_IMAGE_MEDIA_TYPE, "config": config, "layers": [layer],
    });
    Manifest::parse(content.to_string().into_bytes())
}

fn index(items: &[Item]) -> Result<Vec<u8>> {
    let entry = |item: &Item| {
        let mut annotations: BTreeMap<&str, &str> = NAMES.map(|name| (name, item.name.as_str())).into();
        annotations.insert(ORIGIN, item.origin.name());
        annotations.extend(item.artifact.iter().map(|folder| (ARTIFACT, folder.as_str())));
        json!({
            "mediaType": item.media_type, "digest": item.digest, "size": item.size, "annotations": annotations,
        })
    };
    let manifests: Vec<_> = items.iter().map(entry).collect();
    let index = json!({"schemaVersion": 2, "mediaType": OCI_IMAGE_INDEX_MEDIA_TYPE, "manifests": manifests});
    serde_json::to_vec_pretty(&index).map_err(|error| Error::malformed("the layout's index", error, ""))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::mirror::archive::Entry;

    /// A layout with one small image of this name.
    pub fn with_image(dir: &Path, name: &str) -> Layout {
        let layout = Layout::create(dir).unwrap();
        let entries = vec![Entry::text("etc/passwd", format!("root:x:0:0:{name}:/:\n"))];
        let image = Image { reference: name.into(), entries, user: "1".into(), ..Image::default() };
        layout.write_image("amd64", &image).unwrap();
        layout
    }

    #[test]
    fn an_image_is_found_again_by_its_name_with_all_that_it_refers_to() {
        let dir = tempfile::tempdir().unwrap();
        with_image(dir.path(), "quay.io/a/b:v1");
        let layout = Layout::open(dir.path()).unwrap();
        let items = layout.items().unwrap();
        assert_eq!(
            (items.len(), items[0].name.as_str(), items[0].origin),
            (1, "quay.io/a/b:v1", Origin::Source)
        );
        let manifest = layout.manifest(&items[0].digest).unwrap();
        assert_eq!(manifest.blobs().len(), 2);
        for blob in manifest.blobs() {
            assert_eq!(digest_of(&layout.read(&blob.digest).unwrap()), blob.digest);
        }
    }

    #[test]
    fn a_name_stands_for_one_item() {
        let dir = tempfile::tempdir().unwrap();
        let layout = with_image(dir.path(), "quay.io/a/b:v1");
        let first = layout.items().unwrap();
        layout.write_chart("quay.io/a/b:v1", &json!({"name": "b"}), b"chart").unwrap();
        let items = layout.items().unwrap();
        assert_eq!(items.len(), 1);
        assert_ne!(items[0].digest, first[0].digest);
        assert!(layout.chart(&items[0]).unwrap().unwrap().is_file());
    }

    #[test]
    fn a_digest_that_is_none_leads_nowhere() {
        let layout = Layout { dir: "/cache".into() };
        for digest in ["sha256:../../etc/passwd", "../../etc/passwd", "sha512:00"] {
            assert!(layout.blob_path(digest).ends_with("blobs/sha256/not-a-sha256-digest"), "{digest}");
        }
    }

    #[test]
    fn a_folder_that_is_no_layout_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = Layout::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("oci-layout"), "{error}");
    }
}
