//! What runs on a cluster beside the service: Argo CD and the monitoring stack, each a Helm release of its own.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::plan::{Action, StepId};
use crate::cluster::client::client;
use crate::cluster::relay::{self, Target};
use crate::config::ComponentsConfig;
use crate::diagnose::{self, Scope};
use crate::error::{Doing, Error, Result};
use crate::event::Step;
use crate::helm::{Chart, Helm, Release, Upgrade};
use crate::host::Host;
use crate::manifests::FIELD_MANAGER;
use crate::mirror::{self, Artifact, Mirror, Supply};
use crate::registry::Registries;
use crate::tools::{self, Tool};
use crate::wait::{self, Seen};

/// Three nodes on two cores take their time to unpack the images.
const READY_WITHIN: Duration = Duration::from_mins(6);

const PROMETHEUS_READY_WITHIN: Duration = Duration::from_secs(20);
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// As the real chart names it for our release.
const PROMETHEUS: Target =
    Target { namespace: "monitoring", service: "monitoring-kube-prometheus-prometheus", port: 9090 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    Argocd,
    Monitoring,
}

impl Component {
    pub const ALL: [Self; 2] = [Self::Argocd, Self::Monitoring];

    pub fn step(self) -> StepId {
        match self {
            Self::Argocd => StepId::Argocd,
            Self::Monitoring => StepId::Monitoring,
        }
    }

    /// Whether a cluster that `up` makes gets it.
    pub fn is_wanted(self, config: ComponentsConfig) -> bool {
        match self {
            Self::Argocd => config.argocd.unwrap_or(true),
            Self::Monitoring => config.monitoring.unwrap_or(true),
        }
    }

    /// Its namespace, and the name of its release.
    pub fn namespace(self) -> &'static str {
        match self {
            Self::Argocd => "argocd",
            Self::Monitoring => "monitoring",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Argocd => "install Argo CD",
            Self::Monitoring => "install Prometheus and its operator",
        }
    }

    fn chart(self) -> &'static str {
        match self {
            Self::Argocd => "argo-cd",
            Self::Monitoring => "kube-prometheus-stack",
        }
    }

    fn values(self) -> Result<Value> {
        let (name, text) = match self {
            Self::Argocd => ("values-argo-cd.yaml", include_str!("../../stack/values-argo-cd.yaml")),
            Self::Monitoring => (
                "values-kube-prometheus-stack.yaml",
                include_str!("../../stack/values-kube-prometheus-stack.yaml"),
            ),
        };
        serde_yaml::from_str(text)
            .map_err(|error| Error::malformed(format!("stack/{name}"), error, "restore it from git"))
    }

    /// What of the mirror it is made of, where nothing can be pulled.
    pub fn artifacts(self) -> &'static [Artifact] {
        match self {
            Self::Argocd => &[Artifact::ArgocdImage, Artifact::RedisImage, Artifact::Charts],
            Self::Monitoring => &[
                Artifact::PrometheusImage,
                Artifact::OperatorImage,
                Artifact::ReloaderImage,
                Artifact::Charts,
            ],
        }
    }

    /// What has to be there beside what the chart itself makes: the operator makes Prometheus.
    fn made_later(self) -> Option<&'static str> {
        match self {
            Self::Argocd => None,
            Self::Monitoring => Some("prometheus-monitoring-kube-prometheus-prometheus"),
        }
    }

    fn release(self) -> Release {
        Release::new(self.namespace(), self.namespace())
    }

    pub fn to_install(self, why: impl Into<String>) -> Action {
        let seconds = match self {
            Self::Argocd => 80,
            Self::Monitoring => 45,
        };
        Action::new(self.step(), self.title(), why, seconds)
    }
}

/// The components in one cluster.
pub struct Stack {
    pub host: Host,
    pub context: String,
    pub mirror: Mirror,
    pub supply: Supply,
}

impl Stack {
    /// What is missing of a component; `None` where it runs as it would be installed now.
    pub async fn missing(&self, component: Component) -> Result<Option<Action>> {
        let install = |why: String| Some(component.to_install(why));
        let Some(program) = tools::find(&self.host, Tool::Helm).await? else {
            return Ok(install("it is not installed".into()));
        };
        let Some(chart) = self.chart(component)? else {
            return Ok(install("its chart is not there yet".into()));
        };
        let helm = Helm::of_cluster(&self.host, program, &self.context);
        if !helm.is_current(&upgrade(component, chart)?).await? {
            return Ok(install("the release is not there, or not as it would be made now".into()));
        }
        let unready = unready(&client(&self.context).await?, component).await?;
        Ok(if unready.is_empty() { None } else { install(format!("not ready: {}", unready.join(", "))) })
    }

