//! Debian root file systems, made by mmdebstrap from the machine's own package mirror.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use super::artifact::Artifact;
use super::names::Names;
use super::services::{Packages, packages};
use super::store::Store;
use crate::error::{Doing, Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::process::{Cmd, Line};
use crate::tools;

const DEADLINE: Duration = Duration::from_mins(20);
/// The name of the tar in the artifact's folder.
pub const TAR: &str = "rootfs.tar";
/// Nobody reads manuals in a container.
const EXCLUDED: [&str; 3] = ["/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*"];

/// The new /proc does not show which emulators are registered; without seeing them mmdebstrap wants one to copy. What
/// follows is its name and arguments.
const WITH_EMULATORS: &str = r#"mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc; exec "$0" "$@""#;

/// Builds one of the root file systems.
pub async fn build(host: &Host, store: &Store, names: &Names, artifact: Artifact, step: &Step) -> Result<()> {
    let staged = store.stage()?;
    make(host, names, artifact, staged.path(), step).await?;
    store.publish(staged, &names.name(artifact))?;
    Ok(())
}

/// Writes one of them into a staged folder, as [`TAR`]. For another processor than this machine's, where its programs can
/// be started here.
pub async fn make(host: &Host, names: &Names, artifact: Artifact, staged: &Path, step: &Step) -> Result<()> {
    let Some(packages) = packages(artifact) else {
        return Err(Error::malformed(artifact.title(), "no packages are named for it", ""));
    };
    let foreign = Some(names.arch()).filter(|arch| *arch != tools::Platform::host().arch);
    ensure_mmdebstrap(host, foreign.is_some()).await?;
    let contained = rustix::process::geteuid().is_root() && host.processes.find("unshare").is_some();
    let cmd = command(&packages, &names.versions().suite, foreign, contained)
        .arg(staged.join(TAR))
        // What mmdebstrap leaves when it is killed goes away with the staged folder.
        .env("TMPDIR", staged)
        .deadline(DEADLINE);
    host.processes.run_with(&cmd, &mut |line: Line<'_>| step.message(line.text())).await?;
    Ok(())
}

/// On Debian it is there or can be installed; elsewhere it may be there. By arch-test it asks whether the programs of a
/// foreign architecture run.
async fn ensure_mmdebstrap(host: &Host, foreign: bool) -> Result<()> {
    let programs: &[&str] = if foreign { &["mmdebstrap", "arch-test"] } else { &["mmdebstrap"] };
    if programs.iter().all(|program| host.processes.find(program).is_some()) {
        return Ok(());
    }
    // Ubuntu has the keys of Debian's archive in a package of their own.
    let packages = [programs, &["debian-archive-keyring"]].concat();
    tools::ensure_packages(host, &packages, "building Debian root file systems").await
}

/// `contained`: in mount and process namespaces of its own. As root mmdebstrap mounts /proc, /sys and /dev in the new
/// file system; killed, it would leave them behind, and a clean-up would walk into the machine's own.
fn command(packages: &Packages, suite: &str, foreign: Option<&str>, contained: bool) -> Cmd {
    let variant = if packages.unpacked { "extract" } else { "minbase" };
    let cmd = if contained {
        let cmd = Cmd::new("unshare").args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        if foreign.is_some() { cmd.args(["sh", "-c", WITH_EMULATORS]) } else { cmd }.arg("mmdebstrap")
    } else {
        Cmd::new("mmdebstrap")
    };
    cmd.arg(format!("--variant={variant}"))
        .args(foreign.map(|arch| format!("--architectures={arch}")))
        .arg(format!("--include={}", packages.names.join(",")))
        .args(EXCLUDED.iter().chain(packages.without).map(|path| format!("--dpkgopt=path-exclude={path}")))
        .args(["--format=tar", suite])
}

/// The authorities that Debian's package carries, as one bundle: where packages are only unpacked, nothing makes it.
pub fn certificates(rootfs: &Path) -> Result<String> {
    let doing = || format!("reading {}", rootfs.display());
    let file = std::io::BufReader::with_capacity(1 << 20, std::fs::File::open(rootfs).doing(doing())?);
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(file).entries().doing(doing())? {
        let mut entry = entry.doing(doing())?;
        let path = entry.path().doing(doing())?.into_owned();
        let is_authority = path.extension().is_some_and(|extension| extension == "crt")
            && path.components().any(|part| part.as_os_str() == "ca-certificates");
        if is_authority {
            let mut text = String::new();
            entry.read_to_string(&mut text).doing(doing())?;
            found.insert(path, text);
        }
    }
    Ok(found.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(artifact: Artifact, contained: bool) -> String {
        command(&packages(artifact).unwrap(), "trixie", None, contained).to_string()
    }

    #[test]
    fn only_a_foreign_architecture_is_named() {
        let base = packages(Artifact::BaseRootfs).unwrap();
        let foreign = command(&base, "trixie", Some("arm64"), true).to_string();
        assert!(foreign.contains("--architectures=arm64"), "{foreign}");
        let own = of(Artifact::BaseRootfs, true);
        assert!(!own.contains("architectures"), "{own}");
    }

    #[test]
    fn a_node_gets_systemd_and_kube_proxy_only_what_it_calls() {
        let node = of(Artifact::NodeRootfs, false);
        assert!(node.contains("--variant=minbase") && node.contains("systemd"), "{node}");
        let proxy = of(Artifact::ProxyRootfs, true);
        assert!(proxy.contains("--variant=extract") && !proxy.contains("systemd"), "{proxy}");
        assert!(proxy.ends_with(" trixie"), "{proxy}");
        assert!(proxy.starts_with("unshare --mount"), "{proxy}");
    }

    #[test]
    fn what_nobody_calls_is_left_out_of_a_service() {
        let argocd = of(Artifact::ArgocdRootfs, false);
        assert!(argocd.contains("path-exclude=/usr/share/perl/*") && argocd.contains("git"), "{argocd}");
    }
}
