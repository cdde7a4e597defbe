//! Values given on the command line: `model.replicas=3`, laid over the configuration's.

use serde_json::{Map, Value, json};

use super::CHART;
use crate::error::{Error, Result};

/// The values that these settings stand for. `chart` holds the chart's own, which say where a text is wanted: a tag of
/// digits stays one.
pub fn parse(settings: &[String], chart: &Value) -> Result<Value> {
    let mut all = json!({});
    for setting in settings {
        let (path, text) = setting.split_once('=').filter(|(path, _)| !path.is_empty()).ok_or_else(|| {
            Error::usage(
                format!("{setting:?} sets nothing"),
                "write it as KEY=VALUE, for example --set image.tag=1.2 or --set 'model.extraArgs=[\"--engines\",\"2\"]'",
            )
        })?;
        let keys: Vec<&str> = path.split('.').collect();
        let own = chart.pointer(&format!("/{}", keys.join("/"))).ok_or_else(|| unknown(path, chart))?;
        let value = match own {
            Value::String(_) => json!(text),
            _ => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        };
        let one = keys.iter().rev().fold(value, |inner, key| json!({ *key: inner }));
        all = over(all, one);
    }
    Ok(all)
}

/// `upper` laid over `lower`: maps are merged, anything else is replaced.
pub fn over(lower: Value, upper: Value) -> Value {
    match (lower, upper) {
        (Value::Object(mut lower), Value::Object(upper)) => {
            for (key, value) in upper {
                let below = lower.remove(&key).unwrap_or(Value::Null);
                lower.insert(key, over(below, value));
            }
            Value::Object(lower)
        }
        (_, upper) => upper,
    }
}

/// What of `before` is not so in `now`, as `model.replicas`; what is only in `now` is not named.
pub fn lost(before: &Value, now: &Value) -> Vec<String> {
    let Value::Object(map) = before else {
        return if before == now { Vec::new() } else { vec![String::new()] };
    };
    let below = map.iter().flat_map(|(key, value)| {
        let inner = lost(value, now.get(key).unwrap_or(&Value::Null));
        inner.into_iter().map(move |path| if path.is_empty() { key.clone() } else { format!("{key}.{path}") })
    });
    below.collect()
}

/// The chart's own values.
pub fn of_chart(root: &std::path::Path) -> Result<Value> {
    let path = root.join(CHART).join("values.yaml");
    let broken = |error: &dyn std::fmt::Display| {
        Error::malformed(path.display().to_string(), error, crate::helm::CORRECT_THE_CHART)
    };
    let text = std::fs::read_to_string(&path).map_err(|error| broken(&error))?;
    serde_yaml::from_str(&text).map_err(|error| broken(&error))
}

fn unknown(path: &str, chart: &Value) -> Error {
    let mut known = Vec::new();
    keys(chart, "", &mut known);
    let nearest = known.iter().min_by_key(|key| strsim::damerau_levenshtein(key, path));
    let hint = nearest
        .map_or_else(String::new, |key| format!("did you mean {key}? {CHART}/values.yaml describes each"));
    Error::usage(format!("the chart has no value {path}"), hint)
}

fn keys(value: &Value, path: &str, found: &mut Vec<String>) {
    let empty = Map::new();
    for (key, inner) in value.as_object().unwrap_or(&empty) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        keys(inner, &path, found);
        found.push(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Value {
        json!({"image": {"tag": ""}, "model": {"replicas": 2, "extraArgs": []}})
    }

    fn parsed(settings: &[&str]) -> Result<Value> {
        parse(&settings.iter().map(ToString::to_string).collect::<Vec<_>>(), &chart())
    }

    #[test]
    fn settings_become_values_of_the_charts_own_types() {
        let values = parsed(&["model.replicas=3", "image.tag=123", "model.extraArgs=[\"--x\"]"]).unwrap();
        assert_eq!(values, json!({"image": {"tag": "123"}, "model": {"replicas": 3, "extraArgs": ["--x"]}}));
    }

    #[test]
    fn a_value_that_the_chart_has_not_is_refused_with_the_nearest_one() {
        let error = parsed(&["model.replica=3"]).unwrap_err();
        assert!(error.hint().unwrap().contains("model.replicas"), "{error:?}");
        assert!(parsed(&["model.replicas"]).is_err());
    }

    #[test]
    fn what_is_lost_is_named_by_its_key_and_what_is_new_is_not() {
        let before =
            json!({"log": {"filter": "debug"}, "model": {"replicas": 3, "extraArgs": []}, "page": {}});
        let now = json!({"model": {"replicas": 2, "extraArgs": []}, "image": {"tag": "new"}});
        assert_eq!(lost(&before, &now), ["log.filter", "model.replicas"]);
        assert!(lost(&now, &now).is_empty() && lost(&Value::Null, &Value::Null).is_empty());
    }

    #[test]
    fn upper_values_win_and_the_others_stay() {
        let lower = json!({"a": {"b": 1, "c": [1, 2]}});
        assert_eq!(over(lower, json!({"a": {"c": [3]}})), json!({"a": {"b": 1, "c": [3]}}));
    }
}
