//! Docker's packages: installed on Debian and Ubuntu, where this process may.

use std::path::Path;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::tools;

/// `iptables` is only recommended by Docker's package, and nothing works without it.
const PACKAGES: [&str; 2] = ["docker.io", "iptables"];
/// The runtime wrapper edits JSON.
const WRAPPER_PACKAGES: [&str; 1] = ["jq"];

/// Whether the daemon's program is on this machine.
pub fn is_installed(host: &Host) -> bool {
    // The folder is not on every user's PATH.
    host.processes.find("dockerd").is_some() || Path::new("/usr/sbin/dockerd").is_file()
}

/// Installs Docker, telling so.
pub async fn install(host: &Host, cap_sys_resource: bool) -> Result<()> {
    if cfg!(target_os = "macos") {
        return Err(super::Lack::NotInstalled.into_error());
    }
    let mut packages = PACKAGES.to_vec();
    if !cap_sys_resource {
        packages.extend(WRAPPER_PACKAGES);
    }
    tools::ensure_packages(host, &packages, "Docker").await
}

/// Whether the docker command is missing, which is a package of its own in newer releases. kind drives Docker by it, so
/// an engine that answers is not enough; [`super::ensure`] installs it. Looks along PATH, starts nothing.
pub fn client_missing(host: &Host) -> bool {
    host.processes.find("docker").is_none()
}

/// Installs the docker command where it is missing.
pub async fn ensure_client(host: &Host) -> Result<()> {
    if !client_missing(host) {
        return Ok(());
    }
    if cfg!(target_os = "macos") {
        return Err(Error::machine(
            "the docker command is not on this machine",
            "install Docker's command line and run the same command again",
        ));
    }
    tools::ensure_packages(host, &["docker-cli"], "the docker command").await
}

/// What starting the daemon ourselves needs.
pub async fn ensure_daemon_needs(host: &Host, cap_sys_resource: bool) -> Result<()> {
    let mut packages = vec!["iptables"];
    if !cap_sys_resource {
        packages.extend(WRAPPER_PACKAGES);
    }
    tools::ensure_packages(host, &packages, "Docker").await
}
