//! `man`: a page for each command.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use platform::{Error, Exit, Result};

use crate::cli::Cli;
use crate::printer::Printer;

/// As `man` finds it.
const NAME: &str = "cargo-xtask";

/// Write the man pages, one for each command
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask man ~/.local/share/man/man1\n  cargo xtask man /tmp/man && man /tmp/man/cargo-xtask-up.1"
)]
pub struct ManArgs {
    /// The folder that they are written to; it is made where it is not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub fn run(args: &ManArgs, printer: &Printer) -> Result<Exit> {
    let failed = |error: std::io::Error| {
        let what = format!("the man pages cannot be written to {}: {error}", args.dir.display());
        Error::usage(what, "name a folder that you may write to")
    };
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command().name(NAME).bin_name(NAME), &args.dir).map_err(failed)?;
    let pages = std::fs::read_dir(&args.dir).map_err(failed)?.flatten();
    let mut names: Vec<String> = pages
        .filter_map(|page| page.file_name().into_string().ok())
        .filter(|name| name.starts_with(NAME))
        .collect();
    names.sort();
    printer.result(&names, || format!("{} pages in {}", names.len(), args.dir.display()));
    Ok(Exit::Done)
}
