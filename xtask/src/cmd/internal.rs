//! `internal`: how this program starts itself as the supervisor of the embedded provider, as one of its nodes, as the
//! doors to minikube's nodes, and as the server that load generators are held against.

use std::time::Duration;

use clap::{Args, Subcommand};
use platform::bench::loadgen::answers::{self, Manner, Stall};
use platform::cluster::embedded::supervisor;
use platform::cluster::minikube::Doors;
use platform::event::Events;
use platform::load::duration;
use platform::process::Cmd;
use platform::{Exit, Result};
use tracing_subscriber::filter::LevelFilter;

use super::host;
use crate::cli::GlobalArgs;

#[derive(Debug, Args)]
pub struct InternalArgs {
    #[command(subcommand)]
    what: Internal,
}

#[derive(Debug, Subcommand)]
enum Internal {
    Supervise,
    Doors,
    Node { name: String },
    Answer(AnswerArgs),
}

#[derive(Debug, Args)]
struct AnswerArgs {
    #[arg(long)]
    port: u16,
    #[arg(long, value_parser = duration)]
    after: Option<Duration>,
    #[arg(long, value_parser = duration, requires = "stall_for")]
    stall_at: Option<Duration>,
    #[arg(long, value_parser = duration, requires = "stall_at")]
    stall_for: Option<Duration>,
}

impl AnswerArgs {
    fn manner(&self) -> Manner {
        let stall = self.stall_at.zip(self.stall_for).map(|(at, lasting)| Stall { at, lasting });
        Manner { after: self.after.unwrap_or_default(), stall }
    }
}

pub async fn run(global: &GlobalArgs, args: InternalArgs) -> Result<Exit> {
    log_to_stderr();
    // It needs no project, and is started outside of it.
    if let Internal::Answer(args) = &args.what {
        answers::answer(args.port, args.manner()).await?;
        return Ok(Exit::Done);
    }
    let host = host(global, Events::silent())?;
    let dir = host.profile_dir(&host.config.cluster.profile);
    match args.what {
        Internal::Supervise => {
            // This very file, even when a build has replaced it at its path since.
            let program = format!("/proc/{}/exe", std::process::id());
            let node = |name: &str| {
                Cmd::new(&program)
                    .args(["internal", "node", "--profile", host.config.cluster.profile.as_str(), name])
                    .cwd(&host.root)
            };
            supervisor::supervise(&dir, node).await?;
        }
        Internal::Answer(_) => {}
        Internal::Doors => Doors::new(&dir).serve().await?,
        Internal::Node { name } => supervisor::run_node(&dir, &name).await?,
    }
    Ok(Exit::Done)
}

/// Their standard error is a log file of the profile's.
fn log_to_stderr() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_max_level(LevelFilter::INFO)
        .init();
}
