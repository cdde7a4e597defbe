//! `load`: requests at a rate that does not wait for answers, and what became of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use platform::load::{
    Comparison, LoadOptions, Pattern, Policy, Report, Schedule, Summary, Thresholds, Towards, Verdict,
    compare, duration, load, read_report, stages,
};
use platform::{Exit, Result};

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::{Printer, headed};

/// Send images at a rate, whether or not earlier ones are answered, and tell what became of them
///
/// Latencies count from the time at which a request had to be sent, so that a service that stalls is charged for
/// everybody whom it kept waiting. Each image is sent with other bytes behind its end, so that it is read anew. Where
/// several doors lead to the service, those that do not answer are passed over, and what one of them lost is sent to
/// another, as a load balancer in front would do. Exits with 1 when a limit is missed, with 6 when this machine was too
/// slow to make the load.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask load --rate 50 --duration 20s --max-errors 0\n  \
                  cargo xtask load --stages 30s:10,1m:60,30s:0 --max-p99 500ms\n  \
                  cargo xtask load --rate 20 --image letters/ --report /tmp/before\n  \
                  cargo xtask load compare /tmp/before /tmp/after"
)]
pub struct LoadArgs {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    Compare(CompareArgs),
}

/// Hold a run against an earlier one
///
/// Exits with 1 when the second is worse, with 6 when the two cannot be compared.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask load compare /tmp/before /tmp/after\n  \
                        cargo xtask load compare before/report.json after/report.json --tolerance 20")]
