//! The engine that Platen started itself: its start, its record, and its end with `down --all`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::ListContainersOptions;
use serde::{Deserialize, Serialize};

use super::verdict::Answer;
use super::{Chosen, Endpoint, Lack, Ready, State, ask, guard, install, observe};
use crate::error::{Doing, Error, Result};
use crate::host::{Host, Privilege, write_atomically};
use crate::process::{Cmd, Started, spawn_detached};
use crate::wait::{self, Seen};

const STARTS_WITHIN: Duration = Duration::from_mins(1);
const STOPS_WITHIN: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(200);
/// The runtime wrapper, and the name that Docker knows it by.
const WRAPPER: &str = include_str!("../../stack/engine/runc-platen");
const WRAPPER_NAME: &str = "platen";
const LOG_TAIL_LINES: usize = 8;
/// Labels of containers that a stop may take along.
const OWN_LABELS: [&str; 2] = ["dev.platen", "io.x-k8s.kind.cluster"];

/// The engine that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    by: By,
    /// Where it answers, as `DOCKER_HOST` would name it: later another engine may be chosen.
    socket: String,
}

/// How it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
enum By {
    Systemd,
    Daemon(Started),
}

fn usual_socket() -> String {
    "unix:///var/run/docker.sock".into()
}

/// What lies in the cache: it is about the machine, not about one checkout.
struct Paths {
    dir: PathBuf,
}

impl Paths {
    fn new(host: &Host) -> Self {
        Self { dir: host.cache.join("engine") }
    }

    fn record(&self) -> PathBuf {
        self.dir.join("started.json")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("dockerd.log")
    }

    fn pid(&self) -> PathBuf {
        self.dir.join("dockerd.pid")
    }

    fn wrapper(&self) -> PathBuf {
        self.dir.join("runc-platen")
    }
}

/// Starts Docker and waits until it answers.
pub async fn start(host: &Host, cap_sys_resource: bool) -> Result<Ready> {
    let privilege = host.privilege().await;
    if !host.may_install || privilege == Privilege::None || cfg!(target_os = "macos") {
        return Err(Lack::NotRunning.into_error());
    }
    install::ensure_daemon_needs(host, cap_sys_resource).await?;
    let step = host.events.step("docker", "starting Docker", Some(Duration::from_secs(5)));
    let paths = Paths::new(host);
    std::fs::create_dir_all(&paths.dir).doing(format!("creating {}", paths.dir.display()))?;
    let ready = if Path::new("/run/systemd/system").is_dir() {
        let cmd = wrapped(privilege, "systemctl").args(["start", "docker"]);
        host.processes.run(&cmd).await?;
        write_record(&paths, &Record { by: By::Systemd, socket: usual_socket() })?;
        wait_until_ready(host, None, None).await?
    } else {
        start_daemon(host, &paths, privilege, cap_sys_resource).await?
    };
    step.done();
    host.events
        .note(format!("Docker {} was started; `cargo xtask down --all` stops it", ready.facts.version));
    Ok(ready)
}

async fn start_daemon(
    host: &Host,
    paths: &Paths,
    privilege: Privilege,
    cap_sys_resource: bool,
) -> Result<Ready> {
    if !cap_sys_resource {
        install_wrapper(&paths.wrapper())?;
    }
    let cmd = daemon(paths, privilege, cap_sys_resource);
    let begun = log_length(&paths.log());
    let daemon = Started::of(spawn_detached(&cmd, &paths.log(), None)?);
    // Recorded at once: whatever happens to this run, what it started can be stopped.
    write_record(paths, &Record { by: By::Daemon(daemon), socket: usual_socket() })?;
    let ready = wait_until_ready(host, Some(daemon), Some((&paths.log(), begun))).await?;
    // Behind sudo, the daemon is another process than the one that was started.
    let pid = std::fs::read_to_string(paths.pid()).ok().and_then(|text| text.trim().parse().ok());
    let by = By::Daemon(pid.map_or(daemon, Started::of));
    write_record(paths, &Record { by, socket: ready.docker_host().to_owned() })?;
    Ok(ready)
}

