//! All Services of a cluster, with the addresses by which they are reached.

use k8s_openapi::api::core::v1::{Service, ServicePort};
use kube::api::{Api, ListParams};
use serde::Serialize;

use crate::cluster::client::client;
use crate::error::{Doing, Error, Result};
use crate::host::Host;
use crate::up;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceSeen {
    pub namespace: String,
    pub name: String,
    /// ClusterIP, NodePort, LoadBalancer or ExternalName.
    #[serde(rename = "type")]
    pub kind: String,
    /// `None` for a headless one.
    pub cluster_ip: Option<String>,
    /// Empty where it has none.
    pub external: Vec<String>,
    /// A load balancer was asked for, and nobody has given it an address yet.
    pub pending: bool,
    /// As `80:30080/TCP`.
    pub ports: Vec<String>,
}

/// Of every namespace, by namespace and name.
pub async fn services(host: &Host) -> Result<Vec<ServiceSeen>> {
    let profile = &host.config.cluster.profile;
    let record = up::read_record(host, profile)?.ok_or_else(|| {
        Error::unhealthy(format!("nothing runs under the profile {profile}"), "start it: cargo xtask up")
    })?;
    let context = record.choice.target.context(profile).ok_or_else(|| {
        Error::machine(
            "what runs here is no cluster: it has no Services",
            "see where it answers: cargo xtask status; make a cluster beside it: cargo xtask --profile NAME up --provider kind",
        )
    })?;
    let listed = Api::<Service>::all(client(&context).await?).list(&ListParams::default()).await;
    let mut seen: Vec<ServiceSeen> =
        listed.doing("listing the Services")?.items.iter().map(service).collect();
    seen.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    Ok(seen)
}

fn service(it: &Service) -> ServiceSeen {
    let spec = it.spec.as_ref();
    let kind = spec.and_then(|spec| spec.type_.clone()).unwrap_or_else(|| "ClusterIP".into());
    let balanced = it.status.as_ref().and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
    let balanced = balanced.into_iter().flatten().filter_map(|it| it.ip.clone().or(it.hostname.clone()));
    let own = spec.and_then(|spec| spec.external_ips.clone()).unwrap_or_default();
    let name = spec.and_then(|spec| spec.external_name.clone());
    let external: Vec<String> = balanced.chain(own).chain(name).collect();
    ServiceSeen {
        namespace: it.metadata.namespace.clone().unwrap_or_default(),
        name: it.metadata.name.clone().unwrap_or_default(),
        cluster_ip: spec.and_then(|spec| spec.cluster_ip.clone()).filter(|ip| ip != "None" && !ip.is_empty()),
        pending: kind == "LoadBalancer" && external.is_empty(),
        external,
        ports: spec.and_then(|spec| spec.ports.as_ref()).into_iter().flatten().map(port).collect(),
        kind,
    }
}

fn port(it: &ServicePort) -> String {
    let node = it.node_port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{node}/{}", it.port, it.protocol.as_deref().unwrap_or("TCP"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(spec: &serde_json::Value, ingress: &serde_json::Value) -> ServiceSeen {
        let it: Service = serde_json::from_value(json!({
            "metadata": {"name": "s", "namespace": "ocr"}, "spec": spec,
            "status": {"loadBalancer": {"ingress": ingress}},
        }))
        .unwrap();
        service(&it)
    }

    #[test]
    fn each_type_shows_how_it_is_reached() {
        let node_port = seen(
            &json!({"type": "NodePort", "clusterIP": "10.96.0.1", "ports": [{"port": 80, "nodePort": 30001}]}),
            &json!([]),
        );
        assert_eq!((node_port.ports[0].as_str(), node_port.pending), ("80:30001/TCP", false));
        let waiting = seen(&json!({"type": "LoadBalancer", "ports": [{"port": 80}]}), &json!([]));
        assert!(waiting.pending && waiting.external.is_empty());
        let balanced =
            seen(&json!({"type": "LoadBalancer"}), &json!([{"hostname": "x.example"}, {"ip": "192.0.2.1"}]));
        assert_eq!(balanced.external, ["x.example", "192.0.2.1"]);
        assert_eq!(seen(&json!({"clusterIP": "None"}), &json!([])).cluster_ip, None);
    }
}
