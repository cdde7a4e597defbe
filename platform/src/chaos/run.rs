//! A run of `cargo xtask chaos`, from the look at what is there to the report.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;
use tokio::sync::Mutex;

use super::abort::Abort;
use super::embedded::Processes;
use super::files;
use super::ground::Ground;
use super::journal::{Journal, Place};
use super::kubernetes::{Awaited, Kubernetes};
use super::predict::predict;
use super::preflight::preflight;
use super::report::{ChaosReport, FaultReport, Moment, Preflight, Setting, Severity};
use super::rest::wait_for_rest;
use super::scene::{OWN_FAULT, Scene};
use super::signals::interrupted;
use super::survey::Survey;
use super::timeline::{Clock, Timeline};
use super::traffic;
use super::undoing::Undoing;
use super::verdict::Limits;
use super::victim::{Victim, What};
use crate::cluster::ClusterState;
use crate::error::{Error, Result};
use crate::event::Events;
use crate::host::Host;
use crate::load::{self, Fleet, Policy};
use crate::report::Folder;
use crate::up::{self, Target};

#[derive(Debug, Clone)]
pub struct ChaosOptions {
    pub what: What,
    /// Requests a second; without it a share of what the platform can do.
    pub rate: Option<f64>,
    /// An image or a folder of them; without it a short line.
    pub images: Option<PathBuf>,
    pub policy: Policy,
    /// Of one request with all its tries.
    pub timeout: Duration,
    pub limits: Limits,
    pub abort: Abort,
    /// Of load before the fault and after all is well.
    pub steady: Option<Duration>,
    /// Requests at the least: after all is well the load goes on until so many have ended.
    pub requests: usize,
    /// Also where something is not well before, and also the only control plane.
    pub force: bool,
    /// Pods go back to the nodes that they were on.
    pub rebalance: bool,
    pub dry_run: bool,
    /// The folder of the report; without it one for this run below `.platen/reports`.
    pub folder: Option<PathBuf>,
}

/// What a run would do.
#[derive(Debug, Clone, Serialize)]
pub struct ChaosPlan {
    pub provider: String,
    pub profile: String,
    pub fault: FaultReport,
    pub preflight: Preflight,
    pub settings: Vec<Setting>,
    /// Seconds from the fault.
    pub predictions: Vec<Moment>,
    /// What undoes it, in words.
    pub undo: Vec<String>,
    /// As asked for; without it a share of what is measured.
    pub rate: Option<f64>,
    pub limits: Limits,
}

#[derive(Debug)]
pub enum Ran {
    Planned(Box<ChaosPlan>),
    /// Without a folder where it could not be written.
    Done {
        report: Box<ChaosReport>,
        folder: Option<Folder>,
    },
}

pub async fn chaos(host: &Host, options: &ChaosOptions) -> Result<Ran> {
    let begun = Timestamp::now();
    made(host)?;
    let place = Place::take(host)?;
    if let Some(left) = place.read()? {
        let what = format!("an earlier run was killed before it had undone its fault ({})", left.title);
        return Err(Error::unhealthy(what, "undo it first: cargo xtask chaos --recover"));
    }
    let journal = Journal::new(begun.to_string(), String::new(), Vec::new());
    let folder = Folder::of(host, options.folder.as_deref(), "chaos", begun);
    folder.ensure_free()?;
    let (host, ground) = ground(host).await?;
    let mut undoing = Undoing::new(&host, place, journal);
    let preparing = async {
        tokio::select! {
            prepared = prepare(&host, &*ground, options, &mut undoing) => prepared,
            () = interrupted() => Err(Error::Interrupted),
        }
    };
    let prepared = AssertUnwindSafe(preparing).catch_unwind().await;
    let prepared = prepared.unwrap_or_else(|_| Err(Error::machine(OWN_FAULT, "run the same command again")));
    let prepared = match prepared {
        Ok(Prepared::Planned(plan)) => return Ok(Ran::Planned(plan)),
        Ok(Prepared::Ready(prepared)) => *prepared,
        Err(error) => {
            undoing.put_back(&*ground, 0).await;
            let Some(left) = undoing.left() else { return Err(error) };
            // Somebody has to undo it, whatever else was wrong.
            host.events.warn(error.to_string());
            return Err(left);
        }
    };
    let report = run(&host, &*ground, options, prepared, undoing).await;
    // What was found out counts also where it cannot be kept.
    let written = files::write(&folder, &report);
    if let Err(error) = &written {
        host.events.warn(format!("the report could not be written: {error}"));
    }
    Ok(Ran::Done { report: Box::new(report), folder: written.is_ok().then_some(folder) })
}

/// The platform that `up` made, as chaos sees it, and the host as it was made with.
async fn ground(host: &Host) -> Result<(Host, Box<dyn Ground>)> {
    let (host, target, provider) = made(host)?;
    let ground: Box<dyn Ground> = match provider.context() {
        None => Box::new(Processes::new(&host)?),
        Some(context) => {
            let Some(ClusterState::Running { nodes }) = provider.status().await?.cluster else {
                return Err(Error::unhealthy(
                    "not every node runs before any fault",
                    "start them: cargo xtask up",
                ));
            };
            Box::new(Kubernetes::new(&host, &target, &context, nodes, Awaited::WellNow).await?)
        }
    };
    Ok((host, ground))
}

pub(super) fn made(host: &Host) -> Result<(Host, Target, Box<dyn up::Provider>)> {
    let profile = &host.config.cluster.profile;
    let record = up::read_record(host, profile)?.ok_or_else(|| {
        Error::unhealthy(format!("nothing runs under the profile {profile}"), "start it: cargo xtask up")
    })?;
    let host = record.host(host);
    let provider = up::provider(&host, &record.choice.target)?;
    Ok((host, record.choice.target, provider))
}

