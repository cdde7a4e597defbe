//! The database and the Jobs, once they are there; until then, what is waited for.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::args::{ExperimentsArgs, JobsKind};
use super::experiment::{Experiment, State, Status, now_ms};
use super::jobs::kubernetes::Kubernetes;
use super::jobs::local::{Local, LocalConfig};
use super::jobs::manifest::JobConfig;
use super::jobs::{Jobs, JobsError};
use super::owner::{LOST, Watched};
use super::store::target::TargetError;
use super::store::{Store, StoreError, Target};
use crate::engine::process::own_program;
use crate::http::health::{Lifecycle, Readiness};

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Between two looks at what runs.
const LOOK: Duration = Duration::from_secs(2);
/// A record whose Job is being created is this young.
const CREATION_MS: i64 = 60_000;
/// A database that takes longer for nothing at all is as good as away.
const PING: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("Jobs in a cluster need an image; name it with --job-image or AE_MODEL_IMAGE_URL")]
    NoImage,
    #[error("cannot tell which program this is: {0}; start it by its path")]
    Program(std::io::Error),
}

/// Settings that have been looked at.
pub struct Settings {
    target: Target,
    /// To be made where they are not there.
    folders: Vec<PathBuf>,
    jobs: JobsSettings,
}

enum JobsSettings {
    Local(LocalConfig),
    Kubernetes(JobConfig),
}

impl Settings {
    pub fn of(args: &ExperimentsArgs) -> Result<Self, SettingsError> {
        // A child and a moved working directory must mean the same folders.
        let data =
            std::path::absolute(&args.experiments_data).unwrap_or_else(|_| args.experiments_data.clone());
        let input = args.experiments_input.clone().unwrap_or_else(|| data.join("input"));
        let target = Target::from_args(&args.database, &data)?;
        let is_local = args.job.jobs == JobsKind::Local;
        let folders = [
            (target.is_file(), &data),
            // A folder that somebody names is there, or named wrongly.
            (is_local && args.experiments_input.is_none(), &input),
        ];
        let folders =
            folders.into_iter().filter(|(needed, _)| *needed).map(|(_, folder)| folder.clone()).collect();
        let jobs = match args.job.jobs {
            JobsKind::Local => JobsSettings::Local(LocalConfig {
                program: own_program().map_err(SettingsError::Program)?,
                input,
                output: data.join("output"),
                logs: data.join("logs"),
                limit: args.job.job_limit,
            }),
            JobsKind::Kubernetes => {
                JobsSettings::Kubernetes(args.job.config().ok_or(SettingsError::NoImage)?)
            }
        };
        Ok(Self { target, folders, jobs })
    }
}

/// What works.
pub struct Ready {
    pub store: Store,
    pub jobs: Box<dyn Jobs>,
}

/// Clones share it.
#[derive(Clone)]
pub struct Backend {
    ready: Arc<OnceLock<Ready>>,
    waits_for: Arc<Mutex<String>>,
}

impl Backend {
    /// Connects in the background, again and again, and then keeps the record true, until the process closes.
    pub fn start(settings: Settings, lifecycle: &Lifecycle) -> Self {
        let backend = Self::waiting(format!("waiting for {}", settings.target));
        let (own, closing) = (backend.clone(), lifecycle.clone().closing());
        tokio::spawn(async move {
            let work = async {
                let ready = own.connect(&settings).await;
                let ready = own.ready.get_or_init(|| ready);
                watch(ready).await;
            };
            tokio::select! {
                () = work => {}
                () = closing => {}
            }
        });
        backend
    }

    fn waiting(for_what: String) -> Self {
        Self { ready: Arc::default(), waits_for: Arc::new(Mutex::new(for_what)) }
    }

    #[cfg(test)]
    pub fn with(store: Store, jobs: Box<dyn Jobs>) -> Self {
        let backend = Self::waiting(String::new());
        let _ = backend.ready.set(Ready { store, jobs });
        backend
    }

    /// The error says what is waited for.
    pub fn get(&self) -> Result<&Ready, String> {
        let waits_for = || self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.ready.get().ok_or_else(waits_for)
    }

