//! Chaos on a Kubernetes cluster. What is seen comes from the API server, what is done to nodes goes to the containers
//! that they are.

mod containers;
mod control;
mod places;
mod quantity;
mod settings;
mod survey;
mod watch;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kube::api::{Api, DeleteParams, ListParams};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;

use self::containers::PodProcesses;
use super::fault::{Fault, Mode};
use super::ground::{Ground, Pace, cluster_pace};
use super::journal::UndoStep;
use super::predict::Timings;
use super::report::Setting;
use super::survey::Survey;
use super::timeline::{Clock, Timeline};
use super::victim::Victim;
use crate::cluster;
use crate::cluster::containers::{ContainerState, state};
use crate::engine;
use crate::error::{Doing, Error, Result, if_allowed};
use crate::event::Step;
use crate::gitops;
use crate::host::Host;
use crate::up::Target;

/// Of looks at Applications that are not well.
const REFRESH_EVERY: u32 = 10;

/// A renewal of a lease that a node sent while it was struck.
const UNDER_WAY: Duration = Duration::from_secs(2);

/// A cluster by its kubeconfig context.
pub struct Kubernetes {
    host: Host,
    provider: &'static str,
    /// Others use it as well.
    foreign: bool,
    context: String,
    client: kube::Client,
    /// Nodes as the provider sees them, with their containers.
    nodes: Vec<cluster::Node>,
    /// Where nodes are containers of this machine.
    engine: Option<engine::Ready>,
    /// Argo CD's Applications that have to be well in the end, or all of them; with how often they were found not to be.
    kept: Option<Vec<String>>,
    unwell: AtomicU32,
}

/// Which of Argo CD's Applications have to be well in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// Those that are so now.
    WellNow,
    /// All: how they were before is not known, and the API server may be what is broken.
    All,
}

impl Kubernetes {
    /// `nodes`: as the provider sees them.
    pub async fn new(
        host: &Host,
        target: &Target,
        context: &str,
        nodes: Vec<cluster::Node>,
        awaited: Awaited,
    ) -> Result<Self> {
        let client = cluster::client::client(context).await?;
        let kept = match awaited {
            Awaited::All => None,
            Awaited::WellNow => {
                let found = if_allowed(gitops::applications(&client).await)?.unwrap_or_default();
                Some(found.into_iter().filter(gitops::Summary::is_well).map(|it| it.name).collect())
            }
        };
        let engine = match engine::observe(host).await? {
            engine::State::Ready(ready) => Some(ready),
            engine::State::NotThere(_) => None,
        };
        Ok(Self {
            host: host.clone(),
            provider: target.name(),
            foreign: matches!(target, Target::Existing { .. }),
            context: context.to_owned(),
            client,
            nodes,
            engine,
            kept,
            unwell: AtomicU32::new(0),
        })
    }

    fn engine(&self) -> Result<&engine::Ready> {
        self.engine.as_ref().ok_or_else(|| {
            Error::machine(
                "Docker does not answer, and the nodes are its containers",
                "start it: cargo xtask up",
            )
        })
    }

    fn node<'a>(&'a self, name: &'a str) -> Result<containers::NodeContainer<'a>> {
        Ok(containers::NodeContainer { host: &self.host, engine: self.engine()?, name })
    }

