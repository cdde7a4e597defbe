//! Debian packages that carry a program: fetched by apt, which checks them, and opened beside the system. Nothing is
//! installed, so no service of the package is started.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::packages;
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::process::Cmd;

/// A package, and the program's place in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebianPackage {
    pub package: String,
    /// As `usr/bin/prometheus`.
    pub member: PathBuf,
}

/// The program's bytes, of the version that this machine's release of Debian has.
pub async fn fetch(host: &Host, wanted: &DebianPackage) -> Result<Vec<u8>> {
    if ["apt-get", "dpkg-deb"].iter().any(|program| host.processes.find(program).is_none()) {
        return Err(Error::machine("this is no Debian or Ubuntu", "install the program by hand"));
    }
    let dir = tempfile::tempdir().doing("creating a temporary folder")?;
    let download = Cmd::new("apt-get")
        .args(["-q", "-o", "Acquire::Retries=3", "download", &wanted.package])
        .cwd(dir.path())
        .deadline(Duration::from_mins(5));
    if host.processes.run(&download).await.is_err() {
        // A machine that was never asked for a package has no lists of them.
        packages::refresh(host).await?;
        host.processes.run(&download).await?;
    }
    let archive = downloaded(dir.path())?;
    let opened = dir.path().join("opened");
    host.processes.run(&Cmd::new("dpkg-deb").arg("-x").arg(&archive).arg(&opened)).await?;
    let member = opened.join(&wanted.member);
    std::fs::read(&member).doing(format!("reading {} of {}", wanted.member.display(), wanted.package))
}

fn downloaded(dir: &Path) -> Result<PathBuf> {
    std::fs::read_dir(dir)
        .doing("reading what apt downloaded")?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| Error::machine("apt downloaded no package", "try by hand: apt-get download PACKAGE"))
}
