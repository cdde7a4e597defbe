//! `up`: everything from a bare machine to a serving platform.

use clap::{Args, ValueEnum};
use platform::config::{ImageSource, NodeCount, ProviderChoice};
use platform::up::{StepId, UpOptions, UpReport, up};
use platform::{Error, Exit, Result};

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::Printer;

/// Bring up the platform; a second run changes nothing
///
/// Says first what is missing and about how long it takes, then does it, and waits until everything is really ready.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask up\n  cargo xtask up --provider kind --nodes 3\n  \
                        cargo xtask up --dry-run -o json\n  cargo xtask up --provider existing --context my-cluster")]
pub struct UpArgs {
    /// Where to serve; auto: what was made before, else minikube or kind where Docker answers, else embedded
    #[arg(long, value_enum)]
    provider: Option<Provider>,
    /// The kubeconfig context of an existing cluster; no other provider takes one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// How many nodes, 1 to 9
    #[arg(long, value_name = "N")]
    nodes: Option<NodeCount>,
    /// Memory of each node in MiB (kind, minikube)
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1024..))]
    memory: Option<u32>,
    /// Processors of each node (kind, minikube)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    cpus: Option<u32>,
    /// Where images come from
    #[arg(long, value_enum)]
    images: Option<Images>,
    /// Delete a cluster (kind, minikube) that is not as asked for, with all that is in it, and make it anew
    #[arg(long)]
    recreate: bool,
    /// End programs of others that hold the ports that are needed; each is named
    #[arg(long)]
    free_ports: bool,
    /// Show what would be done and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do only this step (repeatable): packages, service, metrics, engine, sources, registry,
    /// cluster, image, argocd, monitoring or apps
    #[arg(long, value_name = "STEP")]
    only: Vec<StepId>,
    /// Leave this step out (repeatable)
    #[arg(long, value_name = "STEP")]
    skip: Vec<StepId>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Provider {
    Auto,
    Embedded,
    Kind,
    Minikube,
    Existing,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Images {
    /// Pull where the upstream registries answer, else build from source
    Auto,
    Pull,
    Source,
    /// As from source, of what `mirror import` brought alone: what is missing is named before anything starts
    Mirror,
}

impl From<Provider> for ProviderChoice {
    fn from(provider: Provider) -> Self {
        match provider {
            Provider::Auto => Self::Auto,
            Provider::Embedded => Self::Embedded,
            Provider::Kind => Self::Kind,
            Provider::Minikube => Self::Minikube,
            Provider::Existing => Self::Existing,
        }
    }
}

impl From<Images> for ImageSource {
    fn from(images: Images) -> Self {
        match images {
            Images::Auto => Self::Auto,
            Images::Pull => Self::Pull,
            Images::Source => Self::Source,
            Images::Mirror => Self::Mirror,
        }
    }
}

pub async fn run(global: &GlobalArgs, args: UpArgs, printer: &Printer) -> Result<Exit> {
    let mut host = host(global, printer.events())?;
    let cluster = &mut host.config.cluster;
    if let Some(provider) = args.provider {
        cluster.provider = provider.into();
    }
    if args.context.is_some() {
        cluster.provider = of_context(cluster.provider)?;
    }
    cluster.context = args.context.or(cluster.context.take());
    cluster.nodes = args.nodes.unwrap_or(cluster.nodes);
    cluster.memory_mib = args.memory.or(cluster.memory_mib);
    cluster.cpus = args.cpus.or(cluster.cpus);
    if let Some(images) = args.images {
        host.config.images.source = images.into();
    }
    let options = UpOptions {
        dry_run: args.dry_run,
        nodes: args.nodes,
        only: args.only,
        skip: args.skip,
        recreate: args.recreate,
        free_ports: args.free_ports,
    };
    let report = up(&host, &options).await?;
    printer.result(&report, || text(&report));
    Ok(Exit::Done)
}

/// Who names a context means an existing cluster, and no other.
fn of_context(wanted: ProviderChoice) -> Result<ProviderChoice> {
    match wanted {
        ProviderChoice::Auto | ProviderChoice::Existing => Ok(ProviderChoice::Existing),
        other => Err(Error::usage(
            format!("--context names an existing cluster, and the provider is {}", other.as_str()),
            "say --provider existing, or leave --context out",
        )),
    }
}

fn text(report: &UpReport) -> String {
    let target = report.plan.choice.target.name();
    if !report.applied {
        let steps = report.plan.actions.iter();
        let steps = steps.map(|action| format!("would do: {} ({})", action.title, action.why));
        let none = format!("would do nothing: {target} serves already");
        let lines: Vec<String> = steps.collect();
        return if lines.is_empty() { none } else { lines.join("\n") };
    }
    let mut lines = Vec::new();
    let partial = if report.whole { "serves" } else { "has what was asked for" };
    if report.plan.actions.is_empty() {
        lines.push(format!("nothing to do: {target} {partial} already"));
    } else {
        lines.push(format!("{target} {partial} after {:.1} s", report.elapsed_seconds));
    }
    for endpoint in &report.endpoints {
        lines.push(format!("  {:<24} {}", endpoint.node, endpoint.ocr_url()));
    }
    lines.extend(report.page.iter().map(|page| format!("  {:<24} {page}", "the page")));
    lines.push("next: cargo xtask demo --image PICTURE".into());
    lines.join("\n")
}
