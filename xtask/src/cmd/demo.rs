//! `demo`: sends an image through the gateway and shows the text; opens what there is to look at.

use std::path::PathBuf;

use clap::Args;
use platform::demo::{DemoOptions, DemoReport, Shown, StressReport, follow, show};
use platform::{Exit, Result};

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::Printer;

/// Send an image through the gateway and show the text that was read
///
/// With --follow the pages of Argo CD, Grafana and Prometheus are opened on ports of this machine, their addresses and logins
/// shown, and kept open until Ctrl-C, whatever happens to the pods behind them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask demo\n  cargo xtask demo --image letter.jpg\n  \
                        cargo xtask demo --stress 10\n  cargo xtask demo --follow\n  \
                        cargo xtask demo --image letter.jpg -o json")]
pub struct DemoArgs {
    /// The image to send; without it, a sample that comes with Platen
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Then send so many in a row, and show what of it the dashboards have seen
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    stress: u32,
    /// Open the pages of what runs beside the service, show their logins, and keep them open until Ctrl-C
    #[arg(long)]
    follow: bool,
}

pub async fn run(global: &GlobalArgs, args: DemoArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let options = DemoOptions { image: args.image.as_deref(), stress: args.stress, consoles: args.follow };
    let shown = show(&host, &options).await?;
    printer.result(&shown, || text(&shown, args.follow));
    if let Some(stress) = &shown.stress {
        stress.verdict()?;
    }
    if args.follow {
        match follow(&host, &shown.consoles).await? {}
    }
    Ok(Exit::Done)
}

fn text(shown: &Shown, followed: bool) -> String {
    let mut lines = vec![read(&shown.first)];
    if let Some(stress) = &shown.stress {
        lines.extend(in_a_row(stress));
    }
    lines.extend(shown.endpoints.iter().map(|it| format!("gateway by {}: {}", it.node, it.ocr_url())));
    lines.extend(shown.page.iter().map(|page| format!("page: {page}")));
    for console in &shown.consoles {
        let login = console.login.as_ref().map_or_else(String::new, |login| {
            format!("  (user {}, password {})", login.user, login.password)
        });
        lines.push(format!("{}: {}{login}", console.name, console.url));
    }
    if followed {
        lines.push("all of these stay open until Ctrl-C".into());
    }
    lines.join("\n")
}

fn read(report: &DemoReport) -> String {
    let indented: Vec<String> = report.text.lines().map(|line| format!("  {line}")).collect();
    format!(
        "{} read in {} ms by {} through {}:\n{}",
        report.image,
        report.elapsed_ms,
        report.served_by.as_deref().unwrap_or("a model"),
        report.url,
        indented.join("\n")
    )
}

fn in_a_row(report: &StressReport) -> Vec<String> {
    let latency = report.latency.map_or_else(String::new, |it| {
        format!("; p50 {:.0} ms, p95 {:.0} ms, slowest {:.0} ms", it.p50_ms, it.p95_ms, it.max_ms)
    });
    let sent = format!("{} of {} read in {:.1} s{latency}", report.good, report.sent, report.elapsed_seconds);
    let number = |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value:.3}"));
    let moved = report
        .moved
        .iter()
        .map(|it| format!("  {}: {} before, {} now", it.panel, number(it.before), number(it.after)));
    std::iter::once(sent).chain(moved).collect()
}
