//! Debian packages: which are missing, and their installation where that is allowed.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::host::{Host, Privilege};
use crate::process::{Cmd, Line, ProcessError};

/// How long another installation is waited for.
const UNLOCKED_WITHIN: Duration = Duration::from_mins(5);
const LOCK_POLL: Duration = Duration::from_secs(2);

/// Those of `wanted` that are not installed. On a machine without dpkg: all of them.
pub async fn missing_packages(host: &Host, wanted: &[&str]) -> Result<Vec<String>> {
    let all = || wanted.iter().map(ToString::to_string).collect();
    if host.processes.find("dpkg-query").is_none() {
        return Ok(all());
    }
    let query = Cmd::new("dpkg-query").args(["-W", "-f", "${Package} ${db:Status-Status}\n"]).args(wanted);
    // It exits with 1 when one of the names is unknown to it, and still lists the others.
    let listed = host.processes.output(&query).await?.stdout_text();
    Ok(wanted
        .iter()
        .filter(|name| !listed.lines().any(|line| line == format!("{name} installed")))
        .map(ToString::to_string)
        .collect())
}

/// Installs what is missing of `wanted`, telling so first; `why` names what they are for.
pub async fn ensure_packages(host: &Host, wanted: &[&str], why: &str) -> Result<()> {
    let missing = missing_packages(host, wanted).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!("sudo apt-get update && sudo apt-get install -y {}", missing.join(" "));
    let lacks = || {
        Error::machine(
            format!("{why} needs packages that are missing: {}", missing.join(" ")),
            format!("run: {by_hand}"),
        )
    };
    if host.processes.find("apt-get").is_none() {
        return Err(Error::machine(
            format!("{why} needs programs that are missing: {}", missing.join(" ")),
            "install them; Platen installs them by itself on Debian and Ubuntu only",
        ));
    }
    let privilege = host.privilege().await;
    if !host.may_install || privilege == Privilege::None {
        return Err(lacks());
    }
    host.events.note(format!("installing Debian packages for {why}: {}", missing.join(" ")));
    let step = host.events.step(
        "packages",
        format!("installing {}", missing.join(", ")),
        Some(Duration::from_secs(40)),
    );
    install(privilege, host, &missing, &step).await?;
    step.done();
    Ok(())
}

/// Reads the lists of packages anew, where that is allowed.
pub(super) async fn refresh(host: &Host) -> Result<()> {
    let Some(apt) = host.privilege().await.wrap("apt-get").filter(|_| host.may_install) else {
        return Err(Error::machine(
            "the lists of Debian packages may not be renewed",
            "run: sudo apt-get update",
        ));
    };
    let step = host.events.step("packages", "reading the lists of packages", Some(Duration::from_secs(10)));
    unlocked(host, &apt.args(["-q", "update"]).deadline(Duration::from_mins(5)), &step).await?;
    step.done();
    Ok(())
}

async fn install(
    privilege: Privilege,
    host: &Host,
    names: &[String],
    step: &crate::event::Step,
) -> Result<()> {
    let wrap = |program: &str| privilege.wrap(program).unwrap_or_else(|| Cmd::new(program));
    // A run that was killed while dpkg worked leaves it half configured; every install would fail after that.
    let configure = wrap("dpkg").args(["--configure", "-a"]).env("DEBIAN_FRONTEND", "noninteractive");
    unlocked(host, &configure, step).await?;
    let apt = |args: &[&str]| {
        wrap("apt-get")
            .args(["-q", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"])
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .deadline(Duration::from_mins(15))
    };
    unlocked(host, &apt(&["update"]), step).await?;
    unlocked(host, &apt(&["install", "-y", "--no-install-recommends"]).args(names), step).await
}

/// Runs it to the end. While another program installs packages, it is tried again: apt itself waits for one of its
/// locks only, dpkg for none.
async fn unlocked(host: &Host, cmd: &Cmd, step: &crate::event::Step) -> Result<()> {
    let begun = tokio::time::Instant::now();
    loop {
        let ran = host.processes.run_with(cmd, &mut |line: Line<'_>| step.message(line.text())).await;
        match ran {
            Err(ProcessError::Failed { complaint, .. })
                if is_locked(&complaint) && begun.elapsed() < UNLOCKED_WITHIN =>
            {
                step.message("another program is installing packages: waiting for it");
                tokio::time::sleep(LOCK_POLL).await;
            }
            ran => return Ok(ran.map(drop)?),
        }
    }
}

/// apt's and dpkg's words for it.
fn is_locked(complaint: &str) -> bool {
    ["Could not get lock", "is locked by another process", "lock was locked by another process"]
        .iter()
        .any(|words| complaint.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::scripted::{Expect, scripted};

    fn host(script: impl IntoIterator<Item = Expect>) -> Host {
        Host { processes: scripted(&[], script), may_install: true, ..Host::bare("/p") }
    }

    async fn update(host: &Host) -> Result<()> {
        let step = host.events.step("packages", "installing", None);
        unlocked(host, &Cmd::new("apt-get").arg("update"), &step).await
    }

    #[tokio::test(start_paused = true)]
    async fn another_installation_is_waited_for() {
        let locked = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)";
        let script =
            [Expect::new("apt-get update").fails(100, locked), Expect::new("apt-get update").stdout("ok")];
        update(&host(script)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn another_failure_is_told_at_once() {
        let script = [Expect::new("apt-get update").fails(100, "E: Unable to locate package x")];
        assert!(update(&host(script)).await.is_err());
    }
}
