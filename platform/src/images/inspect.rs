//! What is inside an image of one platform: its size, the processor its program is for, and whether every library that it
//! needs is there. Kept by the manifest's digest, for the same image is asked about again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use object::elf;
use object::read::elf::{ElfFile64, FileHeader};
use object::{Endianness, FileKind};
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error, Result};
use crate::host::{Host, write_atomically};
use crate::registry::{Manifest, Platform, Reference, Registries};

/// The image's one program.
const PROGRAM: &str = "ocr-service";
/// Of what is kept: what was found by another look than today's is looked at again.
const LOOK: u32 = 2;
/// A list that the Dockerfile leaves: a Debian package a line, as name, version and architecture.
const DEBIAN_PACKAGES: &str = "usr/share/platen/debian-packages";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// Bytes of all files.
    pub unpacked: u64,
    /// ELF's machine of the program, as OCI names the architecture.
    pub architecture: Option<String>,
    /// Shared libraries in the image, by file name, with their SHA-256.
    pub libraries: BTreeMap<String, String>,
    /// What the program or a library needs and is not there for the program's processor.
    pub missing: Vec<String>,
    /// Name, version, architecture.
    pub debian: Vec<(String, String, String)>,
}

/// An [`Inspection`] in the cache.
#[derive(Serialize, Deserialize)]
struct Kept {
    look: u32,
    found: Inspection,
}

impl Kept {
    fn read(path: &Path) -> Option<Inspection> {
        let kept: Self = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        (kept.look == LOOK).then_some(kept.found)
    }
}

impl Inspection {
    /// Whether the program could start on this platform, as far as reading it can tell.
    pub fn check(&self, platform: &Platform) -> Result<()> {
        let wrong = match &self.architecture {
            None => Some(format!("it holds no /{PROGRAM}")),
            Some(found) if *found != platform.architecture => Some(format!("its /{PROGRAM} is for {found}")),
            Some(_) if !self.missing.is_empty() => {
                Some(format!("these libraries are needed and not in it: {}", self.missing.join(", ")))
            }
            Some(_) => None,
        };
        match wrong {
            None => Ok(()),
            Some(why) => Err(Error::unhealthy(
                format!("the image for {platform} cannot run: {why}"),
                "nothing was pushed; mend ocr-service/Dockerfile or ocr-service/image, then build again",
            )),
        }
    }
}

/// Looks into the layers, or into what was kept of an earlier look.
pub async fn inspect(
    host: &Host,
    registries: &Registries,
    repository: &Reference,
    manifest: &Manifest,
) -> Result<Inspection> {
    let kept =
        host.cache.join("images").join(format!("{}.json", manifest.digest.trim_start_matches("sha256:")));
    if let Some(found) = Kept::read(&kept) {
        return Ok(found);
    }
    let mut layers = Vec::new();
    for layer in manifest.image().map(|image| image.layers.as_slice()).unwrap_or_default() {
        layers.push(registries.blob(repository, layer).await?);
    }
    let looked = tokio::task::spawn_blocking(move || look(&layers)).await;
    let found = looked.map_err(|error| Error::malformed("the image's layers", error, ""))??;
    let to_keep = Kept { look: LOOK, found };
    let bytes =
        serde_json::to_vec(&to_keep).map_err(|error| Error::malformed("what was found", error, ""))?;
    write_atomically(&kept, &bytes)?;
    Ok(to_keep.found)
}

fn look(layers: &[Vec<u8>]) -> Result<Inspection> {
    let mut found = Inspection {
        unpacked: 0,
        architecture: None,
        libraries: BTreeMap::new(),
        missing: Vec::new(),
        debian: Vec::new(),
    };
    let (mut needed, mut machines) = (BTreeSet::new(), BTreeMap::<String, Vec<_>>::new());
    for layer in layers {
        let doing = "reading a layer of the image";
        let mut archive = tar::Archive::new(GzDecoder::new(layer.as_slice()));
        for entry in archive.entries().doing(doing)? {
            let mut entry = entry.doing(doing)?;
            found.unpacked += entry.size();
            let path = entry.path().doing(doing)?.to_string_lossy().trim_start_matches("./").to_owned();
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            if path == DEBIAN_PACKAGES {
                let mut text = String::new();
                entry.read_to_string(&mut text).doing(doing)?;
                found.debian = text.lines().filter_map(package).collect();
            } else if path == PROGRAM || name.contains(".so") {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).doing(doing)?;
                needed.extend(needs(&bytes));
                if path == PROGRAM {
                    found.architecture = machine(&bytes);
                } else {
                    machines.entry(name.clone()).or_default().push(machine(&bytes));
                    found.libraries.insert(name, crate::registry::digest_of(&bytes));
                }
            }
        }
    }
    let lacks = |name: String| missing(name, &machines, found.architecture.as_deref());
    found.missing = needed.into_iter().filter_map(lacks).collect();
    Ok(found)
}