    async fn connect(&self, settings: &Settings) -> Ready {
        let mut wait = FIRST_WAIT;
        loop {
            match open(settings).await {
                Ok(ready) => {
                    tracing::info!(database = %settings.target, "experiments are ready");
                    return ready;
                }
                Err(why) => {
                    tracing::warn!(why, again_in = ?wait, "experiments are not ready yet");
                    *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = why;
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

async fn open(settings: &Settings) -> Result<Ready, String> {
    for folder in &settings.folders {
        std::fs::create_dir_all(folder).map_err(|error| {
            let folder = folder.display();
            format!("cannot make the folder {folder}: {error}; name another with --experiments-data, or a database server with DB_IP")
        })?;
    }
    let jobs: Box<dyn Jobs> = match &settings.jobs {
        JobsSettings::Local(config) => Box::new(Local::open(config.clone())?),
        JobsSettings::Kubernetes(config) => Box::new(Kubernetes::in_cluster(config.clone())?),
    };
    let store = Store::open(&settings.target).await;
    let store = store.map_err(|error| format!("waiting for {}: {error}", settings.target))?;
    Ok(Ready { store, jobs })
}

#[async_trait::async_trait]
impl Readiness for Backend {
    async fn check(&self) -> Result<(), String> {
        let ready = self.get()?;
        match tokio::time::timeout(PING, ready.store.ping()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("the database does not answer: {error}")),
            Err(_) => Err("the database does not answer".into()),
        }
    }
}

/// Brings what has not ended up to date, again and again: a Job is removed some time after its end, and what became
/// of it must be known by then, whether anybody asked or not.
async fn watch(ready: &Ready) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut watched = Watched::default();
    loop {
        ticks.tick().await;
        if let Err(error) = round(ready, &mut watched, Instant::now).await {
            // The others may not have reached it either.
            watched = Watched::default();
            tracing::warn!(%error, "cannot look after the experiments");
        }
    }
}

/// One look at what has not ended.
pub(super) async fn round(
    ready: &Ready,
    watched: &mut Watched,
    clock: impl Fn() -> Instant,
) -> Result<(), StoreError> {
    let own = ready.jobs.owner();
    let unfinished = ready.store.unfinished(&own).await?;
    // Of the moment in which the records were as they are, however long they took.
    let now = clock();
    for experiment in unfinished.iter().filter(|it| it.beats.is_some() && own.has(it)) {
        ready.store.beat(&experiment.id).await?;
    }
    for lost in watched.lost(&own, &unfinished, now) {
        let message = "the service that ran it has not been heard of for a minute; look for its results there, or start it again under another experiment_id";
        ready.store.update(&lost.id, &Status::failed(LOST, message)).await?;
    }
    for experiment in unfinished {
        if let Err(error) = look(ready, experiment).await {
            tracing::warn!(%error, "cannot look after an experiment");
        }
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

/// The experiment with what is known of its Job now, which is also recorded.
pub async fn look(ready: &Ready, experiment: Experiment) -> Result<Experiment, LookError> {
    // What is not known of a Job of somebody else's, or one that is only being created, would be taken for its end.
    let is_others = !ready.jobs.owner().has(&experiment);
    let has_ended = experiment.status.state.is_final() && experiment.status.reason.as_deref() != Some(LOST);
    if has_ended || is_others || is_being_created(&experiment) {
        return Ok(experiment);
    }
    let status = ready.jobs.status(&experiment.id, &experiment.status).await?.unwrap_or_else(|| {
        Status::failed(
            "NoJob",
            "there is no Job of this experiment any more, and nobody saw its end; look for its results, or start it again under another experiment_id",
        )
    });
    if status == experiment.status {
        return Ok(experiment);
    }
    ready.store.update(&experiment.id, &status).await?;
    let recorded = ready.store.get(&experiment.id).await?;
    Ok(recorded.unwrap_or(Experiment { status, ..experiment }))
}

fn is_being_created(experiment: &Experiment) -> bool {
    experiment.status.state == State::Creating && now_ms() - experiment.created_ms < CREATION_MS
}
