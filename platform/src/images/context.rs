//! The build context: the service's sources and this machine's certificate authorities, as a tar archive.

use std::path::{Path, PathBuf};

use crate::error::{Doing, Result};
use crate::service::source_files;

/// Where Linux distributions keep the bundle; `SSL_CERT_FILE` comes before them.
const BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// The Dockerfile's optional file: builds behind a proxy with an authority of its own need it.
const BUNDLE_NAME: &str = "ca-certificates.crt";

/// The archive, the same bytes for the same content, so that BuildKit's cache holds.
pub fn archive(root: &Path) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for file in source_files(root)? {
        let bytes = std::fs::read(root.join(&file)).doing(format!("reading {}", file.display()))?;
        append(&mut archive, &file, &bytes)?;
    }
    if let Some(bundle) = certificate_bundle() {
        let bytes = std::fs::read(&bundle).doing(format!("reading {}", bundle.display()))?;
        append(&mut archive, Path::new(BUNDLE_NAME), &bytes)?;
    }
    archive.into_inner().doing("packing the build context")
}

pub(super) fn append(archive: &mut tar::Builder<Vec<u8>>, path: &Path, bytes: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    archive.append_data(&mut header, path, bytes).doing("packing the build context")
}

pub(super) fn certificate_bundle() -> Option<PathBuf> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    named.into_iter().chain(BUNDLES.map(PathBuf::from)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nearly every host has a bundle: it would stand in the way of one that was asked for.
    #[test]
    fn the_build_secret_goes_before_the_hosts_bundle() {
        let script = include_str!("../../../ocr-service/image/cargo.sh");
        let at = |path: &str| script.find(path).unwrap();
        assert!(at("/run/secrets/ca") < at(&format!("/src/{BUNDLE_NAME}")));
    }

    #[test]
    fn the_same_sources_make_the_same_archive() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("ocr-service")).unwrap();
        std::fs::write(dir.path().join("ocr-service/Dockerfile"), "FROM scratch\n").unwrap();
        assert_eq!(archive(dir.path()).unwrap(), archive(dir.path()).unwrap());
    }
}
