//! `bench crowd`: the service when everybody comes at once.

use clap::Args;
use platform::bench::crowd::{self, Options, Report};
use platform::{Exit, Result};

use super::table::{self, number};
use crate::cli::GlobalArgs;
use crate::cmd::host;
use crate::printer::Printer;

/// Thousands of images at once: right texts, flat memory, exact admission, and engines that crash
///
/// Gateway and model as real processes on this machine, asked on loopback alone; leave the machine alone meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask bench crowd\n  cargo xtask bench crowd --dry-run\n  \
                        cargo xtask bench crowd --images 200 --requests 500 --rounds 10\n  \
                        cargo xtask bench crowd --check -o json")]
pub struct CrowdArgs {
    /// How many images are sent at once; their texts must be those that each gets alone
    #[arg(long, value_name = "N", default_value_t = count(Options::default().images), value_parser = clap::value_parser!(u16).range(1..=4000))]
    images: u16,
    /// Over how many requests memory is watched
    #[arg(long, value_name = "N", default_value_t = count(Options::default().requests), value_parser = clap::value_parser!(u16).range(1..))]
    requests: u16,
    /// How often one request more than there are places is sent
    #[arg(long, value_name = "N", default_value_t = count(Options::default().rounds), value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// How many engines are made to crash under load
    #[arg(long, value_name = "N", default_value_t = count(Options::default().crashes), value_parser = clap::value_parser!(u16).range(0..=100))]
    crashes: u16,
    /// Exit with 1 when a target is missed
    #[arg(long)]
    check: bool,
    /// Show what would be installed, started and measured, and how long it takes
    #[arg(long)]
    dry_run: bool,
}

fn count(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

pub async fn run(global: &GlobalArgs, args: CrowdArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let options = Options {
        images: args.images.into(),
        requests: args.requests.into(),
        rounds: args.rounds.into(),
        crashes: args.crashes.into(),
    };
    if args.dry_run {
        let plan = crowd::plan(&host, &options).await?;
        printer.result(&plan, || table::plan(&plan));
        return Ok(Exit::Done);
    }
    let report = crowd::crowd(&host, &options).await?;
    printer.result(&report, || told(&report));
    if args.check {
        report.verdict()?;
    }
    Ok(Exit::Done)
}

fn told(report: &Report) -> String {
    let Report { texts, memory, admission, crashes, .. } = report;
    let mut parts = vec![
        format!(
            "texts: {} images at once in {:.1} s, {} different ones with {} different texts",
            texts.images, texts.seconds, texts.different, texts.texts
        ),
        format!(
            "memory: {} requests in {:.1} s, {} samples; {} MB at 20 %, {} MB at the end, {} MB at most",
            memory.requests,
            memory.seconds,
            memory.samples,
            number(memory.begin_mb, 1),
            number(memory.end_mb, 1),
            number(memory.most_mb, 1)
        ),
    ];
    let mut table = table::table(&["WHILE ALL PLACES ARE TAKEN", "COUNT", "P50 ms", "P99 ms", "MAX ms"]);
    for (what, summary) in [("refusals", admission.refusal), ("health", admission.health)] {
        table.add_row([
            what.to_owned(),
            summary.map_or(0, |it| it.count).to_string(),
            number(summary.map(|it| it.p50_ms), 1),
            number(summary.map(|it| it.p99_ms), 1),
            number(summary.map(|it| it.max_ms), 1),
        ]);
    }
    parts.push(table.to_string());
    let faults = [&texts.counts, &memory.counts, &crashes.after].map(|counts| counts.first_fault.as_ref());
    let faults = faults.into_iter().flatten().chain(&admission.first_fault);
    parts.extend(faults.map(|fault| format!("! {fault}")));
    parts.push(table::targets(&report.targets));
    parts.join("\n\n")
}
