//! `dashboards`: Grafana's dashboards held against the rules and against what Prometheus really has,
//! drawn, and put into a Grafana.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use platform::host::{Host, write_atomically};
use platform::observe::grafana::{self, Grafana, Import};
use platform::observe::lint::{self, Exceptions, Finding};
use platform::observe::render;
use platform::observe::verify::{self, Checked, Query};
use platform::observe::{Dashboard, Prometheus, alerts, dashboard, sidecar};
use platform::{Error, Exit, Result, up};
use serde::Serialize;

use super::host;
use crate::cli::GlobalArgs;
use crate::printer::{Printer, headed};

/// Check the dashboards, draw them, put them into a Grafana
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask dashboards lint\n  cargo xtask dashboards render --last 2h")]
pub struct DashboardsArgs {
    #[command(subcommand)]
    what: Dashboards,
}

#[derive(Debug, Subcommand)]
enum Dashboards {
    Lint(LintArgs),
    Verify(VerifyArgs),
    Render(RenderArgs),
    Import(ImportArgs),
    Configmap(ConfigMapArgs),
}

/// Hold the dashboards against dashboard-linter's rules
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask dashboards lint\n  cargo xtask dashboards lint --dir /tmp/mine"
)]
struct LintArgs {
    #[command(flatten)]
    folder: FolderArgs,
}

/// Run every query of every panel and every alert against a live Prometheus
///
/// Of an alert, what stands before its comparison with a number. An unknown metric, an empty answer or an error fails, and is told with its panel. Meanwhile images are sent to what
/// `up` made: what has never happened has no numbers. With --prometheus nothing is sent.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask dashboards verify\n  \
                        cargo xtask dashboards verify --prometheus http://127.0.0.1:9090 -o json")]
struct VerifyArgs {
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    prometheus: PrometheusArgs,
}

/// Draw the dashboards from Prometheus without Grafana, into one HTML file
///
/// The file needs nothing else: no network, no server, no fonts. Times in which alerts fired are marked.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask dashboards render\n  \
                        cargo xtask dashboards render --last 2h --out /tmp/run.html\n  \
                        cargo xtask dashboards render --end 2026-11-21T14:30:00Z --last 15m")]
struct RenderArgs {
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    prometheus: PrometheusArgs,
    /// The file [default: dashboards.html in .platen]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How much time is shown: 90s, 30m, 6h, 2d
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = render::length)]
    last: Duration,
    /// Until when, as 2026-11-21T14:30:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = render::moment)]
    end: Option<SystemTime>,
}

/// Put the dashboards into a Grafana, and read them back
///
/// The login comes from GRAFANA_PASSWORD (with GRAFANA_USER, else admin) or GRAFANA_TOKEN, the address from --url or
/// GRAFANA_URL; the variables are those of the environment or of .env.
/// What is there already as it must be is left alone.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask dashboards import --url http://127.0.0.1:3000\n  \
                        cargo xtask dashboards import --overwrite --folder-uid ocr --datasource prometheus\n  \
                        cargo xtask dashboards import --dry-run")]
struct ImportArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Where Grafana answers [default: GRAFANA_URL, else http://127.0.0.1:3000]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Who asks; the password comes from the variable GRAFANA_PASSWORD [default: GRAFANA_USER, else admin]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The folder in Grafana by its uid; it is made where it is not there
    #[arg(long, value_name = "UID", default_value = "platen")]
    folder_uid: String,
    /// What that folder is called when it is made
    #[arg(long, value_name = "TITLE", default_value = "Platen")]
    folder_title: String,
    /// The data source by its uid [default: Prometheus' default one, or the only one]
    #[arg(long, value_name = "UID")]
    datasource: Option<String>,
    /// Write over other dashboards of the same uid
    #[arg(long)]
    overwrite: bool,
    /// Show what would be written
    #[arg(long)]
    dry_run: bool,
}

/// Print the dashboards as a ConfigMap for Grafana's sidecar, for `kubectl apply -f -`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask dashboards configmap | kubectl apply -f -\n  \
                        cargo xtask dashboards configmap --out platen-dashboards.yaml")]