    pub async fn install(&self, component: Component, tell: &Step) -> Result<()> {
        let helm = Helm::of_cluster(&self.host, tools::ensure(&self.host, Tool::Helm).await?, &self.context);
        let chart = self.chart(component)?.ok_or_else(|| {
            Error::unhealthy(
                format!("the mirror has no chart {}", component.chart()),
                "build it: cargo xtask mirror build charts",
            )
        })?;
        if self.supply == Supply::Source {
            // Nodes ask the local registry for images of any host.
            let registry = self.host.config.ports.local_registry();
            self.mirror.publish(&Registries::new(&self.host)?, &registry, &[], tell).await?;
        }
        let client = client(&self.context).await?;
        ensure_namespace(&client, component.namespace()).await?;
        let namespaces = [component.namespace()];
        let scope = Scope::all(&namespaces);
        let work = async {
            let upgrade =
                Upgrade { restore: is_gone(&client, component).await?, ..upgrade(component, chart)? };
            tell.message(format!("applying the chart {}", component.chart()));
            helm.upgrade_install(&upgrade).await?;
            wait::until(READY_WITHIN, "cargo xtask status", || async {
                let unready = unready(&client, component).await?;
                Ok(if unready.is_empty() { Seen::Ready(()) } else { Seen::Awaiting(unready.join(", ")) })
            })
            .await
        };
        let result = tokio::select! {
            result = work => result,
            never = diagnose::heartbeat(&client, &scope, tell) => match never {},
        };
        diagnose::explained(&client, &scope, result).await
    }

    /// Where its chart is; `None` where it is still to be built.
    fn chart(&self, component: Component) -> Result<Option<Chart>> {
        match self.supply {
            Supply::Source => Ok(self.mirror.chart(component.chart())?.map(Chart::Path)),
            Supply::Pull => {
                let upstream = mirror::upstream_chart(component.chart())?;
                let url = format!("oci://{}/{}", upstream.registry(), upstream.repository());
                let version = upstream.tag().unwrap_or_default().to_owned();
                Ok(Some(Chart::Oci { url, version }))
            }
        }
    }
}

/// Where the cluster's Prometheus answers on this machine, as long as this process runs; `None` where there is none.
pub async fn prometheus(context: &str) -> Result<Option<String>> {
    let client = client(context).await?;
    let services = Api::<Service>::namespaced(client.clone(), PROMETHEUS.namespace);
    let found = services.get_opt(PROMETHEUS.service).await.doing("looking for Prometheus")?;
    if found.is_none() {
        return Ok(None);
    }
    let base = format!("http://{}", relay::open(client, &PROMETHEUS).await?);
    let http = crate::http::direct(ANSWERS_WITHIN)?;
    wait::until(PROMETHEUS_READY_WITHIN, "kubectl -n monitoring get pods", || async {
        let answer = http.get(format!("{base}/-/ready")).send().await;
        Ok(match answer {
            Ok(answer) if answer.status().is_success() => Seen::Ready(()),
            Ok(answer) => Seen::Awaiting(format!("Prometheus to be ready: it answers {}", answer.status())),
            Err(error) => Seen::Awaiting(format!("Prometheus to answer: {error}")),
        })
    })
    .await?;
    Ok(Some(base))
}

fn upgrade(component: Component, chart: Chart) -> Result<Upgrade> {
    Ok(Upgrade {
        release: component.release(),
        chart,
        values: component.values()?,
        timeout: READY_WITHIN,
        restore: false,
        adopt: false,
    })
}

/// What is not ready of a component, a phrase each.
async fn unready(client: &kube::Client, component: Component) -> Result<Vec<String>> {
    let workloads = diagnose::workloads(client, &Scope::all(&[component.namespace()])).await?;
    let mut unready: Vec<String> = workloads.iter().filter_map(diagnose::Workload::waiting).collect();
    if workloads.is_empty() {
        unready.push(format!("nothing runs in the namespace {}", component.namespace()));
    }
    if let Some(late) = component.made_later()
        && !workloads.iter().any(|workload| workload.name == late)
    {
        unready.push(format!("{late} is not there"));
    }
    Ok(unready)
}

/// Whether somebody took the workloads away behind helm's back: a release that is current would not bring them back.
async fn is_gone(client: &kube::Client, component: Component) -> Result<bool> {
    Ok(diagnose::workloads(client, &Scope::all(&[component.namespace()])).await?.is_empty())
}

async fn ensure_namespace(client: &kube::Client, name: &str) -> Result<()> {
    let namespace: Namespace = serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "platen"}},
    }))
    .map_err(|error| Error::malformed("a namespace", error, ""))?;
    let apply = PatchParams::apply(FIELD_MANAGER);
    let applied = Api::<Namespace>::all(client.clone()).patch(name, &apply, &Patch::Apply(&namespace)).await;
    applied.map(drop).doing(format!("making the namespace {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_component_has_values_that_are_read() {
        for component in Component::ALL {
            assert!(component.values().unwrap().is_object(), "{component:?}");
        }
        let monitoring = Component::Monitoring.values().unwrap();
        // Ours are looked at whatever their labels.
        assert_eq!(
            monitoring["prometheus"]["prometheusSpec"]["podMonitorSelectorNilUsesHelmValues"],
            json!(false)
        );
    }

    #[test]
    fn every_component_names_a_chart_that_upstream_has() {
        for component in Component::ALL {
            let upstream = mirror::upstream_chart(component.chart()).unwrap();
            assert!(upstream.repository().ends_with(component.chart()), "{upstream}");
            assert!(upstream.tag().is_some(), "{upstream}");
        }
    }
}
