//! `bench build`: how long the image takes.

use clap::Args;
use platform::bench::building::{self, Building};
use platform::{Exit, Result};

use crate::cli::GlobalArgs;
use crate::cmd::host;
use crate::printer::Printer;

/// Times of the image: one platform and both from an empty cache, after a change of one line, and unchanged
///
/// Empties the builder's cache twice. The checkout is not touched: a copy of its sources is built.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask bench build\n  cargo xtask bench build --check -o json")]
pub struct BuildArgs {
    /// Exit with 1 when a target is missed
    #[arg(long)]
    check: bool,
}

pub async fn run(global: &GlobalArgs, args: BuildArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let measured = building::building(&host).await?;
    printer.result(&measured, || text(&measured));
    if args.check {
        measured.verdict()?;
    }
    Ok(Exit::Done)
}

fn text(measured: &Building) -> String {
    let rows = [
        ("one platform, empty cache", measured.one_cold),
        ("both platforms, empty cache", measured.both_cold),
        ("both, one line changed", measured.after_a_line),
        ("both, nothing changed", measured.unchanged),
    ];
    let mut lines: Vec<String> =
        rows.iter().map(|(what, seconds)| format!("{what:<30} {seconds:>7.1} s")).collect();
    lines.push(super::table::targets(&measured.targets));
    lines.join("\n")
}
