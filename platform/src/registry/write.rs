//! What is put into a registry. What is there already is not sent again, so that an interrupted push goes on where it was.

use std::path::Path;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use oci_client::errors::OciDistributionError as Oci;
use oci_client::manifest::OciDescriptor;
use tokio_util::io::ReaderStream;

use super::{Manifest, Reference, Registries, digest_of};
use crate::error::{Doing, Error, Result};

const CHUNK: usize = 1 << 20;

impl Registries {
    /// Pushes bytes as a blob; true where it was sent, false where it was there.
    pub async fn push_blob(&self, repository: &Reference, bytes: impl Into<Bytes>) -> Result<bool> {
        let bytes = bytes.into();
        let digest = digest_of(&bytes);
        if self.blob_exists(repository, &digest).await? {
            return Ok(false);
        }
        let (client, _) = self.client(repository).await?;
        let pushed = client.push_blob(repository, bytes, &digest).await;
        pushed.map_err(|error| self.told(&error, repository, &format!("pushing the blob {digest}")))?;
        Ok(true)
    }

    /// Pushes a file as the blob of this digest and size; true where it was sent. The registry checks the digest.
    pub async fn push_blob_file(&self, repository: &Reference, digest: &str, file: &Path) -> Result<bool> {
        if self.blob_exists(repository, digest).await? {
            return Ok(false);
        }
        let opened = tokio::fs::File::open(file).await.doing(format!("opening {}", file.display()))?;
        let stream = ReaderStream::with_capacity(opened, CHUNK).map_err(Oci::IoError);
        self.push_stream(repository, digest, stream).await?;
        Ok(true)
    }

    pub(super) async fn push_stream(
        &self,
        repository: &Reference,
        digest: &str,
        stream: impl Stream<Item = Result<Bytes, Oci>> + Send + 'static,
    ) -> Result<()> {
        let (client, _) = self.client(repository).await?;
        let pushed = client.push_blob_stream(repository, stream.boxed(), digest, None).await;
        pushed.map(drop).map_err(|error| self.told(&error, repository, &format!("pushing the blob {digest}")))
    }

    /// Pushes a manifest or index under the reference's tag or digest. Everything that it names must be there.
    pub async fn push_manifest(&self, reference: &Reference, manifest: &Manifest) -> Result<()> {
        let (client, _) = self.client(reference).await?;
        let media_type = manifest.media_type.parse().map_err(|error| {
            Error::malformed(format!("the media type {:?}", manifest.media_type), error, "")
        })?;
        let pushed = client.push_manifest_raw(reference, manifest.bytes.clone(), media_type).await;
        pushed.map(drop).map_err(|error| self.told(&error, reference, "pushing the manifest"))
    }

    /// The descriptor of bytes that [`Registries::push_blob`] pushes.
    pub fn descriptor(media_type: &str, bytes: &[u8]) -> OciDescriptor {
        OciDescriptor {
            media_type: media_type.into(),
            digest: digest_of(bytes),
            size: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            ..OciDescriptor::default()
        }
    }
}
