//! The command line: what can be said, and its help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use platform::config::ProfileName;

use crate::cmd;

/// Builds, deploys, observes and measures an OCR platform on Kubernetes.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    max_term_width = 100,
    after_help = "Examples:\n  cargo xtask up                      serve OCR from a bare machine\n  \
                  cargo xtask up --provider kind      the same on a real 3-node Kubernetes cluster\n  \
                  cargo xtask demo --image letter.jpg show the text that is read from an image\n  \
                  cargo xtask down                    remove all of it"
)]
pub struct Cli {
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Args)]
pub struct OutputArgs {
    /// How the result is written to stdout
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// Nothing but the result and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Every step of progress, also when it is not a terminal
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Text,
    /// The result as one JSON document on stdout, events as JSON lines on stderr
    Json,
}

#[derive(Debug, Clone, Args)]
pub struct GlobalArgs {
    /// The cluster's name; several can live side by side
    #[arg(long, global = true, env = "PLATEN_PROFILE", value_name = "NAME")]
    pub profile: Option<ProfileName>,
    /// The configuration [default: platen.toml in the checkout, where there is one]
    #[arg(long, global = true, env = "PLATEN_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Install nothing on this machine; say what is missing instead
    #[arg(long, global = true)]
    pub no_install: bool,
}

impl Command {
    /// Whether it is told of Ctrl-C rather than dropped.
    pub fn has_its_own_signals(&self) -> bool {
        match self {
            Self::Serve(_) | Self::Chaos(_) => true,
            Self::Bench(args) => args.breaks(),
            _ => false,
        }
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Up(cmd::up::UpArgs),
    Down(cmd::down::DownArgs),
    Build(cmd::build::BuildArgs),
    Status(cmd::status::StatusArgs),
    Doctor(cmd::doctor::DoctorArgs),
    Context(cmd::context::ContextArgs),
    Demo(cmd::demo::DemoArgs),
    Deploy(cmd::deploy::DeployArgs),
    Load(cmd::load::LoadArgs),
    Chaos(cmd::chaos::ChaosArgs),
    Serve(cmd::serve::ServeArgs),
    Dashboards(cmd::dashboards::DashboardsArgs),
    Render(cmd::render::RenderArgs),
    Mirror(cmd::mirror::MirrorArgs),
    Bench(cmd::bench::BenchArgs),
    Test(cmd::test::TestArgs),
    Config(cmd::config::ConfigArgs),
    Completions(cmd::completions::CompletionsArgs),
    Man(cmd::man::ManArgs),
    #[command(hide = true)]
    Internal(cmd::internal::InternalArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn without_examples(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        let help = command.get_after_help().or(command.get_after_long_help());
        if !help.is_some_and(|help| help.to_string().contains("Examples:\n")) {
            found.push(path.to_owned());
        }
        let visible = command.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help");
        for below in visible {
            without_examples(below, &format!("{path} {}", below.get_name()), found);
        }
    }

    #[test]
    fn every_command_shows_examples() {
        let mut found = Vec::new();
        without_examples(&Cli::command(), "xtask", &mut found);
        assert_eq!(found, [""; 0], "add #[command(after_help = \"Examples:\\n  …\")]");
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}