fn daemon(paths: &Paths, privilege: Privilege, cap_sys_resource: bool) -> Cmd {
    let mut cmd = wrapped(privilege, "dockerd").arg("--pidfile").arg(paths.pid());
    if privilege == Privilege::Sudo {
        // Whoever starts it this way is not in the group docker, or only since now.
        cmd = cmd.arg("--group").arg(rustix::process::getegid().as_raw().to_string());
    }
    if !cap_sys_resource {
        let runtime = format!("{WRAPPER_NAME}={}", paths.wrapper().display());
        cmd = cmd.args(["--add-runtime", &runtime, "--default-runtime", WRAPPER_NAME]);
    }
    cmd
}

/// The command as this process may start it; who may not never comes here.
fn wrapped(privilege: Privilege, program: &str) -> Cmd {
    privilege.wrap(program).unwrap_or_else(|| Cmd::new(program))
}

fn install_wrapper(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    write_atomically(path, WRAPPER.as_bytes())?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .doing(format!("installing {}", path.display()))
}

async fn wait_until_ready(host: &Host, daemon: Option<Started>, log: Option<(&Path, u64)>) -> Result<Ready> {
    let said = || log.map(|(path, from)| log_tail(path, from)).unwrap_or_default();
    wait::until_every(POLL, STARTS_WITHIN, "start Docker by hand and look at what it says", || async {
        match observe(host).await? {
            State::Ready(ready) => return Ok(Seen::Ready(ready)),
            State::NotThere(lack @ Lack::Unreachable { .. }) => return Err(lack.into_error()),
            State::NotThere(_) => {}
        }
        if daemon.is_some_and(|daemon| !daemon.is_alive()) {
            let hint = log.map(|(path, _)| format!("its whole log: {}", path.display()));
            return Err(Error::machine(
                format!("dockerd ended right after its start{}", said()),
                hint.unwrap_or_default(),
            ));
        }
        Ok(Seen::Awaiting(format!("Docker to answer{}", said())))
    })
    .await
}

fn log_length(log: &Path) -> u64 {
    std::fs::metadata(log).map(|meta| meta.len()).unwrap_or_default()
}

/// The last lines that were written to the log since it had `from` bytes.
fn log_tail(log: &Path, from: u64) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let new = bytes.get(usize::try_from(from).unwrap_or_default()..).unwrap_or_default();
    let text = String::from_utf8_lossy(new);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].iter().flat_map(|line| ["\n    ", *line]).collect()
}

fn read_record(paths: &Paths) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(paths.record()).ok()?).ok()
}

fn write_record(paths: &Paths, record: &Record) -> Result<()> {
    let bytes = serde_json::to_vec(record).map_err(|error| Error::malformed("the record", error, ""))?;
    write_atomically(&paths.record(), &bytes)
}

/// Stops what Platen started on this host and takes back what it set; tells what that was.
pub async fn stop_own(host: &Host, dry_run: bool) -> Result<Vec<String>> {
    let mut stopped = stop_engine(host, dry_run).await?;
    stopped.extend(guard::lift(host, dry_run).await?);
    Ok(stopped)
}

async fn stop_engine(host: &Host, dry_run: bool) -> Result<Vec<String>> {
    let paths = Paths::new(host);
    let Some(record) = read_record(&paths) else { return Ok(Vec::new()) };
    if matches!(record.by, By::Daemon(daemon) if !daemon.is_alive()) {
        return forget(&paths, dry_run);
    }
    let endpoint = Endpoint { host: record.socket, chosen: Chosen::Usual };
    let docker = match ask(&endpoint).await {
        (Answer::Info(_), Some(docker)) => docker,
        (Answer::Missing | Answer::Refused, _) if record.by == By::Systemd => return forget(&paths, dry_run),
        _ => {
            // Whether others use it is not known.
            host.events.warn(format!("Docker, which up started, is left alone: {endpoint} does not answer"));
            return Ok(Vec::new());
        }
    };
    let strangers = strangers(&docker).await?;
    if !strangers.is_empty() {
        host.events.warn(format!("Docker goes on running, others use it: {}", strangers.join(", ")));
        return Ok(Vec::new());
    }
    let told = match &record.by {
        By::Systemd => "Docker (systemd)".to_owned(),
        By::Daemon(daemon) => format!("Docker (dockerd, pid {})", daemon.pid),
    };
    if !dry_run {
        let step = host.events.step("docker", "stopping Docker", Some(Duration::from_secs(5)));
        stop(host, &record.by).await?;
        step.done();
        forget(&paths, false)?;
    }
    Ok(vec![told])
}

