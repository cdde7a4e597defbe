//! `doctor`: what is wrong with the machine and with what runs, each with the command that mends it.

use std::path::PathBuf;

use clap::Args;
use platform::doctor::{self, Area, Bundle, DoctorOptions, Examined, Finding, Outcome, Report, Severity};
use platform::{Exit, Result};
use serde::Serialize;

use super::host;
use super::up::Provider;
use crate::cli::GlobalArgs;
use crate::printer::Printer;

/// Check the machine and what runs on it; name each fault and the command that mends it
///
/// Changes nothing. Exits with 0 when all is well, 1 when something was found or could not be checked, 3 when the
/// machine lacks something that the provider needs.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask doctor\n  cargo xtask doctor --provider kind         is this machine \
                        fit for a cluster?\n  cargo xtask doctor -o json\n  cargo xtask doctor --bundle platen.tar.gz   \
                        for somebody who helps; without secrets"
)]
pub struct DoctorArgs {
    /// The provider that the machine must be fit for [default: what the profile was made with]
    #[arg(long, value_enum)]
    provider: Option<Provider>,
    /// Write findings, versions, status, events, pods and the ends of their logs to a .tar.gz, without secrets
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
}

/// For `-o json`.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle: Option<&'a Bundle>,
}

pub async fn run(global: &GlobalArgs, args: DoctorArgs, printer: &Printer) -> Result<Exit> {
    if let Some(file) = &args.bundle {
        doctor::check_name(file)?;
    }
    let host = host(global, printer.events())?;
    let options = DoctorOptions { provider: args.provider.map(Into::into) };
    let report = doctor::doctor(&host, options).await?;
    let bundle = match &args.bundle {
        Some(file) => Some(doctor::bundle(&host, options, &report, file).await?),
        None => None,
    };
    printer.result(&Told { report: &report, bundle: bundle.as_ref() }, || text(&report, bundle.as_ref()));
    Ok(report.exit())
}

fn text(report: &Report, bundle: Option<&Bundle>) -> String {
    let mut lines = vec![format!("profile {}, provider {}", report.profile, report.provider)];
    for (area, title) in [(Area::Machine, "the machine"), (Area::Platform, "what runs")] {
        lines.push(String::new());
        lines.push(title.to_owned());
        lines.extend(report.checks.iter().filter(|check| check.area == area).flat_map(told));
    }
    lines.push(String::new());
    lines.push(report.summary.clone());
    if let Some(bundle) = bundle {
        let (file, files) = (bundle.file.display(), bundle.entries.len());
        lines.push(format!(
            "{file}: {files} files, {} KiB; read it before you hand it on",
            bundle.bytes / 1024
        ));
    }
    lines.join("\n")
}

fn told(check: &Examined) -> Vec<String> {
    let line = |mark: &str, words: &str| vec![format!("  {mark} {}: {words}", check.title)];
    match check.outcome {
        Outcome::Passed => line("✓", &check.detail),
        Outcome::Skipped => line("-", &check.detail),
        Outcome::Unknown => line("?", &format!("could not be checked: {}", check.detail)),
        Outcome::Found => check.findings.iter().flat_map(found).collect(),
    }
}

fn found(finding: &Finding) -> Vec<String> {
    let mark = match finding.severity {
        Severity::Warning => "!",
        Severity::Error | Severity::Lack => "✗",
    };
    vec![
        format!("  {mark} {}: {}", finding.object, finding.sentence),
        format!("      run: {}", finding.command),
    ]
}
