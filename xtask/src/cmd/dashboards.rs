//! `dashboards`: Grafana's dashboards held against the rules, and against what Prometheus really has.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use platform::host::Host;
use platform::observe::lint::{self, Exceptions, Finding};
use platform::observe::verify::{self, Checked};
use platform::observe::{Prometheus, dashboard};
use platform::{Error, Exit, Result, up};
use serde::Serialize;

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::Printer;

/// Check the dashboards, so that none has an empty panel
#[derive(Debug, Args)]
pub struct DashboardsArgs {
    #[command(subcommand)]
    what: Dashboards,
}

#[derive(Debug, Subcommand)]
enum Dashboards {
    Lint(LintArgs),
    Verify(VerifyArgs),
}

/// Hold the dashboards against dashboard-linter's rules
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask dashboards lint\n  cargo xtask dashboards lint --dir /tmp/mine"
)]
struct LintArgs {
    #[command(flatten)]
    folder: FolderArgs,
}

/// Run every query of every panel against a live Prometheus
///
/// An unknown metric, an empty answer or an error fails, and is told with its panel. Meanwhile images are sent to what
/// `up` made: what has never happened has no numbers. With --prometheus nothing is sent.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask dashboards verify\n  \
                        cargo xtask dashboards verify --prometheus http://127.0.0.1:9090 -o json")]
struct VerifyArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Where it answers [default: the one that `up` started]
    #[arg(long, value_name = "URL", env = "PLATEN_PROMETHEUS_URL", hide_env_values = true)]
    prometheus: Option<String>,
}

#[derive(Debug, Args)]
struct FolderArgs {
    /// The folder with Grafana's JSON files [default: dashboards in the checkout]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Serialize)]
struct Linted {
    folder: PathBuf,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Verified {
    prometheus: String,
    passed: usize,
    failed: usize,
    queries: Vec<Checked>,
}

pub async fn run(global: &GlobalArgs, args: DashboardsArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let folder = |args: FolderArgs| args.dir.unwrap_or_else(|| host.root.join(dashboard::DIR));
    match args.what {
        Dashboards::Lint(args) => lint(folder(args.folder), printer),
        Dashboards::Verify(args) => {
            let folder = folder(args.folder);
            verify(&host, &folder, args.prometheus, printer).await
        }
    }
}

fn lint(folder: PathBuf, printer: &Printer) -> Result<Exit> {
    let (dashboards, exceptions) = (dashboard::read(&folder)?, Exceptions::read(&folder)?);
    let findings: Vec<Finding> =
        dashboards.iter().flat_map(|dashboard| lint::lint(dashboard, &exceptions)).collect();
    let linted = Linted { folder, findings };
    printer.result(&linted, || {
        if linted.findings.is_empty() {
            return format!("{} dashboards break no rule", dashboards.len());
        }
        linted.findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    });
    if linted.findings.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Error::unhealthy(
        format!("{} rules are broken", linted.findings.len()),
        format!(
            "mend the panels, or except them with a reason in {}",
            linted.folder.join(lint::FILE).display()
        ),
    ))
}

async fn verify(host: &Host, folder: &Path, named: Option<String>, printer: &Printer) -> Result<Exit> {
    let dashboards = dashboard::read(folder)?;
    let (prometheus, queries) = if let Some(named) = named {
        let queries = verify::verify(&Prometheus::new(&named)?, &dashboards).await?;
        (named, queries)
    } else {
        let ours = up::prometheus(host).await?;
        let queries = verify::verify_with_traffic(host, &Prometheus::new(&ours)?, &dashboards).await?;
        (ours, queries)
    };
    let passed = queries.iter().filter(|checked| checked.outcome.is_good()).count();
    let verified = Verified { prometheus, passed, failed: queries.len() - passed, queries };
    printer.result(&verified, || text(&verified));
    if verified.failed == 0 {
        return Ok(Exit::Done);
    }
    Err(Error::unhealthy(
        format!("{} of {} queries have no answer", verified.failed, verified.queries.len()),
        "look at the metric or the labels that are named: nothing that Prometheus scrapes has them",
    ))
}

fn text(verified: &Verified) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["DASHBOARD", "PANEL", "ANSWER"]);
    for checked in &verified.queries {
        table.add_row([checked.dashboard.as_str(), &checked.panel, &checked.outcome.sentence()]);
    }
    format!("{table}\n{} of {} queries have an answer", verified.passed, verified.queries.len())
}
