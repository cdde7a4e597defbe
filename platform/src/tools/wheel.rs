//! Python packages that carry a program: fetched by pip, which knows the machine's own index, and opened here.

use std::io::{Cursor, Read};
use std::time::Duration;

use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::process::Cmd;

/// The bytes of a package's wheel for this machine.
pub async fn fetch(host: &Host, package: &str, version: &str) -> Result<Vec<u8>> {
    let pip = ["pip3", "pip"]
        .into_iter()
        .find_map(|name| host.processes.find(name))
        .ok_or_else(|| Error::machine("pip is not on this machine", "install python3-pip"))?;
    let dir = tempfile::tempdir().doing("creating a temporary folder")?;
    let cmd = Cmd::new(pip)
        .args(["download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest"])
        .arg(dir.path())
        .arg(format!("{package}=={version}"));
    host.processes.run(&cmd.deadline(Duration::from_mins(5))).await?;
    let wheel = std::fs::read_dir(dir.path())
        .doing("reading what pip downloaded")?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| Error::machine(format!("pip downloaded no wheel of {package}"), "update pip"))?;
    std::fs::read(&wheel).doing(format!("reading {}", wheel.display()))
}

/// The file whose name ends with the first of `path`, and in that archive the next, and so on. An archive is a zip (as
/// a wheel is) or a gzipped tar.
pub fn member(archive: &[u8], path: &[String]) -> Result<Vec<u8>> {
    let Some((suffix, rest)) = path.split_first() else { return Ok(archive.to_vec()) };
    let malformed = |why: String| {
        Error::malformed("a downloaded package", why, "try again, or install the program by hand")
    };
    let read = if archive.starts_with(&GZIP) { from_tar(archive, suffix) } else { from_zip(archive, suffix) };
    let bytes = read.map_err(|error| malformed(error.to_string()))?;
    member(&bytes.ok_or_else(|| malformed(format!("it holds no {suffix}")))?, rest)
}

/// The first bytes of every gzip stream.
const GZIP: [u8; 2] = [0x1f, 0x8b];

fn from_zip(archive: &[u8], suffix: &str) -> std::io::Result<Option<Vec<u8>>> {
    let mut zip = zip::ZipArchive::new(Cursor::new(archive))?;
    let mut names = zip.file_names().flatten().map(std::borrow::Cow::into_owned);
    let Some(name) = names.find(|name| name.ends_with(suffix)) else { return Ok(None) };
    drop(names);
    let mut bytes = Vec::new();
    zip.by_name(&name)?.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn from_tar(archive: &[u8], suffix: &str) -> std::io::Result<Option<Vec<u8>>> {
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    for entry in tar.entries()? {
        let mut entry = entry?;
        if entry.path()?.to_string_lossy().ends_with(suffix) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn zip_of(name: &str, content: &[u8]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap().into_inner()
    }

    fn tgz_of(name: &str, content: &[u8]) -> Vec<u8> {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content).unwrap();
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn a_program_in_archives_in_a_wheel_is_found() {
        let layer = tgz_of("package/lib/layer.zip", &zip_of("helm/helm", b"program"));
        let wheel = zip_of("aws_cdk/_jsii/kubectl@2.0.1.jsii.tgz", &layer);
        let path = [".jsii.tgz", "lib/layer.zip", "helm/helm"].map(str::to_owned);
        let found = member(&wheel, &path).unwrap();
        assert_eq!(found, b"program");
    }

    #[test]
    fn a_missing_member_is_named() {
        let error = member(&zip_of("a", b""), &["kubectl".into()]).unwrap_err();
        assert!(error.to_string().contains("kubectl"), "{error}");
    }
}
