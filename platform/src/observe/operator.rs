//! Prometheus' operator in a cluster: where its kinds are served, the chart is told to use them.

use serde_json::{Value, json};

use crate::error::{Doing, Result};

const GROUP: &str = "monitoring.coreos.com";

/// The chart's values with PodMonitor and alerts, where the operator is there; else they are as they were. Without it an
/// installation with them would be refused.
pub async fn watched(client: &kube::Client, mut values: Value) -> Result<Value> {
    let groups = client.list_api_groups().await.doing("asking the cluster for its kinds")?.groups;
    if groups.iter().any(|group| group.name == GROUP) {
        for kind in ["podMonitor", "rules"] {
            values["monitoring"][kind]["enabled"] = json!(true);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use kube::client::Body;

    use super::*;

    async fn with_groups(names: &[&str]) -> Value {
        let (service, mut handle) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
        let group = |name: &&str| {
            let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
            json!({"name": name, "versions": [version], "preferredVersion": version})
        };
        let list = json!({"kind": "APIGroupList", "groups": names.iter().map(group).collect::<Vec<_>>()});
        let server = tokio::spawn(async move {
            let (request, respond) = handle.next_request().await.unwrap();
            assert_eq!((request.method().as_str(), request.uri().path()), ("GET", "/apis"));
            respond.send_response(http::Response::new(Body::from(list.to_string().into_bytes())));
        });
        let values = json!({"monitoring": {"podMonitor": {"labels": {"a": "b"}}}, "model": {"replicas": 2}});
        let watched = watched(&kube::Client::new(service, "default"), values).await.unwrap();
        server.await.unwrap();
        watched
    }

    #[tokio::test]
    async fn the_operators_kinds_are_used_where_they_are_served() {
        let monitoring =
            json!({"podMonitor": {"labels": {"a": "b"}, "enabled": true}, "rules": {"enabled": true}});
        let with = with_groups(&["apps", "monitoring.coreos.com"]).await;
        assert_eq!(with, json!({"monitoring": monitoring, "model": {"replicas": 2}}));
        let without = with_groups(&["apps"]).await;
        assert_eq!(without["monitoring"], json!({"podMonitor": {"labels": {"a": "b"}}}));
    }
}
