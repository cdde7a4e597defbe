//! Debian root file systems, made by mmdebstrap from the machine's own package mirror.

use std::time::Duration;

use super::artifact::{Artifact, Names};
use super::stack::{BASE_PACKAGES, NODE_PACKAGES, PROXY_PACKAGES};
use super::store::Store;
use crate::error::Result;
use crate::event::Step;
use crate::host::Host;
use crate::process::{Cmd, Line};
use crate::tools;

const DEADLINE: Duration = Duration::from_mins(20);
/// The name of the tar in the artifact's folder.
pub const TAR: &str = "rootfs.tar";
/// Nobody reads manuals in a container.
const EXCLUDED: [&str; 3] = ["/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*"];

/// Builds one of the root file systems.
pub async fn build(host: &Host, store: &Store, names: &Names, artifact: Artifact, step: &Step) -> Result<()> {
    ensure_mmdebstrap(host).await?;
    let staged = store.stage()?;
    let tar = staged.path().join(TAR);
    let contained = rustix::process::geteuid().is_root() && host.processes.find("unshare").is_some();
    let cmd = command(artifact, &names.versions().suite, contained)
        .arg(&tar)
        // What mmdebstrap leaves when it is killed goes away with the staged folder.
        .env("TMPDIR", staged.path())
        .deadline(DEADLINE);
    host.processes.run_with(&cmd, &mut |line: Line<'_>| step.message(line.text())).await?;
    store.publish(staged, &names.name(artifact))?;
    Ok(())
}

/// On Debian it is there or can be installed; elsewhere it may be there.
async fn ensure_mmdebstrap(host: &Host) -> Result<()> {
    if host.processes.find("mmdebstrap").is_some() {
        return Ok(());
    }
    // Ubuntu has the keys of Debian's archive in a package of their own.
    let packages = ["mmdebstrap", "debian-archive-keyring"];
    tools::ensure_packages(host, &packages, "building Debian root file systems").await
}

/// `contained`: in mount and process namespaces of its own. As root mmdebstrap mounts /proc, /sys and /dev in the new
/// file system; killed, it would leave them behind, and a clean-up would walk into the machine's own.
fn command(artifact: Artifact, suite: &str, contained: bool) -> Cmd {
    let (variant, packages) = match artifact {
        Artifact::NodeRootfs => ("minbase", NODE_PACKAGES),
        // Unpacked, not installed: libraries and programs, no package manager.
        Artifact::ProxyRootfs => ("extract", PROXY_PACKAGES),
        Artifact::BuilderRootfs => ("extract", super::builder::PACKAGES),
        _ => ("minbase", BASE_PACKAGES),
    };
    let cmd = if contained {
        let namespaces = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "mmdebstrap"];
        Cmd::new("unshare").args(namespaces)
    } else {
        Cmd::new("mmdebstrap")
    };
    cmd.arg(format!("--variant={variant}"))
        .arg(format!("--include={}", packages.join(",")))
        .args(EXCLUDED.map(|path| format!("--dpkgopt=path-exclude={path}")))
        .args(["--format=tar", suite])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_gets_systemd_and_kube_proxy_only_what_it_calls() {
        let node = command(Artifact::NodeRootfs, "trixie", false).to_string();
        assert!(node.contains("--variant=minbase") && node.contains("systemd"), "{node}");
        let proxy = command(Artifact::ProxyRootfs, "trixie", true).to_string();
        assert!(proxy.contains("--variant=extract") && !proxy.contains("systemd"), "{proxy}");
        assert!(proxy.ends_with(" trixie"), "{proxy}");
        assert!(proxy.starts_with("unshare --mount"), "{proxy}");
    }
}
