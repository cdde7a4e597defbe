//! An image with all its platforms from one repository to another, of the same registry or of another one.

use futures_util::TryStreamExt;
use oci_client::errors::OciDistributionError as Oci;

use super::{Manifest, OciDescriptor, Reference, Registries, at_digest};
use crate::error::Result;

/// One blob or manifest that is now at the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    pub digest: String,
    pub bytes: u64,
    /// False where it was there before.
    pub sent: bool,
}

impl Registries {
    /// Copies what is under `from` to `to`, blobs first, so that the target's tag never names what is not there; returns
    /// the digest. A run that was cut off is gone on with: what arrived is not sent again.
    pub async fn copy(
        &self,
        from: &Reference,
        to: &Reference,
        tell: &mut (dyn FnMut(Copied) + Send),
    ) -> Result<String> {
        let manifest = self.require(from).await?;
        self.copy_manifest(from, to, &manifest, tell).await?;
        self.push_manifest(to, &manifest).await?;
        Ok(manifest.digest)
    }

    /// Copies everything that a manifest names, not the manifest itself.
    pub async fn copy_manifest(
        &self,
        from: &Reference,
        to: &Reference,
        manifest: &Manifest,
        tell: &mut (dyn FnMut(Copied) + Send),
    ) -> Result<()> {
        for entry in manifest.entries() {
            let child = self.require(&at_digest(from, &entry.digest)).await?;
            let target = at_digest(to, &entry.digest);
            let there = self.exists(&target).await?;
            // A registry may have lost a blob, and goes on telling the manifest.
            self.copy_blobs(from, to, &child, tell).await?;
            if !there {
                self.push_manifest(&target, &child).await?;
            }
            tell(Copied { digest: child.digest, bytes: child.bytes.len() as u64, sent: !there });
        }
        self.copy_blobs(from, to, manifest, tell).await
    }

    async fn copy_blobs(
        &self,
        from: &Reference,
        to: &Reference,
        manifest: &Manifest,
        tell: &mut (dyn FnMut(Copied) + Send),
    ) -> Result<()> {
        for blob in manifest.blobs() {
            let sent = self.copy_blob(from, to, blob).await?;
            tell(Copied {
                digest: blob.digest.clone(),
                bytes: u64::try_from(blob.size).unwrap_or_default(),
                sent,
            });
        }
        Ok(())
    }

    async fn copy_blob(&self, from: &Reference, to: &Reference, blob: &OciDescriptor) -> Result<bool> {
        if self.blob_exists(to, &blob.digest).await? {
            return Ok(false);
        }
        if from.registry() == to.registry() {
            let (client, _) = self.client(to).await?;
            // A registry that does not mount answers with an upload instead: then it is sent.
            if client.mount_blob(to, from, &blob.digest).await.is_ok() {
                return Ok(true);
            }
        }
        let (source, _) = self.client(from).await?;
        let read = source.pull_blob_stream(from, blob).await;
        let read =
            read.map_err(|error| self.told(&error, from, &format!("reading the blob {}", blob.digest)))?;
        self.push_stream(to, &blob.digest, read.stream.map_err(Oci::IoError)).await?;
        Ok(true)
    }
}
