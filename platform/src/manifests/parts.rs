//! The chart in two parts: the model server, and everything else. What one part has, the other must not, for two
//! Applications that own the same object take it from each other for ever.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::gitops::set;

/// The role that is a part of its own, as the chart's values call it.
const MODEL: &str = "model";

/// Values of both parts, to be laid over those that they have in common.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Parts {
    pub model: Value,
    pub rest: Value,
}

impl Default for Parts {
    fn default() -> Self {
        // A chart whose values cannot be read fails its own checks; there is nothing to switch off then.
        Self::of(include_str!("../../../charts/ocr-app/values.yaml"))
            .unwrap_or_else(|_| Self { model: json!({}), rest: json!({}) })
    }
}

impl Parts {
    /// From the chart's own values: all that can be switched off there is off in the model's part.
    pub fn of(values: &str) -> Result<Self> {
        let values: Map<String, Value> = serde_yaml::from_str(values)
            .map_err(|error| Error::malformed("charts/ocr-app/values.yaml", error, "restore it from git"))?;
        let others = values.iter().filter(|(key, _)| *key != MODEL);
        let model: Map<String, Value> =
            others.filter_map(|(key, value)| Some((key.clone(), off(value)?))).collect();
        Ok(Self { model: Value::Object(model), rest: json!({MODEL: {"enabled": false}}) })
    }

    /// Both parts over values that they have in common: what is off in a part stays off.
    #[must_use]
    pub fn over(&self, values: &Value) -> Self {
        let over = |part: &Value| set::over(values.clone(), part.clone());
        Self { model: over(&self.model), rest: over(&self.rest) }
    }
}

/// Every switch below a value turned off; `None` where there is none.
fn off(value: &Value) -> Option<Value> {
    let fields = value.as_object()?;
    let switches: Map<String, Value> = fields
        .iter()
        .filter_map(|(key, value)| match value {
            Value::Bool(_) if key == "enabled" => Some((key.clone(), json!(false))),
            inner => Some((key.clone(), off(inner)?)),
        })
        .collect();
    (!switches.is_empty()).then_some(Value::Object(switches))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_switch_of_the_other_roles_is_off_in_the_models_part() {
        let parts = Parts::of(
            "image: {tag: x}\nmodel: {enabled: true}\ngateway: {enabled: true, service: {port: 1}}\n\
             monitoring: {podMonitor: {enabled: true}}\n",
        )
        .unwrap();
        let model = json!({"gateway": {"enabled": false}, "monitoring": {"podMonitor": {"enabled": false}}});
        assert_eq!(parts, Parts { model, rest: json!({"model": {"enabled": false}}) });
    }

    #[test]
    fn values_in_common_switch_nothing_on_in_the_other_part() {
        let parts = Parts::of("model: {enabled: true}\nfrontend: {enabled: true}\n").unwrap();
        let values = json!({"image": {"tag": "1"}, "frontend": {"enabled": true, "replicas": 3}});
        let Parts { model, rest } = parts.over(&values);
        assert_eq!(model, json!({"image": {"tag": "1"}, "frontend": {"enabled": false, "replicas": 3}}));
        assert_eq!(rest["model"]["enabled"], false);
        assert_eq!((&rest["image"], &rest["frontend"]), (&values["image"], &values["frontend"]));
    }

    #[test]
    fn the_charts_own_roles_are_in_one_part_each() {
        let parts = Parts::default();
        assert_eq!(parts.model["gateway"]["enabled"], false);
        assert_eq!(parts.model["model"], Value::Null);
        assert_eq!(parts.rest["model"]["enabled"], false);
        assert_eq!(parts.rest["gateway"], Value::Null);
    }
}
