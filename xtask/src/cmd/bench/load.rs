//! `bench load`: the load generator beside others, and at a stall.

use clap::Args;
use platform::bench::loadgen::{self, Options, Part, Report, Row, named};
use platform::{Exit, Result};

use super::table::{self, number};
use crate::cli::GlobalArgs;
use crate::cmd::host;
use crate::printer::Printer;

/// The load generator: its highest rate beside wrk and oha, and whether it tells what a stall has cost
///
/// All ask one trivial server on this machine, by turns, with the same bytes; leave the machine alone meanwhile. Then the
/// server stalls for a second, and what the generator tells is held against what the stall has really cost. What is
/// missing is obtained: wrk as a Debian package, oha from its crate into Platen's cache.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask bench load\n  cargo xtask bench load --only wrk --seconds 10\n  \
                        cargo xtask bench load --only stall\n  cargo xtask bench load --check -o json"
)]
pub struct LoadArgs {
    /// Only this: wrk, oha (each beside Platen's) or stall (repeatable)
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// How long each turn of a generator lasts
    #[arg(long, value_name = "N", default_value_t = Options::default().seconds, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// How many connections each has, none of which sends before its answer has come
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: u16,
    /// How many turns each has; the median counts
    #[arg(long, value_name = "N", default_value_t = Options::default().rounds, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Exit with 1 when a target is missed
    #[arg(long)]
    check: bool,
    /// Show what would be installed, started and measured, and how long it takes
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(global: &GlobalArgs, args: LoadArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let LoadArgs { only, seconds, clients, rounds, .. } = args;
    let options = Options { only, seconds, clients: clients.into(), rounds };
    if args.dry_run {
        let plan = loadgen::plan(&host, &options).await?;
        printer.result(&plan, || table::plan(&plan));
        return Ok(Exit::Done);
    }
    let report = loadgen::loadgen(&host, &options).await?;
    printer.result(&report, || told(&report));
    if args.check {
        report.verdict()?;
    }
    Ok(Exit::Done)
}

fn told(report: &Report) -> String {
    let mut parts = Vec::new();
    if !report.generators.is_empty() {
        parts.push(rates(report));
    }
    if !report.stalls.is_empty() {
        parts.push(stalls(report));
    }
    parts.push(table::targets(&report.targets));
    parts.join("\n\n")
}

fn rates(report: &Report) -> String {
    let mut table = table::table(&["GENERATOR", "RATE/s", "TURNS", "PLATEN'S OF IT", "CPU us", "FAULTS"]);
    for row in &report.generators {
        let turns: Vec<_> = row.rates.iter().map(|rate| format!("{rate:.0}")).collect();
        table.add_row([
            row.generator.name().to_owned(),
            number(row.rate, 0),
            turns.join(" "),
            number(row.platens_of_it, 2),
            number(row.cpu_us, 1),
            row.faults.to_string(),
        ]);
    }
    let why = |row: &Row| {
        Some(format!("! {} was not measured: {}", row.generator.name(), row.not_measured.as_ref()?))
    };
    let whys = report.generators.iter().filter_map(why);
    let title = format!(
        "{} clients, {} cores, the median of turns of {} s",
        report.clients, report.cores, report.seconds
    );
    std::iter::once(format!("{title}\n{table}")).chain(whys).collect::<Vec<_>>().join("\n")
}

fn stalls(report: &Report) -> String {
    let mut table =
        table::table(&["STALL", "SENT", "LATE", "TRUE P50", "P50", "TRUE P99", "P99", "OFF BY %"]);
    for run in &report.stalls {
        table.add_row([
            format!("{} a second, {}", run.rate, named(run.pattern)),
            run.requests.to_string(),
            run.late.to_string(),
            number(Some(run.true_p50_ms), 1),
            number(run.p50_ms, 1),
            number(Some(run.true_p99_ms), 1),
            number(run.p99_ms, 1),
            number(run.off_by(), 2),
        ]);
    }
    let raw = report.uncorrected.as_ref().map(|raw| {
        format!(
            "the same stall to {} clients that wait for their answer: {} requests, p99 {} ms, at most {} ms",
            raw.clients,
            raw.requests,
            number(raw.p99_ms, 1),
            number(raw.max_ms, 1)
        )
    });
    std::iter::once(table.to_string()).chain(raw).collect::<Vec<_>>().join("\n")
}
