//! Docker, control groups, memory, proxies: what is asked of the machine itself.

use std::path::Path;

use super::report::{Finding, Severity, Verdict};
use super::world::World;
use crate::config::ProviderChoice;
use crate::engine::{Lack, State};
use crate::redact::without_userinfo;
use crate::room;

/// The oldest Docker that kind's nodes have been seen to run on.
const OLDEST_DOCKER: (u64, u64) = (20, 10);
const MIB: u64 = 1 << 20;
/// With less than this free, what runs is killed sooner or later.
const SCARCE_MEMORY: u64 = 256 * MIB;

pub fn docker(world: &World) -> Verdict {
    let lack = match &world.engine {
        State::Ready(ready) => return fit(world, &ready.facts.version, &world.engine.to_string()),
        State::NotThere(lack) => lack,
    };
    if !world.needs_docker() {
        let away = matches!(lack, Lack::NotInstalled) || world.wanted != ProviderChoice::Auto;
        if away {
            return Verdict::Passed(format!("{lack}, and nothing here needs it"));
        }
    }
    let severity = if world.needs_docker() { Severity::Lack } else { Severity::Warning };
    let finding = Finding::new(severity, "docker", lack.to_string(), command_of(lack));
    Verdict::Found(vec![finding])
}

/// The hint of an engine's lack, as one command.
fn command_of(lack: &Lack) -> String {
    match lack {
        Lack::NotInstalled | Lack::NotRunning => match lack.clone().into_error().hint() {
            Some(hint) => hint.trim_start_matches("run: ").trim_start_matches("start it: ").to_owned(),
            None => "docker info".into(),
        },
        Lack::Unreachable { why, .. } if why.contains("may not use it") => {
            "sudo usermod -aG docker $USER".into()
        }
        Lack::Unreachable { endpoint, .. } => format!("DOCKER_HOST={} docker info", endpoint.host),
    }
}

fn fit(world: &World, version: &str, seen: &str) -> Verdict {
    let mut findings = Vec::new();
    if version_of(version).is_some_and(|found| found < OLDEST_DOCKER) {
        findings.push(Finding::new(
            Severity::Error,
            "docker",
            format!(
                "Docker {version} is older than {}.{}, the oldest that runs nodes",
                OLDEST_DOCKER.0, OLDEST_DOCKER.1
            ),
            "sudo apt-get update && sudo apt-get install -y docker.io",
        ));
    }
    if world.needs_docker() && crate::engine::client_missing(&world.host) {
        findings.push(Finding::new(
            Severity::Lack,
            "docker",
            "Docker answers, and the docker command, by which kind drives it, is not on this machine",
            "sudo apt-get update && sudo apt-get install -y docker-cli",
        ));
    }
    Verdict::of(findings, seen)
}