    fn pod_processes<'a>(&'a self, container: &'a str, uid: &'a str) -> Result<PodProcesses<'a>> {
        Ok(PodProcesses { host: &self.host, docker_host: self.engine()?.docker_host(), container, uid })
    }

    /// What Argo CD found wrong while its own pods were away stands there until it looks again, which may be minutes: it is
    /// asked to, now and then. One that is set aside for a control run cannot look, and is not waited for meanwhile.
    async fn unwell_applications(&self) -> Result<Vec<String>> {
        if self.kept.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let Some(looked_after) = if_allowed(gitops::looked_after(&self.client).await)? else {
            return Ok(Vec::new());
        };
        let is_kept = |name: &String| self.kept.as_ref().is_none_or(|kept| kept.contains(name));
        let counts = |name: &String| is_kept(name) && looked_after.contains(name);
        let applications = gitops::applications(&self.client).await?;
        let unwell = applications.into_iter().filter(|it| counts(&it.name) && !it.is_well());
        let unwell: Vec<String> =
            unwell.map(|it| format!("the Application {} to be well", it.name)).collect();
        if !unwell.is_empty() && self.unwell.fetch_add(1, Ordering::Relaxed).is_multiple_of(REFRESH_EVERY) {
            gitops::look_at_all(&self.client, &looked_after).await?;
        }
        Ok(unwell)
    }

    /// A pod, without grace. `dry_run`: only what the API server says to it.
    async fn remove(&self, victim: &Victim, dry_run: bool) -> Result<()> {
        let (namespace, name) = parts(&victim.name);
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let at_once = DeleteParams { grace_period_seconds: Some(0), dry_run, ..DeleteParams::default() };
        api.delete(name, &at_once).await.map(drop).doing(format!("removing {name}"))
    }

    fn may_not(&self, victim: &Victim, why: &Error) -> Error {
        let ((namespace, _), context) = (parts(&victim.name), &self.context);
        Error::unhealthy(
            format!("this account may not remove {}: {why}", victim.name),
            format!(
                "have an administrator allow it: kubectl --context {context} -n {namespace} create role platen-chaos \
                 --verb=delete --resource=pods, and a rolebinding of that role to this account"
            ),
        )
    }

    fn quiet(&self) -> Step {
        self.host.events.step("gateways", "give the gateways their own arguments back", None)
    }
}

fn container(victim: &Victim) -> Result<&str> {
    victim.container.as_deref().ok_or_else(|| {
        Error::machine(
            format!(
                "{} is no container of this machine: what runs on it cannot be reached from here",
                victim.node
            ),
            "remove a pod instead: cargo xtask chaos --kill-pod",
        )
    })
}

/// Namespace and name of a pod.
fn parts(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or(("default", name))
}

