//! The chart's values: each explained where a person edits it, and each known to the schema.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

use std::path::Path;

use serde_json::Value;

fn chart(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/ocr-app").join(file);
    std::fs::read_to_string(&path).unwrap()
}

fn values() -> Value {
    serde_yaml::from_str(&chart("values.yaml")).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&chart("values.schema.json")).unwrap()
}

/// The schema of a part, behind its `$ref`.
fn resolved<'a>(schema: &'a Value, part: &'a Value) -> &'a Value {
    match part["$ref"].as_str() {
        Some(reference) => schema.pointer(reference.trim_start_matches('#')).unwrap(),
        None => part,
    }
}

fn compare(schema: &Value, part: &Value, values: &Value, path: &str, found: &mut Vec<String>) {
    let part = resolved(schema, part);
    if part["description"].as_str().unwrap_or_default().is_empty() {
        found.push(format!("{path} has no description in the schema"));
    }
    let (Some(properties), Some(values)) = (part["properties"].as_object(), values.as_object()) else {
        return;
    };
    if part["additionalProperties"] != Value::Bool(false) {
        found.push(format!("{path} takes keys that are not known"));
    }
    for (key, value) in values {
        match properties.get(key) {
            Some(property) => compare(schema, property, value, &format!("{path}.{key}"), found),
            None => found.push(format!("{path}.{key} is not in the schema")),
        }
    }
}

#[test]
fn every_value_is_known_to_the_schema_and_described_there() {
    let (schema, mut found) = (schema(), Vec::new());
    compare(&schema, &schema, &values(), "", &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_key_of_the_schema_has_a_default_in_the_values() {
    let (schema, values) = (schema(), values());
    let mut missing = Vec::new();
    for (key, part) in schema["properties"].as_object().unwrap() {
        // Helm's own, for parent charts.
        if key == "global" {
            continue;
        }
        if values.get(key).is_none() {
            missing.push(key.clone());
        }
        for inner in part["properties"].as_object().into_iter().flat_map(serde_json::Map::keys) {
            if values[key].get(inner).is_none() {
                missing.push(format!("{key}.{inner}"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn every_key_of_the_values_stands_under_a_comment() {
    let text = chart("values.yaml");
    let lines: Vec<&str> = text.lines().collect();
    let mut bare = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let is_key = line.trim_start().starts_with(|c: char| c.is_ascii_alphabetic()) && line.contains(':');
        // What lies deeper than a role's own keys is Kubernetes', and named there.
        let kubernetes = matches!(line.trim_start().split(':').next(), Some("requests" | "limits"));
        if is_key
            && indent <= 4
            && !kubernetes
            && !lines[number.saturating_sub(1)].trim_start().starts_with('#')
        {
            bare.push(format!("line {}: {line}", number + 1));
        }
    }
    assert_eq!(bare, Vec::<String>::new());
}

#[test]
fn the_experiments_account_may_do_what_the_service_does_and_no_more() {
    let template = chart("templates/experiments.yaml");
    let rules = template.split_once("\nrules:\n").unwrap().1.split_once("\n---").unwrap().0;
    let rules: Value = serde_yaml::from_str(rules).unwrap();
    // As `ocr-service/src/role/experiments/jobs/kubernetes.rs` asks for them.
    let expected = serde_json::json!([
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    ]);
    assert_eq!(rules, expected);
}
