//! `chaos`: a fault under load, what came of it, and everything undone.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};
use platform::chaos::{
    Abort, ChaosOptions, ChaosPlan, ChaosReport, FaultReport, Limits, Mode, Moment, Outcome, Phase,
    PhaseName, Preflight, Ran, Recovered, Severity, Standing, What, chaos, recover,
};
use platform::load::duration;
use platform::{Exit, Result};

use super::host;
use super::load::{TryArgs, rate};
use crate::cli::GlobalArgs;
use crate::printer::{Printer, headed};

/// Break a part of the platform under load, tell what follows, and put it back
///
/// Looks first whether all is well and what hangs on the victim alone, loads every door, breaks the victim, proves that it
/// is broken, tells each moment as it comes beside its prediction, brings the victim back and waits until all is as it
/// was. What undoes it is on the disk before anything is done; Ctrl-C undoes it at once, and after a kill --recover does.
/// Exits with 1 when requests failed for good or a limit was missed, with 6 when the fault did not happen.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("what").required(true).args(["kill_node", "kill_pod", "hang_model", "recover"])),
    after_help = "Examples:\n  cargo xtask chaos --kill-node\n  \
                  cargo xtask chaos --kill-node --mode pause --rate 20 --image label.png\n  \
                  cargo xtask chaos --kill-node --no-retry --no-failover   what retries and failover prevent\n  \
                  cargo xtask chaos --kill-pod --report /tmp/pod\n  \
                  cargo xtask chaos --kill-node --dry-run                  whom it would hit, and what is expected\n  \
                  cargo xtask chaos --recover                              undo what a killed run left"
)]
#[expect(clippy::struct_excessive_bools, reason = "flags that have nothing to do with each other")]
#[expect(clippy::option_option, reason = "clap's form of an option whose value may be left out")]
pub struct ChaosArgs {
    /// Break a node; without a name the worker that runs the most of what serves
    #[arg(long, value_name = "NODE", num_args = 0..=1)]
    kill_node: Option<Option<String>>,
    /// Remove a pod without grace, or kill a process of the embedded provider; without a name a model
    #[arg(long, value_name = "POD", num_args = 0..=1)]
    kill_pod: Option<Option<String>>,
    /// Stop the processes of a model where they are, so that its connections stay and nothing is answered
    #[arg(long, value_name = "POD", num_args = 0..=1)]
    hang_model: Option<Option<String>>,
    /// Undo what a killed run of chaos left, and wait until all is Ready; takes nothing else
    #[arg(long, conflicts_with_all = OF_A_RUN)]
    recover: bool,
    /// How the node goes
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["kill_pod", "hang_model"])]
    mode: ModeArg,
    #[command(flatten)]
    load: LoadArgs,
    #[command(flatten)]
    limits: LimitArgs,
    /// Also where something is not well before, and also the only control plane
    #[arg(long)]
    force: bool,
    /// Let pods go back to the nodes that they were on
    #[arg(long)]
    rebalance: bool,
    /// Say what would be done and what is expected; do nothing
    #[arg(long, conflicts_with = "recover")]
    dry_run: bool,
    /// Where the report goes [default: a folder of its own in .platen/reports]
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

/// What says how a run goes, and nothing of how one is undone.
const OF_A_RUN: [&str; 16] = [
    "mode",
    "rate",
    "image",
    "steady",
    "requests",
    "timeout",
    "no_failover",
    "no_retry",
    "max_errors",
    "max_p99",
    "max_p99_ratio",
    "abort_percent",
    "abort_p99",
    "force",
    "rebalance",
    "report",
];

