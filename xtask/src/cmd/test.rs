//! `test`: everything that must hold before a change is good.

use clap::Args;
use platform::checks::{Extent, Report, choose, list, run as run_checks};
use platform::{Exit, Result};

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::{Printer, headed};

/// Run the checks: form, lints, unit, integration and end-to-end tests
///
/// Installs what it needs. Every check runs, whatever became of the others; exits with 1 when one failed.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask test\n  cargo xtask test --quick         without end to end\n  \
                        cargo xtask test --cluster       also end to end on a real cluster\n  \
                        cargo xtask test --only clippy"
)]
pub struct TestArgs {
    /// Also end to end on a real Kubernetes cluster
    #[arg(long)]
    cluster: bool,
    /// Leave end to end out
    #[arg(long, conflicts_with = "cluster")]
    quick: bool,
    /// Only this check (repeatable), by its name in the table of results; cluster needs --cluster too
    #[arg(long, value_name = "CHECK")]
    only: Vec<String>,
}

pub async fn run(global: &GlobalArgs, args: TestArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let checks = choose(&list(Extent { quick: args.quick, cluster: args.cluster }), &args.only)?;
    let report = run_checks(&host, &checks).await?;
    printer.result(&report, || text(&report));
    report.verdict()?;
    Ok(Exit::Done)
}

fn text(report: &Report) -> String {
    let mut table = headed(["CHECK", "RESULT", "SECONDS", "SEEN"]);
    for outcome in &report.outcomes {
        let result = if outcome.passed { "passed" } else { "FAILED" };
        table.add_row([outcome.name, result, &format!("{:.1}", outcome.seconds), &outcome.detail]);
    }
    format!("{table}\n{}", report.summary())
}