#[async_trait::async_trait]
impl Ground for Kubernetes {
    fn provider(&self) -> &'static str {
        self.provider
    }

    async fn survey(&self) -> Result<Survey> {
        survey::survey(&self.client, &self.nodes).await
    }

    async fn timings(
        &self,
        survey: &Survey,
        victim: &Victim,
        clock: Clock,
    ) -> Result<(Timings, Vec<Setting>)> {
        settings::read(&self.client, survey, victim, clock).await
    }

    async fn ensure_possible(&self, victim: &Victim) -> Result<()> {
        if matches!(victim.fault, Fault::Pod) {
            return match self.remove(victim, true).await {
                Err(error) if error.is_forbidden() => Err(self.may_not(victim, &error)),
                tried => tried,
            };
        }
        if self.nodes.iter().any(|node| node.container.is_some()) {
            return Ok(());
        }
        Err(Error::machine(
            format!(
                "the nodes of {} are no containers of this machine: none can be hit from here",
                self.provider
            ),
            "remove a pod instead: cargo xtask chaos --kill-pod",
        ))
    }

    async fn undo_of(&self, victim: &Victim) -> Result<Vec<UndoStep>> {
        Ok(match victim.fault {
            Fault::Node { mode } => {
                let container = container(victim)?.to_owned();
                vec![match mode {
                    Mode::Pause => UndoStep::UnpauseContainer { container },
                    Mode::Stop | Mode::Kill => UndoStep::StartContainer { container },
                }]
            }
            // Its owner makes another one.
            Fault::Pod => Vec::new(),
            Fault::Hang => vec![UndoStep::ContinuePod {
                container: container(victim)?.to_owned(),
                pod: victim.name.clone(),
                uid: victim.uid.clone().unwrap_or_default(),
            }],
        })
    }

    async fn undo_of_control(&self) -> Result<Vec<UndoStep>> {
        control::undo(&self.client).await
    }

    async fn without_retries(&self, tell: &Step) -> Result<()> {
        control::begin(&self.client, tell).await
    }

    async fn strike(&self, victim: &Victim) -> Result<()> {
        match victim.fault {
            Fault::Node { mode } => self.node(container(victim)?)?.strike(mode).await,
            Fault::Pod => self.remove(victim, false).await,
            Fault::Hang => {
                let uid = victim.uid.clone().unwrap_or_default();
                self.pod_processes(container(victim)?, &uid)?.signal("STOP").await
            }
        }
    }

    async fn proofs(&self, victim: &Victim, _undo: &[UndoStep]) -> Result<Vec<(String, bool)>> {
        Ok(match victim.fault {
            Fault::Node { mode } => {
                let container = container(victim)?;
                let state = state(&self.engine()?.docker, container).await?;
                vec![match mode {
                    Mode::Pause => (format!("{container} is paused"), state == Some(ContainerState::Paused)),
                    Mode::Stop | Mode::Kill => {
                        (format!("{container} has exited"), state == Some(ContainerState::Stopped))
                    }
                }]
            }
            Fault::Pod => {
                let (namespace, name) = parts(&victim.name);
                let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
                // By the right that `up` asks for.
                let of_name = ListParams::default().fields(&format!("metadata.name={name}"));
                let found = api.list(&of_name).await.doing(format!("looking for {name}"))?;
                let gone = found.items.iter().all(|pod| pod.metadata.uid != victim.uid);
                vec![(format!("{name} is gone"), gone)]
            }
            Fault::Hang => {
                let uid = victim.uid.clone().unwrap_or_default();
                let processes = self.pod_processes(container(victim)?, &uid)?.list().await?;
                let stopped = !processes.is_empty() && processes.iter().all(|(_, state)| *state == 'T');
                vec![(format!("the {} processes of {} are stopped", processes.len(), victim.name), stopped)]
            }
        })
    }

    async fn late_proofs(&self, victim: &Victim, struck: Timestamp) -> Result<Vec<(String, bool)>> {
        if !matches!(victim.fault, Fault::Node { .. }) {
            return Ok(Vec::new());
        }
        let lease = settings::lease(&self.client, &victim.node).await?;
        let renewed = lease.and_then(|lease| lease.spec?.renew_time).map(|time| time.0);
        // However long it took, the node was gone when the strike ended; a renewal may still have been under way.
        let allowed = struck + UNDER_WAY;
        let frozen = renewed.is_some_and(|renewed| renewed <= allowed);
        Ok(vec![(format!("the lease of {} stands still", victim.node), frozen)])
    }

    async fn follow(&self, survey: &Survey, victim: &Victim, timeline: &Timeline) {
        watch::follow(&self.client, survey, victim, timeline).await;
    }

    async fn undo(&self, step: &UndoStep) -> Result<()> {
        match step {
            UndoStep::StartContainer { container } => self.node(container)?.start().await,
            UndoStep::UnpauseContainer { container } => {
                containers::unpause(&self.engine()?.docker, container).await
            }
            UndoStep::ContinuePod { container, uid, .. } => {
                let state = state(&self.engine()?.docker, container).await?;
                if matches!(state, None | Some(ContainerState::Stopped)) {
                    // Its processes ended with its node.
                    return Ok(());
                }
                self.pod_processes(container, uid)?.signal("CONT").await
            }
            UndoStep::RestoreArguments { namespace, deployment, container } => {
                let place = (namespace.as_str(), deployment.as_str(), container.as_str());
                control::restore_args(&self.client, &place, || self.quiet()).await
            }
            UndoStep::Reconcile { application } => gitops::set_aside(&self.client, application, false).await,
            UndoStep::ContinueProcesses { .. } | UndoStep::AwaitRestart { .. } => Ok(()),
        }
    }

    async fn missing(&self, before: &Survey, since: Timestamp) -> Result<Vec<String>> {
        let now = self.survey().await?;
        // Where they may not be seen the nodes' own conditions have to do, which are later.
        let alive = if_allowed(cluster::objects::alive_since(&self.client, since).await)?;
        let leaving = places::leaving(&self.client).await?;
        // What else comes and goes on a cluster that is not Platen's is no part of the run.
        let before = if self.foreign { &places::ours(before) } else { before };
        let missing = places::missing(before, &now, alive.as_deref(), leaving);
        if missing.is_empty() { self.unwell_applications().await } else { Ok(missing) }
    }

    async fn displaced(&self, before: &Survey) -> Result<Vec<String>> {
        let displaced = places::displaced(before, &self.survey().await?);
        Ok(displaced.iter().map(|it| it.sentence(&self.context)).collect())
    }

    async fn rebalance(&self, before: &Survey, tell: &Step) -> Result<()> {
        places::rebalance(&self.client, before, || self.survey(), tell).await
    }

    fn pace(&self, fault: Fault, survey: &Survey, victim: &Victim) -> Pace {
        cluster_pace(fault, survey, victim)
    }
}
