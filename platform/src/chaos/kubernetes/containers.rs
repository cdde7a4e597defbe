//! Nodes that are containers of this machine, and the processes in them.

use bollard::Docker;
use bollard::query_parameters::{KillContainerOptions, StopContainerOptions};

use crate::chaos::fault::Mode;
use crate::cluster::containers::{self, ContainerState, state};
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::process::Cmd;

/// How long a node may take to end in order.
const STOPS_WITHIN: i32 = 20;
/// Prints the ids of a pod's own processes that are in state $2, or of all of them; the sandbox's is left out. The pod's
/// uid stands in the name of the cgroup, with dashes or, where systemd makes it, with underscores.
const PROCESSES: &str = r#"uid=$1; other=$(echo "$uid" | tr - _)
for dir in /proc/[0-9]*; do
  grep -q -e "$uid" -e "$other" "$dir/cgroup" 2>/dev/null || continue
  [ "$(cat "$dir/comm" 2>/dev/null)" = pause ] && continue
  echo "${dir#/proc/} $(sed 's/.*) //' "$dir/stat" 2>/dev/null | cut -c1)"
done"#;

pub async fn strike(docker: &Docker, container: &str, mode: Mode) -> Result<()> {
    let doing = format!("making {container} {}", mode.participle());
    match mode {
        Mode::Stop => {
            let options = StopContainerOptions { t: Some(STOPS_WITHIN), ..StopContainerOptions::default() };
            docker.stop_container(container, Some(options)).await
        }
        Mode::Kill => docker.kill_container(container, None::<KillContainerOptions>).await,
        Mode::Pause => docker.pause_container(container).await,
    }
    .doing(doing)
}

/// Running again; what runs, and what is gone for good, is left alone.
pub async fn start(docker: &Docker, container: &str) -> Result<()> {
    match state(docker, container).await? {
        Some(ContainerState::Stopped) => containers::start(docker, container).await,
        _ => Ok(()),
    }
}

pub async fn unpause(docker: &Docker, container: &str) -> Result<()> {
    match state(docker, container).await? {
        Some(ContainerState::Paused) => containers::unpause(docker, container).await,
        _ => Ok(()),
    }
}

/// A pod's processes in its node's container.
pub struct PodProcesses<'a> {
    pub host: &'a Host,
    pub docker_host: &'a str,
    pub container: &'a str,
    pub uid: &'a str,
}

impl PodProcesses<'_> {
    /// Ids and states (one letter of proc(5)).
    pub async fn list(&self) -> Result<Vec<(u32, char)>> {
        let cmd = self.docker(&["sh", "-c", PROCESSES, "sh", self.uid]);
        let output = self.host.processes.run(&cmd).await?.stdout_text();
        let process = |line: &str| {
            let (pid, state) = line.split_once(' ')?;
            Some((pid.parse().ok()?, state.chars().next()?))
        };
        Ok(output.lines().filter_map(process).collect())
    }

    /// `STOP` or `CONT` to all of them.
    pub async fn signal(&self, signal: &str) -> Result<()> {
        let pids: Vec<String> = self.list().await?.into_iter().map(|(pid, _)| pid.to_string()).collect();
        if pids.is_empty() {
            if signal == "CONT" {
                return Ok(());
            }
            let what = format!("no process of the pod is found in {}", self.container);
            return Err(Error::unhealthy(what, "see whether it still runs: cargo xtask status"));
        }
        // One that has ended meanwhile needs no signal.
        let script = format!("kill -{signal} {} 2>/dev/null || true", pids.join(" "));
        self.host.processes.run(&self.docker(&["sh", "-c", &script])).await?;
        Ok(())
    }

    fn docker(&self, args: &[&str]) -> Cmd {
        containers::exec(self.docker_host, self.container).args(args)
    }
}
