//! `context`: which cluster kubectl speaks to.

use clap::Args;
use platform::cluster::contexts::{self, Context};
use platform::{Exit, Result};

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::{Printer, headed};

/// List the contexts of the kubeconfig, or make one current
///
/// Only the line of the current context is written, in one piece; everything else in the file stays as it is. Platen
/// itself names its context with every call, and needs none to be current.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask context\n  cargo xtask context kind-platen\n  cargo xtask context -o json"
)]
pub struct ContextArgs {
    /// The context to make current
    name: Option<String>,
}

pub fn run(global: &GlobalArgs, args: ContextArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let changed = args.name.as_deref().map(contexts::make_current).transpose()?;
    let contexts = contexts::list(&host)?;
    printer.result(&contexts, || match (args.name, changed) {
        (Some(name), Some(true)) => format!("current is now {name}"),
        (Some(name), _) => format!("current is {name} already"),
        (None, _) => text(&contexts),
    });
    Ok(Exit::Done)
}

fn text(contexts: &[Context]) -> String {
    if contexts.is_empty() {
        return "the kubeconfig holds no context; make a cluster: cargo xtask up --provider kind".into();
    }
    let mut table = headed(["", "CONTEXT", "SERVER", "PROFILE"]);
    for context in contexts {
        let mark = if context.current { "*" } else { "" };
        table.add_row([mark, &context.name, &context.server, context.profile.as_deref().unwrap_or("-")]);
    }
    table.to_string()
}
