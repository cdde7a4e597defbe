//! Nodes that are containers of this machine, and the processes in them.

use bollard::Docker;
use bollard::query_parameters::{KillContainerOptions, StopContainerOptions};

use crate::chaos::fault::Mode;
use crate::chaos::strike::STOPS_WITHIN;
use crate::cluster::containers::{self, ContainerState, state};
use crate::engine;
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::process::Cmd;

/// The CPU weight of the container that it runs in (of cgroup version 2, else 1), the least that there is, and where what it
/// was before is kept: in the container's memory, which is gone with its end as the weight is.
const WEIGHT: &str = "file=/sys/fs/cgroup/cpu.weight; least=1; before=/run/platen-weight
[ -e $file ] || { file=/sys/fs/cgroup/cpu/cpu.shares; least=2; }";
const WEIGH_LEAST: &str = "[ -e $before ] || cat $file > $before; echo $least > $file";
const WEIGH_AGAIN: &str = "if [ -e $before ]; then cat $before > $file && rm -f $before; fi";
/// In seconds: until its pods are started, where it has half a processor for that.
const BOOTS_FOR: u32 = 30;
/// There while it boots; gone with the container's end, whose memory it is in.
const BOOTS: &str = "/run/platen-boots";
/// Prints the ids of a pod's own processes that are in state $2, or of all of them; the sandbox's is left out. The pod's
/// uid stands in the name of the cgroup, with dashes or, where systemd makes it, with underscores.
const PROCESSES: &str = r#"uid=$1; other=$(echo "$uid" | tr - _)
for dir in /proc/[0-9]*; do
  grep -q -e "$uid" -e "$other" "$dir/cgroup" 2>/dev/null || continue
  [ "$(cat "$dir/comm" 2>/dev/null)" = pause ] && continue
  echo "${dir#/proc/} $(sed 's/.*) //' "$dir/stat" 2>/dev/null | cut -c1)"
done"#;

/// A node's container.
pub struct NodeContainer<'a> {
    pub host: &'a Host,
    pub engine: &'a engine::Ready,
    pub name: &'a str,
}

impl NodeContainer<'_> {
    pub async fn strike(&self, mode: Mode) -> Result<()> {
        let (docker, name) = (&self.engine.docker, self.name);
        let doing = format!("making {name} {}", mode.participle());
        match mode {
            Mode::Stop => {
                // It works at its end for seconds; elsewhere on its own processors, here on those of the other nodes.
                self.weigh("ends", WEIGH_LEAST).await;
                let within = i32::try_from(STOPS_WITHIN.as_secs()).unwrap_or(i32::MAX);
                let options = StopContainerOptions { t: Some(within), ..StopContainerOptions::default() };
                docker.stop_container(name, Some(options)).await
            }
            Mode::Kill => docker.kill_container(name, None::<KillContainerOptions>).await,
            Mode::Pause => docker.pause_container(name).await,
        }
        .doing(doing)
    }

    /// Running again; what is gone for good is left alone.
    pub async fn start(&self) -> Result<()> {
        match state(&self.engine.docker, self.name).await? {
            Some(ContainerState::Stopped) => {
                containers::start(&self.engine.docker, self.name).await?;
                // As it ends, so it boots. What gives it its weight again runs in it, whatever becomes of this run.
                let weigh = format!("{WEIGH_LEAST}; sleep {BOOTS_FOR}; {WEIGH_AGAIN}; rm -f {BOOTS}");
                let boots = format!("touch {BOOTS}; ({weigh}) > /dev/null 2>&1 &");
                self.weigh("boots", &boots).await;
                Ok(())
            }
            // Whoever was to stop it may have been killed before. What was started already gets its weight by itself.
            Some(ContainerState::Running) => {
                self.weighing(&format!("[ -e {BOOTS} ] && exit\n{WEIGH_AGAIN}")).await
            }
            Some(ContainerState::Paused) | None => Ok(()),
        }
    }

    /// Where that fails it is told, and costs the others time.
    async fn weigh(&self, when: &str, script: &str) {
        if let Err(error) = self.weighing(script).await {
            self.host.events.warn(format!("{} {when} at its full CPU weight: {error}", self.name));
        }
    }

    async fn weighing(&self, script: &str) -> Result<()> {
        let script = format!("{WEIGHT}\n{script}");
        let cmd = containers::exec(self.engine.docker_host(), self.name).args(["sh", "-c", &script]);
        self.host.processes.run(&cmd).await?;
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_that_was_made_the_least_twice_is_what_it_was_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("sys/fs/cgroup/cpu")).unwrap();
        std::fs::create_dir(at("run")).unwrap();
        let shell = |script: &str| {
            let script = format!("{WEIGHT}\n{script}");
            let root = folder.path().display();
            let script =
                script.replace("=/sys", &format!("={root}/sys")).replace("=/run", &format!("={root}/run"));
            assert!(std::process::Command::new("sh").args(["-c", &script]).status().unwrap().success());
        };
        for (file, weight, least) in [("cpu/cpu.shares", "256\n", "2\n"), ("cpu.weight", "39\n", "1\n")] {
            let file = at("sys/fs/cgroup").join(file);
            let read = || std::fs::read_to_string(&file).unwrap();
            std::fs::write(&file, weight).unwrap();
            shell(WEIGH_LEAST);
            shell(WEIGH_LEAST);
            assert_eq!(read(), least);
            shell(WEIGH_AGAIN);
            assert_eq!(read(), weight);
            assert!(!at("run/platen-weight").exists());
            shell(WEIGH_AGAIN);
            assert_eq!(read(), weight, "what was not changed stays");
        }
    }
}
