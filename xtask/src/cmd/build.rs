//! `build`: the service's image for every platform, in a registry.

use std::path::{Path, PathBuf};

use clap::Args;
use platform::images::{self, BuildOptions, BuildReport, Planned, Secret};
use platform::registry::{self, Platform, Reference};
use platform::{Error, Exit, Result, up};

use super::host;
use super::login::LoginArgs;
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
                        cargo xtask build --dry-run\n\nA login for the registry comes from the flags, else from \
                        REGISTRY_SERVER, REGISTRY_USER and REGISTRY_PASSWORD in the environment or .env, else from \
                        Docker's own configuration."
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
    #[command(flatten)]
    login: LoginArgs,
    /// Show what would be done and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(global: &GlobalArgs, args: BuildArgs, printer: &Printer) -> Result<Exit> {
    let mut host = host(global, printer.events())?;
    let push = args.push.as_deref().map(registry::parse).transpose()?;
    host.login = args.login.read(&host, push.as_ref().map(Reference::registry))?;
    if let Some(file) = &args.metadata_file {
        check_metadata(file)?;
    }
    let options = BuildOptions {
        platforms: args.platform,
        push,
        load: args.load,
        no_cache: args.no_cache,
        test: args.test,
        secrets: args.secret,
    };
    images::check(&options)?;
    let supply = up::supply(&host).await?;
    let planned = images::plan(&host, supply, &options).await?;
    if args.dry_run {
        printer.result(&planned, || match &planned[..] {
            [] => "would do nothing: the local registry has the image of these sources".to_owned(),
            steps => steps.iter().map(|step| format!("would {}", line(step))).collect::<Vec<_>>().join("\n"),
        });
        return Ok(Exit::Done);
    }
    for step in &planned {
        host.events.note(line(step));
    }
    let report = images::build(&host, supply, &options).await?;
    if let Some(file) = &args.metadata_file {
        write_metadata(file, &report)?;
    }
    printer.result(&report, || text(&report));
    Ok(Exit::Done)
}

fn line(step: &Planned) -> String {
    format!("{} ({}; about {} s)", step.title, step.why, step.expected_seconds)
}

/// Refuses what could not be written at the end, before minutes are spent on a build.
fn check_metadata(file: &Path) -> Result<()> {
    let folder = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let why = match (file.is_dir(), folder.is_dir()) {
        (true, _) => "it is a folder".to_owned(),
        (false, true) => return Ok(()),
        (false, false) => format!("there is no folder {}", folder.display()),
    };
    Err(unwritable(file, &why))
}

fn unwritable(file: &Path, why: &str) -> Error {
    Error::usage(
        format!("{} cannot be written: {why}", file.display()),
        "name a file that can: --metadata-file FILE",
    )
}

/// With the keys that Docker's own builds write.
fn write_metadata(file: &Path, report: &BuildReport) -> Result<()> {
    let metadata = serde_json::json!({
        "containerimage.digest": report.digest,
        "image.name": report.reference,
        "platforms": report.platforms,
    });
    std::fs::write(file, format!("{metadata:#}\n")).map_err(|error| unwritable(file, &error.to_string()))
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