fn version_of(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

pub fn cgroup(world: &World) -> Verdict {
    let v1 = match &world.engine {
        State::Ready(ready) => ready.traits.cgroup_v1,
        State::NotThere(_) => !Path::new("/sys/fs/cgroup/cgroup.controllers").exists(),
    };
    if !cfg!(target_os = "linux") {
        return Verdict::Skipped("nodes run in a virtual machine here, which has its own".into());
    }
    if !v1 {
        return Verdict::Passed("version 2".into());
    }
    if world.wanted == ProviderChoice::Minikube {
        let sentence = "control groups are of version 1, which a kubelet of 1.36 refuses unless it is told failCgroupV1=false";
        return Verdict::Found(vec![Finding::new(
            Severity::Warning,
            "cgroup",
            sentence,
            "cargo xtask up --provider kind",
        )]);
    }
    let minikube = if world.wanted == ProviderChoice::Auto { ", those of minikube are not" } else { "" };
    Verdict::Passed(format!("version 1; nodes of kind are told to accept it{minikube}"))
}

pub fn memory(world: &World) -> Verdict {
    let Some((free, total)) = room::memory() else {
        return Verdict::Unknown("the system does not tell how much there is".into());
    };
    let seen = format!("{} of {} MiB are free", free / MIB, total / MIB);
    let needed = match (world.is_made(), world.wanted) {
        (true, _) | (false, ProviderChoice::Existing) => 0,
        (false, ProviderChoice::Kind | ProviderChoice::Minikube) => 3072 * MIB,
        (false, ProviderChoice::Auto | ProviderChoice::Embedded) => 1024 * MIB,
    };
    let top = "ps -eo pid,rss,comm --sort=-rss | head";
    Verdict::of(
        if free < needed {
            let sentence = format!("{seen}, and {} needs {} MiB", world.provider_name(), needed / MIB);
            vec![Finding::new(Severity::Lack, "memory", sentence, top)]
        } else if free < SCARCE_MEMORY {
            let sentence = format!("{seen}: the kernel ends programs when none are left");
            vec![Finding::new(Severity::Warning, "memory", sentence, top)]
        } else {
            Vec::new()
        },
        seen,
    )
}

pub fn proxies(world: &World) -> Verdict {
    let var =
        |name: &str| [name.to_owned(), name.to_lowercase()].iter().find_map(|name| std::env::var(name).ok());
    judge_proxies(world.wanted, var)
}

fn judge_proxies(wanted: ProviderChoice, var: impl Fn(&str) -> Option<String>) -> Verdict {
    let set: Vec<(&str, String)> = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
        .into_iter()
        .filter_map(|name| Some((name, var(name).filter(|value| !value.is_empty())?)))
        .collect();
    if set.is_empty() {
        return Verdict::Passed("none is set".into());
    }
    let told: Vec<String> =
        set.iter().map(|(name, value)| format!("{name}={}", without_userinfo(value))).collect();
    let mut findings = Vec::new();
    for (name, value) in &set {
        if reqwest::Proxy::all(value.as_str()).is_err() {
            let sentence = format!("{:?} is not the address of a proxy", without_userinfo(value));
            findings.push(Finding::new(Severity::Error, *name, sentence, format!("unset {name}")));
        }
    }
    let without = var("NO_PROXY").unwrap_or_default();
    let names: Vec<&str> = without.split(',').map(str::trim).collect();
    let missing: Vec<&str> = ["127.0.0.1", "localhost"]
        .into_iter()
        .filter(|name| !names.iter().any(|known| known == name || *known == "*"))
        .collect();
    if !missing.is_empty() {
        let cluster = if wanted == ProviderChoice::Embedded { "" } else { ", a cluster's API server too" };
        let list: Vec<&str> =
            names.iter().copied().chain(missing.clone()).filter(|name| !name.is_empty()).collect();
        findings.push(Finding::new(
            Severity::Warning,
            "NO_PROXY",
            format!(
                "{} stands and NO_PROXY lacks {}: curl, kubectl and browsers ask the proxy for what is on this machine{cluster}",
                told.join(", "),
                missing.join(" and "),
            ),
            format!("export NO_PROXY={}", list.join(",")),
        ));
    }
    Verdict::of(findings, format!("{}; what is on this machine is asked directly", told.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::super::world::tests::bare;
    use super::*;
    use crate::engine::{Chosen, Endpoint};

    fn findings(verdict: Verdict) -> Vec<Finding> {
        match verdict {
            Verdict::Found(findings) => findings,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stopped_docker_is_a_lack_only_where_nodes_run_in_it() {
        let (_dir, mut world) = bare();
        world.engine = State::NotThere(Lack::NotRunning);
        world.wanted = ProviderChoice::Kind;
        let found = findings(docker(&world));
        assert_eq!(found[0].severity, Severity::Lack);
        assert_eq!(found[0].command, "sudo systemctl start docker");
        world.wanted = ProviderChoice::Embedded;
        assert!(matches!(docker(&world), Verdict::Passed(_)));
        world.wanted = ProviderChoice::Auto;
        assert_eq!(findings(docker(&world))[0].severity, Severity::Warning);
    }

    #[test]
    fn a_socket_that_this_user_may_not_use_names_the_group() {
        let (_dir, mut world) = bare();
        let endpoint = Endpoint { host: "unix:///var/run/docker.sock".into(), chosen: Chosen::Usual };
        let why = "this user may not use it".into();
        world.engine = State::NotThere(Lack::Unreachable { endpoint, why, hint: String::new() });
        world.wanted = ProviderChoice::Kind;
        assert!(findings(docker(&world))[0].command.contains("usermod"));
    }

    #[test]
    fn an_old_docker_is_told_and_a_new_one_is_not() {
        let (_dir, world) = bare();
        assert!(findings(fit(&world, "19.03.15", "seen"))[0].sentence.contains("older than 20.10"));
        assert!(matches!(fit(&world, "20.10.24", "seen"), Verdict::Passed(seen) if seen == "seen"));
    }

    #[test]
    fn a_proxy_for_this_machine_is_told_without_its_password() {
        let var = |name: &str| match name {
            "HTTPS_PROXY" => Some("http://me:hunter2@proxy.example:3128".to_owned()),
            "NO_PROXY" => Some("localhost,.example".to_owned()),
            _ => None,
        };
        let found = findings(judge_proxies(ProviderChoice::Kind, var));
        assert_eq!(found.len(), 1);
        assert!(found[0].sentence.contains("proxy.example:3128"), "{found:?}");
        assert!(!found[0].sentence.contains("hunter2"), "{found:?}");
        assert_eq!(found[0].command, "export NO_PROXY=localhost,.example,127.0.0.1");
        assert!(matches!(judge_proxies(ProviderChoice::Kind, |_| None), Verdict::Passed(_)));
    }
}
