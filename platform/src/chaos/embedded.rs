//! Chaos on the embedded provider: a node is a process group, and the supervisor brings back what ends.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::fault::{Fault, Mode};
use super::ground::{Ground, Pace, embedded_pace};
use super::journal::UndoStep;
use super::predict::Timings;
use super::report::{MomentKind, Setting};
use super::survey::{NodeFacts, PodFacts, Resources, Survey};
use super::timeline::{Clock, Timeline};
use super::victim::Victim;
use crate::cluster::embedded::{Embedded, FIRST_PAUSE, Role, RoleStatus, STOPS_WITHIN};
use crate::error::{Error, Result};
use crate::event::Step;
use crate::host::Host;
use crate::process::Started;
use crate::wait::{Seen, until};

const LOOK: Duration = Duration::from_millis(100);
/// The supervisor's pause before a restart grows with each that follows soon.
const RESTARTS_WITHIN: Duration = Duration::from_secs(30);

pub struct Processes {
    embedded: Embedded,
}

impl Processes {
    pub fn new(host: &Host) -> Result<Self> {
        Ok(Self { embedded: Embedded::new(host)? })
    }

    /// Of the victim: the node that leads its process group, or the one process.
    fn target(&self, victim: &Victim) -> Result<Started> {
        self.embedded.process(&victim.name).filter(|process| process.is_alive()).ok_or_else(|| {
            Error::unhealthy(format!("{} does not run", victim.name), "start it again: cargo xtask up")
        })
    }
}

fn full_name(node: &str, role: Role) -> String {
    format!("{node}/{}", role.name())
}

fn name_of(role: &RoleStatus) -> String {
    full_name(&role.node, role.role)
}

fn signal(process: Started, group: bool, signal: Signal) -> Result<()> {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let Some(pid) = pid.filter(|_| process.is_alive()) else { return Ok(()) };
    let sent = if group { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
    match sent {
        // It ended meanwhile.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => {
            let what = format!("process {} cannot be signalled: {error}", process.pid);
            Err(Error::machine(what, "run it as the user who started the platform"))
        }
    }
}

/// `T` of proc(5): stopped by a signal.
fn is_stopped(process: Started) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid)).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

