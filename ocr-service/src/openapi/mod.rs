//! `GET /openapi.json`: what a role serves, in OpenAPI 3.1.
//!
//! Kept by hand: the endpoints in `endpoints`, the shapes of their bodies in `assets/openapi/schemas.json`. Tests hold
//! both against the routes themselves.

mod endpoints;

use serde_json::{Map, Value, json};

/// One method of one path.
pub struct Endpoint {
    pub method: &'static str,
    pub path: &'static str,
    pub summary: &'static str,
    /// In the query; name and meaning.
    pub options: &'static [(&'static str, &'static str)],
    pub takes: Takes,
    /// Media type and schema of the answer with status 200 (201 of [`Takes::New`]); several where the caller chooses by `Accept`.
    pub gives: &'static [(&'static str, &'static str)],
    /// Other answers, all of them `{"error": "…"}`; status and cause.
    pub errors: &'static [(u16, &'static str)],
}

/// A request's body.
pub enum Takes {
    Nothing,
    /// Media types of the same schema.
    Body(&'static [&'static str], &'static str),
    /// The same, of what is made of it.
    New(&'static [&'static str], &'static str),
}

/// What may become of every upload, beside what an endpoint says of itself.
const TAKING_BODIES: &[(u16, &str)] =
    &[(408, "the body came too slowly"), (503, "too much is being received")];

/// The description of what `role` serves, with the paths that every role has.
pub fn document(role: &str) -> Value {
    let mut paths = Map::new();
    for endpoint in endpoints::of(role).iter().chain(endpoints::SHARED) {
        paths.entry(endpoint.path).or_insert_with(|| json!({}))[endpoint.method] = operation(endpoint);
    }
    let paths = Value::Object(paths);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("Platen: {role}"),
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache 2.0", "identifier": "Apache-2.0" },
        },
        "components": { "schemas": used_schemas(&paths) },
        "paths": paths,
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let Endpoint { method, path, summary, options, takes, gives, errors } = endpoint;
    let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_query = options.iter().map(|(name, meaning)| {
        json!({ "name": name, "in": "query", "description": meaning, "schema": { "type": "string" } })
    });
    let content = |kinds: &[(&str, &str)]| -> Map<String, Value> {
        kinds
            .iter()
            .map(|(kind, schema)| ((*kind).to_owned(), json!({ "schema": reference(schema) })))
            .collect()
    };
    let mut responses = Map::new();
    let success = if matches!(takes, Takes::New(..)) { "201" } else { "200" };
    responses.insert(success.into(), json!({ "description": summary, "content": content(gives) }));
    let with_body = if matches!(takes, Takes::Nothing) { &[][..] } else { TAKING_BODIES };
    let theirs = |status: u16| errors.iter().any(|(known, _)| *known == status);
    let common = with_body.iter().filter(|(status, _)| !theirs(*status));
    for (status, cause) in errors.iter().chain(common) {
        let error = content(&[("application/json", "Error")]);
        let mut response = json!({ "description": cause, "content": error });
        if *status == 503 {
            let seconds = json!({ "description": "seconds until it is worth asking again, where that is known", "schema": { "type": "integer" } });
            response["headers"] = json!({ "Retry-After": seconds });
        }
        responses.insert(status.to_string(), response);
    }
    let mut operation = json!({
        "operationId": format!("{method}{}", path.replace(['{', '}'], "").replace(['/', '.', '-'], "_")),
        "summary": summary,
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": responses,
    });
    if let Takes::Body(kinds, schema) | Takes::New(kinds, schema) = takes {
        let kinds: Vec<_> = kinds.iter().map(|kind| (*kind, *schema)).collect();
        operation["requestBody"] = json!({ "required": true, "content": content(&kinds) });
    }
    operation
}

/// A schema of the components, or one of JSON's own types.
fn reference(schema: &str) -> Value {
    match schema {
        "string" | "object" => json!({ "type": schema }),
        _ => json!({ "$ref": format!("#/components/schemas/{schema}") }),
    }
}

/// Those that are named in `paths`, and those that they name.
fn used_schemas(paths: &Value) -> Map<String, Value> {
    let all: Map<String, Value> =
        serde_json::from_str(include_str!("../../assets/openapi/schemas.json")).unwrap_or_default();
    let mut used = Map::new();
    let mut text = paths.to_string();
    loop {
        let named = |name: &str, text: &str| text.contains(&format!("#/components/schemas/{name}\""));
        let Some((name, schema)) =
            all.iter().find(|(name, _)| !used.contains_key(*name) && named(name, &text))
        else {
            return used;
        };
        text.push_str(&schema.to_string());
        used.insert(name.clone(), schema.clone());
    }
}

#[cfg(test)]
#[path = "openapi_tests.rs"]
mod tests;
