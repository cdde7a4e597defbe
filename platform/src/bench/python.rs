//! The peers' Python: a virtual environment in the cache, made from PyPI by its list of pinned packages.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::error::{Doing, Error, Result};
use crate::host::{Host, write_atomically};
use crate::process::{Cmd, Line};

const REQUIREMENTS: &str = include_str!("../../stack/bench/peers/requirements.txt");

/// Where the peers' scripts are, from the project's root.
pub const SCRIPTS: &str = "platform/stack/bench/peers";

/// A virtual environment for one list of packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment(PathBuf);

impl Environment {
    pub fn python(&self) -> PathBuf {
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

pub fn environment(host: &Host) -> Environment {
    of_list(&host.cache, REQUIREMENTS)
}

/// Another list is another folder: two checkouts do not take each other's packages away.
fn of_list(cache: &Path, requirements: &str) -> Environment {
    let hash = hex::encode(Sha256::digest(requirements.as_bytes()));
    Environment(cache.join(format!("bench/python-{}", &hash[..12])))
}

/// The environment's Python, made where it is not there yet.
pub async fn ensure(host: &Host) -> Result<PathBuf> {
    let environment = environment(host);
    if environment.is_complete() {
        return Ok(environment.python());
    }
    if !host.may_install {
        return Err(Error::machine(
            "the peers' Python packages are not installed",
            "run it without --no-install, or measure without them: --only bare --only platen --only platen-plain",
        ));
    }
    let folder = &environment.0;
    host.events.note(format!("installing the peers' Python packages from PyPI into {}", folder.display()));
    let title = "installing the peers' Python packages";
    let step = host.events.step("python", title, Some(Duration::from_mins(2)));
    let make = Cmd::new("python3").args(["-m", "venv", "--clear"]).arg(folder);
    host.processes.run(&make).await?;
    let list = folder.join("requirements.txt");
    std::fs::write(&list, REQUIREMENTS).doing(format!("writing {}", list.display()))?;
    // Wheels alone: nothing of PyPI is compiled here.
    let install = Cmd::new(environment.python())
        .args(["-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"])
        .arg("--requirement")
        .arg(&list)
        .deadline(Duration::from_mins(15));
    host.processes.run_with(&install, &mut |line: Line<'_>| step.message(line.text())).await?;
    write_atomically(&environment.mark(), b"")?;
    step.done();
    Ok(environment.python())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_list_is_another_environment() {
        let cache = Path::new("/cache");
        assert_eq!(of_list(cache, "flask==3.1.3"), of_list(cache, "flask==3.1.3"));
        assert_ne!(of_list(cache, "flask==3.1.3"), of_list(cache, "flask==3.1.4"));
    }

    #[test]
    fn an_environment_that_was_broken_off_is_not_complete() {
        let cache = tempfile::tempdir().unwrap();
        let environment = of_list(cache.path(), REQUIREMENTS);
        std::fs::create_dir_all(environment.python()).unwrap();
        assert!(!environment.is_complete());
        std::fs::write(environment.mark(), "").unwrap();
        assert!(environment.is_complete());
    }

    #[test]
    fn every_package_is_pinned() {
        let packages = REQUIREMENTS.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let loose: Vec<_> = packages.filter(|line| line.split_once("==").is_none()).collect();
        assert!(loose.is_empty(), "{loose:?}");
    }
}
