//! `down`: removes what `up` made.

use clap::Args;
use platform::up::{DownOptions, DownReport, down};
use platform::{Exit, Result};

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::Printer;

/// Remove what `up` made, and prove that nothing is left
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask down\n  cargo xtask down --stop     keep data and images\n  \
                        cargo xtask down --all      also stop what up started on this machine"
)]
pub struct DownArgs {
    /// Only stop: data and images stay, `up` starts again in seconds
    #[arg(long)]
    stop: bool,
    /// Also the builder with its cache, and the Docker that `up` started on this machine
    #[arg(long, conflicts_with = "stop")]
    all: bool,
    /// Show what would be removed
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(global: &GlobalArgs, args: DownArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let options = DownOptions { stop: args.stop, all: args.all, dry_run: args.dry_run };
    let report = down(&host, options).await?;
    printer.result(&report, || text(&report, options));
    Ok(Exit::Done)
}

fn text(report: &DownReport, options: DownOptions) -> String {
    let verb = match (options.dry_run, options.stop) {
        (true, false) => "would go",
        (true, true) => "would be stopped",
        (false, true) => "stopped",
        (false, false) => "removed",
    };
    if report.removed.is_empty() {
        return "nothing to do: nothing of Platen is here".into();
    }
    report.removed.iter().map(|what| format!("{verb}: {what}")).collect::<Vec<_>>().join("\n")
}
