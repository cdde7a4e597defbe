//! Images as archives that both `docker load` and containerd's import read, written without a container engine. Each
//! image has one layer: containerd can then unpack it while it runs inside a container itself.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::error::{Doing, Result};

/// Something in a layer; paths are relative to the root.
#[derive(Debug, Clone)]
pub enum Entry {
    Dir { path: String, mode: u32 },
    Text { path: String, content: String, mode: u32 },
    Copy { path: String, from: PathBuf, mode: u32 },
    Link { path: String, target: String },
}

impl Entry {
    pub fn path(&self) -> &str {
        match self {
            Self::Dir { path, .. }
            | Self::Text { path, .. }
            | Self::Copy { path, .. }
            | Self::Link { path, .. } => path,
        }
    }

    pub fn dir(path: impl Into<String>) -> Self {
        Self::Dir { path: path.into(), mode: 0o755 }
    }

    pub fn text(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self::Text { path: path.into(), content: content.into(), mode: 0o644 }
    }

    pub fn program(path: impl Into<String>, from: impl Into<PathBuf>) -> Self {
        Self::Copy { path: path.into(), from: from.into(), mode: 0o755 }
    }

    pub fn link(path: impl Into<String>, target: impl Into<String>) -> Self {
        Self::Link { path: path.into(), target: target.into() }
    }
}

/// One image: an optional tar to begin with, and what is put on top of it in the same layer.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// With its tag.
    pub reference: String,
    pub below: Option<PathBuf>,
    pub entries: Vec<Entry>,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    /// `NAME=value`, beside PATH.
    pub env: Vec<String>,
    /// Number of the user; empty: root.
    pub user: String,
    pub working_dir: String,
}

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Writes one archive with all the images.
pub fn write(archive: &Path, arch: &str, images: &[Image]) -> Result<()> {
    let doing = format!("writing {}", archive.display());
    write_images(archive, arch, images).doing(doing)
}

fn write_images(archive: &Path, arch: &str, images: &[Image]) -> std::io::Result<()> {
    let scratch = tempfile::tempdir_in(archive.parent().unwrap_or(Path::new(".")))?;
    let mut out = tar::Builder::new(BufWriter::new(File::create(archive)?));
    let mut manifest = Vec::new();
    for image in images {
        let layer = scratch.path().join("layer.tar");
        let digest = write_layer(&layer, image)?;
        let config = serde_json::to_vec(&image_config(arch, image, &digest))?;
        let config_name = format!("{}.json", hex::encode(Sha256::digest(&config)));
        let layer_name = format!("{digest}.tar");
        append_bytes(&mut out, &config_name, &config, 0o644)?;
        append_file(&mut out, &layer_name, &layer, 0o644)?;
        manifest.push(json!({"Config": config_name, "RepoTags": [image.reference], "Layers": [layer_name]}));
    }
    append_bytes(&mut out, "manifest.json", &serde_json::to_vec(&manifest)?, 0o644)?;
    out.into_inner()?.flush()
}

/// The configuration of an image with this one layer, by the layer's SHA-256.
pub fn image_config(arch: &str, image: &Image, layer: &str) -> serde_json::Value {
    let env: Vec<&str> = std::iter::once(PATH).chain(image.env.iter().map(String::as_str)).collect();
    json!({
        "architecture": arch,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Env": env, "Entrypoint": image.entrypoint, "Cmd": image.cmd,
            "User": image.user, "WorkingDir": image.working_dir,
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "platen"}],
    })
}

/// Writes the layer and returns its SHA-256.
pub fn write_layer(path: &Path, image: &Image) -> std::io::Result<String> {
    let hashing = Hashing { hash: Sha256::new(), inner: File::create(path)? };
    let mut layer = tar::Builder::new(BufWriter::with_capacity(1 << 20, hashing));
    if let Some(below) = &image.below {
        let mut source = tar::Archive::new(std::io::BufReader::with_capacity(1 << 20, File::open(below)?));
        // What is put on top takes the place of what was there: Docker refuses a layer with a path twice.
        let on_top: BTreeSet<&str> = image.entries.iter().map(|entry| plain(entry.path())).collect();
        for entry in source.entries()?.raw(true) {
            let mut entry = entry?;
            let header = entry.header().clone();
            if !header.path().is_ok_and(|path| on_top.contains(plain(&path.to_string_lossy()))) {
                layer.append(&header, &mut entry)?;
            }
        }
    }
    append_entries(&mut layer, &image.entries)?;
    let hashing = layer.into_inner()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    Ok(hex::encode(hashing.hash.finalize()))
}

/// A path of a tar without what only says where it begins and that it is a folder.
fn plain(path: &str) -> &str {
    path.trim_start_matches("./").trim_end_matches('/')
}

