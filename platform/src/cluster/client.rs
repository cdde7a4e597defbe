//! Kubernetes clients: every one names its kubeconfig context explicitly.

use std::time::Duration;

use kube::config::KubeConfigOptions;

use crate::error::{Doing, Error, Result};
use crate::registry::is_loopback;

/// A client for the context; an unknown context is named with those that exist.
pub async fn client(context: &str) -> Result<kube::Client> {
    let kubeconfig = super::contexts::read()?;
    let known: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    if !known.iter().any(|name| name == context) {
        let hint = if known.is_empty() {
            "the kubeconfig holds no context at all".to_owned()
        } else {
            format!("it holds: {}; KUBECONFIG can name another file", known.join(", "))
        };
        return Err(Error::usage(format!("the kubeconfig holds no context {context}"), hint));
    }
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| {
        Error::usage(format!("the context {context} cannot be used: {error}"), "correct the kubeconfig")
    })?;
    // kube takes the proxy of the environment for every cluster, whatever NO_PROXY says; none leads to this machine.
    if config.cluster_url.host().is_some_and(is_loopback) {
        config.proxy_url = None;
    }
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_mins(1));
    kube::Client::try_from(config).doing(format!("connecting to {context}"))
}
