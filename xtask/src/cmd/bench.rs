//! `bench`: the service measured against its peers.

mod accuracy;
mod build;
mod crowd;
mod faults;
mod load;
mod table;

use clap::{Args, Subcommand};
use platform::bench::{self, Options, Peer, Picture};
use platform::{Exit, Result};

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::Printer;

/// Measure the service and the load generator against their peers
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask bench ocr --dry-run\n  cargo xtask bench accuracy")]
pub struct BenchArgs {
    #[command(subcommand)]
    what: Bench,
}

impl BenchArgs {
    /// Whether something is broken that must be undone.
    pub fn breaks(&self) -> bool {
        matches!(self.what, Bench::Chaos(_))
    }
}

#[derive(Debug, Subcommand)]
enum Bench {
    Ocr(OcrArgs),
    Accuracy(accuracy::AccuracyArgs),
    Build(build::BuildArgs),
    Crowd(crowd::CrowdArgs),
    Chaos(faults::FaultArgs),
    Load(load::LoadArgs),
}

/// Speed and memory: Platen, Flask, KServe, both tuned, and Tesseract's library alone, on the same images
///
/// Peers run one after the other, each on the whole machine; leave it alone meanwhile. What is missing is installed:
/// Debian packages, and Python packages into Platen's cache.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask bench ocr\n  cargo xtask bench ocr --dry-run\n  \
                        cargo xtask bench ocr --only bare --only platen-plain --image line --seconds 10\n  \
                        cargo xtask bench ocr --check -o json")]
struct OcrArgs {
    /// Only this peer: bare, platen, platen-plain, flask, kserve, flask-tuned or kserve-tuned (repeatable)
    #[arg(long, value_name = "PEER")]
    only: Vec<Peer>,
    /// Only this image: line, label or letter (repeatable)
    #[arg(long, value_name = "NAME")]
    image: Vec<Picture>,
    /// How long each measurement lasts at least
    #[arg(long, value_name = "N", default_value_t = Options::default().seconds, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// How many clients wait for an answer at once in the closed loop
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    clients: u16,
    /// The open loop's rate as a share of what the peer showed itself capable of
    #[arg(long, value_name = "SHARE", default_value_t = Options::default().share, value_parser = share)]
    share: f64,
    /// Exit with 1 when a target is missed
    #[arg(long)]
    check: bool,
    /// Show what would be installed, started and measured, and how long it takes
    #[arg(long)]
    dry_run: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "a number such as 0.7".to_owned())?;
    if share > 0.0 && share <= 2.0 { Ok(share) } else { Err("more than 0 and at most 2".into()) }
}

pub async fn run(global: &GlobalArgs, args: BenchArgs, printer: &Printer) -> Result<Exit> {
    match args.what {
        Bench::Ocr(args) => ocr(global, args, printer).await,
        Bench::Accuracy(args) => accuracy::run(global, args, printer).await,
        Bench::Build(args) => build::run(global, args, printer).await,
        Bench::Crowd(args) => crowd::run(global, args, printer).await,
        Bench::Load(args) => load::run(global, args, printer).await,
        Bench::Chaos(args) => faults::run(global, args, printer).await,
    }
}

async fn ocr(global: &GlobalArgs, args: OcrArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let options = Options {
        only: args.only,
        images: args.image,
        seconds: args.seconds,
        clients: args.clients.into(),
        share: args.share,
    };
    if args.dry_run {
        let plan = bench::plan(&host, &options).await?;
        printer.result(&plan, || table::plan(&plan));
        return Ok(Exit::Done);
    }
    let report = bench::ocr(&host, &options).await?;
    printer.result(&report, || table::report(&report));
    if args.check {
        report.verdict()?;
    }
    Ok(Exit::Done)
}
