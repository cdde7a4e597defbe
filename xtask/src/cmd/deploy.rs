//! `deploy`: the chart to the cluster, by Argo CD or by Helm alone; back again; or as a package.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use platform::config::ChartSource;
use platform::up::{DeployOptions, DeployReport, deploy, roll_back};
use platform::{Exit, Result, gitops};
use serde::Serialize;

use super::host;
use super::login::LoginArgs;
use crate::cli::GlobalArgs;
use crate::printer::Printer;

/// Deploy the chart of this checkout, and wait until the cluster serves it
///
/// The chart is pushed with a version by its content, and Argo CD is pointed at it; or, by Git, Argo CD follows the branch that is
/// checked out. Where the cluster is not Argo CD's, Helm applies the chart from this machine. An image that no node could run is
/// refused before anything changes; what fails later is told with its cause, and the pods that served go on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask deploy\n  cargo xtask deploy --set model.replicas=3\n  \
                        cargo xtask deploy --source git\n  \
                        cargo xtask deploy --registry-server registry.example.org --registry-user me \
                        --registry-password-stdin < token\n  \
                        cargo xtask deploy --rollback\n  cargo xtask deploy --package /tmp/charts\n\nA login by \
                        flags: where it is of the registry in [images] registry, nodes pull with it too: it becomes the \
                        Secret regcred, unless somebody else made one.")]
pub struct DeployArgs {
    /// By Helm from this machine alone; the next `up` gives it back to Argo CD
    #[arg(long)]
    direct: bool,
    /// Where Argo CD reads the chart from: git follows the checkout's remote (GIT_TOKEN in .env lets it in), registry has
    /// what lies here; auto keeps what the cluster has, also where what lies here is not pushed: that is an error then
    #[arg(long, value_name = "SOURCE", conflicts_with_all = ["direct", "rollback", "package"])]
    source: Option<Source>,
    /// A value of the chart (repeatable), until the next deploy, and by Helm until the next `up`; lists and maps as JSON
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Go back to what was deployed before
    #[arg(long, conflicts_with_all = ["direct", "set", "package", "dry_run"])]
    rollback: bool,
    /// Only pack the chart into this folder; needs no cluster
    #[arg(long, value_name = "DIR", conflicts_with_all = ["direct", "set"])]
    package: Option<PathBuf>,
    #[command(flatten)]
    login: LoginArgs,
    /// Check everything, say what would change, and change nothing
    #[arg(long, conflicts_with = "package")]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Source {
    Auto,
    Git,
    Registry,
}

impl From<Source> for ChartSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Auto => Self::Auto,
            Source::Git => Self::Git,
            Source::Registry => Self::Registry,
        }
    }
}

#[derive(Serialize)]
struct Packed {
    file: PathBuf,
}

pub async fn run(global: &GlobalArgs, args: DeployArgs, printer: &Printer) -> Result<Exit> {
    let mut host = host(global, printer.events())?;
    host.login = args.login.read(&host, None)?;
    if let Some(source) = args.source {
        host.config.gitops.source = source.into();
    }
    if let Some(folder) = &args.package {
        let packed = Packed { file: gitops::package(&host, folder).await? };
        printer.result(&packed, || packed.file.display().to_string());
        return Ok(Exit::Done);
    }
    let report = if args.rollback {
        roll_back(&host).await?
    } else {
        let options = DeployOptions { direct: args.direct, set: args.set, dry_run: args.dry_run };
        deploy(&host, &options).await?
    };
    printer.result(&report, || text(&report));
    Ok(Exit::Done)
}

fn text(report: &DeployReport) -> String {
    format!("{} (chart {}, {:.1} s)", report.done, report.version, report.elapsed_seconds)
}
