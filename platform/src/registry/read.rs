//! What a registry is asked.

use oci_client::errors::OciDistributionError as Oci;
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE,
};
use tokio::io::AsyncWrite;

use super::failure::{Cause, cause, told};
use super::{Manifest, OciDescriptor, Platform, PlatformManifest, Reference, Registries};
use crate::error::{Error, Result};

const ACCEPTED: [&str; 4] = [
    OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE,
    IMAGE_MANIFEST_LIST_MEDIA_TYPE,
    IMAGE_MANIFEST_MEDIA_TYPE,
];
/// How many tags one answer may list.
const PAGE: usize = 1000;

impl Registries {
    /// All tags of the repository, sorted; none where there is no such repository.
    pub async fn tags(&self, repository: &Reference) -> Result<Vec<String>> {
        let (client, auth) = self.client(repository).await?;
        let mut tags: Vec<String> = Vec::new();
        loop {
            let last = tags.last().cloned();
            let page = match client.list_tags(repository, &auth, Some(PAGE), last.as_deref()).await {
                Ok(page) => page.tags,
                Err(error) if cause(&error) == Cause::NotFound => break,
                Err(error) => return Err(self.told(&error, repository, "listing tags")),
            };
            // A registry may list fewer than were asked for and have more; one that heeds no `last` lists the same again.
            if page.is_empty() || page.last() == last.as_ref() {
                break;
            }
            tags.extend(page);
        }
        tags.sort();
        tags.dedup();
        Ok(tags)
    }

    /// The manifest under this tag or digest; `None` where there is none. What was asked for by digest is checked
    /// against it.
    pub async fn manifest(&self, reference: &Reference) -> Result<Option<Manifest>> {
        let (client, auth) = self.client(reference).await?;
        match client.pull_manifest_raw(reference, &auth, &ACCEPTED).await {
            Ok((bytes, _)) => Manifest::parse(bytes.to_vec()).map(Some),
            Err(error) if cause(&error) == Cause::NotFound => Ok(None),
            Err(error) => Err(self.told(&error, reference, "reading the manifest")),
        }
    }

    /// As [`Registries::manifest`], with an error where there is none.
    pub async fn require(&self, reference: &Reference) -> Result<Manifest> {
        self.manifest(reference).await?.ok_or_else(|| {
            let missing = Oci::ImageManifestNotFoundError(reference.to_string());
            self.told(&missing, reference, "reading the manifest")
        })
    }

    /// Where nodes find what they know by this name: their mirror, if that has it.
    pub async fn as_nodes_find(&self, reference: &Reference) -> Result<Reference> {
        let Some(mirror) = self.mirror.as_deref().filter(|it| *it != reference.resolve_registry()) else {
            return Ok(reference.clone());
        };
        let (registry, repository) = (mirror.to_owned(), reference.repository().to_owned());
        let mirrored = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Reference::with_digest(registry, repository, digest.to_owned()),
            (None, tag) => Reference::with_tag(registry, repository, tag.unwrap_or("latest").to_owned()),
        };
        Ok(if self.exists(&mirrored).await? { mirrored } else { reference.clone() })
    }

    /// Whether there is a manifest under this tag or digest.
    pub async fn exists(&self, reference: &Reference) -> Result<bool> {
        Ok(self.manifest(reference).await?.is_some())
    }

    /// The platforms under this tag or digest. An image without an index names its own in its configuration.
    pub async fn platforms(&self, reference: &Reference) -> Result<Option<Vec<PlatformManifest>>> {
        let Some(manifest) = self.manifest(reference).await? else { return Ok(None) };
        let Some(image) = manifest.image() else { return Ok(Some(manifest.platforms())) };
        let config = self.blob(reference, &image.config).await?;
        let config: serde_json::Value = serde_json::from_slice(&config).map_err(|error| {
            Error::malformed(format!("the configuration of {reference}"), error, "push it again")
        })?;
        let field = |name: &str| config[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let (Some(os), Some(architecture)) = (field("os"), field("architecture")) else {
            return Ok(Some(Vec::new()));
        };
        let platform = Platform { os, architecture, variant: field("variant") };
        Ok(Some(vec![PlatformManifest { platform, digest: manifest.digest }]))
    }

    pub async fn blob_exists(&self, repository: &Reference, digest: &str) -> Result<bool> {
        let (client, _) = self.client(repository).await?;
        let found = client.blob_exists(repository, digest).await;
        found.map_err(|error| self.told(&error, repository, &format!("looking for the blob {digest}")))
    }

    /// The first blob of an image that the registry has lost; it goes on telling the manifest then.
    pub async fn lacks(&self, repository: &Reference, manifest: &Manifest) -> Result<Option<String>> {
        for blob in manifest.blobs() {
            if !self.blob_exists(repository, &blob.digest).await? {
                return Ok(Some(blob.digest.clone()));
            }
        }
        Ok(None)
    }

    /// A small blob, whole in memory, checked against its digest.
    pub async fn blob(&self, repository: &Reference, blob: &OciDescriptor) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(blob.size).unwrap_or_default());
        self.read_blob(repository, blob, &mut bytes).await?;
        Ok(bytes)
    }

    /// Writes a blob to `out`, checked against its digest: what was written counts only after this returns well.
    pub async fn read_blob<W: AsyncWrite>(
        &self,
        repository: &Reference,
        blob: &OciDescriptor,
        out: W,
    ) -> Result<()> {
        let (client, _) = self.client(repository).await?;
        let read = client.pull_blob(repository, blob, out).await;
        read.map_err(|error| self.told(&error, repository, &format!("reading the blob {}", blob.digest)))
    }

    pub(super) fn told(&self, error: &Oci, reference: &Reference, doing: &str) -> Error {
        let scheme = if self.is_plain_http(reference.registry()) { "http" } else { "https" };
        told(error, reference, doing, scheme, self.has_credentials(reference))
    }
}