/// Adds the entries to a tar, owned by root and with no time of their own, so that the same input gives the same bytes.
pub fn append_entries<W: Write>(tar: &mut tar::Builder<W>, entries: &[Entry]) -> std::io::Result<()> {
    for entry in entries {
        match entry {
            Entry::Dir { path, mode } => {
                let mut header = header(tar::EntryType::Directory, 0, *mode);
                tar.append_data(&mut header, format!("{path}/"), std::io::empty())?;
            }
            Entry::Text { path, content, mode } => append_bytes(tar, path, content.as_bytes(), *mode)?,
            Entry::Copy { path, from, mode } => append_file(tar, path, from, *mode)?,
            Entry::Link { path, target } => {
                let mut header = header(tar::EntryType::Symlink, 0, 0o777);
                tar.append_link(&mut header, path, target)?;
            }
        }
    }
    Ok(())
}

fn append_bytes<W: Write>(
    tar: &mut tar::Builder<W>,
    path: &str,
    bytes: &[u8],
    mode: u32,
) -> std::io::Result<()> {
    let mut header = header(tar::EntryType::Regular, bytes.len() as u64, mode);
    tar.append_data(&mut header, path, bytes)
}

fn append_file<W: Write>(
    tar: &mut tar::Builder<W>,
    path: &str,
    from: &Path,
    mode: u32,
) -> std::io::Result<()> {
    let file = File::open(from)?;
    let mut header = header(tar::EntryType::Regular, file.metadata()?.len(), mode);
    tar.append_data(&mut header, path, file)
}

fn header(kind: tar::EntryType, size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

struct Hashing<W> {
    hash: Sha256,
    inner: W,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use super::*;

    fn image(reference: &str, below: Option<PathBuf>) -> Image {
        Image {
            reference: reference.into(),
            below,
            entries: vec![
                Entry::dir("usr/bin"),
                Entry::text("etc/passwd", "root:x:0:0:root:/:\n"),
                Entry::link("bin", "usr/bin"),
            ],
            entrypoint: vec!["/usr/bin/pause".into()],
            ..Image::default()
        }
    }

    fn members(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(bytes);
        let mut members = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            members.insert(entry.path().unwrap().display().to_string(), content);
        }
        members
    }

    #[test]
    fn an_archive_names_its_images_and_the_digest_of_each_layer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("images.tar");
        write(&path, "amd64", &[image("registry.k8s.io/pause:3.10", None)]).unwrap();
        let members = members(&std::fs::read(&path).unwrap());
        let manifest: serde_json::Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "registry.k8s.io/pause:3.10");
        let layer = &members[manifest[0]["Layers"][0].as_str().unwrap()];
        let config: serde_json::Value =
            serde_json::from_slice(&members[manifest[0]["Config"].as_str().unwrap()]).unwrap();
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(layer)));
        assert_eq!(config["rootfs"]["diff_ids"][0], digest);
        assert_eq!(config["config"]["Entrypoint"][0], "/usr/bin/pause");
    }

    #[test]
    fn what_is_put_on_top_of_a_tar_is_in_the_same_layer() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("below.tar");
        let mut tar = tar::Builder::new(File::create(&below).unwrap());
        let long = format!("usr/share/{}/file", "long-name-".repeat(20));
        append_entries(&mut tar, &[Entry::text(long.clone(), "below")]).unwrap();
        tar.into_inner().unwrap();
        let layer = dir.path().join("layer.tar");
        write_layer(&layer, &image("a:b", Some(below))).unwrap();
        let members = members(&std::fs::read(&layer).unwrap());
        assert_eq!(members[&long], b"below");
        assert!(members.contains_key("etc/passwd") && members.contains_key("bin"));
    }

    #[test]
    fn what_is_put_on_top_takes_the_place_of_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("below.tar");
        let mut tar = tar::Builder::new(File::create(&below).unwrap());
        let kept = Entry::text("./etc/hostname", "kept");
        append_entries(&mut tar, &[Entry::dir("./usr/bin"), Entry::text("./etc/passwd", "below"), kept])
            .unwrap();
        tar.into_inner().unwrap();
        let layer = dir.path().join("layer.tar");
        write_layer(&layer, &image("a:b", Some(below))).unwrap();
        let mut seen = BTreeSet::new();
        for entry in tar::Archive::new(File::open(&layer).unwrap()).entries().unwrap() {
            let path = entry.unwrap().path().unwrap().display().to_string();
            assert!(seen.insert(plain(&path).to_owned()), "{path} is there twice");
        }
        assert!(seen.contains("etc/hostname") && seen.contains("usr/bin"), "{seen:?}");
    }

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let write_to = |name: &str| {
            let path = dir.path().join(name);
            write(&path, "amd64", &[image("a:b", None)]).unwrap();
            std::fs::read(path).unwrap()
        };
        assert_eq!(write_to("one.tar"), write_to("two.tar"));
    }
}
