//! `status`: nodes, what runs where, in which versions, and URLs; live with `--watch`.

use clap::Args;
use platform::status::{Overview, ServiceSeen, StatusReport, overview, services};
use platform::{Exit, Result};

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::{Printer, headed};
use crate::watch;

/// Show the nodes, what runs on each, versions, URLs, and what `up` would change
///
/// Exits with 1 when something of it is not ready.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask status\n  cargo xtask status --watch       live; q ends it\n  \
                        cargo xtask status --services    all Services and their addresses\n  cargo xtask status -o json"
)]
pub struct StatusArgs {
    /// A live view: a column for each node, events below; without a terminal, a line for each change
    #[arg(long)]
    watch: bool,
    /// All Services of the cluster, with their types, ports and external addresses
    #[arg(long, conflicts_with = "watch")]
    services: bool,
}

pub async fn run(global: &GlobalArgs, args: StatusArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    if args.watch {
        return watch::run(&host, printer).await;
    }
    if args.services {
        let services = services(&host).await?;
        printer.result(&services, || table_of(&services));
        return Ok(Exit::Done);
    }
    let seen = overview(&host).await?;
    printer.result(&seen, || text(&seen));
    Ok(if seen.status.healthy { Exit::Done } else { Exit::Failed })
}

fn text(seen: &Overview) -> String {
    let report = &seen.status;
    let mut lines = vec![report.summary.clone()];
    if !report.workloads.is_empty() {
        lines.push(workloads(report));
    }
    lines.extend(
        report
            .applications
            .iter()
            .map(|it| format!("Argo CD keeps {} at {}: {}, {}", it.name, it.revision, it.sync, it.health)),
    );
    lines.extend(report.findings.iter().map(|finding| format!("! {finding}")));
    for it in &seen.components {
        let detail = it.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        lines.push(format!("{:<24} {}{detail}", it.name, it.version));
    }
    lines.extend(
        report.endpoints.iter().map(|endpoint| format!("{:<24} {}", endpoint.node, endpoint.ocr_url())),
    );
    lines.extend(report.page.iter().map(|page| format!("{:<24} {page}", "the page")));
    let drift = &seen.drift.actions;
    lines.extend(
        drift.iter().map(|action| format!("~ cargo xtask up would: {} ({})", action.title, action.why)),
    );
    lines.extend(
        seen.drift
            .unknown
            .iter()
            .map(|why| format!("? what cargo xtask up would change is not known: {why}")),
    );
    lines.join("\n")
}

fn workloads(report: &StatusReport) -> String {
    let mut table = headed(["NODE", "WORKLOAD", "STATE", "RESTARTS", "WHERE"]);
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
    table.to_string()
}

fn table_of(services: &[ServiceSeen]) -> String {
    let header = ["NAMESPACE", "NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORTS"];
    let mut table = headed(header);
    for it in services {
        let external = match (it.pending, it.external.is_empty()) {
            (true, _) => "<pending>".to_owned(),
            (false, true) => "<none>".to_owned(),
            (false, false) => it.external.join(","),
        };
        let cluster_ip = it.cluster_ip.as_deref().unwrap_or("None");
        table.add_row([&*it.namespace, &it.name, &it.kind, cluster_ip, &external, &it.ports.join(",")]);
    }
    table.to_string()
}