/// What is missing of a library that is needed; `machines`: what each of this name is for, unknown where it is a link.
fn missing(
    name: String,
    machines: &BTreeMap<String, Vec<Option<String>>>,
    program: Option<&str>,
) -> Option<String> {
    let Some(there) = machines.get(&name) else { return Some(name) };
    let fits =
        |machine: &Option<String>| machine.as_deref().is_none_or(|it| program.is_none_or(|own| it == own));
    if there.iter().any(fits) {
        return None;
    }
    let others: BTreeSet<&str> = there.iter().flatten().map(String::as_str).collect();
    Some(format!("{name} (only for {})", others.into_iter().collect::<Vec<_>>().join(", ")))
}

fn package(line: &str) -> Option<(String, String, String)> {
    let mut words = line.split_whitespace().map(str::to_owned);
    Some((words.next()?, words.next()?, words.next()?))
}

fn parsed(bytes: &[u8]) -> Option<ElfFile64<'_, Endianness>> {
    matches!(FileKind::parse(bytes), Ok(FileKind::Elf64)).then(|| ElfFile64::parse(bytes).ok()).flatten()
}

/// The processor that an ELF file is for, as OCI names it.
fn machine(bytes: &[u8]) -> Option<String> {
    let file = parsed(bytes)?;
    Some(match file.elf_header().e_machine(file.endian()) {
        elf::EM_X86_64 => "amd64".into(),
        elf::EM_AARCH64 => "arm64".into(),
        other => format!("ELF machine {other}"),
    })
}

/// The libraries that an ELF file names as needed.
fn needs(bytes: &[u8]) -> Vec<String> {
    let Some(file) = parsed(bytes) else { return Vec::new() };
    let (endian, sections) = (file.endian(), file.elf_section_table());
    let Ok(Some((entries, link))) = sections.dynamic(endian, bytes) else { return Vec::new() };
    let strings = sections.strings(endian, bytes, link).unwrap_or_default();
    let needed = entries.iter().filter(|entry| entry.d_tag.get(endian) == elf::DT_NEEDED);
    let name = |offset: u64| strings.get(u32::try_from(offset).ok()?).ok();
    needed
        .filter_map(|entry| name(entry.d_val.get(endian)))
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn layer(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, path, *bytes).unwrap();
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&tar.into_inner().unwrap()).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn the_program_of_an_image_tells_its_processor_and_the_libraries_that_are_missing() {
        // This test's own program is an ELF file with libraries.
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let found =
            look(&[layer(&[("ocr-service", &own), ("lib/x/libm.so.6", b"not read as ELF")])]).unwrap();
        let platform = super::super::own_platform();
        assert_eq!(found.architecture.as_deref(), Some(platform.architecture.as_str()));
        assert!(found.missing.contains(&"libc.so.6".to_owned()), "{:?}", found.missing);
        assert!(!found.missing.contains(&"libm.so.6".to_owned()), "{:?}", found.missing);
        let error = found.check(&platform).unwrap_err().to_string();
        assert!(error.contains("libc.so.6"), "{error}");
        assert!(found.check(&Platform::linux("riscv64")).unwrap_err().to_string().contains("is for"));
    }

    #[test]
    fn a_library_for_another_processor_is_missing_and_a_link_is_taken_for_what_it_may_be() {
        let (arm, amd) = (Some("arm64".to_owned()), Some("amd64".to_owned()));
        let machines = BTreeMap::from([
            ("libc.so.6".to_owned(), vec![arm.clone()]),
            ("libz.so.1".to_owned(), vec![arm, amd]),
            ("libm.so.6".to_owned(), vec![None]),
        ]);
        let lacks = |name: &str| missing(name.into(), &machines, Some("amd64"));
        assert_eq!(lacks("libc.so.6").unwrap(), "libc.so.6 (only for arm64)");
        assert_eq!((lacks("libz.so.1"), lacks("libm.so.6")), (None, None));
        assert_eq!(lacks("libx.so.0").unwrap(), "libx.so.0");
    }

    #[test]
    fn what_an_older_look_found_is_looked_at_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kept.json");
        let found = look(&[layer(&[("etc/passwd", b"root")])]).unwrap();
        std::fs::write(&path, serde_json::to_vec(&found).unwrap()).unwrap();
        assert_eq!(Kept::read(&path), None, "as it was kept before it had a number");
        let of = |look: u32| serde_json::to_vec(&Kept { look, found: found.clone() }).unwrap();
        std::fs::write(&path, of(LOOK - 1)).unwrap();
        assert_eq!(Kept::read(&path), None);
        std::fs::write(&path, of(LOOK)).unwrap();
        assert_eq!(Kept::read(&path), Some(found.clone()));
    }

    #[test]
    fn an_image_without_the_program_cannot_run() {
        let found = look(&[layer(&[("etc/passwd", b"root")])]).unwrap();
        assert_eq!(found.unpacked, 4);
        assert!(
            found.check(&Platform::linux("amd64")).unwrap_err().to_string().contains("holds no /ocr-service")
        );
    }
}
