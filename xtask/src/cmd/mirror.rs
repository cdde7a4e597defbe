//! `mirror`: images and charts for places that cannot pull.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use platform::engine;
use platform::host::Host;
use platform::images;
use platform::mirror::{self, BuildReport, Exported, Imported, Listing, Mirror, PullOptions, Wired};
use platform::registry::{Platform, Registries};
use platform::{Exit, Result, up};

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::{Printer, headed};

/// Images and charts of the stack for places that cannot pull: build, pull, check, carry and serve them
///
/// Everything lies under its upstream name; nodes that were built from source ask the local registry for images of every
/// host.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask mirror list\n  cargo xtask mirror build\n  \
                        cargo xtask mirror build argocd charts\n  \
                        cargo xtask mirror build --dry-run\n  cargo xtask mirror import grafana.tar\n  \
                        cargo xtask mirror verify\n  cargo xtask mirror export /media/stick/mirror\n  \
                        cargo xtask mirror publish registry.example:5000\n  \
                        cargo xtask mirror wire --context kind-mine")]
pub struct MirrorArgs {
    #[command(subcommand)]
    command: MirrorCommand,
}

#[derive(Debug, Subcommand)]
enum MirrorCommand {
    /// Build from source what is missing, and push what the mirror holds to the local registry where that runs
    #[command(
        after_help = "Examples:\n  cargo xtask mirror build\n  cargo xtask mirror build argocd charts --dry-run"
    )]
    Build {
        /// Only these, by the ids of `mirror list` [default: all that can be built here]
        names: Vec<String>,
        /// Show what would be done and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Pull from upstream, each by the digest in platform/stack/mirror.lock
    #[command(
        after_help = "Examples:\n  cargo xtask mirror pull --dry-run\n  cargo xtask mirror pull --platform linux/amd64,linux/arm64"
    )]
    Pull {
        /// Only these, by their upstream names [default: all of the stack]
        names: Vec<String>,
        /// Take what the tags name now, and write their digests down
        #[arg(long)]
        update_lock: bool,
        /// Only for these platforms [default: this machine's own]
        #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
        platform: Vec<Platform>,
        /// Show what would be done and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Push what the mirror holds to a registry that nodes reach, under upstream's paths
    #[command(
        after_help = "Examples:\n  cargo xtask mirror publish\n  cargo xtask mirror publish registry.example:5000 --dry-run"
    )]
    Publish {
        /// As HOST[:PORT] [default: the local registry]
        registry: Option<String>,
        /// Only this one, by its upstream name (repeatable)
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
        /// Show what would be done and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Make the nodes of a cluster that is there ask a registry for images of every host
    #[command(group(clap::ArgGroup::new("nodes").required(true).args(["context", "folder"])))]
    #[command(
        after_help = "Examples:\n  cargo xtask mirror wire --context kind-mine --dry-run\n  cargo xtask mirror wire /tmp/node --registry http://192.0.2.1:5000"
    )]
    Wire {
        /// The cluster, by its kubeconfig context; its nodes are containers here (kind, minikube), and ask the local
        /// registry
        #[arg(long, value_name = "NAME")]
        context: Option<String>,
        /// For other nodes: write containerd's files below this folder, as they lie in a node
        #[arg(value_name = "DIR", requires = "registry")]
        folder: Option<PathBuf>,
        /// How nodes reach the registry, as http://HOST:PORT
        #[arg(long, value_name = "URL", requires = "folder")]
        registry: Option<String>,
        /// Show what would be done and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Show what the stack needs, what is there, and where it comes from
    #[command(after_help = "Examples:\n  cargo xtask mirror list\n  cargo xtask mirror list -o json")]
    List,
    /// Check that all that `build` makes is there, and every image and chart with every blob, for this machine's processor,
    /// as mirror.lock has it; exits with 1 where something is not
    #[command(after_help = "Examples:\n  cargo xtask mirror verify\n  cargo xtask mirror verify -o json")]
    Verify,
    /// Serve the mirror as a registry on loopback until Ctrl-C
    #[command(after_help = "Examples:\n  cargo xtask mirror serve\n  cargo xtask mirror serve --port 5001")]
    Serve {
        /// The port [default: that of the local registry]
        #[arg(long)]
        port: Option<u16>,
    },
    /// Write everything into one folder, an OCI image layout: images and charts, what a cluster is made of, and the
    /// service's image where the local registry has it
    #[command(after_help = "Examples:\n  cargo xtask mirror export /media/stick/mirror")]
    Export {
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// Show what would be done and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Take everything out of such a folder, or the images out of an archive of `docker save`; then `up --provider kind
    /// --images mirror` needs no network
    #[command(
        after_help = "Examples:\n  cargo xtask mirror import /media/stick/mirror\n  cargo xtask mirror import grafana.tar"
    )]
    Import {
        #[arg(value_name = "DIR|ARCHIVE")]
        from: PathBuf,
        /// Show what would be done and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

pub async fn run(global: &GlobalArgs, args: MirrorArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let mirror = Mirror::new(&host)?;
    match args.command {
        MirrorCommand::Build { names, dry_run } => {
            let docker = engine::answering(&host).await?;
            if dry_run {
                return Ok(would(printer, &mirror.plan_build(&host, docker.as_ref(), &names).await?));
            }
            let report = mirror.build_and_publish(&host, docker.as_ref(), &names).await?;
            printer.result(&report, || built(&report));
        }
        MirrorCommand::Pull { names, update_lock, platform, dry_run } => {
            let options = PullOptions::new(names, update_lock, platform);
            return pull(&host, &mirror, &options, dry_run, printer).await;
        }
        MirrorCommand::Publish { registry, only, dry_run } => {
            return publish(&host, &mirror, registry, &only, dry_run, printer).await;
        }
        MirrorCommand::Wire { context, folder, registry, dry_run } => {
            return wire(&host, &mirror, context, folder.zip(registry), dry_run, printer).await;
        }
        MirrorCommand::List => {
            let docker = engine::answering(&host).await?;
            let listing = mirror.list(docker.as_ref()).await?;
            printer.result(&listing, || table(&listing));
        }
        MirrorCommand::Verify => {
            let docker = engine::answering(&host).await?;
            // All that `mirror build` would make here.
            let wanted = mirror::named(&[], docker.is_some())?;
            let verified = mirror.verify(&host, docker.as_ref(), &wanted).await?;
            printer.result(&verified, || {
                format!(
                    "{} items with {} blobs, {} looked at",
                    verified.items,
                    verified.blobs,
                    size(verified.bytes)
                )
            });
            verified.verdict()?;
        }
        MirrorCommand::Serve { port } => return serve(&host, &mirror, port, printer).await,
        MirrorCommand::Export { folder, dry_run } => {
            let service = images::own_image(&host)?;
            if dry_run {
                return Ok(would(printer, &mirror.plan_export(&host, &service, &folder).await?));
            }
            let exported = mirror.export(&host, &Registries::new(&host)?, &service, &folder).await?;
            printer.result(&exported, || carried(&exported));
        }
        MirrorCommand::Import { from, dry_run } => {
            if dry_run {
                return Ok(would(printer, &mirror.plan_import(&host, &from).await?));
            }
            let imported = mirror.import(&host, &from).await?;
            printer.result(&imported, || taken(&imported));
        }
    }
    Ok(Exit::Done)
}

async fn pull(
    host: &Host,
    mirror: &Mirror,
    options: &PullOptions,
    dry_run: bool,
    printer: &Printer,
) -> Result<Exit> {
    if dry_run {
        return Ok(would(printer, &mirror.plan_pull(host, options)?));
    }
    let pulled = mirror.pull(host, &Registries::new(host)?, options).await?;
    printer.result(&pulled, || {
        let new = pulled.iter().filter(|one| one.pulled).count();
        format!("{new} pulled, {} were there", pulled.len() - new)
    });
    Ok(Exit::Done)
}

/// The command line takes a context, or else a folder with a registry.
async fn wire(
    host: &Host,
    mirror: &Mirror,
    context: Option<String>,
    files: Option<(PathBuf, String)>,
    dry_run: bool,
    printer: &Printer,
) -> Result<Exit> {
    if dry_run {
        let mut planned = Vec::new();
        if let Some(context) = &context {
            planned.extend(mirror.plan_wire(host, context).await?);
        }
        if let Some((folder, registry)) = &files {
            planned.extend(mirror::plan_files(folder, registry)?);
        }
        return Ok(would(printer, &planned));
    }
    let mut wired = Vec::new();
    if let Some(context) = context {
        wired.push(mirror.wire(host, up::supply(host).await?, &context).await?);
    }
    if let Some((folder, registry)) = files {
        wired.push(mirror::write_hosts_files(folder, registry).await?);
    }
    printer.result(&wired, || {
        let line = |wired: &Wired| format!("{}: images from {}", wired.done.join(", "), wired.registry);
        wired.iter().map(line).collect::<Vec<_>>().join("\n")
    });
    Ok(Exit::Done)
}

async fn publish(
    host: &Host,
    mirror: &Mirror,
    registry: Option<String>,
    only: &[String],
    dry_run: bool,
    printer: &Printer,
) -> Result<Exit> {
    let registry = registry.unwrap_or_else(|| host.config.ports.local_registry());
    mirror::check_registry(&registry)?;
    if dry_run {
        return Ok(would(printer, &mirror.plan_publish(&registry, only)?));
    }
    let step = host.events.step("mirror-publish", format!("pushing to {registry}"), None);
    let published = mirror.publish(&Registries::new(host)?, &registry, only, &step).await?;
    step.done();
    let sent = published.iter().filter(|one| one.sent).count();
    printer
        .result(&published, || format!("{sent} pushed to {registry}, {} were there", published.len() - sent));
    Ok(Exit::Done)
}

async fn serve(host: &Host, mirror: &Mirror, port: Option<u16>, printer: &Printer) -> Result<Exit> {
    let port = port.unwrap_or(host.config.ports.registry);
    let ready = |published: &[platform::mirror::Published]| {
        printer.result(&published, || format!("{} items at http://127.0.0.1:{port}/v2/", published.len()));
    };
    mirror.serve(host, port, ready).await
}

fn carried(exported: &Exported) -> String {
    let mut lines = vec![format!("{} items in {}", exported.names.len(), exported.folder.display())];
    lines.extend(exported.lacks.iter().map(|lack| format!("not in it: {} ({})", lack.what, lack.command)));
    lines.join("\n")
}

fn taken(imported: &Imported) -> String {
    let mut lines = vec![format!("imported: {}", imported.names.join(", "))];
    let of_no_use = |name: &String| format!("left out, for it is of another version or processor: {name}");
    lines.extend(imported.left_out.iter().map(of_no_use));
    lines.join("\n")
}

fn would(printer: &Printer, planned: &[String]) -> Exit {
    printer.result(&planned, || match planned {
        [] => "nothing to do".to_owned(),
        _ => planned.iter().map(|one| format!("would {one}")).collect::<Vec<_>>().join("\n"),
    });
    Exit::Done
}

fn built(report: &BuildReport) -> String {
    let made = if report.built.is_empty() {
        "nothing to build".to_owned()
    } else {
        format!("built: {}", report.built.join(", "))
    };
    let sent = report.published.iter().filter(|one| one.sent).count();
    match &report.registry {
        Some(registry) => {
            format!("{made}\n{sent} pushed to {registry}, {} were there", report.published.len() - sent)
        }
        None => format!("{made}\nthe local registry does not run: nothing was pushed"),
    }
}

fn table(listing: &Listing) -> String {
    let mut table = headed(["ID", "NAME", "FROM", "STATE", "SIZE"]);
    for item in &listing.items {
        let state = match (item.present, item.note) {
            (true, _) => "there".to_owned(),
            (false, Some(note)) => format!("missing: {note}"),
            (false, None) => "missing".to_owned(),
        };
        let bytes = item.bytes.map(size).unwrap_or_default();
        table.add_row([item.id.unwrap_or("-"), &item.name, item.origin.name(), &state, &bytes]);
    }
    format!("{table}\n{} missing, {} in all", listing.missing, size(listing.bytes))
}

fn size(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}
