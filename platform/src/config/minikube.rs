//! `[minikube]`: what a place that cannot pull has to hand to `minikube start`.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Passed on to `minikube start`; what is left out is minikube's own default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of minikube's own")]
pub struct MinikubeConfig {
    /// The version of Kubernetes, as `v1.36.3`; without a word the one that Platen pins.
    pub kubernetes_version: Option<String>,
    /// The image of the nodes.
    pub base_image: Option<String>,
    /// Where kubeadm, kubelet and kubectl are downloaded from.
    pub binary_mirror: Option<String>,
    /// Where the images of the control plane are pulled from.
    pub image_repository: Option<String>,
    /// A network plugin by name, or the file of its manifest, from the root of the checkout.
    pub cni: Option<String>,
    /// As `KEY=true,KEY=false`.
    pub feature_gates: Option<String>,
    /// Settings of the components, as `kubelet.resolv-conf=FILE`.
    pub extra_config: Vec<String>,
    pub registry_mirror: Vec<String>,
    /// Whether a tarball of images is downloaded first.
    pub preload: bool,
    /// Whether images are kept in minikube's own cache.
    pub cache_images: bool,
    pub install_addons: bool,
    /// Whether every node gets the folder of the experiments.
    pub mount: bool,
    /// Any further arguments, as they are.
    pub start_args: Vec<String>,
}

impl Default for MinikubeConfig {
    fn default() -> Self {
        Self {
            kubernetes_version: None,
            base_image: None,
            binary_mirror: None,
            image_repository: None,
            cni: None,
            feature_gates: None,
            extra_config: Vec::new(),
            registry_mirror: Vec::new(),
            preload: true,
            cache_images: true,
            install_addons: true,
            mount: true,
            start_args: Vec::new(),
        }
    }
}

/// Arguments that Platen gives itself, and where they are set.
const GIVEN: &[(&str, &str)] = &[
    ("-p", "profile under [cluster]"),
    ("--profile", "profile under [cluster]"),
    ("-n", "nodes under [cluster]"),
    ("--nodes", "nodes under [cluster]"),
    ("--memory", "memory_mib under [cluster]"),
    ("--cpus", "cpus under [cluster]"),
    ("--ports", "node_ports under [ports]"),
    ("--kubernetes-version", "kubernetes_version under [minikube]"),
    ("-c", "nothing: it is always containerd"),
    ("--container-runtime", "nothing: it is always containerd"),
    ("--driver", "nothing: it is always docker"),
    ("--vm-driver", "nothing: it is always docker"),
    ("-o", "nothing: Platen reads minikube's JSON"),
    ("--output", "nothing: Platen reads minikube's JSON"),
    ("--delete-on-failure", "nothing: a cluster is deleted with --recreate or by `cargo xtask down` alone"),
];

impl MinikubeConfig {
    /// Whether the further arguments leave alone what Platen decides.
    pub fn check(&self) -> Result<()> {
        let named = |arg: &String| {
            let name = arg.split_once('=').map_or(arg.as_str(), |(name, _)| name).to_owned();
            GIVEN.iter().find(|(given, _)| *given == name)
        };
        match self.start_args.iter().find_map(named) {
            None => Ok(()),
            Some((arg, instead)) => Err(Error::usage(
                format!("[minikube] start_args: {arg} is Platen's to give"),
                format!("take it out of start_args; what sets it is {instead}"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(args: &[&str]) -> MinikubeConfig {
        let start_args = args.iter().map(ToString::to_string).collect();
        MinikubeConfig { start_args, ..MinikubeConfig::default() }
    }

    #[test]
    fn what_platen_decides_is_refused_among_the_further_arguments() {
        for (args, refused) in [
            (&["--profile=x"][..], "--profile"),
            (&["-p", "x"], "-p"),
            (&["--wait=all", "--driver=none"], "--driver"),
        ] {
            let error = with(args).check().unwrap_err();
            assert_eq!(error.to_string(), format!("[minikube] start_args: {refused} is Platen's to give"));
        }
        with(&["--wait-timeout=10m", "--insecure-registry=r:5000"]).check().unwrap();
    }
}