#[derive(Debug, Args)]
#[command(
    next_help_heading = "Load",
    mut_arg("no_retry", |arg| {
        arg.help("Try each request once; on a cluster the gateways do so too, for as long as the run lasts")
    })
)]
struct LoadArgs {
    /// Requests a second [default: 60 percent of what the platform can do]
    #[arg(long, value_parser = rate, value_name = "NUMBER")]
    rate: Option<f64>,
    /// An image, or a folder of them [default: one short line]
    #[arg(long, value_name = "PATH")]
    image: Option<PathBuf>,
    /// Of load before the fault, and after all is well [default: 15s; embedded: 8s]
    #[arg(long, value_parser = duration, value_name = "TIME")]
    steady: Option<Duration>,
    /// Requests at the least: after all is well the load goes on until so many have ended [default: none]
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    requests: usize,
    #[command(flatten)]
    tries: TryArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Requests that may fail for good or be answered wrongly [default: 0]
    #[arg(long, value_name = "NUMBER")]
    max_errors: Option<u64>,
    /// 99th percentile of the outage, from the time at which each request had to be sent
    #[arg(long, value_parser = duration, value_name = "TIME")]
    max_p99: Option<Duration>,
    /// The same as a multiple of the steady one [default: told beside 3, and no limit]
    #[arg(long, value_parser = rate, value_name = "NUMBER")]
    max_p99_ratio: Option<f64>,
    /// End the run when more percent of the latest requests fail or stay unanswered [default: 60]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100), value_name = "PERCENT")]
    abort_percent: Option<u32>,
    /// End the run when the 99th percentile of the latest requests is above this, or more than one in a hundred are
    /// unanswered for as long
    #[arg(long, value_parser = duration, value_name = "TIME")]
    abort_p99: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum ModeArg {
    /// Its programs are ended in order
    Stop,
    /// A crash: everything ends at once
    #[default]
    Kill,
    /// A hang: everything stays and nothing moves
    Pause,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Stop => Self::Stop,
            ModeArg::Kill => Self::Kill,
            ModeArg::Pause => Self::Pause,
        }
    }
}

impl ChaosArgs {
    /// `None`: something is to be undone.
    fn what(&self) -> Option<What> {
        let node = |name: &Option<String>| What::Node { name: name.clone(), mode: self.mode.into() };
        let pod = |name: &Option<String>| What::Pod { name: name.clone() };
        let hang = |name: &Option<String>| What::Hang { name: name.clone() };
        let node = self.kill_node.as_ref().map(node);
        node.or_else(|| self.kill_pod.as_ref().map(pod)).or_else(|| self.hang_model.as_ref().map(hang))
    }
}

pub async fn run(global: &GlobalArgs, args: ChaosArgs, printer: &Printer) -> Result<Exit> {
    let host = host(global, printer.events())?;
    let Some(what) = args.what() else {
        let recovered = recover(&host).await?;
        printer.result(&recovered, || undone(&recovered));
        return Ok(Exit::Done);
    };
    let config = host.config.chaos;
    let options = ChaosOptions {
        what,
        rate: args.load.rate,
        images: args.load.image,
        policy: args.load.tries.policy(),
        timeout: args.load.tries.timeout,
        limits: Limits {
            max_errors: args.limits.max_errors.unwrap_or(config.max_errors),
            max_p99_ms: args.limits.max_p99.map(|limit| limit.as_secs_f64() * 1000.0),
            max_p99_ratio: args.limits.max_p99_ratio,
        },
        abort: Abort {
            percent: args.limits.abort_percent.unwrap_or(config.abort_percent),
            p99: args.limits.abort_p99,
        },
        steady: args.load.steady,
        requests: args.load.requests,
        force: args.force,
        rebalance: args.rebalance,
        dry_run: args.dry_run,
        folder: args.report,
    };
    match chaos(&host, &options).await? {
        Ran::Planned(plan) => {
            printer.result(&plan, || planned(&plan));
            Ok(Exit::Done)
        }
        Ran::Done { report, folder } => {
            printer.result(&report, || {
                let mut lines = told(&report);
                lines.extend(folder.map(|folder| format!("the report: {}", folder.0.display())));
                lines.join("\n")
            });
            report.exit()
        }
    }
}

fn undone(recovered: &Recovered) -> String {
    let Some(fault) = &recovered.fault else { return "nothing was left to be undone".into() };
    let steps = recovered.undone.iter().map(|step| format!("✓ {}", step.title));
    std::iter::once(format!("undone: {fault}")).chain(steps).collect::<Vec<_>>().join("\n")
}

fn planned(plan: &ChaosPlan) -> String {
    let mut lines = victim(&plan.fault);
    lines.extend(looked_at(&plan.preflight));
    lines.extend(
        plan.settings
            .iter()
            .map(|setting| format!("  {} {} ({})", setting.name, setting.value, setting.source)),
    );
    lines.push("expected, in seconds from the fault:".into());
    lines.push(timeline(&plan.predictions));
    lines.extend(plan.undo.iter().map(|step| format!("undone by: {step}")));
    lines.push("nothing was done".into());
    lines.join("\n")
}

fn victim(fault: &FaultReport) -> Vec<String> {
    let takes = if fault.takes.is_empty() { "nothing".into() } else { fault.takes.join(", ") };
    vec![format!("{}: {}", fault.title, fault.why), format!("to be replaced: {takes}")]
}