struct CompareArgs {
    /// The report of the run before, or its folder
    before: PathBuf,
    /// The report of the run after
    after: PathBuf,
    /// Percent by which figures may differ and still be the same
    #[arg(long, default_value_t = 10, value_name = "PERCENT")]
    tolerance: u32,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Requests a second [default: 10]
    #[arg(long, value_parser = rate, value_name = "NUMBER")]
    rate: Option<f64>,
    /// For how long, for example 500ms, 20s, 1m30s [default: 10s]
    #[arg(long, value_parser = duration, conflicts_with = "stages", value_name = "TIME")]
    duration: Option<Duration>,
    /// Rates to go to, each within a time; from --rate, or from the first of them
    #[arg(long, value_delimiter = ',', value_name = "TIME:RATE")]
    stages: Vec<Towards>,
    /// How requests are spread
    #[arg(long, value_enum, default_value_t)]
    arrivals: Arrivals,
    /// Of random arrivals: the same seed gives the same run
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// An image, or a folder of them; NAME.txt beside NAME.png has the text to be expected [default: one short line]
    #[arg(long, value_name = "PATH")]
    image: Option<PathBuf>,
    /// What takes the images; more than once for several doors [default: every node of what `up` made]
    #[arg(long, value_name = "URL")]
    target: Vec<platform::load::Url>,
    #[command(flatten)]
    tries: TryArgs,
    /// Send the same bytes again, which the service may answer from its cache
    #[arg(long)]
    repeat_bytes: bool,
    #[command(flatten)]
    limits: LimitArgs,
    /// Where the report goes [default: a folder of its own in .platen/reports]
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

/// How a request gets through, here and under a fault.
#[derive(Debug, Args)]
pub(super) struct TryArgs {
    /// Of a request with all its tries
    #[arg(long, value_parser = duration, default_value = "60s", value_name = "TIME")]
    pub(super) timeout: Duration,
    /// Send to every door in turn, whether or not it answers
    #[arg(long)]
    no_failover: bool,
    /// Try each request once
    #[arg(long)]
    no_retry: bool,
}

impl TryArgs {
    pub(super) fn policy(&self) -> Policy {
        Policy { failover: !self.no_failover, retry: !self.no_retry }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    #[arg(long, value_parser = duration, value_name = "TIME")]
    max_p50: Option<Duration>,
    #[arg(long, value_parser = duration, value_name = "TIME")]
    max_p95: Option<Duration>,
    #[arg(long, value_parser = duration, value_name = "TIME")]
    max_p99: Option<Duration>,
    /// Requests that may fail or be answered wrongly
    #[arg(long, value_name = "NUMBER")]
    max_errors: Option<u64>,
    /// Good answers a second at the least
    #[arg(long, value_parser = rate, value_name = "NUMBER")]
    min_rate: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Arrivals {
    /// The same distance between any two
    #[default]
    Even,
    /// Each without regard to the others, as users come
    Poisson,
}

/// The slowest rate: the next request is due in a quarter of an hour.
const SLOWEST: f64 = 0.001;

pub(super) fn rate(text: &str) -> Result<f64, String> {
    let parsed = text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate >= SLOWEST);
    parsed.ok_or_else(|| format!("{text:?} is no rate above zero: write at least {SLOWEST}"))
}

impl RunArgs {
    fn schedule(&self) -> Result<Schedule> {
        let pattern = match self.arrivals {
            Arrivals::Even => Pattern::Even,
            Arrivals::Poisson => Pattern::Poisson { seed: self.seed },
        };
        let lasting = self.duration.unwrap_or(Duration::from_secs(10));
        let steady = Schedule::steady(self.rate.unwrap_or(10.0), lasting);
        let stages = if self.stages.is_empty() { steady.stages } else { stages(self.rate, &self.stages)? };
        Ok(Schedule { stages, pattern })
    }
}

pub async fn run(global: &GlobalArgs, args: LoadArgs, printer: &Printer) -> Result<Exit> {
    if let Some(What::Compare(args)) = &args.what {
        return held_against(args, printer);
    }
    let args = args.run;
    let host = host(global, printer.events())?;
    let options = LoadOptions {
        schedule: args.schedule()?,
        policy: args.tries.policy(),
        repeats_bytes: args.repeat_bytes,
        thresholds: Thresholds {
            max_p50: args.limits.max_p50,
            max_p95: args.limits.max_p95,
            max_p99: args.limits.max_p99,
            max_errors: args.limits.max_errors,
            min_rate: args.limits.min_rate,
        },
        images: args.image,
        targets: args.target,
        timeout: args.tries.timeout,
        folder: args.report,
    };
    let (report, folder) = load(&host, &options).await?;
    printer.result(&report, || text(&report, &folder.0));
    report.verdict()
}

fn text(report: &Report, folder: &Path) -> String {
    let mut lines = vec![format!(
        "{} requests in {:.1} s: {} good ({:.1} a second), {} wrong, {} failed",
        report.sent,
        report.seconds,
        report.counts.good,
        report.rate,
        report.counts.wrong,
        report.counts.failed
    )];
    if report.latency.is_some() {
        lines.push(latencies(report));
    }
    lines.extend(report.errors.iter().map(|(kind, count)| format!("! {count} × {kind}")));
    if report.doors.len() > 1 {
        lines.push(doors(report));
    }
    if !report.lost_tries.is_empty() {
        let lost = report.lost_tries.len();
        lines.push(format!("{lost} tries brought nothing; what got through elsewhere is no error"));
    }
    if report.generator_was_slow {
        let late = report.late;
        lines.push(format!(
            "! {late} requests were sent late: this machine was too slow to make the load, and the figures are its own"
        ));
    }
    for checked in &report.thresholds {
        lines.push(format!("{} {}", if checked.passed { "✓" } else { "✗" }, checked.sentence()));
    }
    lines.push(format!("the report: {}", folder.display()));
    lines.join("\n")
}

fn latencies(report: &Report) -> String {
    let mut table = headed(["LATENCY (ms)", "P50", "P95", "P99", "P99.9", "MAX"]);
    let mut add = |name: &str, latency: Option<Summary>| {
        if let Some(latency) = latency {
            let figures = [latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.p999_ms, latency.max_ms];
            table.add_row(std::iter::once(name.to_owned()).chain(figures.map(|ms| format!("{ms:.1}"))));
        }
    };
    add("from its time", report.latency);
    add("from its sending", report.latency_from_sending);
    table.to_string()
}

fn doors(report: &Report) -> String {
    let mut table = headed(["DOOR", "TRIES", "ANSWERED", "WHERE"]);
    for door in &report.doors {
        table.add_row([door.name.as_str(), &door.tries.to_string(), &door.good.to_string(), &door.url]);
    }
    table.to_string()
}

fn held_against(args: &CompareArgs, printer: &Printer) -> Result<Exit> {
    let (before, after) = (read_report(&args.before)?, read_report(&args.after)?);
    let comparison = compare(&before, &after, f64::from(args.tolerance) / 100.0);
    printer.result(&comparison, || side_by_side(&comparison));
    Ok(comparison.exit())
}

fn side_by_side(comparison: &Comparison) -> String {
    let mut table = headed(["FIGURE", "BEFORE", "AFTER", "RATIO", ""]);
    let number = |value: Option<f64>, unit: &str| {
        value.map_or_else(|| "none".into(), |value| format!("{value:.1} {unit}"))
    };
    for figure in &comparison.figures {
        let verdict = match figure.verdict {
            Verdict::Better => "better",
            Verdict::Same => "",
            Verdict::Worse => "worse",
        };
        let ratio = figure.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let (before, after) = (number(figure.before, figure.unit), number(figure.after, figure.unit));
        table.add_row([figure.name, &before, &after, &ratio, verdict]);
    }
    let remarks = comparison.remarks.iter().map(|remark| format!("! {remark}"));
    let verdict = match comparison.exit() {
        Exit::Done => "the second run is no worse",
        Exit::Failed => "the second run is worse",
        _ => "the two cannot be compared",
    };
    std::iter::once(table.to_string()).chain(remarks).chain([verdict.into()]).collect::<Vec<_>>().join("\n")
}
