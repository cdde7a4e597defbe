//! The templates, compiled in: an undefined name is an error, never an empty string.

use minijinja::{Environment, UndefinedBehavior};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Params;
use crate::error::{Error, Result};

const TEMPLATES: [(&str, &str); 4] = [
    ("argocd/namespaces.yaml.j2", include_str!("../../stack/templates/argocd/namespaces.yaml.j2")),
    ("argocd/app-project.yaml.j2", include_str!("../../stack/templates/argocd/app-project.yaml.j2")),
    ("argocd/application.yaml.j2", include_str!("../../stack/templates/argocd/application.yaml.j2")),
    (
        "argocd/application-sets.yaml.j2",
        include_str!("../../stack/templates/argocd/application-sets.yaml.j2"),
    ),
];

/// The YAML documents of a filled template.
pub(super) fn documents(name: &str, params: &Params) -> Result<Vec<Value>> {
    let text = fill(name, params)?;
    let parsed: std::result::Result<Vec<Value>, _> =
        serde_yaml::Deserializer::from_str(&text).map(Value::deserialize).collect();
    let documents = parsed.map_err(|error| broken(name, &error))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// The objects of a filled template; a field that their type does not have is an error.
pub(super) fn typed<T: DeserializeOwned>(name: &str, params: &Params) -> Result<Vec<T>> {
    let objects = documents(name, params)?.into_iter().map(serde_json::from_value);
    objects.collect::<std::result::Result<_, _>>().map_err(|error| broken(name, &error))
}

fn fill(name: &str, params: &Params) -> Result<String> {
    let environment = environment().map_err(|error| broken(name, &error))?;
    let template = environment.get_template(name).map_err(|error| broken(name, &error))?;
    template.render(minijinja::value::Serde(params)).map_err(|error| broken(name, &error))
}

fn environment() -> std::result::Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    for (name, source) in TEMPLATES {
        environment.add_template(name, source)?;
    }
    Ok(environment)
}

fn broken(name: &str, error: &dyn std::fmt::Display) -> Error {
    Error::malformed(
        format!("the template {name}"),
        error,
        format!("correct platform/stack/templates/{name}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undefined_name_is_an_error_that_names_the_template_and_line() {
        let mut environment = environment().unwrap();
        environment.add_template("x", "one\n{{ missing }}").unwrap();
        let error = environment.get_template("x").unwrap().render(()).unwrap_err();
        assert_eq!((error.kind(), error.line()), (minijinja::ErrorKind::UndefinedError, Some(2)));
    }

    #[test]
    fn a_value_that_looks_like_yaml_stays_a_string() {
        let params = Params { project: "a: {b}\n#c".into(), ..Params::default() };
        let project = documents("argocd/app-project.yaml.j2", &params).unwrap();
        assert_eq!(project[0]["metadata"]["name"], "a: {b}\n#c");
    }
}
