//! What a cluster is made of, to be compared before and after: objects, images, containers, and the rules of each node's
//! network.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{
    ConfigMap, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Service,
};
use kube::api::{Api, ListParams};

use crate::cluster::client::client;
use crate::cluster::{ClusterState, Node as Known, containers};
use crate::engine;
use crate::error::{Doing, Error, Result};
use crate::gitops;
use crate::host::Host;
use crate::up;

/// Each thing by its name, with what must not change of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traces(BTreeMap<String, String>);

impl Traces {
    /// Of what `up` made.
    pub async fn of(host: &Host) -> Result<Self> {
        let profile = &host.config.cluster.profile;
        let record = up::read_record(host, profile)?.ok_or_else(|| {
            let what = format!("nothing runs under the profile {profile}");
            Error::unhealthy(what, "make a cluster: cargo xtask up --provider kind")
        })?;
        let host = &record.host(host);
        let provider = up::provider(host, &record.choice.target)?;
        let Some(context) = provider.context() else {
            let what = "what runs here is no cluster: these faults are measured on one";
            return Err(Error::machine(what, "make one: cargo xtask --profile NAME up --provider kind"));
        };
        let client = client(&context).await?;
        let mut traces = Self::default();
        traces.objects(&client).await?;
        traces.pods(&client).await?;
        traces.delivery(&client).await?;
        if let Some(ClusterState::Running { nodes }) = provider.status().await?.cluster {
            traces.containers(host, &nodes).await?;
        }
        Ok(traces)
    }

    fn add(&mut self, name: impl Into<String>, what: impl Into<String>) {
        self.0.insert(name.into(), what.into());
    }

    async fn objects(&mut self, client: &kube::Client) -> Result<()> {
        self.list::<Namespace>(client).await?;
        self.list::<PersistentVolume>(client).await?;
        self.list::<PersistentVolumeClaim>(client).await?;
        self.list::<Service>(client).await?;
        self.list::<ConfigMap>(client).await?;
        self.list::<Secret>(client).await?;
        self.list::<Deployment>(client).await?;
        self.list::<StatefulSet>(client).await?;
        self.list::<DaemonSet>(client).await?;
        let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
        for node in nodes.doing("listing the nodes")?.items {
            let name = node.metadata.name.unwrap_or_default();
            let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
            let taints: BTreeSet<String> = taints.into_iter().map(|taint| taint.key).collect();
            self.add(format!("taints of {name}"), taints.into_iter().collect::<Vec<_>>().join(","));
        }
        Ok(())
    }

    async fn list<K>(&mut self, client: &kube::Client) -> Result<()>
    where
        K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        let kind = K::kind(&());
        let listed = Api::<K>::all(client.clone()).list_metadata(&ListParams::default()).await;
        for object in listed.doing(format!("listing every {kind}"))?.items {
            let namespace = object.metadata.namespace.unwrap_or_default();
            self.add(format!("{kind} {namespace}/{}", object.metadata.name.unwrap_or_default()), "there");
        }
        Ok(())
    }

    /// What a control run changes for its time: arguments, and what Argo CD looks after.
    async fn delivery(&mut self, client: &kube::Client) -> Result<()> {
        let deployments = Api::<Deployment>::all(client.clone()).list(&ListParams::default()).await;
        for deployment in deployments.doing("listing every Deployment")?.items {
            let (name, arguments) = arguments(&deployment);
            self.add(name, arguments);
        }
        for application in gitops::looked_after(client).await? {
            self.add(format!("Application {application}"), "looked after");
        }
        Ok(())
    }

    /// Pods have other names after a fault, and must be as many.
    async fn pods(&mut self, client: &kube::Client) -> Result<()> {
        let pods = Api::<Pod>::all(client.clone()).list(&ListParams::default()).await;
        let mut counts = BTreeMap::<String, usize>::new();
        for pod in pods.doing("listing the pods")?.items {
            let owner = pod.metadata.owner_references.and_then(|mut owners| owners.pop());
            let owner =
                owner.map_or_else(|| "nobody".into(), |owner| format!("{} {}", owner.kind, owner.name));
            let node = pod.spec.and_then(|spec| spec.node_name).unwrap_or_default();
            let namespace = pod.metadata.namespace.unwrap_or_default();
            *counts.entry(format!("pods of {owner} in {namespace} on {node}")).or_default() += 1;
        }
        for (name, count) in counts {
            self.add(name, count.to_string());
        }
        Ok(())
    }

    async fn containers(&mut self, host: &Host, nodes: &[Known]) -> Result<()> {
        let engine::State::Ready(ready) = engine::observe(host).await? else { return Ok(()) };
        for container in nodes.iter().filter_map(|node| node.container.as_deref()) {
            let ask = async |args: &[&str]| -> Result<String> {
                let cmd = containers::exec(ready.docker_host(), container).args(args);
                Ok(host.processes.run(&cmd).await?.stdout_text())
            };
            let saved = ask(&["iptables-save"]).await?;
            self.add(format!("rules of {container}"), rule_count(&saved).to_string());
            // containerd's own word: what a node reports of its images is minutes old.
            let images = ask(&["ctr", "--namespace", "k8s.io", "images", "ls", "--quiet"]).await?;
            for image in tagged(&images) {
                self.add(format!("image {image} on {container}"), "there");
            }
            let found = ready.docker.inspect_container(container, None).await;
            let found = found.doing(format!("looking at {container}"))?;
            let running = found.state.and_then(|state| state.running).unwrap_or_default();
            self.add(format!("container {container}"), if running { "running" } else { "not running" });
        }
        Ok(())
    }

    /// What is not as it was, a phrase each.
    pub fn changes(&self, after: &Self) -> Vec<String> {
        let names: BTreeSet<&String> = self.0.keys().chain(after.0.keys()).collect();
        let of =
            |traces: &Self, name: &String| traces.0.get(name).cloned().unwrap_or_else(|| "not there".into());
        let changed = names.into_iter().filter(|name| of(self, name) != of(after, name));
        changed.map(|name| format!("{name}: {}, was {}", of(after, name), of(self, name))).collect()
    }
}

