//! `render`: the manifests of `argocd/` from their templates, and the chart's table of values.

use std::path::PathBuf;

use clap::Args;
use platform::manifests::{self, Drift, Params, chart_readme};
use platform::{Error, Exit, Result};
use serde::Serialize;

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::Printer;

/// Render the manifests to a folder, or check that what is committed is current
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask render\n  cargo xtask render --out /tmp/manifests\n  \
                        cargo xtask render --check")]
pub struct RenderArgs {
    /// The folder [default: argocd in the checkout]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write nothing; exit with 1 where the folder is not as it would be written
    #[arg(long)]
    check: bool,
}

#[derive(Serialize)]
struct Rendered {
    folder: PathBuf,
    written: Vec<PathBuf>,
    drift: Vec<Drift>,
}

pub fn run(global: &GlobalArgs, args: RenderArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    // The chart's README belongs to the checkout: a folder of the user's own gets the manifests alone.
    let readme = args.out.is_none().then_some(&host.root);
    let folder = args.out.unwrap_or_else(|| host.root.join(manifests::DIR));
    let params = Params::default();
    let rendered = if args.check {
        let mut drift = manifests::check(&folder, &params)?;
        if let Some(root) = readme {
            drift.extend(chart_readme::check(root)?);
        }
        Rendered { drift, written: Vec::new(), folder }
    } else {
        let mut written = manifests::render(&folder, &params)?;
        if let Some(root) = readme {
            written.extend(chart_readme::render(root)?);
        }
        Rendered { written, drift: Vec::new(), folder }
    };
    printer.result(&rendered, || text(&rendered));
    if rendered.drift.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Error::unhealthy(
        format!("{} files of {} are not current", rendered.drift.len(), rendered.folder.display()),
        "run: cargo xtask render",
    ))
}

fn text(rendered: &Rendered) -> String {
    let drift = rendered.drift.iter().map(ToString::to_string);
    let written = rendered.written.iter().map(|file| format!("written: {}", file.display()));
    let lines: Vec<String> = drift.chain(written).collect();
    if lines.is_empty() { format!("{} is current", rendered.folder.display()) } else { lines.join("\n") }
}
