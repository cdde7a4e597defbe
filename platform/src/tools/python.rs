//! Python environments: pinned packages from PyPI, each list of them in a folder of its own in the cache.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::ensure_packages;
use crate::error::{Doing, Error, Result};
use crate::host::{Host, write_atomically};
use crate::process::{Cmd, Line};

/// Pinned packages, in pip's form.
#[derive(Debug, Clone, Copy)]
pub struct PythonPackages {
    /// Whom they are for, in words.
    pub of: &'static str,
    pub list: &'static str,
}

/// A virtual environment for one list of packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PythonEnvironment(PathBuf);

impl PythonEnvironment {
    /// Another list is another folder: two checkouts do not take each other's packages away.
    pub fn of(cache: &Path, packages: PythonPackages) -> Self {
        let hash = hex::encode(Sha256::digest(packages.list.as_bytes()));
        Self(cache.join("python").join(&hash[..12]))
    }

    fn python(&self) -> PathBuf {
        self.0.join("bin/python")
    }

    /// Written when all is installed: an environment that was broken off half-way has none.
    fn mark(&self) -> PathBuf {
        self.0.join("complete")
    }

    pub fn is_complete(&self) -> bool {
        self.mark().is_file()
    }
}

/// The Python of an environment with exactly these packages, made where it is not there yet.
pub async fn ensure_python(host: &Host, packages: PythonPackages) -> Result<PathBuf> {
    let environment = PythonEnvironment::of(&host.cache, packages);
    if environment.is_complete() {
        return Ok(environment.python());
    }
    let what = format!("the Python packages of {}", packages.of);
    if !host.may_install {
        let hint = "run it without --no-install, or leave out what needs them";
        return Err(Error::machine(format!("{what} are not installed"), hint));
    }
    ensure_venv(host).await?;
    let folder = &environment.0;
    host.events.note(format!("installing {what} from PyPI into {}", folder.display()));
    let step = host.events.step("python", format!("installing {what}"), Some(Duration::from_mins(1)));
    // One that was broken off is made anew.
    host.processes.run(&Cmd::new("python3").args(["-m", "venv", "--clear"]).arg(folder)).await?;
    let file = folder.join("requirements.txt");
    std::fs::write(&file, packages.list).doing(format!("writing {}", file.display()))?;
    // Wheels alone: nothing of PyPI is compiled here, and nothing of what is used once is compiled to bytecode.
    let install = Cmd::new(environment.python())
        .args(["-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"])
        .args(["--no-compile", "--requirement"])
        .arg(&file)
        .deadline(Duration::from_mins(15));
    host.processes.run_with(&install, &mut |line: Line<'_>| step.message(first_words(line.text()))).await?;
    write_atomically(&environment.mark(), b"")?;
    step.done();
    Ok(environment.python())
}

/// Debian's Python makes no environments without a further package; others do.
async fn ensure_venv(host: &Host) -> Result<()> {
    if host.processes.find("python3").is_some() {
        let able = Cmd::new("python3").args(["-c", "import ensurepip, venv"]);
        if host.processes.output(&able).await?.code == 0 {
            return Ok(());
        }
    }
    ensure_packages(host, &["python3", "python3-venv"], "Python").await
}

/// pip lists all packages on one line.
fn first_words(line: &str) -> String {
    const LONGEST: usize = 80;
    let short: String = line.chars().take(LONGEST).collect();
    if short.len() < line.len() { short + " …" } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(cache: &Path, list: &'static str) -> PythonEnvironment {
        PythonEnvironment::of(cache, PythonPackages { of: "a test", list })
    }

    #[test]
    fn another_list_is_another_environment() {
        let cache = Path::new("/cache");
        assert_eq!(environment(cache, "flask==3.1.3"), environment(cache, "flask==3.1.3"));
        assert_ne!(environment(cache, "flask==3.1.3"), environment(cache, "flask==3.1.4"));
    }

    #[test]
    fn an_environment_that_was_broken_off_is_not_complete() {
        let cache = tempfile::tempdir().unwrap();
        let environment = environment(cache.path(), "flask==3.1.3");
        std::fs::create_dir_all(environment.python()).unwrap();
        assert!(!environment.is_complete());
        std::fs::write(environment.mark(), "").unwrap();
        assert!(environment.is_complete());
    }

    #[test]
    fn a_long_line_of_pip_is_cut_between_characters() {
        assert_eq!(first_words("Collecting flask"), "Collecting flask");
        assert_eq!(first_words(&"é".repeat(100)).chars().count(), 82);
    }

    #[test]
    fn every_package_is_pinned() {
        let lists = [crate::bench::PEERS, crate::bench::accuracy::GENERATOR, crate::checks::CLIENTS_PACKAGES];
        for packages in lists {
            let lines = packages.list.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
            let loose: Vec<_> = lines.filter(|line| line.split_once("==").is_none()).collect();
            assert!(loose.is_empty(), "{}: {loose:?}", packages.of);
        }
    }
}
