//! `dashboards`: Grafana's dashboards held against the rules, and against what Prometheus really has.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
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
/// An unknown metric, an empty answer or an error fails, and is told with its panel. Send a few images first: what has
/// never happened has no numbers.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask dashboards verify\n  \
                        cargo xtask dashboards verify --prometheus http://127.0.0.1:9090 -o json")]
struct VerifyArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Where it answers [default: the one that `up` started]
    #[arg(long, value_name = "URL", env = "PLATEN_PROMETHEUS_URL")]
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
            let prometheus = match args.prometheus {
                Some(named) => named,
                None => up::prometheus(&host).await?,
            };
            verify(folder(args.folder), &prometheus, printer).await
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

async fn verify(folder: PathBuf, prometheus: &str, printer: &Printer) -> Result<Exit> {
    let dashboards = dashboard::read(&folder)?;
    let queries = verify::verify(&Prometheus::new(prometheus)?, &dashboards).await?;
    let passed = queries.iter().filter(|checked| checked.outcome.is_good()).count();
    let verified =
        Verified { prometheus: prometheus.into(), passed, failed: queries.len() - passed, queries };
    printer.result(&verified, || text(&verified));
    if verified.failed == 0 {
        return Ok(Exit::Done);
    }
    Err(Error::unhealthy(
        format!("{} of {} queries have no answer", verified.failed, verified.queries.len()),
        "send a few images (cargo xtask demo), wait for two scrapes, and try again",
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
