//! The names that minikube gives: a profile's nodes and their containers, its network, and the doors to each node.

use crate::cluster::{Endpoint, containers};
use crate::config::{Config, ProfileName};

/// Whether a node's container, by its label, is of this profile's cluster: `NAME`, `NAME-m02`, …
pub fn is_own(profile: &ProfileName, label: &str, value: &str) -> bool {
    let numbered = |rest: &str| {
        rest.strip_prefix("-m")
            .is_some_and(|number| number.len() > 1 && number.bytes().all(|b| b.is_ascii_digit()))
    };
    label == containers::MINIKUBE
        && value.strip_prefix(profile.as_str()).is_some_and(|rest| rest.is_empty() || numbered(rest))
}

/// minikube names the network as the profile.
pub fn network_name(config: &Config) -> String {
    config.cluster.profile.to_string()
}

/// The names that minikube gives to nodes and to their containers.
pub(super) fn node_names(config: &Config) -> Vec<String> {
    let profile = &config.cluster.profile;
    (1..=config.cluster.nodes.get())
        .map(|number| if number == 1 { profile.to_string() } else { format!("{profile}-m{number:02}") })
        .collect()
}

/// Doors to the gateway by node, in the order of minikube's names.
pub fn endpoints(config: &Config) -> Vec<Endpoint> {
    let ports = &config.ports;
    let named = (0..).zip(node_names(config));
    named
        .map(|(index, name)| Endpoint::on_loopback(name, ports.on_node(ports.node_ports[0], index)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_and_their_doors_are_named_as_minikube_names_them() {
        let named: Vec<_> = endpoints(&Config::default()).into_iter().map(|it| it.node).collect();
        assert_eq!(named, ["platen", "platen-m02", "platen-m03"]);
    }

    #[test]
    fn containers_of_another_profile_are_not_ours() {
        let profile: ProfileName = "pipe".parse().unwrap();
        let own = |value| is_own(&profile, containers::MINIKUBE, value);
        assert!(own("pipe") && own("pipe-m02") && own("pipe-m11"));
        assert!(!own("pipe-main") && !own("pipe-m02-m02") && !own("pipeline-m02") && !own("pip"));
        assert!(!is_own(&profile, containers::KIND, "pipe"));
    }
}