#[async_trait::async_trait]
impl Ground for Processes {
    fn provider(&self) -> &'static str {
        "embedded"
    }

    async fn survey(&self) -> Result<Survey> {
        let roles = self.embedded.roles().await;
        let Some(spec) = self.embedded.spec() else {
            return Err(Error::unhealthy("the embedded platform does not run", "start it: cargo xtask up"));
        };
        let nodes = spec.nodes.iter().map(|node| NodeFacts {
            name: node.name.clone(),
            container: None,
            ready: roles.iter().filter(|role| role.node == node.name).all(|role| role.ready),
            evicts: false,
            control_plane: false,
            free_to_reserve: Resources::default(),
        });
        let pods = roles.iter().map(|role| PodFacts {
            name: name_of(role),
            node: role.node.clone(),
            component: role.role.name().into(),
            ours: true,
            owner: Some(role.role.name().into()),
            ready: role.ready,
            ..PodFacts::default()
        });
        Ok(Survey { nodes: nodes.collect(), pods: pods.collect() })
    }

    async fn timings(&self, _: &Survey, _: &Victim, _: Clock) -> Result<(Timings, Vec<Setting>)> {
        let pause = FIRST_PAUSE.as_secs_f64();
        let timings = Timings {
            cluster: None,
            restart_pause: pause,
            toleration: 0.0,
            startup_period: 0.0,
            readiness_period: 0.0,
            unready: (0.0, 0.0),
            door: None,
            between: 0.0,
        };
        let setting = Setting {
            name: "pause before a restart".into(),
            value: format!("{pause} s"),
            source: "the supervisor of the embedded provider".into(),
            is_default: false,
        };
        Ok((timings, vec![setting]))
    }

    async fn ensure_possible(&self, _: &Victim) -> Result<()> {
        Ok(())
    }

    async fn undo_of(&self, victim: &Victim) -> Result<Vec<UndoStep>> {
        let (name, process) = (victim.name.clone(), self.target(victim)?);
        Ok(vec![match victim.fault {
            Fault::Node { mode: Mode::Kill | Mode::Stop } | Fault::Pod => {
                UndoStep::AwaitRestart { name, process }
            }
            Fault::Node { mode: Mode::Pause } => {
                UndoStep::ContinueProcesses { name, processes: vec![process], group: true }
            }
            Fault::Hang => UndoStep::ContinueProcesses { name, processes: vec![process], group: false },
        }])
    }

    /// Other arguments would need other processes: the client alone tries once.
    async fn undo_of_control(&self) -> Result<Vec<UndoStep>> {
        Ok(Vec::new())
    }

    async fn without_retries(&self, _: &Step) -> Result<()> {
        Ok(())
    }

    async fn strike(&self, victim: &Victim) -> Result<()> {
        let process = self.target(victim)?;
        match victim.fault {
            Fault::Node { mode: Mode::Kill } => signal(process, true, Signal::KILL),
            // The node ends its roles in order, as at a shutdown.
            Fault::Node { mode: Mode::Stop } => signal(process, false, Signal::TERM),
            Fault::Node { mode: Mode::Pause } => signal(process, true, Signal::STOP),
            Fault::Pod => signal(process, false, Signal::KILL),
            Fault::Hang => signal(process, false, Signal::STOP),
        }
    }

    async fn proofs(&self, victim: &Victim, undo: &[UndoStep]) -> Result<Vec<(String, bool)>> {
        let holds = match undo.first() {
            Some(UndoStep::ContinueProcesses { processes, .. }) => {
                (format!("{} is stopped", victim.name), processes.iter().all(|process| is_stopped(*process)))
            }
            Some(UndoStep::AwaitRestart { process, .. }) => {
                (format!("{}, process {}, has ended", victim.name, process.pid), !process.is_alive())
            }
            _ => return Ok(Vec::new()),
        };
        Ok(vec![holds])
    }

    async fn late_proofs(&self, _: &Victim, _: Timestamp) -> Result<Vec<(String, bool)>> {
        Ok(Vec::new())
    }

    async fn follow(&self, _: &Survey, victim: &Victim, timeline: &Timeline) {
        let before: Vec<RoleStatus> = self.embedded.roles().await;
        let pid = |name: &str| before.iter().find(|role| name_of(role) == name).and_then(|role| role.pid);
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if timeline.at(MomentKind::Fault).is_none() || timeline.at(MomentKind::NodeBack).is_some() {
                continue;
            }
            for role in
                self.embedded.roles_where(|node, role| victim.hits(node, &full_name(node, role))).await
            {
                let name = name_of(&role);
                if !role.ready {
                    timeline.note(MomentKind::EndpointsUnready, &name);
                }
                if role.pid.is_some() && role.pid != pid(&name) {
                    timeline.note(MomentKind::Started, &name);
                    if role.ready {
                        timeline.note(MomentKind::Ready, &name);
                    }
                }
            }
        }
    }

    async fn undo(&self, step: &UndoStep) -> Result<()> {
        match step {
            UndoStep::ContinueProcesses { processes, group, .. } => {
                processes.iter().try_for_each(|process| signal(*process, *group, Signal::CONT))
            }
            // What was not hit runs on, and what was is started again: either is looked for.
            UndoStep::AwaitRestart { name, .. } => {
                until(RESTARTS_WITHIN, "cargo xtask status", || async {
                    let runs = self.embedded.process(name).is_some_and(Started::is_alive);
                    Ok(if runs { Seen::Ready(()) } else { Seen::Awaiting(format!("{name} to run again")) })
                })
                .await
            }
            _ => Ok(()),
        }
    }

    async fn missing(&self, before: &Survey, _: Timestamp) -> Result<Vec<String>> {
        let roles = self.embedded.roles().await;
        let ready: Vec<String> = roles.iter().filter(|role| role.ready).map(name_of).collect();
        let missing = before.pods.iter().filter(|pod| pod.ready && !ready.contains(&pod.name));
        Ok(missing.map(|pod| format!("{} to be ready", pod.name)).collect())
    }

    async fn displaced(&self, _: &Survey) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn rebalance(&self, _: &Survey, _: &Step) -> Result<()> {
        Ok(())
    }

    fn pace(&self, fault: Fault, survey: &Survey, victim: &Victim) -> Pace {
        embedded_pace(fault, survey.replaced(&victim.node).count(), STOPS_WITHIN)
    }
}
