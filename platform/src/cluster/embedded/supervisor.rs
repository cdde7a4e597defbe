//! Keeps processes running: the supervisor keeps the nodes, each node keeps its roles, by the same loop.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::spec::Spec;
use super::{grace, usage};
use crate::error::{Doing, Error, Result};
use crate::host::write_atomically;
use crate::process::{Cmd, Group, Started, spawn_child};

/// Before what ended is started again; doubled for what does not stay.
pub const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Who lived this long was well; the pause before its next start is the first one again.
const WELL: Duration = Duration::from_secs(10);
/// How often a supervisor or a node looks whether it is still wanted.
const LOOK: Duration = Duration::from_secs(1);

/// Files of one profile that the supervisor, the nodes and the commands share.
#[derive(Debug, Clone)]
pub struct Layout {
    dir: PathBuf,
}

impl Layout {
    pub fn new(profile_dir: &Path) -> Self {
        Self { dir: profile_dir.join("embedded") }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn spec(&self) -> PathBuf {
        self.dir.join("spec.json")
    }

    pub fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    /// Who runs under this name: the supervisor, a node, or `node/role`.
    pub fn record(&self, name: &str) -> PathBuf {
        self.dir.join("run").join(format!("{}.json", name.replace('/', "_")))
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{}.log", name.replace('/', "_")))
    }
}

/// A process that runs or ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    #[serde(flatten)]
    pub process: Started,
    pub restarts: u32,
}

impl Record {
    pub fn of(pid: u32, restarts: u32) -> Self {
        Self { process: Started::of(pid), restarts }
    }

    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    pub fn is_alive(&self) -> bool {
        self.process.is_alive()
    }
}

pub fn read_spec(path: &Path) -> Result<Spec> {
    let bytes = std::fs::read(path).doing(format!("reading {}", path.display()))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::malformed(path.display().to_string(), error, "run: cargo xtask up"))
}

/// Runs the supervisor until SIGTERM: one child a node, each leading its own process group.
/// `node_cmd` is how this same program is started as a node. The lock comes from the starter, as standard input.
pub async fn supervise(profile_dir: &Path, node_cmd: impl Fn(&str) -> Cmd) -> Result<()> {
    let layout = Layout::new(profile_dir);
    ensure_lock_is_stdin(&layout.lock())?;
    let spec = read_spec(&layout.spec())?;
    // Before the record: who reads it may send the signal.
    let term = term()?;
    write_record(&layout, "supervisor", &Record::of(std::process::id(), 0))?;
    let children =
        spec.nodes.iter().map(|node| (node.name.clone(), node_cmd(&node.name), Group::Own)).collect();
    keep_all(&layout, children, term).await;
    let _ = std::fs::remove_file(layout.record("supervisor"));
    Ok(())
}

/// Runs one node until SIGTERM: its roles are children in the node's own process group.
pub async fn run_node(profile_dir: &Path, name: &str) -> Result<()> {
    let layout = Layout::new(profile_dir);
    let term = term()?;
    let spec = read_spec(&layout.spec())?;
    let found = spec.nodes.iter().enumerate().find(|(_, node)| node.name == name);
    let (index, node) = found.ok_or_else(|| {
        Error::usage(format!("no node {name} in {}", layout.spec().display()), "run: cargo xtask up")
    })?;
    let children = node
        .roles
        .iter()
        .map(|role| {
            (format!("{name}/{}", role.role.name()), role.cmd(&spec, name, layout.dir()), Group::Parents)
        })
        .collect();
    tokio::select! {
        () = keep_all(&layout, children, term) => {}
        () = usage::serve(layout.clone(), node.clone(), index) => {}
    }
    Ok(())
}

fn term() -> Result<Signal> {
    signal(SignalKind::terminate()).doing("waiting for the signal to stop")
}

/// Keeps the children until SIGTERM, or until the plan is gone: somebody removed the profile's folder.
async fn keep_all(layout: &Layout, children: Vec<(String, Cmd, Group)>, mut term: Signal) {
    let (stop, stopped) = watch::channel(false);
    let mut kept = tokio::task::JoinSet::new();
    for (name, cmd, group) in children {
        kept.spawn(keep(layout.clone(), name, cmd, group, stopped.clone()));
    }
    tokio::select! {
        _ = term.recv() => tracing::info!("told to stop"),
        () = plan_is_gone(layout) => tracing::warn!("the plan is gone; all is stopped"),
    }
    let _ = stop.send(true);
    while kept.join_next().await.is_some() {}
}

async fn plan_is_gone(layout: &Layout) {
    while layout.spec().is_file() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Starts the program again whenever it ends, with growing pauses, until told to stop.
async fn keep(layout: Layout, name: String, cmd: Cmd, group: Group, mut stopped: watch::Receiver<bool>) {
    let (mut pause, mut restarts) = (FIRST_PAUSE, 0);
    while !*stopped.borrow() && layout.spec().is_file() {
        let begun = Instant::now();
        match spawn_child(&cmd, &layout.log(&name), group) {
            Ok(mut child) => {
                let pid = child.id().unwrap_or_default();
                tracing::info!(name, pid, restarts, "started");
                if let Err(error) = write_record(&layout, &name, &Record::of(pid, restarts)) {
                    tracing::error!(%error, name, "its record cannot be written");
                }
                tokio::select! {
                    status = child.wait() => {
                        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                        tracing::warn!(status, name, "ended; it is started again");
                    }
                    _ = stopped.changed() => {
                        end(&mut child, pid, group).await;
                        // Without the pause: the level above waits for this one.
                        break;
                    }
                }
            }
            Err(error) => tracing::error!(%error, name, "cannot be started"),
        }
        restarts += 1;
        pause = if begun.elapsed() > WELL { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.changed() => {}
        }
    }
    let _ = std::fs::remove_file(layout.record(&name));
}

/// Ends a child in order; after the grace time, it and its group by force.
async fn end(child: &mut tokio::process::Child, pid: u32, group: Group) {
    use rustix::process::{Pid, Signal, kill_process, kill_process_group};
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    let _ = kill_process(pid, Signal::TERM);
    let grace = if group == Group::Own { grace::NODE } else { grace::ROLE };
    if tokio::time::timeout(grace, child.wait()).await.is_ok() {
        return;
    }
    let _ = if group == Group::Own {
        kill_process_group(pid, Signal::KILL)
    } else {
        kill_process(pid, Signal::KILL)
    };
    let _ = child.wait().await;
}

pub fn write_record(layout: &Layout, name: &str, record: &Record) -> Result<()> {
    let bytes = serde_json::to_vec(record).map_err(|error| Error::malformed("a record", error, ""))?;
    write_atomically(&layout.record(name), &bytes)
}

/// The lock is held from before this process began, and by its standard input until its end; its children get another
/// standard input. A lock file that was removed meanwhile is not the one at `path`.
fn ensure_lock_is_stdin(path: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let stdin = std::io::stdin();
    let same = std::fs::metadata(path).is_ok_and(|file| {
        rustix::fs::fstat(&stdin).is_ok_and(|stat| {
            let of_stdin = (i128::from(stat.st_dev), i128::from(stat.st_ino));
            of_stdin == (i128::from(file.dev()), i128::from(file.ino()))
        })
    });
    let lock = || rustix::fs::flock(&stdin, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    if same && lock().is_ok() {
        return Ok(());
    }
    Err(Error::machine(format!("{} did not come with the start", path.display()), "run: cargo xtask up"))
}
