//! The folder of the experiments that every node has: images in, results out.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::containers;
use crate::error::{Doing, Result};
use crate::host::Host;

/// Where a node has the folder of the experiments, as the chart's values name it.
pub const EXPERIMENTS: &str = "/var/lib/platen/experiments";

/// On the host.
pub fn folder(host: &Host) -> PathBuf {
    host.profile_dir(&host.config.cluster.profile).join("experiments")
}

/// Makes it, with what the Jobs read and where they write. Their user is none of this machine's, so everybody may
/// write there; the checkout's own folder decides who comes that far.
pub(super) fn prepare(folder: &Path) -> Result<()> {
    let (input, output) = (folder.join("input"), folder.join("output"));
    for dir in [&input, &output] {
        std::fs::create_dir_all(dir).doing(format!("creating {}", dir.display()))?;
    }
    let doing = || format!("opening {} to the experiments", output.display());
    std::fs::set_permissions(&output, Permissions::from_mode(0o777)).doing(doing())
}

/// Empties it by a node: the files belong to the Jobs' user, whom only root may clear away after.
pub(super) async fn empty(host: &Host, docker_host: &str, node: &str) {
    let cmd = containers::exec(docker_host, node).args(["find", EXPERIMENTS, "-mindepth", "2", "-delete"]);
    // What could not be cleared is found where the folder itself is removed.
    let _ = host.processes.run(&cmd).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_may_write_results_and_not_images() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path()).unwrap();
        prepare(dir.path()).unwrap();
        let mode = |name| std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o002;
        assert_eq!((mode("output"), mode("input")), (0o002, 0));
    }
}
