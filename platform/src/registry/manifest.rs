//! What a registry holds under a tag or digest: an index of platforms, or one image.

use std::fmt;
use std::str::FromStr;

use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, ImageIndexEntry, OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE,
    OciDescriptor, OciImageIndex, OciImageManifest, OciManifest,
};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Operating system, architecture and variant, as OCI names them: `linux/arm64`, `linux/arm/v7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    pub variant: Option<String>,
}

impl Platform {
    pub fn linux(architecture: impl Into<String>) -> Self {
        Self { os: "linux".into(), architecture: architecture.into(), variant: None }
    }

    /// Whether an image for this platform runs on a node that calls itself by these; variants are not compared, for
    /// nodes do not tell theirs.
    pub fn runs_on(&self, os: &str, architecture: &str) -> bool {
        self.os == os && self.architecture == architecture
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

impl serde::Serialize for Platform {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        match parts.as_slice() {
            [os, architecture, rest @ ..] if rest.len() <= 1 && parts.iter().all(word) => Ok(Self {
                os: (*os).into(),
                architecture: (*architecture).into(),
                variant: rest.first().map(|variant| (*variant).into()),
            }),
            _ => Err(format!("{text:?} is not a platform: write it as linux/amd64 or linux/arm64")),
        }
    }
}

/// A manifest as the registry sent it: its digest is that of these bytes.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub digest: String,
    pub media_type: String,
    pub bytes: Vec<u8>,
    pub content: OciManifest,
}

/// One platform of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformManifest {
    pub platform: Platform,
    pub digest: String,
}

impl Manifest {
    pub fn parse(bytes: Vec<u8>) -> Result<Self> {
        let malformed =
            |why: String| Error::malformed("a manifest from the registry", why, "push the image again");
        // Told apart by what they must have, not by trial: the specification lets both carry the other's fields.
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        let content = if value.get("manifests").is_some() {
            serde_json::from_value(value).map(OciManifest::ImageIndex)
        } else {
            serde_json::from_value(value).map(OciManifest::Image)
        };
        let content = content.map_err(|error| malformed(error.to_string()))?;
        let media_type = match &content {
            OciManifest::ImageIndex(index) => {
                index.media_type.as_deref().unwrap_or(OCI_IMAGE_INDEX_MEDIA_TYPE)
            }
            OciManifest::Image(image) => image.media_type.as_deref().unwrap_or(OCI_IMAGE_MEDIA_TYPE),
        };
        Ok(Self { digest: digest_of(&bytes), media_type: media_type.into(), content, bytes })
    }

    /// An index of these entries, in OCI's form.
    pub fn index(manifests: Vec<ImageIndexEntry>) -> Result<Self> {
        let index = OciImageIndex {
            schema_version: 2,
            media_type: Some(OCI_IMAGE_INDEX_MEDIA_TYPE.into()),
            artifact_type: None,
            manifests,
            annotations: None,
        };
        Self::of(&OciManifest::ImageIndex(index))
    }

    /// A manifest written here.
    pub fn of(content: &OciManifest) -> Result<Self> {
        let bytes = serde_json::to_vec(content).map_err(|error| Error::malformed("a manifest", error, ""))?;
        Self::parse(bytes)
    }

    pub fn image(&self) -> Option<&OciImageManifest> {
        match &self.content {
            OciManifest::Image(image) => Some(image),
            OciManifest::ImageIndex(_) => None,
        }
    }

    /// What the index lists, attestations among it; nothing where this is one image.
    pub fn entries(&self) -> &[ImageIndexEntry] {
        match &self.content {
            OciManifest::Image(_) => &[],
            OciManifest::ImageIndex(index) => &index.manifests,
        }
    }

    pub fn is_index(&self) -> bool {
        matches!(self.content, OciManifest::ImageIndex(_))
            || self.media_type == IMAGE_MANIFEST_LIST_MEDIA_TYPE
    }

    /// The platforms of an index; attestations and other things that do not run are no platforms.
    pub fn platforms(&self) -> Vec<PlatformManifest> {
        let platform = |entry: &ImageIndexEntry| {
            let platform = entry.platform.as_ref()?;
            let (os, architecture) = (platform.os.to_string(), platform.architecture.to_string());
            (os != "unknown" && architecture != "unknown").then(|| PlatformManifest {
                platform: Platform { os, architecture, variant: platform.variant.clone() },
                digest: entry.digest.clone(),
            })
        };
        self.entries().iter().filter_map(platform).collect()
    }

    /// The index of those entries that `keep` wants; none where nothing is kept, or where this is one image.
    pub fn only(&self, keep: impl Fn(&ImageIndexEntry) -> bool) -> Result<Option<Self>> {
        let kept: Vec<ImageIndexEntry> = self.entries().iter().filter(|entry| keep(entry)).cloned().collect();
        if kept.is_empty() { Ok(None) } else { Self::index(kept).map(Some) }
    }

    /// Configuration and layers of an image; nothing where this is an index.
    pub fn blobs(&self) -> Vec<&OciDescriptor> {
        self.image()
            .map(|image| std::iter::once(&image.config).chain(&image.layers).collect())
            .unwrap_or_default()
    }

    /// Bytes of configuration and layers, as they are stored.
    pub fn blob_bytes(&self) -> u64 {
        self.blobs().iter().map(|blob| u64::try_from(blob.size).unwrap_or_default()).sum()
    }
}

/// `sha256:…` of these bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
