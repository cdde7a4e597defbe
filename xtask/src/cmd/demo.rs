//! `demo`: sends an image through the gateway and shows the text.

use std::path::PathBuf;

use clap::Args;
use platform::demo::{DemoReport, demo};
use platform::{Exit, Result};

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::Printer;

/// Send an image through the gateway and show the text that was read
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask demo\n  cargo xtask demo --image letter.jpg\n  \
                        cargo xtask demo --image letter.jpg -o json")]
pub struct DemoArgs {
    /// The image to send; without it, a sample that comes with Platen
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
}

pub async fn run(global: &GlobalArgs, args: DemoArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let report = demo(&host, args.image.as_deref()).await?;
    printer.result(&report, || text(&report));
    Ok(Exit::Done)
}

fn text(report: &DemoReport) -> String {
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
