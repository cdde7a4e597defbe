//! `bench chaos`: what faults cost, several runs of each.

use std::path::PathBuf;

use clap::Args;
use platform::bench::faults::{FaultOptions, Faults, faults};
use platform::chaos::Mode;
use platform::{Exit, Result};

use crate::cli::GlobalArgs;
use crate::cmd::chaos::ModeArg;
use crate::cmd::host;
use crate::cmd::load::rate;
use crate::printer::Printer;

/// Faults: a worker killed, stopped and paused under load, three times each, targets beside numbers
///
/// On the cluster that `up` made; each run takes about three minutes. Every run leaves its report in .platen/reports.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask bench chaos\n  cargo xtask bench chaos --mode pause --runs 1 --check -o json"
)]
pub struct FaultArgs {
    /// Only this way for the node to go (repeatable)
    #[arg(long, value_enum, value_name = "MODE")]
    mode: Vec<ModeArg>,
    /// Runs of each
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Requests a second [default: 60 percent of what the platform can do]
    #[arg(long, value_parser = rate, value_name = "NUMBER")]
    rate: Option<f64>,
    /// An image, or a folder of them [default: one line of text]
    #[arg(long, value_name = "PATH")]
    image: Option<PathBuf>,
    /// Exit with 1 when a target is missed
    #[arg(long)]
    check: bool,
}

pub async fn run(global: &GlobalArgs, args: FaultArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let modes = if args.mode.is_empty() {
        vec![Mode::Kill, Mode::Stop, Mode::Pause]
    } else {
        args.mode.into_iter().map(Mode::from).collect()
    };
    let image = args.image.unwrap_or_else(|| host.root.join("platform/stack/bench/images/line.png"));
    let measured = faults(&host, &FaultOptions { modes, runs: args.runs, image, rate: args.rate }).await?;
    printer.result(&measured, || text(&measured));
    if args.check {
        measured.verdict()?;
    }
    Ok(Exit::Done)
}

fn text(measured: &Faults) -> String {
    let header =
        ["MODE", "SENT", "FAILED", "LOST TRIES", "STEADY P99 ms", "OUTAGE P99 ms", "REPLACED s", "OFF BY s"];
    let mut table = super::table::table(&header);
    let figure = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.1}"));
    for run in &measured.runs {
        table.add_row([
            run.mode.as_str().to_owned(),
            format!("{:.0}", run.sent),
            format!("{:.0}", run.failed),
            run.lost_tries.to_string(),
            figure(run.steady_p99_ms),
            figure(run.outage_p99_ms),
            figure(run.replaced_seconds),
            figure(run.deviation_seconds),
        ]);
    }
    let none = measured
        .runs
        .iter()
        .filter_map(|run| Some(format!("! {}: {}", run.mode.as_str(), run.error.as_ref()?)));
    let changes = measured.changes.iter().map(|change| format!("! {change}"));
    let targets = super::table::targets(&measured.targets);
    std::iter::once(format!("{table}\n"))
        .chain(none)
        .chain(changes)
        .chain([targets])
        .collect::<Vec<_>>()
        .join("\n")
}
