//! What of the chart a cluster gets: its deployments and the chart's values, a pure function of configuration and cluster.

use serde_json::{Value, json};

use super::apps::NAMESPACES;
use crate::config::Config;
use crate::registry::Reference;

/// The parts of the chart in one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    nodes: u16,
    /// The page, and the translation behind it.
    page: bool,
    experiments: bool,
}

/// A deployment as it has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub namespace: &'static str,
    pub name: &'static str,
    /// `None` where the chart leaves the number to the load.
    pub replicas: Option<u16>,
}

/// How a request comes from a node's port to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Each node has a gateway and a page of its own: what comes in at a live node never crosses to a dead one.
    OwnNode {
        /// Whether Services inside the cluster can prefer the caller's node.
        inside_too: bool,
    },
    /// There may be nodes without one.
    AnyNode,
}

impl Entry {
    fn external_traffic(self) -> &'static str {
        match self {
            Self::OwnNode { .. } => "Local",
            Self::AnyNode => "Cluster",
        }
    }

    fn distribution(self) -> &'static str {
        match self {
            Self::OwnNode { inside_too: true } => "PreferSameNode",
            _ => "",
        }
    }
}

impl Parts {
    /// `shares_folder`: every node sees the folder of the experiments, so that a Job may run on any of them.
    pub fn new(config: &Config, shares_folder: bool) -> Self {
        Self {
            nodes: config.cluster.nodes.get(),
            page: config.components.page,
            experiments: config.components.experiments.unwrap_or(shares_folder),
        }
    }

    /// Gateways and pages: one on every node, so that each door leads to one beside it.
    pub fn entries(self) -> u16 {
        self.nodes
    }

    /// Models run on the workers, where there are any.
    fn models(self) -> u16 {
        (self.nodes - 1).max(1)
    }

    /// `pull_secret`: the Secret by which nodes may pull the image, where the registry wants a login.
    pub fn values(self, image: &Reference, pull_secret: Option<&str>, entry: Entry) -> Value {
        let secrets: Vec<Value> = pull_secret.iter().map(|name| json!({"name": name})).collect();
        let repository = format!("{}/{}", image.registry(), image.repository());
        let service = json!({"externalTrafficPolicy": entry.external_traffic()});
        json!({
            "image": {"repository": repository, "tag": image.tag().unwrap_or("latest")},
            "imagePullSecrets": secrets,
            "trafficDistribution": entry.distribution(),
            "gateway": {"replicas": self.entries(), "service": service},
            "model": {"replicas": self.models()},
            "ocrServer": {"replicas": 1},
            "frontend": {"enabled": self.page, "replicas": self.entries(), "service": service},
            "translate": {"enabled": self.page, "replicas": self.entries()},
            "experiments": {"enabled": self.experiments, "sqlite": true},
        })
    }
}

/// The deployments that the chart makes of these values, which name all that differs from its own.
pub fn deployments(values: &Value) -> Vec<Wanted> {
    let [ocr, backend] = NAMESPACES;
    let part = |key: &str, namespace, name| {
        let role = &values[key];
        let replicas = role["replicas"].as_u64().and_then(|count| u16::try_from(count).ok()).unwrap_or(1);
        let replicas = (role["autoscaling"]["enabled"] != true).then_some(replicas);
        role["enabled"].as_bool().unwrap_or(true).then_some(Wanted { namespace, name, replicas })
    };
    [
        part("gateway", ocr, "ocr-gateway"),
        part("model", ocr, "model-server"),
        part("ocrServer", backend, "ocr-server-deployment"),
        part("frontend", ocr, "ocr-frontend"),
        part("translate", ocr, "ocr-translate"),
        part("experiments", ocr, "ocr-experiments"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ComponentsConfig;

    fn names(config: &Config, shares_folder: bool) -> Vec<&'static str> {
        let image = crate::images::service_image("localhost:5000", "tag");
        let values = Parts::new(config, shares_folder).values(&image, None, Entry::AnyNode);
        deployments(&values).into_iter().map(|wanted| wanted.name).collect()
    }

    #[test]
    fn experiments_come_by_themselves_only_where_every_node_sees_their_folder() {
        let default = Config::default();
        assert!(names(&default, true).contains(&"ocr-experiments"));
        assert!(!names(&default, false).contains(&"ocr-experiments"));
        let asked = ComponentsConfig { experiments: Some(true), ..ComponentsConfig::default() };
        assert!(names(&Config { components: asked, ..default }, false).contains(&"ocr-experiments"));
    }

    #[test]
    fn without_the_page_there_is_no_translation() {
        let components = ComponentsConfig { page: false, ..ComponentsConfig::default() };
        let without = names(&Config { components, ..Config::default() }, true);
        assert_eq!(without, ["ocr-gateway", "model-server", "ocr-server-deployment", "ocr-experiments"]);
    }

    #[test]
    fn deployments_have_as_many_pods_as_the_values_say() {
        let parts = Parts::new(&Config::default(), true);
        let image = crate::images::service_image("localhost:5000", "tag");
        let values = parts.values(&image, Some("regcred"), Entry::OwnNode { inside_too: true });
        let counted: Vec<_> = deployments(&values).into_iter().map(|it| (it.name, it.replicas)).collect();
        let expected = [
            ("ocr-gateway", Some(3)),
            ("model-server", Some(2)),
            ("ocr-server-deployment", Some(1)),
            ("ocr-frontend", Some(3)),
            ("ocr-translate", Some(3)),
            ("ocr-experiments", Some(1)),
        ];
        assert_eq!(counted, expected);
        assert_eq!(values["trafficDistribution"], "PreferSameNode");
        assert_eq!(values["imagePullSecrets"][0]["name"], "regcred");
    }

    #[test]
    fn pods_by_load_are_not_counted() {
        let values = json!({
            "gateway": {"replicas": 3, "autoscaling": {"enabled": false}},
            "model": {"replicas": 2, "autoscaling": {"enabled": true, "maxReplicas": 8}},
        });
        let counted = |name| deployments(&values).into_iter().find(|it| it.name == name).unwrap().replicas;
        assert_eq!(counted("ocr-gateway"), Some(3));
        assert_eq!(counted("model-server"), None);
    }
}
