//! `status`: nodes, what runs where, and URLs.

use clap::Args;
use comfy_table::{Table, presets};
use platform::status::{StatusReport, status};
use platform::{Exit, Result};

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::Printer;

/// Show the nodes, what runs on each, and the URLs
///
/// Exits with 1 when something of it is not ready.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask status\n  cargo xtask status -o json")]
pub struct StatusArgs {}

pub async fn run(global: &GlobalArgs, _args: StatusArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let report = status(&host).await?;
    printer.result(&report, || text(&report));
    Ok(if report.healthy { Exit::Done } else { Exit::Failed })
}

fn text(report: &StatusReport) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["NODE", "WORKLOAD", "STATE", "RESTARTS", "WHERE"]);
    for workload in &report.workloads {
        let state = match (workload.leaving, workload.ready) {
            (true, _) => "leaving",
            (false, true) => "ready",
            (false, false) => "not ready",
        };
        table.add_row([
            workload.node.as_str(),
            &workload.name,
            state,
            &workload.restarts.to_string(),
            &workload.place,
        ]);
    }
    let mut lines = vec![report.summary.clone()];
    if !report.workloads.is_empty() {
        lines.push(table.to_string());
    }
    lines.extend(
        report
            .applications
            .iter()
            .map(|it| format!("Argo CD keeps {} at {}: {}, {}", it.name, it.revision, it.sync, it.health)),
    );
    lines.extend(report.findings.iter().map(|finding| format!("! {finding}")));
    lines.extend(
        report.endpoints.iter().map(|endpoint| format!("{:<24} {}", endpoint.node, endpoint.ocr_url())),
    );
    lines.extend(report.page.iter().map(|page| format!("{:<24} {page}", "the page")));
    lines.join("\n")
}
