//! Images compared with the nodes, before a deploy or a rollback touches the cluster.

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams};

use super::apps::Apps;
use crate::cluster::objects::NodeFacts;
use crate::error::{Doing, Error, Result};
use crate::images::{Asking, preflight};
use crate::registry::{Credentials, Reference};

impl Apps {
    /// An error where an image of these manifests would not start on a node that may run it. Returns how they were asked
    /// for. `service`: what is built of this checkout; `given`: this machine's login, where the cluster is to get it.
    pub(super) async fn compare(
        &self,
        client: &kube::Client,
        service: &Reference,
        given: Option<&Credentials>,
        manifests: &str,
    ) -> Result<Asking> {
        let workloads = preflight::workloads(manifests)?;
        let logins = self.secrets().of_nodes(&workloads, given, client).await?;
        let asking = Asking::new(&self.host, logins, self.mirror.as_deref(), service);
        let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
        let nodes: Vec<NodeFacts> =
            nodes.doing("listing the nodes")?.items.iter().map(NodeFacts::of).collect();
        for warning in preflight::check(&asking, manifests, &nodes).await? {
            self.host.events.warn(warning);
        }
        Ok(asking)
    }

    /// As [`Apps::compare`], of what is there already: an error only where it is known that it would not start. What cannot
    /// be asked is no reason to stay with what does not serve.
    pub(super) async fn compare_if_possible(
        &self,
        client: &kube::Client,
        service: &Reference,
        manifests: Result<String>,
    ) -> Result<()> {
        let why = match manifests {
            Err(why) => why,
            Ok(manifests) => match self.compare(client, service, None, &manifests).await {
                Ok(_) => return Ok(()),
                Err(known @ Error::Unhealthy { .. }) => return Err(known),
                Err(why) => why,
            },
        };
        let what = "the images of what was deployed before are not checked";
        self.host.events.warn(format!("{what}: {why}"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use serde_json::json;

    use super::*;
    use crate::host::Host;
    use crate::registry::double::{Double, Login};
    use crate::registry::parse;
    use crate::up::delivery::Delivery;
    use crate::up::parts::Parts;

    /// An API server that has one node.
    fn cluster() -> kube::Client {
        let answer = || async {
            let node = json!({"metadata": {"name": "a", "labels": {"kubernetes.io/arch": "amd64"}}});
            axum::Json(json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": [node]}))
        };
        kube::Client::new(Router::new().fallback(answer), "default")
    }

    #[tokio::test]
    async fn a_rollback_is_refused_only_where_an_image_is_known_to_be_missing() {
        crate::tls::install();
        let host = Host::bare("/nowhere");
        let parts = Parts::new(&host.config, false);
        let apps = Apps::new(&host, "mine".into(), Vec::new(), parts, Delivery::Direct);
        let double = Double::start(Login::None).await;
        let (client, service) = (cluster(), parse("localhost:5000/platen/ocr-service:2").unwrap());
        let of = |registry: &str| {
            let container = json!({"name": "c", "image": format!("{registry}/platen/ocr-service:1")});
            let spec = json!({"template": {"spec": {"containers": [container]}}});
            json!({"kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}).to_string()
        };
        let compare =
            async |manifests: Result<String>| apps.compare_if_possible(&client, &service, manifests).await;
        compare(Err(Error::unhealthy("the chart does not render", ""))).await.unwrap();
        compare(Ok(of("127.0.0.1:1"))).await.unwrap();
        let missing = compare(Ok(of(&double.name()))).await.unwrap_err();
        assert!(missing.hint().unwrap().contains("the commit that it was made of"), "{missing}");
    }
}