/// Of the containers of its pods.
fn arguments(deployment: &Deployment) -> (String, String) {
    let metadata = &deployment.metadata;
    let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
    let name = format!("arguments of {}/{}", namespace.unwrap_or_default(), name.unwrap_or_default());
    let containers = deployment.spec.template.spec.iter().flat_map(|pod| &pod.containers);
    let arguments = containers.map(|container| container.args.clone().unwrap_or_default().join(" "));
    (name, arguments.collect::<Vec<_>>().join("; "))
}

/// Of containerd's images, those with a name that people know.
fn tagged(listed: &str) -> impl Iterator<Item = &str> {
    listed
        .lines()
        .map(str::trim)
        .filter(|it| !it.is_empty() && !it.starts_with("sha256:") && !it.contains('@'))
}

/// Rules, whatever addresses they name.
fn rule_count(saved: &str) -> usize {
    saved.lines().filter(|line| line.starts_with("-A ")).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_went_or_changed_is_told() {
        let traces = |pairs: &[(&str, &str)]| {
            Traces(pairs.iter().map(|(name, what)| ((*name).to_owned(), (*what).to_owned())).collect())
        };
        let before = traces(&[("Secret a/b", "there"), ("rules of c", "40"), ("Node c", "there")]);
        let after = traces(&[("Secret a/x", "there"), ("rules of c", "41"), ("Node c", "there")]);
        let changes = [
            "Secret a/b: not there, was there",
            "Secret a/x: there, was not there",
            "rules of c: 41, was 40",
        ];
        assert_eq!(before.changes(&after), changes);
        assert!(before.changes(&before).is_empty());
    }

    #[test]
    fn a_deployment_is_known_by_its_arguments() {
        let deployment = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "ocr-gateway", "namespace": "ocr"},
            "spec": {"selector": {}, "template": {"spec": {"containers": [
                {"name": "gateway", "args": ["gateway", "--no-retry"]}, {"name": "other"},
            ]}}},
        }))
        .unwrap();
        let expected = ("arguments of ocr/ocr-gateway".to_owned(), "gateway --no-retry; ".to_owned());
        assert_eq!(arguments(&deployment), expected);
    }

    #[test]
    fn images_are_known_by_their_names() {
        let listed = "localhost:5000/platen/ocr-service:1\nquay.io/x/y@sha256:12\nsha256:34\n";
        assert_eq!(tagged(listed).collect::<Vec<_>>(), ["localhost:5000/platen/ocr-service:1"]);
    }

    #[test]
    fn rules_are_counted_without_chains_and_comments() {
        assert_eq!(
            rule_count("# x\n*nat\n:KUBE - [0:0]\n-A KUBE -j RETURN\n-A POSTROUTING -j KUBE\nCOMMIT\n"),
            2
        );
    }
}
