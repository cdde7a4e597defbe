//! `bench build`: how long the image takes.

use clap::Args;
use platform::bench::building::{self, Building, Options};
use platform::bench::emulation::Emulation;
use platform::{Exit, Result};

use crate::cli::GlobalArgs;
use crate::cmd::host;
use crate::printer::Printer;

/// Times of the image: one platform and both from an empty cache, after a change of one line, and unchanged
///
/// Empties the builder's cache twice. The checkout is not touched: a copy of its sources is built. All of them are
/// cross-compiled; what compiling costs under emulation instead is measured on one dependency with --emulated.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask bench build\n  cargo xtask bench build --check -o json\n  \
                        cargo xtask bench build --emulated")]
pub struct BuildArgs {
    /// Exit with 1 when a target is missed
    #[arg(long)]
    check: bool,
    /// Also compile one dependency natively and, for the other platform, under emulation: about 25 minutes more
    #[arg(long)]
    emulated: bool,
}

pub async fn run(global: &GlobalArgs, args: BuildArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let measured = building::building(&host, Options { emulated: args.emulated }).await?;
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
    lines.extend(measured.emulation.as_ref().map(emulated));
    lines.push(super::table::targets(&measured.targets));
    lines.join("\n")
}

fn emulated(measured: &Emulation) -> String {
    let Emulation { platform, dependency, native, emulated, times } = measured;
    let row = |what: String, seconds: f64| format!("{what:<30} {seconds:>7.1} s");
    [
        row(format!("{dependency}, natively"), *native),
        row(format!("{dependency}, {platform} emulated"), *emulated),
        format!("{:<30} {times:>7.1} times the native time", "emulated"),
    ]
    .join("\n")
}
