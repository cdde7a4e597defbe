//! Python for measuring: a virtual environment in the cache for each list of pinned packages, made from PyPI.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::error::{Doing, Error, Result};
use crate::host::{Host, write_atomically};
use crate::process::{Cmd, Line};

/// What the peers are made of.
pub const PEERS: List =
    List { of: "the peers", packages: include_str!("../../stack/bench/peers/requirements.txt") };

/// Pinned packages, in pip's form.
#[derive(Debug, Clone, Copy)]
pub struct List {
    /// Whom they are for, in words.
    pub of: &'static str,
    pub packages: &'static str,
}

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

pub fn environment(host: &Host, list: List) -> Environment {
    of_list(&host.cache, list.packages)
}

/// Another list is another folder: two checkouts do not take each other's packages away.
fn of_list(cache: &Path, requirements: &str) -> Environment {
    let hash = hex::encode(Sha256::digest(requirements.as_bytes()));
    Environment(cache.join(format!("bench/python-{}", &hash[..12])))
}

/// The environment's Python, made where it is not there yet. Needs Debian's python3-venv.
pub async fn ensure(host: &Host, list: List) -> Result<PathBuf> {
    let environment = environment(host, list);
    if environment.is_complete() {
        return Ok(environment.python());
    }
    let what = format!("the Python packages of {}", list.of);
    if !host.may_install {
        let hint = "run it without --no-install, or measure only what needs no Python";
        return Err(Error::machine(format!("{what} are not installed"), hint));
    }
    let folder = &environment.0;
    host.events.note(format!("installing {what} from PyPI into {}", folder.display()));
    let step = host.events.step("python", format!("installing {what}"), Some(Duration::from_mins(2)));
    // One that was broken off is made anew.
    let make = Cmd::new("python3").args(["-m", "venv", "--clear"]).arg(folder);
    host.processes.run(&make).await?;
    let file = folder.join("requirements.txt");
    std::fs::write(&file, list.packages).doing(format!("writing {}", file.display()))?;
    // Wheels alone: nothing of PyPI is compiled here.
    let install = Cmd::new(environment.python())
        .args(["-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"])
        .arg("--requirement")
        .arg(&file)
        .deadline(Duration::from_mins(15));
    host.processes.run_with(&install, &mut |line: Line<'_>| step.message(first_words(line.text()))).await?;
    write_atomically(&environment.mark(), b"")?;
    step.done();
    Ok(environment.python())
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

    #[test]
    fn another_list_is_another_environment() {
        let cache = Path::new("/cache");
        assert_eq!(of_list(cache, "flask==3.1.3"), of_list(cache, "flask==3.1.3"));
        assert_ne!(of_list(cache, "flask==3.1.3"), of_list(cache, "flask==3.1.4"));
    }

    #[test]
    fn an_environment_that_was_broken_off_is_not_complete() {
        let cache = tempfile::tempdir().unwrap();
        let environment = of_list(cache.path(), PEERS.packages);
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
        let packages = PEERS.packages.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let loose: Vec<_> = packages.filter(|line| line.split_once("==").is_none()).collect();
        assert!(loose.is_empty(), "{loose:?}");
    }
}