enum Prepared {
    Planned(Box<ChaosPlan>),
    Ready(Box<Ready>),
}

/// All that a run needs to know before it begins.
struct Ready {
    survey: Survey,
    victim: Victim,
    preflight: Preflight,
    fleet: Fleet,
    rate: f64,
    control: usize,
}

async fn prepare(
    host: &Host,
    ground: &dyn Ground,
    options: &ChaosOptions,
    undoing: &mut Undoing,
) -> Result<Prepared> {
    if !options.dry_run && !options.force {
        wait_for_rest(host, ground).await?;
    }
    let mut survey = ground.survey().await?;
    let mut victim = options.what.aim(&survey, options.force)?;
    ground.ensure_possible(&victim).await?;
    let doors = load::doors(host, &[])?;
    let names: Vec<String> = doors.iter().map(|door| door.name.clone()).collect();
    let preflight = preflight(&survey, &victim, &names);
    let control = if options.policy.retry { Vec::new() } else { ground.undo_of_control().await? };
    if !control.is_empty() {
        victim.ensure_outlives_rollout(&survey)?;
    }
    if options.dry_run {
        let plan = plan(host, ground, options, (&survey, &victim, preflight, doors.len())).await?;
        return Ok(Prepared::Planned(Box::new(plan)));
    }
    told(host, &preflight);
    let blocking = preflight.findings.iter().find(|finding| finding.severity == Severity::Blocking);
    if let Some(finding) = blocking.filter(|_| !options.force) {
        let hint = "mend it first (cargo xtask status says how), or insist on a fault on top: --force";
        return Err(Error::unhealthy(finding.sentence.clone(), hint));
    }
    let mut images = load::images_or_sample(options.images.as_deref())?;
    let step = host.events.step("ask", "ask once for each image", None);
    load::learn(&mut images, &doors, options.timeout, &step).await?;
    step.done();
    let rate = match options.rate {
        Some(rate) => rate,
        None => measured_rate(host, options, &doors, &images).await?,
    };
    // All that may fail comes before the control run.
    let fleet = load::fleet(doors, images, options.policy, options.timeout)?;
    let count = control.len();
    if !control.is_empty() {
        undoing.add("a control run without retries", control)?;
        let step = host.events.step("gateways", "let the gateways try each request once", None);
        ground.without_retries(&step).await?;
        step.done();
        survey = ground.survey().await?;
        victim = options.what.aim(&survey, options.force)?;
    } else if !options.policy.retry {
        host.events.note("the client tries once; the gateways stay as they are");
    }
    let ready = Ready { survey, victim, preflight, fleet, rate, control: count };
    Ok(Prepared::Ready(Box::new(ready)))
}

fn told(host: &Host, preflight: &Preflight) {
    for finding in &preflight.findings {
        match finding.severity {
            Severity::Note => host.events.note(finding.sentence.clone()),
            Severity::Warning | Severity::Blocking => host.events.warn(finding.sentence.clone()),
        }
    }
}

async fn measured_rate(
    host: &Host,
    options: &ChaosOptions,
    doors: &[load::DoorSpec],
    images: &[load::Image],
) -> Result<f64> {
    let step = host.events.step("capacity", "find out what the platform can do", None);
    let policy = Policy { failover: true, retry: true };
    let fleet = load::fleet(doors.to_vec(), images.to_vec(), policy, options.timeout)?;
    let capacity = traffic::capacity(&Arc::new(fleet)).await?;
    step.done();
    let percent = host.config.chaos.load_percent;
    let rate = capacity * f64::from(percent) / 100.0;
    host.events.note(format!("{rate:.1} requests a second: {percent} % of the {capacity:.1} that it can do"));
    Ok(rate)
}

async fn plan(
    host: &Host,
    ground: &dyn Ground,
    options: &ChaosOptions,
    (survey, victim, preflight, doors): (&Survey, &Victim, Preflight, usize),
) -> Result<ChaosPlan> {
    let (timings, settings) = ground.timings(survey, victim, Clock::start()).await?;
    let timings = timings.with_client(doors, options.rate.unwrap_or(1.0), victim, options.policy);
    let timeline = Timeline::new(Clock::start(), Events::silent());
    timeline.predict(predict(victim.fault, &timings, 0.0));
    Ok(ChaosPlan {
        provider: ground.provider().into(),
        profile: host.config.cluster.profile.to_string(),
        fault: victim.report(survey),
        preflight,
        settings,
        predictions: timeline.moments(),
        undo: ground.undo_of(victim).await?.iter().map(super::journal::UndoStep::title).collect(),
        rate: options.rate,
        limits: options.limits.clone(),
    })
}

async fn run(
    host: &Host,
    ground: &dyn Ground,
    options: &ChaosOptions,
    ready: Ready,
    undoing: Undoing,
) -> ChaosReport {
    let fleet = ready.fleet;
    let doors = fleet.doors().len();
    let clock = Clock::start();
    let title = format!("{:.1} requests a second while {}", ready.rate, ready.victim.title());
    let step = host.events.step("load", title, None);
    let traffic = traffic::Traffic::start(fleet, ready.rate, clock, step);
    let scene = Scene {
        host,
        ground,
        options,
        survey: &ready.survey,
        victim: &ready.victim,
        doors,
        rate: ready.rate,
        control: ready.control,
        timeline: Timeline::new(clock, host.events.clone()),
        traffic,
        undoing: Mutex::new(undoing),
        noted: std::sync::Mutex::default(),
    };
    scene.perform(ready.preflight, interrupted()).await
}
