//! cargo-deny: what always can be checked, and advisories where their database answers.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::process::{Cmd, Output};
use crate::tools::{self, Tool};

pub async fn check(host: &Host) -> Result<String> {
    let program = tools::ensure(host, Tool::CargoDeny).await?;
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