fn looked_at(preflight: &Preflight) -> Vec<String> {
    let findings = preflight.findings.iter().map(|finding| {
        let mark = if finding.severity == Severity::Note { " " } else { "!" };
        format!("{mark} {}", finding.sentence)
    });
    let headroom = preflight.headroom.iter().map(|it| {
        let mark = if it.fits { "✓" } else { "✗" };
        format!(
            "{mark} {}: {} {} to be placed, {} {} free elsewhere",
            it.resource, it.needed, it.unit, it.free, it.unit
        )
    });
    findings.chain(headroom).collect()
}

fn told(report: &ChaosReport) -> Vec<String> {
    let mut lines = victim(&report.fault);
    if !report.timeline.is_empty() {
        lines.push(timeline(&report.timeline));
    }
    if !report.phases.is_empty() {
        lines.push(phases(&report.phases));
    }
    lines.extend(report.lessons.iter().map(|lesson| format!("  {lesson}")));
    lines.extend(report.undo.remarks.iter().map(|remark| format!("! {remark}")));
    lines.extend(report.verdict.points.iter().map(|point| {
        let mark = match point.standing {
            Standing::Kept => "✓",
            Standing::Missed => "✗",
            Standing::Noted => " ",
        };
        format!("{mark} {}", point.sentence)
    }));
    lines.push(
        match report.verdict.outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "failed",
            Outcome::Inconclusive => "inconclusive: this run says nothing",
            Outcome::Aborted => "aborted",
            Outcome::Interrupted => "interrupted",
        }
        .into(),
    );
    lines
}

fn timeline(moments: &[Moment]) -> String {
    let mut table = headed(["MOMENT", "SEEN (s)", "PREDICTED (s)", "OFF BY (s)", "OF"]);
    for moment in moments {
        let predicted = moment.predicted.as_ref();
        table.add_row([
            moment.title.clone(),
            moment.at.map_or_else(|| "-".into(), |at| format!("{at:.1}")),
            predicted.map_or_else(String::new, |it| format!("{:.1} ± {:.1}", it.at, it.give_or_take)),
            moment.deviation.map_or_else(String::new, |deviation| format!("{deviation:+.1}")),
            objects(moment),
        ]);
    }
    table.to_string()
}

/// All of a few; of many the one that came last.
fn objects(moment: &Moment) -> String {
    let last = moment.objects.iter().max_by(|a, b| a.at.total_cmp(&b.at));
    match (moment.objects.len(), last) {
        (3.., Some(last)) => format!("{} of them, {} last", moment.objects.len(), last.name),
        _ => moment.objects.iter().map(|seen| seen.name.as_str()).collect::<Vec<_>>().join(", "),
    }
}

fn phases(phases: &[Phase]) -> String {
    let header = [
        "PHASE",
        "FROM (s)",
        "TO (s)",
        "SENT",
        "FAILED",
        "LOST TRIES",
        "P50 (ms)",
        "P99 (ms)",
        "P99 FROM SENDING",
    ];
    let mut table = headed(header);
    for phase in phases {
        let name = match phase.name {
            PhaseName::Steady => "steady",
            PhaseName::Outage => "outage",
            PhaseName::Return => "return",
            PhaseName::After => "after",
        };
        let ms = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.1}"));
        table.add_row([
            name.to_owned(),
            format!("{:.1}", phase.from),
            format!("{:.1}", phase.to),
            phase.sent.to_string(),
            phase.failed.to_string(),
            phase.lost_tries.to_string(),
            ms(phase.latency.map(|latency| latency.p50_ms)),
            ms(phase.latency.map(|latency| latency.p99_ms)),
            ms(phase.latency_from_sending.map(|latency| latency.p99_ms)),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_undoes_a_run_is_called_without_what_says_how_one_goes() {
        let command = ChaosArgs::augment_args(clap::Command::new("chaos"));
        let named = ["kill_node", "kill_pod", "hang_model", "recover", "dry_run"];
        let of_a_run =
            command.get_arguments().map(|it| it.get_id().as_str()).filter(|id| !named.contains(id));
        let mut of_a_run: Vec<&str> = of_a_run.collect();
        let mut listed = OF_A_RUN.to_vec();
        of_a_run.sort_unstable();
        listed.sort_unstable();
        assert_eq!(of_a_run, listed);
    }
}
