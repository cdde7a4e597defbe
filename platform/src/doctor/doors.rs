//! The ports of the configuration: whether each is free, or held by what is to hold it.

use std::collections::HashMap;

use bollard::query_parameters::ListContainersOptions;

use super::report::{Finding, Severity, Verdict};
use super::world::World;
use crate::cluster::{kind, minikube};
use crate::config::{ProfileName, ProviderChoice};
use crate::engine::State;
use crate::error::{Doing, Result};
use crate::mirror::registry;
use crate::ports::{self, Owner};

pub async fn check(world: &World) -> Result<Verdict> {
    let config = &world.host.config;
    if let Err(error) = config.ports.check(config.cluster.nodes) {
        let command = "cargo xtask config";
        return Ok(Verdict::Found(vec![Finding::new(
            Severity::Error,
            "[ports]",
            error.to_string(),
            command,
        )]));
    }
    let wanted = wanted(world);
    if wanted.is_empty() {
        return Ok(Verdict::Skipped("an existing cluster takes none on this machine".into()));
    }
    let containers = containers(world).await?;
    let mut findings = Vec::new();
    let mut ours = 0;
    for (port, purpose) in &wanted {
        if ports::is_free(*port) {
            continue;
        }
        match finding(world, *port, purpose, &containers) {
            Some(finding) => findings.push(finding),
            None => ours += 1,
        }
    }
    let seen = format!(
        "{} ports are wanted: {} free, {ours} held by this profile",
        wanted.len(),
        wanted.len() - ours
    );
    Ok(Verdict::of(findings, seen))
}

fn wanted(world: &World) -> Vec<(u16, String)> {
    let (ports, nodes) = (&world.host.config.ports, world.host.config.cluster.nodes);
    match world.wanted {
        ProviderChoice::Kind | ProviderChoice::Minikube => ports.of_containers(nodes),
        ProviderChoice::Auto if matches!(world.engine, State::Ready(_)) => ports.of_containers(nodes),
        ProviderChoice::Auto | ProviderChoice::Embedded => ports.of_processes(nodes),
        ProviderChoice::Existing => Vec::new(),
    }
}

/// A container that publishes a port, and whether it is of this profile.
struct Publisher {
    name: String,
    ours: bool,
}

async fn containers(world: &World) -> Result<HashMap<u16, Publisher>> {
    let State::Ready(ready) = &world.engine else { return Ok(HashMap::new()) };
    let running = ready.docker.list_containers(None::<ListContainersOptions>).await;
    let profile = &world.host.config.cluster.profile;
    let mut published = HashMap::new();
    for container in running.doing("listing Docker's containers")? {
        let names = container.names.unwrap_or_default();
        let name = names.first().map(|name| name.trim_start_matches('/').to_owned()).unwrap_or_default();
        let labels = container.labels.unwrap_or_default();
        let ours = is_own_node(profile, &labels) || name == registry::NAME;
        for port in container.ports.unwrap_or_default().into_iter().filter_map(|port| port.public_port) {
            published.insert(port, Publisher { name: name.clone(), ours });
        }
    }
    Ok(published)
}

fn is_own_node(profile: &ProfileName, labels: &HashMap<String, String>) -> bool {
    labels.iter().any(|(label, of)| kind::is_own(profile, label, of) || minikube::is_own(profile, label, of))
}

/// `None` where it is this profile's own.
fn finding(world: &World, port: u16, purpose: &str, containers: &HashMap<u16, Publisher>) -> Option<Finding> {
    let found = |by: String, command: String| {
        let sentence = format!("it is wanted for {purpose}, and in use by {by}");
        Some(Finding::new(Severity::Lack, format!("port {port}"), sentence, command))
    };
    if let Some(container) = containers.get(&port) {
        if container.ours {
            return None;
        }
        return found(format!("the container {}", container.name), format!("docker stop {}", container.name));
    }
    let Some(holder) = ports::holder(port) else {
        return found("a program of another user".into(), format!("sudo ss -ltnp sport = :{port}"));
    };
    match ports::owner(&world.host, &holder) {
        Owner::ThisProfile => None,
        Owner::Profile(profile) => {
            found(format!("the profile {profile}"), format!("cargo xtask --profile {profile} down"))
        }
        Owner::Loose => found(
            format!("{holder}, a service of this checkout that nobody supervises"),
            "cargo xtask up".to_owned(),
        ),
        Owner::Container => found(holder.to_string(), format!("docker ps --filter publish={port}")),
        Owner::Other => found(holder.to_string(), format!("kill {}", holder.pid)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::super::world::tests::bare;
    use super::*;
    use crate::cluster::containers as nodes;

    #[test]
    fn every_node_of_the_profile_is_its_own_by_its_label() {
        let profile: ProfileName = "pipe".parse().unwrap();
        let own = |label: &str, of: &str| is_own_node(&profile, &HashMap::from([(label.into(), of.into())]));
        assert!(own(nodes::KIND, "pipe") && own(nodes::MINIKUBE, "pipe") && own(nodes::MINIKUBE, "pipe-m02"));
        assert!(!own(nodes::KIND, "pipe-m02") && !own(nodes::MINIKUBE, "pipeline") && !own("app", "pipe"));
    }

    #[tokio::test]
    async fn a_port_that_somebody_else_has_is_told_with_who_that_is() {
        let (_dir, mut world) = bare();
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = holder.local_addr().unwrap().port();
        world.wanted = ProviderChoice::Embedded;
        world.host.config.ports.experiments = port;
        let verdict = check(&world).await.unwrap();
        let Verdict::Found(found) = verdict else { panic!("{verdict:?}") };
        let found = found.iter().find(|it| it.object == format!("port {port}")).unwrap();
        assert!(found.sentence.starts_with("it is wanted for the experiments, and in use by"), "{found:?}");
        assert!(found.sentence.contains(&format!("(pid {}", std::process::id())), "{found:?}");
        assert_eq!(found.severity, Severity::Lack);
    }
}
