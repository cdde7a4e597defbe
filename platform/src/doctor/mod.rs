//! `doctor`: the machine and the cluster, looked at by checks that run side by side, each within its time.

mod argo;
mod bundle;
mod certificates;
mod clock;
#[cfg(test)]
mod cluster_tests;
mod disk;
mod dns;
mod doors;
mod kubeconfig;
mod machine;
mod pods;
mod registry;
mod report;
mod scrapes;
mod tls;
mod tools;
mod volumes;
mod world;
mod x509;

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::config::ProviderChoice;
use crate::error::Result;
use crate::event::Step;
use crate::host::Host;

pub use bundle::{Bundle, bundle, check_name};
use report::Verdict;
pub use report::{Area, Examined, Finding, Outcome, Report, Severity};
use world::World;

/// What does not answer within this time is told as a check that could not be made.
const EACH_WITHIN: Duration = Duration::from_secs(12);

/// What is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct DoctorOptions {
    /// The provider that the machine must be fit for; without it, that of the profile.
    pub provider: Option<ProviderChoice>,
}

type Run = for<'a> fn(&'a World) -> BoxFuture<'a, Result<Verdict>>;

struct Check {
    id: &'static str,
    area: Area,
    title: &'static str,
    run: Run,
}

const fn on(area: Area, id: &'static str, title: &'static str, run: Run) -> Check {
    Check { id, area, title, run }
}

/// Of a check that waits for nothing.
fn now<'a>(verdict: Verdict) -> BoxFuture<'a, Result<Verdict>> {
    Box::pin(std::future::ready(Ok(verdict)))
}

/// In the order in which they are told.
const CHECKS: &[Check] = &[
    on(Area::Machine, "docker", "Docker answers and is fit", |world| now(machine::docker(world))),
    on(Area::Machine, "cgroup", "the kernel's control groups", |world| now(machine::cgroup(world))),
    on(Area::Machine, "memory", "memory", |world| now(machine::memory(world))),
    on(Area::Machine, "disk", "disk space where it is needed", |world| Box::pin(disk::check(world))),
    on(Area::Machine, "ports", "the ports of the configuration", |world| Box::pin(doors::check(world))),
    on(Area::Machine, "clock", "the clock", |world| Box::pin(clock::check(world))),
    on(Area::Machine, "tools", "programs that Platen drives", |world| Box::pin(tools::check(world))),
    on(Area::Machine, "proxies", "proxies of the environment", |world| now(machine::proxies(world))),
    on(Area::Machine, "kubeconfig", "the kubeconfig and its context", |world| now(kubeconfig::check(world))),
    on(Area::Machine, "certificates", "certificates on the way to the API server", |world| {
        Box::pin(certificates::of_the_way(world))
    }),
    on(Area::Platform, "processes", "the embedded processes", |world| Box::pin(pods::processes(world))),
    on(Area::Platform, "api", "the API server answers", |world| Box::pin(pods::api(world))),
    on(Area::Platform, "nodes", "the nodes", |world| Box::pin(pods::nodes(world))),
    on(Area::Platform, "pods", "the pods", |world| Box::pin(pods::pods(world))),
    on(Area::Platform, "dns", "names in the cluster (CoreDNS)", |world| Box::pin(dns::check(world))),
    on(Area::Platform, "volumes", "volumes that are claimed", |world| Box::pin(volumes::check(world))),
    on(Area::Platform, "registry", "the local registry, from every node", |world| {
        Box::pin(registry::check(world))
    }),
    on(Area::Platform, "argocd", "Argo CD's Applications", |world| Box::pin(argo::check(world))),
    on(Area::Platform, "scrapes", "what Prometheus scrapes", |world| Box::pin(scrapes::check(world))),
    on(Area::Platform, "cluster-certificates", "certificates in the cluster", |world| {
        Box::pin(certificates::in_the_cluster(world))
    }),
];

/// Makes every check. Changes nothing.
pub async fn doctor(host: &Host, options: DoctorOptions) -> Result<Report> {
    let begun = Instant::now();
    let step = host.events.step("doctor", "checking the machine and what runs", Some(Duration::from_secs(3)));
    let world = World::look(host, options).await?;
    let examined = examine(&world, CHECKS, EACH_WITHIN, &step).await;
    step.done();
    Ok(Report::new(&world, examined, begun.elapsed()))
}

/// All at once; told in the order of `checks`.
async fn examine(world: &World, checks: &[Check], within: Duration, step: &Step) -> Vec<Examined> {
    let mut running: FuturesUnordered<_> = checks
        .iter()
        .enumerate()
        .map(|(place, check)| async move { (place, one(world, check, within).await) })
        .collect();
    let mut done: Vec<(usize, Examined)> = Vec::new();
    while let Some(ended) = running.next().await {
        done.push(ended);
        let awaited: Vec<&str> = checks
            .iter()
            .enumerate()
            .filter(|(place, _)| done.iter().all(|(other, _)| other != place))
            .map(|(_, check)| check.id)
            .collect();
        if !awaited.is_empty() {
            step.message(format!("waiting for {}", awaited.join(", ")));
        }
    }
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, examined)| examined).collect()
}

async fn one(world: &World, check: &Check, within: Duration) -> Examined {
    let begun = Instant::now();
    let verdict = match tokio::time::timeout(within, (check.run)(world)).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) if error.is_forbidden() && !world.owns_the_cluster() => {
            Verdict::Skipped(format!("this account may not see it: {error}"))
        }
        Ok(Err(error)) => Verdict::Unknown(error.to_string()),
        Err(_) => Verdict::Unknown(format!("no answer within {} s", within.as_secs())),
    };
    Examined::new(check.id, check.area, check.title, verdict, begun.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    const SLOW: Check = on(Area::Machine, "slow", "never ends", |_| Box::pin(std::future::pending()));
    const BROKEN: Check = on(Area::Machine, "broken", "cannot be made", |_| {
        Box::pin(async { Err(Error::machine("there is no ruler", "buy one")) })
    });
    const GOOD: Check =
        on(Area::Machine, "good", "is well", |_| Box::pin(async { Ok(Verdict::Passed("all of it".into())) }));

    #[tokio::test(start_paused = true)]
    async fn a_check_that_cannot_be_made_says_so_and_holds_up_no_other() {
        let (_dir, world) = world::tests::bare();
        let step = world.host.events.step("doctor", "", None);
        let examined = examine(&world, &[SLOW, BROKEN, GOOD], Duration::from_secs(1), &step).await;
        let outcomes: Vec<_> = examined.iter().map(|it| (it.id, it.outcome, it.detail.as_str())).collect();
        assert_eq!(
            outcomes,
            [
                ("slow", Outcome::Unknown, "no answer within 1 s"),
                ("broken", Outcome::Unknown, "there is no ruler"),
                ("good", Outcome::Passed, "all of it"),
            ]
        );
        let report = Report::new(&world, examined, Duration::ZERO);
        assert!(!report.healthy, "what is not known is not well");
    }

    #[test]
    fn no_two_checks_have_one_name() {
        let mut ids: Vec<&str> = CHECKS.iter().map(|check| check.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), CHECKS.len());
    }
}
