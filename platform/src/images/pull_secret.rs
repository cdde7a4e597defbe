//! The Secret by which nodes pull from a registry that wants a login: `regcred`, made from the credentials at hand.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use crate::error::{Error, Result};
use crate::registry::Credentials;

/// As Kubernetes' own documentation calls it.
pub const NAME: &str = "regcred";
const TYPE: &str = "kubernetes.io/dockerconfigjson";

/// Docker Hub's logins stand under this name in a Docker configuration.
fn server(credentials: &Credentials) -> &str {
    match credentials.server.as_str() {
        "docker.io" | "index.docker.io" => "https://index.docker.io/v1/",
        other => other,
    }
}

/// The Secret of these credentials.
pub fn secret(credentials: &Credentials) -> Result<Secret> {
    let mut login = json!({"username": credentials.user, "password": credentials.password});
    if let Some(email) = &credentials.email {
        login["email"] = json!(email);
    }
    let config = serde_json::to_vec(&json!({"auths": {server(credentials): login}}))
        .map_err(|error| Error::malformed("the pull secret", error, ""))?;
    let mut secret = Secret { type_: Some(TYPE.into()), ..Secret::default() };
    secret.data = Some(BTreeMap::from([(".dockerconfigjson".into(), ByteString(config))]));
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_holds_the_login_in_dockers_form() {
        let credentials = Credentials {
            server: "docker.io".into(),
            user: "me".into(),
            password: "secret".into(),
            email: Some("me@example.org".into()),
        };
        let secret = secret(&credentials).unwrap();
        let config: serde_json::Value =
            serde_json::from_slice(&secret.data.unwrap()[".dockerconfigjson"].0).unwrap();
        let login = &config["auths"]["https://index.docker.io/v1/"];
        assert_eq!(
            (login["username"].as_str(), login["email"].as_str()),
            (Some("me"), Some("me@example.org"))
        );
        assert_eq!(secret.type_.as_deref(), Some(TYPE));
    }
}