struct ConfigMapArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Where the ConfigMap goes
    #[arg(long, value_name = "NAME", default_value = "monitoring")]
    namespace: String,
    /// A file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct PrometheusArgs {
    /// Where it answers [default: the one that `up` started]
    #[arg(long = "prometheus", value_name = "URL", env = "PLATEN_PROMETHEUS_URL", hide_env_values = true)]
    url: Option<String>,
}

#[derive(Debug, Clone, Args)]
struct FolderArgs {
    /// The folder with Grafana's JSON files [default: dashboards in the checkout]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Serialize)]
struct Linted {
    folder: PathBuf,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Drawn {
    file: PathBuf,
    panels: usize,
    /// Panels without any value in this time.
    empty: usize,
}

#[derive(Serialize)]
struct Verified {
    prometheus: String,
    passed: usize,
    failed: usize,
    queries: Vec<Checked>,
    /// Targets that give Prometheus no metrics, and why; looked at where a query has no answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    down: Vec<String>,
}

pub async fn run(global: &GlobalArgs, args: DashboardsArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let folder = |args: FolderArgs| args.dir.unwrap_or_else(|| host.root.join(dashboard::DIR));
    match args.what {
        Dashboards::Lint(args) => lint(folder(args.folder), printer),
        Dashboards::Verify(args) => {
            // The alerts are Platen's own: a folder that is named has its dashboards alone.
            let alerts = if args.folder.dir.is_none() { alerts::queries()? } else { Vec::new() };
            let dashboards = dashboard::read(&folder(args.folder))?;
            let queries = [verify::queries(&dashboards), alerts].concat();
            verify(&host, &queries, args.prometheus.url, printer).await
        }
        Dashboards::Import(args) => {
            let dashboards = dashboard::read(&folder(args.folder.clone()))?;
            import(&host, &dashboards, args, printer).await
        }
        Dashboards::Configmap(args) => {
            let dashboards = dashboard::read(&folder(args.folder.clone()))?;
            config_map(&dashboards, args, printer)
        }
        Dashboards::Render(args) => {
            let dashboards = dashboard::read(&folder(args.folder.clone()))?;
            draw(&host, &dashboards, args, printer).await
        }
    }
}

async fn import(host: &Host, dashboards: &[Dashboard], args: ImportArgs, printer: &Printer) -> Result<Exit> {
    let grafana = Grafana::of(host, args.url.as_deref(), args.user.as_deref())?;
    let wanted = Import {
        folder: args.folder_uid,
        folder_title: args.folder_title,
        datasource: args.datasource,
        overwrite: args.overwrite,
        dry_run: args.dry_run,
    };
    let step =
        host.events.step("import", "putting the dashboards into Grafana", Some(Duration::from_secs(2)));
    let report = grafana::import(&grafana, dashboards, &wanted).await?;
    step.done();
    printer.result(&report, || imported_text(&report, &grafana, args.dry_run));
    Ok(Exit::Done)
}

fn config_map(dashboards: &[Dashboard], args: ConfigMapArgs, printer: &Printer) -> Result<Exit> {
    let yaml = sidecar::yaml(dashboards, &args.namespace)?;
    let map = sidecar::config_map(dashboards, &args.namespace);
    let Some(file) = args.out else {
        printer.result(&map, || yaml.trim_end().to_owned());
        return Ok(Exit::Done);
    };
    write_atomically(&file, yaml.as_bytes())?;
    printer.result(&map, || file.display().to_string());
    Ok(Exit::Done)
}

async fn draw(host: &Host, dashboards: &[Dashboard], args: RenderArgs, printer: &Printer) -> Result<Exit> {
    let range = render::range(args.last, args.end)?;
    let file = args.out.unwrap_or_else(|| host.state_dir().join("dashboards.html"));
    let url = match args.prometheus.url {
        Some(url) => url,
        None => up::prometheus(host).await?,
    };
    let step = host.events.step("render", "drawing the dashboards", Some(Duration::from_secs(5)));
    let page = render::render(&Prometheus::new(&url)?, dashboards, range, &step).await?;
    write_atomically(&file, page.html.as_bytes())?;
    step.done();
    let drawn = Drawn { file, panels: page.panels, empty: page.empty };
    printer.result(&drawn, || drawn_text(&drawn));
    Ok(Exit::Done)
}

fn lint(folder: PathBuf, printer: &Printer) -> Result<Exit> {
    let (dashboards, exceptions) = (dashboard::read(&folder)?, Exceptions::read(&folder)?);
    let findings: Vec<Finding> =
        dashboards.iter().flat_map(|dashboard| lint::lint(dashboard, &exceptions)).collect();
    let linted = Linted { folder, findings };
    printer.result(&linted, || {
        if linted.findings.is_empty() {
            return format!("{} dashboards break no rule", dashboards.len());
        }
        linted.findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    });
    if linted.findings.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Error::unhealthy(
        format!("{} rules are broken", linted.findings.len()),
        format!(
            "mend the panels, or except them with a reason in {}",
            linted.folder.join(lint::FILE).display()
        ),
    ))
}

fn imported_text(report: &grafana::Report, grafana: &Grafana, dry_run: bool) -> String {
    let how = if dry_run { "would be " } else { "" };
    let line = |it: &grafana::Imported| {
        let outcome = match it.outcome {
            grafana::Outcome::Created => "created",
            grafana::Outcome::Updated => "updated",
            grafana::Outcome::Unchanged => "unchanged",
        };
        format!("{how}{outcome}: {}  {}{}", it.title, grafana.address(), it.url)
    };
    let mut lines: Vec<String> = report.dashboards.iter().map(line).collect();
    lines.push(format!("folder {}, data source {}, by {}", report.folder, report.datasource, report.api));
    lines.join("\n")
}

fn drawn_text(drawn: &Drawn) -> String {
    let empty = match drawn.empty {
        0 => String::new(),
        empty => format!(", {empty} of them without data in this time"),
    };
    format!("{} panels{empty}: {}", drawn.panels, drawn.file.display())
}

async fn verify(host: &Host, asked: &[Query], named: Option<String>, printer: &Printer) -> Result<Exit> {
    let (prometheus, queries) = if let Some(named) = named {
        let queries = verify::verify(&Prometheus::new(&named)?, asked).await?;
        (named, queries)
    } else {
        let ours = up::prometheus(host).await?;
        let queries = verify::verify_with_traffic(host, &Prometheus::new(&ours)?, asked).await?;
        (ours, queries)
    };
    let passed = queries.iter().filter(|checked| checked.outcome.is_good()).count();
    let failed = queries.len() - passed;
    let down = match failed {
        0 => Vec::new(),
        // What passes queries on may not know its targets.
        _ => down(&prometheus)
            .await
            .unwrap_or_else(|error| vec![format!("its targets cannot be asked: {error}")]),
    };
    let verified = Verified { prometheus, passed, failed, queries, down };
    printer.result(&verified, || text(&verified));
    if verified.failed == 0 {
        return Ok(Exit::Done);
    }
    Err(Error::unhealthy(
        format!("{} of {} queries have no answer", verified.failed, verified.queries.len()),
        "look at the metric or the labels that are named: nothing that Prometheus scrapes has them",
    ))
}

async fn down(prometheus: &str) -> Result<Vec<String>> {
    let targets = Prometheus::new(prometheus)?.targets().await?;
    let down = targets.iter().filter(|target| target.is_down());
    Ok(down.map(|target| format!("{} gives no metrics: {}", target.name(), target.why())).collect())
}

fn text(verified: &Verified) -> String {
    let mut table = headed(["DASHBOARD", "PANEL", "ANSWER"]);
    for checked in &verified.queries {
        table.add_row([checked.dashboard.as_str(), &checked.panel, &checked.outcome.sentence()]);
    }
    let count = format!("{} of {} queries have an answer", verified.passed, verified.queries.len());
    [&[table.to_string()], &verified.down[..], &[count]].concat().join("\n")
}
