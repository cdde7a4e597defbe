//! The OCR service: one binary, a subcommand per role. Here: configuration, log lines, the crypto provider, and the
//! exit code; everything else is the library's.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ocr_service::cli::Cli;
use ocr_service::engine::child;
use ocr_service::{app, env_file, logging, train};

/// The command line, the environment or `.env` is wrong.
const USAGE: u8 = 2;
/// The machine lacks something.
const LACKING: u8 = 3;
/// For what still runs when all that matters is done.
const LAST_MOMENT: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    // Before anything that an engine has no use for: it is started again and again, and holds as little as it can.
    if child::is_asked_for() {
        return child::run();
    }
    // Before the command line, which is completed from the environment. A training is told everything by its command
    // line, and the secrets of `.env` are none of its business.
    if !train::is_asked_for()
        && let Err(error) = env_file::load(Path::new(".env"))
    {
        return fail(USAGE, &error);
    }
    let cli = Cli::of_process();
    if let Err(error) = logging::start(cli.log_format, &cli.log) {
        return fail(USAGE, &format!("--log {:?} cannot be understood ({error}); try info", cli.log));
    }
    // Fails only if one is installed already, and then that one is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(LACKING, &format!("cannot start threads: {error}")),
    };
    let ended = runtime.block_on(app::run(cli.command));
    // Without a bound the end would wait for a name that is being resolved, which nobody wants to know any more.
    runtime.shutdown_timeout(LAST_MOMENT);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error.exit_code(), &error),
    }
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
