//! The kubeconfig, and whether it has the context of what was made.

use super::report::{Finding, Severity, Verdict};
use super::world::{Cluster, World};
use crate::cluster::contexts;
use crate::up::Target;

pub fn check(world: &World) -> Verdict {
    let held = match contexts::read() {
        Ok(held) => held,
        Err(error) => {
            let finding =
                Finding::new(Severity::Error, "kubeconfig", error.to_string(), "kubectl config view");
            return Verdict::Found(vec![finding]);
        }
    };
    let known: Vec<&str> = held.contexts.iter().map(|context| context.name.as_str()).collect();
    let current = held.current_context.as_deref().filter(|name| !name.is_empty());
    let mut findings = Vec::new();
    if let Some(name) = current
        && !known.contains(&name)
    {
        let sentence = format!("its current context {name} is not in it");
        findings.push(Finding::new(Severity::Warning, "kubeconfig", sentence, "cargo xtask context"));
    }
    if let Cluster::Silent { context, why, unusable: true } = &world.cluster {
        let command = match &world.made {
            Some(Target::Kind { .. }) => {
                format!("kind export kubeconfig --name {}", world.host.config.cluster.profile)
            }
            Some(Target::Minikube { .. }) => {
                format!("minikube update-context --profile {}", world.host.config.cluster.profile)
            }
            _ => "cargo xtask context".to_owned(),
        };
        findings.push(Finding::new(Severity::Error, format!("context {context}"), why.clone(), command));
    }
    if known.is_empty() && findings.is_empty() {
        return Verdict::Skipped("it holds no context".into());
    }
    let current = current.map_or_else(|| "none is current".to_owned(), |name| format!("current is {name}"));
    Verdict::of(findings, format!("{} contexts, {current}", known.len()))
}
