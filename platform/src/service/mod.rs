//! The OCR service's sources: their content hash, and the binary that the embedded provider runs.

mod binary;
mod serve;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Doing, Result};

pub use binary::{PACKAGES, binary_path, build_binary};
pub(crate) use binary::{cargo_build, executable, without_cargo_env};
pub use serve::serve;

/// Everything that the service's binary and image are made from, relative to the project's root.
const SOURCES: [&str; 5] =
    ["Cargo.toml", "Cargo.lock", ".dockerignore", "rust-toolchain.toml", "ocr-service"];
/// What below them has no part in the result.
const IGNORED: [&str; 3] = ["tests", "benches", "examples"];

/// Also what editors and shells leave beside the sources, as `.env` and swap files: it must not get into an image.
fn is_ignored(entry: &walkdir::DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    let is_leftover = name.starts_with('.') || name.ends_with('~');
    entry.depth() > 0 && (is_leftover || IGNORED.contains(&&*name))
}

/// The files that the service is built from, sorted, relative to `root`.
pub fn source_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for source in SOURCES {
        let walk = walkdir::WalkDir::new(root.join(source)).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(|entry| !is_ignored(entry)) {
            match entry {
                Ok(entry) if entry.file_type().is_file() => {
                    files.push(entry.path().strip_prefix(root).unwrap_or(entry.path()).to_owned());
                }
                Ok(_) => {}
                // An optional file that is not there.
                Err(error) if error.depth() == 0 => {}
                Err(error) => return Err(std::io::Error::from(error)).doing("reading the service's sources"),
            }
        }
    }
    Ok(files)
}

/// Twelve hexadecimal digits that change with any source of the service.
pub fn inputs_hash(root: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for file in source_files(root)? {
        let bytes = std::fs::read(root.join(&file)).doing(format!("reading {}", file.display()))?;
        hash.update(file.to_string_lossy().as_bytes());
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(&bytes);
    }
    Ok(hex::encode(hash.finalize())[..12].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("ocr-service/src")).unwrap();
        std::fs::create_dir_all(dir.path().join("ocr-service/tests")).unwrap();
        std::fs::write(dir.path().join("Cargo.toml"), "[workspace]").unwrap();
        std::fs::write(dir.path().join("ocr-service/src/main.rs"), "fn main() {}").unwrap();
        dir
    }

    #[test]
    fn the_hash_changes_with_a_source() {
        let dir = project();
        let before = inputs_hash(dir.path()).unwrap();
        std::fs::write(dir.path().join("ocr-service/src/main.rs"), "fn main() { }").unwrap();
        assert_ne!(inputs_hash(dir.path()).unwrap(), before);
    }

    #[test]
    fn the_hash_does_not_change_with_a_test() {
        let dir = project();
        let before = inputs_hash(dir.path()).unwrap();
        std::fs::write(dir.path().join("ocr-service/tests/new.rs"), "").unwrap();
        assert_eq!(inputs_hash(dir.path()).unwrap(), before);
    }

    #[test]
    fn what_editors_leave_beside_a_source_is_none() {
        let dir = project();
        let before = source_files(dir.path()).unwrap();
        for left in [".env", "src/.main.rs.swp", "src/main.rs~"] {
            std::fs::write(dir.path().join("ocr-service").join(left), "PASSWORD=hunter2").unwrap();
        }
        assert_eq!(source_files(dir.path()).unwrap(), before);
    }

    /// Of this very checkout: Docker and `cargo xtask build` are to make the image of the same files.
    #[test]
    fn what_dockerignore_admits_is_what_the_image_is_made_of() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let text = std::fs::read_to_string(root.join(".dockerignore")).unwrap();
        let admitted: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix('!')).collect();
        let files = source_files(root).unwrap();
        assert!(text.ends_with("\n**/.*\n**/*~\n"), "what is no source goes out again, last: {text}");
        // Docker hands these over by itself.
        let by_itself = ["ocr-service/Dockerfile", ".dockerignore"].map(Path::new);
        for file in files.iter().filter(|file| !by_itself.contains(&file.as_path())) {
            assert!(admitted.iter().any(|path| file.starts_with(path)), "{}", file.display());
        }
        // The bundle is the machine's own, and no source.
        for path in admitted.into_iter().filter(|path| *path != "ca-certificates.crt") {
            assert!(files.iter().any(|file| file.starts_with(path)), "{path}");
        }
    }
}