fn forget(paths: &Paths, dry_run: bool) -> Result<Vec<String>> {
    if !dry_run {
        match std::fs::remove_file(paths.record()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).doing(format!("removing {}", paths.record().display()));
            }
            _ => {}
        }
    }
    Ok(Vec::new())
}

/// Running containers that are none of Platen's and no nodes of kind.
async fn strangers(docker: &Docker) -> Result<Vec<String>> {
    let running = HashMap::from([("status".to_owned(), vec!["running".to_owned()])]);
    let options = ListContainersOptions { filters: Some(running), ..Default::default() };
    let containers = docker.list_containers(Some(options)).await.doing("listing Docker's containers")?;
    let others = containers.into_iter().filter(|container| {
        let labels = container.labels.as_ref();
        !OWN_LABELS.iter().any(|own| labels.is_some_and(|labels| labels.contains_key(*own)))
    });
    let names = others.filter_map(|container| container.names?.into_iter().next());
    Ok(names.map(|name| name.trim_start_matches('/').to_owned()).collect())
}

async fn stop(host: &Host, by: &By) -> Result<()> {
    let privilege = host.privilege().await;
    let daemon = match by {
        By::Systemd => {
            let units = ["stop", "docker.service", "docker.socket"];
            host.processes.run(&wrapped(privilege, "systemctl").args(units)).await?;
            return Ok(());
        }
        By::Daemon(daemon) => *daemon,
    };
    let pid = daemon.pid;
    host.processes.run(&wrapped(privilege, "kill").args(["-TERM", &pid.to_string()])).await?;
    wait::until_every(POLL, STOPS_WITHIN, &format!("kill {pid}"), || async {
        Ok(if daemon.is_alive() { Seen::Awaiting("Docker to stop".into()) } else { Seen::Ready(()) })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> Paths {
        Paths { dir: "/c/engine".into() }
    }

    #[test]
    fn the_runtime_wrapper_is_used_only_where_the_capability_is_missing() {
        let with = daemon(&paths(), Privilege::Root, true).to_string();
        assert_eq!(with, "dockerd --pidfile /c/engine/dockerd.pid");
        let without = daemon(&paths(), Privilege::Root, false).to_string();
        assert!(
            without.ends_with("--add-runtime platen=/c/engine/runc-platen --default-runtime platen"),
            "{without}"
        );
    }

    #[test]
    fn a_daemon_behind_sudo_lets_its_starter_use_it() {
        let cmd = daemon(&paths(), Privilege::Sudo, true).to_string();
        assert!(cmd.starts_with("sudo -n dockerd") && cmd.contains("--group"), "{cmd}");
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        for by in [By::Systemd, By::Daemon(Started { pid: 5, started: 7 })] {
            let record = Record { by, socket: "unix:///s".into() };
            let written = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&written).unwrap(), record);
        }
    }

    #[tokio::test]
    async fn the_record_is_forgotten_only_when_its_daemon_is_dead() {
        let cache = tempfile::tempdir().unwrap();
        let host = Host {
            processes: crate::process::scripted::scripted(&[], []),
            may_install: true,
            ..Host::bare(cache.path())
        };
        let paths = Paths::new(&host);
        let socket = format!("unix://{}/docker.sock", cache.path().display());
        let alive = Started::of(std::process::id());
        let record = Record { by: By::Daemon(alive), socket };
        write_record(&paths, &record).unwrap();
        assert_eq!(stop_engine(&host, false).await.unwrap(), Vec::<String>::new());
        assert_eq!(read_record(&paths), Some(record.clone()), "it runs, and does not answer");

        let reused = Started { started: alive.started + 1, ..alive };
        write_record(&paths, &Record { by: By::Daemon(reused), ..record }).unwrap();
        stop_engine(&host, false).await.unwrap();
        assert_eq!(read_record(&paths), None);
    }

    #[test]
    fn an_error_shows_only_what_the_daemon_said_this_time() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, "old\n").unwrap();
        let from = log_length(&log);
        std::fs::write(&log, "old\nnew\n").unwrap();
        assert_eq!(log_tail(&log, from), "\n    new");
    }
}
