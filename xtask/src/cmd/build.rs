//! `build`: the service's image for every platform, in a registry.

use std::path::{Path, PathBuf};

use clap::Args;
use platform::images::{self, BuildOptions, BuildReport, Planned, Secret};
use platform::registry::{self, Credentials, Platform};
use platform::{Error, Exit, Result};

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::Printer;

/// Build the service's image for every platform, and push it as one index
///
/// Needs no emulation: what is for another processor is compiled here for that one. Says first what is missing on this
/// machine (Docker, the builder, a registry), then makes it. What was built before is not built again.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line are independent of each other")]
#[command(
    after_help = "Examples:\n  cargo xtask build\n  cargo xtask build --platform linux/amd64,linux/arm64\n  \
                        cargo xtask build --platform linux/amd64,linux/arm64 --test --push ghcr.io/me/ocr:1.0\n  \
                        cargo xtask build --dry-run\n\nA login for the registry comes from --registry-user (password in \
                        REGISTRY_PASSWORD), else from REGISTRY_SERVER, REGISTRY_USER and REGISTRY_PASSWORD in the \
                        environment or .env, \
                        else from Docker's own configuration."
)]
pub struct BuildArgs {
    /// What to build for, by commas [default: this machine's own]
    #[arg(long, value_name = "PLATFORM", value_delimiter = ',')]
    platform: Vec<Platform>,
    /// Where the index goes, as HOST[:PORT]/NAME:TAG [default: the local registry, under the sources' hash]
    #[arg(long, value_name = "REF")]
    push: Option<String>,
    /// Give Docker the image of this machine's platform too
    #[arg(long)]
    load: bool,
    /// Build every step anew, also where the registry has an image of the same sources
    #[arg(long)]
    no_cache: bool,
    /// Push only what has read an image: each platform that runs here is started and asked, of others the program and
    /// its libraries are looked at
    #[arg(long)]
    test: bool,
    /// A file for build steps, in no layer afterwards (repeatable)
    #[arg(long, value_name = "id=NAME,src=FILE")]
    secret: Vec<Secret>,
    /// Write digests as JSON to this file
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// Who pushes; the password comes from the variable REGISTRY_PASSWORD
    #[arg(long, value_name = "NAME", requires = "push")]
    registry_user: Option<String>,
    /// Show what would be done and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl BuildArgs {
    fn options(self) -> Result<BuildOptions> {
        let push = self.push.as_deref().map(registry::parse).transpose()?;
        let credentials = match (self.registry_user, &push) {
            (Some(user), Some(target)) => Some(Credentials {
                server: target.registry().to_owned(),
                user,
                password: std::env::var("REGISTRY_PASSWORD").map_err(|_| {
                    Error::usage(
                        "--registry-user needs a password",
                        "set it in the environment: REGISTRY_PASSWORD",
                    )
                })?,
                email: None,
            }),
            _ => None,
        };
        Ok(BuildOptions {
            platforms: self.platform,
            push,
            load: self.load,
            no_cache: self.no_cache,
            test: self.test,
            secrets: self.secret,
            credentials,
        })
    }
}

pub async fn run(global: &GlobalArgs, args: BuildArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let (dry_run, metadata) = (args.dry_run, args.metadata_file.clone());
    let options = args.options()?;
    let planned = images::plan(&host, &options).await?;
    if dry_run {
        printer.result(&planned, || match &planned[..] {
            [] => "would do nothing: the local registry has the image of these sources".to_owned(),
            steps => steps.iter().map(|step| format!("would {}", line(step))).collect::<Vec<_>>().join("\n"),
        });
        return Ok(Exit::Done);
    }
    for step in &planned {
        host.events.note(line(step));
    }
    let report = images::build(&host, &options).await?;
    if let Some(file) = metadata {
        write_metadata(&file, &report)?;
    }
    printer.result(&report, || text(&report));
    Ok(Exit::Done)
}

fn line(step: &Planned) -> String {
    format!("{} ({}; about {} s)", step.title, step.why, step.expected_seconds)
}

/// With the keys that Docker's own builds write.
fn write_metadata(file: &Path, report: &BuildReport) -> Result<()> {
    let metadata = serde_json::json!({
        "containerimage.digest": report.digest,
        "image.name": report.reference,
        "platforms": report.platforms,
    });
    std::fs::write(file, format!("{metadata:#}\n")).map_err(|error| {
        Error::usage(
            format!("{} cannot be written: {error}", file.display()),
            "name a file that can: --metadata-file FILE",
        )
    })
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn text(report: &BuildReport) -> String {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let done = if report.built { "pushed" } else { "there already, of the same sources:" };
    let mut lines = vec![format!("{done} {}", report.reference), format!("  index {}", report.digest)];
    for built in &report.platforms {
        lines.push(format!(
            "  {:<12} {}  {:.1} MB compressed, {:.1} MB unpacked",
            built.platform.to_string(),
            built.digest,
            mb(built.compressed),
            mb(built.unpacked)
        ));
        lines.extend(built.tried.iter().map(|tried| format!("  {:<12} {tried}", "")));
    }
    for stage in report.stages.iter().filter(|stage| stage.stage != "internal") {
        let cached = format!("{} of {} steps from the cache", stage.cached, stage.steps);
        lines
            .push(format!("  {:<12} {:<10} {:>7.1} s  {cached}", stage.platform, stage.stage, stage.seconds));
    }
    lines.extend(report.loaded.iter().map(|name| format!("loaded into Docker as {name}")));
    lines.push(format!("done after {:.1} s", report.seconds));
    lines.join("\n")
}
