//! The OCR service: one binary, a subcommand per role. Here: configuration, log lines, the crypto provider, and the
//! exit code; everything else is the library's.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use ocr_service::cli::Cli;
use ocr_service::engine::child;
use ocr_service::{app, env_file, logging};

/// The command line, the environment or `.env` is wrong.
const USAGE: u8 = 2;
/// The machine lacks something.
const LACKING: u8 = 3;

fn main() -> ExitCode {
    // Before anything that an engine has no use for: it is started again and again, and holds as little as it can.
    if child::is_asked_for() {
        return child::run();
    }
    // Before the command line, which is completed from the environment. A training has no use for the service's
    // settings, and must not find the secrets among them that it was not given.
    if !is_training()
        && let Err(error) = env_file::load(Path::new(".env"))
    {
        return fail(USAGE, &error);
    }
    let cli = Cli::parse();
    if let Err(error) = logging::start(cli.log_format, &cli.log) {
        return fail(USAGE, &format!("--log {:?} cannot be understood ({error}); try info", cli.log));
    }
    // Fails only if one is installed already, and then that one is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(LACKING, &format!("cannot start threads: {error}")),
    };
    match runtime.block_on(app::run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.exit_code(), &error),
    }
}

fn is_training() -> bool {
    std::env::args_os().nth(1).is_some_and(|argument| argument == "train")
}

/// The process's last words. Log lines can be turned off, these cannot.
#[expect(
    clippy::print_stderr,
    reason = "the one message that must be seen even when logging is off or not started"
)]
fn fail(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(code)
}
