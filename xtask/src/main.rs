//! Platen's one terminal command: parses, wires, maps to an exit code.

#![forbid(unsafe_code)]

mod cli;
mod cmd;
mod printer;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use platform::{Error, Exit};

use crate::cli::{Cli, Command};
use crate::printer::Printer;

fn main() -> ExitCode {
    platform::tls::install();
    let cli = Cli::parse();
    let printer = Printer::new(&cli.output, &cli.global);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            printer.error(&Error::machine(format!("no threads can be started: {error}"), ""));
            return code(Exit::Machine);
        }
    };
    let result = runtime.block_on(async {
        // These have the signal for their own: the service in the foreground drains, a fault is undone.
        if cli.command.has_its_own_signals() {
            return run(cli, &printer).await;
        }
        tokio::select! {
            result = run(cli, &printer) => result,
            _ = tokio::signal::ctrl_c() => Err(Error::Interrupted),
        }
    });
    match result {
        Ok(exit) => {
            printer.finish();
            code(exit)
        }
        Err(error) => {
            printer.error(&error);
            code(error.exit())
        }
    }
}

async fn run(cli: Cli, printer: &Printer) -> Result<Exit, Error> {
    let global = &cli.global;
    match cli.command {
        Command::Up(args) => cmd::up::run(global, args, printer).await,
        Command::Down(args) => cmd::down::run(global, args, printer).await,
        Command::Build(args) => cmd::build::run(global, args, printer).await,
        Command::Status(args) => cmd::status::run(global, args, printer).await,
        Command::Doctor(args) => cmd::doctor::run(global, args, printer).await,
        Command::Context(args) => cmd::context::run(global, args, printer),
        Command::Demo(args) => cmd::demo::run(global, args, printer).await,
        Command::Chaos(args) => cmd::chaos::run(global, args, printer).await,
        Command::Load(args) => cmd::load::run(global, args, printer).await,
        Command::Deploy(args) => cmd::deploy::run(global, args, printer).await,
        Command::Serve(args) => cmd::serve::run(global, args, printer).await,
        Command::Dashboards(args) => cmd::dashboards::run(global, args, printer).await,
        Command::Render(args) => cmd::render::run(global, args, printer),
        Command::Mirror(args) => cmd::mirror::run(global, args, printer).await,
        Command::Bench(args) => cmd::bench::run(global, args, printer).await,
        Command::Test(args) => cmd::test::run(global, args, printer).await,
        Command::Config(_) => cmd::config::run(global, printer),
        Command::Completions(args) => Ok(cmd::completions::run(&args, printer)),
        Command::Man(args) => cmd::man::run(&args, printer),
        Command::Internal(args) => cmd::internal::run(global, args).await,
    }
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}
