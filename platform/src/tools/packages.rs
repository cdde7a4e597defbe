//! Debian packages: which are missing, and their installation where that is allowed.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::host::{Host, Privilege};
use crate::process::{Cmd, Line};

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

async fn install(
    privilege: Privilege,
    host: &Host,
    names: &[String],
    step: &crate::event::Step,
) -> Result<()> {
    let wrap = |program: &str| privilege.wrap(program).unwrap_or_else(|| Cmd::new(program));
    // A run that was killed while dpkg worked leaves it half configured; every install would fail after that.
    host.processes
        .run(&wrap("dpkg").args(["--configure", "-a"]).env("DEBIAN_FRONTEND", "noninteractive"))
        .await?;
    let apt = |args: &[&str]| {
        wrap("apt-get")
            .args(["-q", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"])
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .deadline(Duration::from_mins(15))
    };
    let mut show = |line: Line<'_>| step.message(line.text());
    host.processes.run_with(&apt(&["update"]), &mut show).await?;
    let install = apt(&["install", "-y", "--no-install-recommends"]).args(names);
    host.processes.run_with(&install, &mut show).await?;
    Ok(())
}
