//! `config`: every key of platen.toml with its default.

use clap::Args;
use platform::config::DEFAULT_FILE;
use platform::{Exit, Result};

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::Printer;

/// Print platen.toml with every key, its default and what it is for
///
/// With `-o json`, the settings as they are in force: the file's, with the flags over them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask config > platen.toml\n  cargo xtask config -o json")]
pub struct ConfigArgs {}

pub fn run(global: &GlobalArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    printer.result(&host.config, || DEFAULT_FILE.trim_end().to_owned());
    Ok(Exit::Done)
}
