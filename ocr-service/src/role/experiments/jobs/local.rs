//! Jobs as child processes: for `serve` on a machine without a cluster. One at a time, the others wait.
//!
//! A child ends with this process, however that ends, because its standard input closes. So after a restart only what
//! has results has come to an end of its own.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{Jobs, JobsError};
use crate::engine::process::passed_on;
use crate::role::experiments::experiment::{Asked, State, Status};
use crate::role::experiments::owner::Owner;

#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// The program that has the subcommand `train`.
    pub program: PathBuf,
    pub input: PathBuf,
    pub output: PathBuf,
    /// Where the trainings' logs go.
    pub logs: PathBuf,
    /// The longest that a training may take.
    pub limit: Duration,
}

pub struct Local {
    config: LocalConfig,
    place: Arc<Semaphore>,
    known: Known,
    /// The name of the folders.
    name: Uuid,
    /// Held as long as this lives: the folders belong to one process.
    _lock: File,
}

type Known = Arc<Mutex<HashMap<String, Status>>>;

fn set(known: &Known, id: &str, status: Status) {
    known.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), status);
}

impl Local {
    pub fn open(config: LocalConfig) -> Result<Self, String> {
        for folder in [&config.output, &config.logs] {
            std::fs::create_dir_all(folder)
                .map_err(|error| format!("cannot make the folder {}: {error}", folder.display()))?;
        }
        let path = config.logs.join("lock");
        let cannot_write = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
        let lock = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let lock = lock.map_err(cannot_write)?;
        lock.try_lock()
            .map_err(|_| format!("another process runs experiments in {}", config.logs.display()))?;
        let name = name(&lock).map_err(cannot_write)?;
        Ok(Self { config, place: Arc::new(Semaphore::new(1)), known: Known::default(), name, _lock: lock })
    }
}

/// What the folders are called in records: as the first process that had them said, in the lock.
fn name(mut lock: &File) -> std::io::Result<Uuid> {
    let mut text = Vec::new();
    lock.read_to_end(&mut text)?;
    if let Ok(name) = Uuid::try_parse_ascii(&text) {
        return Ok(name);
    }
    let name = Uuid::new_v4();
    lock.rewind()?;
    lock.set_len(0)?;
    lock.write_all(name.to_string().as_bytes())?;
    Ok(name)
}

#[async_trait::async_trait]
impl Jobs for Local {
    fn owner(&self) -> Owner {
        Owner::Folder(self.name)
    }

    async fn start(&self, asked: &Asked) -> Result<(), JobsError> {
        let results = self.config.output.join(asked.id.as_str());
        if results.symlink_metadata().is_ok() {
            return Err(JobsError::Used(format!("there are results of that name in {}", results.display())));
        }
        set(&self.known, asked.id.as_str(), Status::of(State::Pending));
        let (config, place, known, asked) =
            (self.config.clone(), self.place.clone(), self.known.clone(), asked.clone());
        tokio::spawn(async move {
            // Never closed.
            let _place = place.acquire().await;
            set(&known, asked.id.as_str(), Status::of(State::Running));
            let status = run(&config, &asked).await;
            tracing::info!(experiment = %asked.id, state = status.state.name(), "training ended");
            set(&known, asked.id.as_str(), status);
        });
        Ok(())
    }

    async fn status(&self, id: &str, _last: &Status) -> Result<Option<Status>, JobsError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        Ok(Some(known.unwrap_or_else(|| after_restart(&self.config.output.join(id)))))
    }
}

/// Of a Job that an earlier process has started.
fn after_restart(results: &Path) -> Status {
    let text = std::fs::read_to_string(results.join("result.json")).unwrap_or_default();
    let result: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    match result["state"].as_str() {
        Some("succeeded") => Status { exit_code: Some(0), ..Status::of(State::Succeeded) },
        Some(other) => Status::failed("Error", format!("the training {other}; its loss curve is kept")),
        None => Status::failed(
            "Interrupted",
            "the service was stopped before the training was done; start it again under another experiment_id",
        ),
    }
}

async fn run(config: &LocalConfig, asked: &Asked) -> Status {
    let log = config.logs.join(format!("{}.log", asked.id));
    let child = match spawn(config, asked, &log) {
        Ok(child) => child,
        Err(error) => {
            return Status::failed("CannotStart", format!("the training cannot be started: {error}"));
        }
    };
    finished(child, config.limit, &log).await
}

fn spawn(config: &LocalConfig, asked: &Asked, log: &Path) -> std::io::Result<Child> {
    Command::new(&config.program)
        .args(super::manifest::train_args(asked, &config.input, &config.output))
        .arg("--end-with-parent")
        .env_clear()
        .envs(passed_on())
        .env("PLATEN_LOG", "info")
        .env("PLATEN_LOG_FORMAT", "text")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(File::create(log)?)
        // A signal for the service's group is the service's: it ends its children itself.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

async fn finished(mut child: Child, limit: Duration, log: &Path) -> Status {
    // Waiting would close it, and end the child with it.
    let _input = child.stdin.take();
    match tokio::time::timeout(limit, child.wait()).await {
        Ok(Ok(status)) => ended(status, log),
        Ok(Err(error)) => Status::failed("Lost", format!("the training's end was not seen: {error}")),
        Err(_) => {
            let _ = child.kill().await;
            let message = format!("it was ended after {} s; ask for fewer epochs", limit.as_secs());
            Status::failed("DeadlineExceeded", message)
        }
    }
}

fn ended(status: ExitStatus, log: &Path) -> Status {
    use std::os::unix::process::ExitStatusExt;

    if status.success() {
        return Status { exit_code: Some(0), ..Status::of(State::Succeeded) };
    }
    if let Some(signal) = status.signal() {
        return Status::failed("Killed", format!("the training was ended by signal {signal}"));
    }
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let message = super::explain::last_line(&text).unwrap_or("it says nothing").to_owned();
    Status { exit_code: status.code(), ..Status::failed("Error", message) }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
