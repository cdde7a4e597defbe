//! Python environments: packages from PyPI, each pinned, in a folder of the cache.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::error::{Doing, Error, Result};
use crate::host::{Host, write_atomically};
use crate::process::{Cmd, Line};

/// The Python of an environment with exactly `requirements`, made where it is not there yet; `name` says what for.
pub async fn ensure_python(host: &Host, name: &str, requirements: &str) -> Result<PathBuf> {
    let folder = folder(&host.cache, name, requirements);
    let python = folder.join("bin/python");
    // Written when all is installed: an environment that was broken off half-way has none.
    let complete = folder.join("complete");
    if complete.is_file() {
        return Ok(python);
    }
    let find = |names: &[&str]| names.iter().find_map(|name| host.processes.find(name));
    let (Some(base), Some(pip), true) = (find(&["python3"]), find(&["pip3", "pip"]), host.may_install) else {
        return Err(Error::machine(
            format!("the Python packages for {name} are not installed"),
            "install python3 and python3-pip, and run it without --no-install",
        ));
    };
    host.events.note(format!("installing Python packages for {name} from PyPI into {}", folder.display()));
    let step = host.events.step(
        format!("python-{name}"),
        format!("installing Python packages for {name}"),
        Some(Duration::from_secs(30)),
    );
    // The machine's pip fills it: Debian's Python makes none of its own without a further package.
    let make = Cmd::new(base).args(["-m", "venv", "--clear", "--without-pip"]).arg(&folder);
    host.processes.run(&make).await?;
    let list = folder.join("requirements.txt");
    std::fs::write(&list, requirements).doing(format!("writing {}", list.display()))?;
    let install = Cmd::new(pip)
        .arg("--python")
        .arg(&python)
        // Wheels alone: nothing is compiled here, and nothing of what is used once is compiled to bytecode.
        .args(["install", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"])
        .args(["--no-compile", "--requirement"])
        .arg(&list)
        .deadline(Duration::from_mins(10));
    host.processes.run_with(&install, &mut |line: Line<'_>| step.message(line.text())).await?;
    write_atomically(&complete, b"")?;
    step.done();
    Ok(python)
}

/// Another list is another folder: two checkouts do not take each other's packages away.
fn folder(cache: &Path, name: &str, requirements: &str) -> PathBuf {
    let hash = hex::encode(Sha256::digest(requirements.as_bytes()));
    cache.join("python").join(format!("{name}-{}", &hash[..12]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_list_is_another_environment() {
        let cache = Path::new("/cache");
        assert_eq!(folder(cache, "clients", "a==1"), folder(cache, "clients", "a==1"));
        assert_ne!(folder(cache, "clients", "a==1"), folder(cache, "clients", "a==2"));
    }
}
