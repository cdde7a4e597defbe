//! The descriptions against themselves and against the sources' routes. That every method of a description is served,
//! and no other, is asked of the running service (tests/service/openapi.rs).

use std::path::{Path, PathBuf};

use super::*;

const ROLES: [&str; 6] = ["gateway", "model", "ocr-server", "translate", "frontend", "experiments"];

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_schema_that_is_named_is_there() {
    for role in ROLES {
        let (document, mut found) = (document(role), Vec::new());
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{role}: {reference}");
        }
    }
}

#[test]
fn every_schema_is_used_by_a_role() {
    let all: Map<String, Value> =
        serde_json::from_str(include_str!("../../assets/openapi/schemas.json")).unwrap();
    let used = ROLES.map(|role| document(role)["components"]["schemas"].as_object().unwrap().clone());
    let unused: Vec<_> =
        all.keys().filter(|name| !used.iter().any(|used| used.contains_key(*name))).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[test]
fn names_of_operations_are_unique_within_a_role() {
    for role in ROLES {
        let document = document(role);
        let paths = document["paths"].as_object().unwrap().values();
        let mut ids: Vec<_> = paths
            .flat_map(|path| path.as_object().unwrap().values().map(|it| it["operationId"].clone()))
            .collect();
        let count = ids.len();
        ids.sort_by_key(ToString::to_string);
        ids.dedup();
        assert_eq!(ids.len(), count, "{role}");
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if !path.file_name().unwrap().to_string_lossy().contains("tests") {
            found.push(path);
        }
    }
}

/// Paths in calls of `.route(…)`; not of handlers called `unimplemented`, which say that nothing is there.
fn routes(text: &str) -> Vec<String> {
    let calls = text.split(".route(").skip(1);
    let served = calls
        .filter(|call| !call.split(".route(").next().is_some_and(|call| call.contains("(unimplemented)")));
    served
        .filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_route_of_the_sources_is_described() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let described: Vec<String> = ROLES
        .iter()
        .flat_map(|role| document(role)["paths"].as_object().unwrap().keys().cloned().collect::<Vec<_>>())
        .collect();
    let routes = routes(&text);
    assert!(routes.len() > 15, "the routes were not found: {routes:?}");
    for route in routes {
        // Routes of a nested router are the ends of paths.
        assert!(
            described.iter().any(|path| path.ends_with(&route) || route == "/"),
            "{route} is in no description"
        );
    }
}

#[test]
fn the_search_for_routes_finds_what_is_served() {
    let text =
        "Router::new().route(\"/a\", get(x))\n.route(\n \"/b\", post(y)).route(\"/c\", get(unimplemented))";
    assert_eq!(routes(text), ["/a", "/b"]);
}
