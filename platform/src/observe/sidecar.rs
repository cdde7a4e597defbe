//! The dashboards as a ConfigMap that Grafana's sidecar in kube-prometheus-stack finds by its label.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::dashboard::Dashboard;
use crate::error::{Error, Result};

/// The label that the sidecar looks for, in every namespace where `searchNamespace` is ALL.
const LABEL: (&str, &str) = ("grafana_dashboard", "1");
pub const NAME: &str = "platen-dashboards";

/// One file for each dashboard.
pub fn config_map(dashboards: &[Dashboard], namespace: &str) -> ConfigMap {
    let labels = [LABEL, ("app.kubernetes.io/managed-by", "platen"), ("app.kubernetes.io/part-of", "platen")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let file = |it: &Dashboard| (format!("{}.json", it.name), it.document.to_string());
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(NAME.into()),
            namespace: Some(namespace.into()),
            labels: Some(BTreeMap::from(labels)),
            ..ObjectMeta::default()
        },
        data: Some(dashboards.iter().map(file).collect()),
        ..ConfigMap::default()
    }
}

/// As `kubectl apply -f -` takes it.
pub fn yaml(dashboards: &[Dashboard], namespace: &str) -> Result<String> {
    serde_yaml::to_string(&config_map(dashboards, namespace))
        .map_err(|error| Error::malformed("the ConfigMap of the dashboards", error, ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifests::strict;

    #[test]
    fn the_sidecar_finds_each_dashboard_whole() {
        let dashboard = Dashboard::parse("one", r#"{"uid": "u", "title": "T", "panels": []}"#).unwrap();
        let text = yaml(&[dashboard], "monitoring").unwrap();
        let value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let map: ConfigMap = strict::object(&value).unwrap();
        assert_eq!(map.metadata.labels.unwrap()["grafana_dashboard"], "1");
        let file: serde_json::Value = serde_json::from_str(&map.data.unwrap()["one.json"]).unwrap();
        assert_eq!(file["title"], "T");
    }
}
