//! From a parsed command line to running roles, and to their end.

mod build;
mod doors;
mod servers;

use std::time::Duration;

use self::servers::Servers;
use crate::capacity::TooLittleMemory;
use crate::cli::Command;
use crate::engine::Pool;
use crate::http::health::Lifecycle;
use crate::net::ListenError;
use crate::role::experiments::backend::SettingsError;
use crate::shutdown::{self, Signals};
use crate::train::TrainError;

/// For an image whose caller is gone and whose engine does not know it yet.
const ENGINE_PATIENCE: Duration = Duration::from_secs(2);

/// Why the service did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The first engine that could not be started says why.
    #[error("{0}")]
    Engine(String),
    #[error("cannot write {path}: {source}; name another file with --ports-file")]
    PortsFile { path: String, source: std::io::Error },
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    #[error("{0} is no address that can be connected to; choose another with --bind")]
    Address(String),
    #[error("the role {0} has a port and nothing behind it: a defect, please report it")]
    NotBuilt(&'static str),
    #[error(transparent)]
    Memory(#[from] TooLittleMemory),
    #[error(transparent)]
    Experiments(#[from] SettingsError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error("the system refused: {0}")]
    Io(#[from] std::io::Error),
    #[error("requests still ran {} s after the last was taken and were cut off", .0.as_secs())]
    DrainTimedOut(Duration),
}

impl AppError {
    /// 2: settings that do not fit together; 3: the machine lacks something; 5: timed out. A training has its own.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::DrainTimedOut(_) => 5,
            Self::Experiments(_) | Self::Memory(_) => 2,
            Self::Train(error) => error.exit_code(),
            _ => 3,
        }
    }
}

/// Runs the roles of `command` until a signal ends them.
pub async fn run(command: Command) -> Result<(), AppError> {
    if let Command::Train(args) = command {
        return Ok(tokio::task::block_in_place(|| crate::train::run(&args))?);
    }
    let Some(server) = command.server() else { return Ok(()) };
    // Wrong settings end it before a port is bound.
    let checked = build::Checked::of(&command)?;
    let mut signals = Signals::install()?;
    let lifecycle = Lifecycle::default();
    let doors = doors::open(&command).await?;
    let mut built = build::build(&command, checked, &doors, &lifecycle)?;
    doors::announce(&doors, server)?;

    let mut servers = Servers::default();
    for door in doors {
        let router = built.routers.remove(door.role).ok_or(AppError::NotBuilt(door.role))?;
        servers.start(door, router, server.header_timeout);
    }
    tokio::select! {
        () = shutdown::drain(&mut signals, &lifecycle, server.drain_delay) => {}
        failure = engines_fail(built.pool.as_ref()) => return Err(AppError::Engine(failure)),
    }
    // Whatever was accepted ends by its own deadline; a little more is for writing the answers.
    let patience = server.deadline + Duration::from_secs(2);
    tokio::select! {
        closed = servers.close(patience) => closed.map_err(|_| AppError::DrainTimedOut(patience))?,
        () = signals.next() => tracing::warn!("another signal: leaving at once"),
    }
    if let Some(pool) = built.pool {
        pool.finish(ENGINE_PATIENCE).await;
    }
    Ok(())
}

/// Ends only if an engine could not be started; without engines, never.
async fn engines_fail(pool: Option<&Pool>) -> String {
    if let Some(pool) = pool {
        match pool.warm().await {
            Ok(()) => tracing::info!("all engines are warm"),
            Err(failure) => return failure,
        }
    }
    std::future::pending().await
}
