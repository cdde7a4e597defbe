//! `serve`: the OCR service in the foreground.

use clap::Args;
use platform::{Exit, Result, service};

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::Printer;

/// Serve OCR in the foreground, all roles in one process; Ctrl-C drains and ends it
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask serve\n  cargo xtask serve --free-ports\n  curl -F image_file=@letter.jpg http://127.0.0.1:8001/gateway/ocr"
)]
pub struct ServeArgs {
    /// End programs that hold the ports that are needed; each is named
    #[arg(long)]
    free_ports: bool,
    /// Further arguments of the service (cargo xtask serve -- --help lists them)
    #[arg(last = true)]
    service_args: Vec<String>,
}

pub async fn run(global: &GlobalArgs, args: ServeArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    printer.finish();
    service::serve(&host, &args.service_args, args.free_ports).await
}
