//! The Secret by which nodes pull from a registry that wants a login: `regcred`, made from the credentials at hand.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;
use serde_json::json;

use crate::error::{Error, Result};
use crate::registry::{Credentials, HUB_KEY};

/// As Kubernetes' own documentation calls it.
pub const NAME: &str = "regcred";
const TYPE: &str = "kubernetes.io/dockerconfigjson";
const KEY: &str = ".dockerconfigjson";

/// The Docker configuration in such a Secret, as far as it is read.
#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    auths: BTreeMap<String, Login>,
}

#[derive(Deserialize)]
struct Login {
    username: Option<String>,
    password: Option<String>,
    /// Both in one, in base64: `user:password`.
    auth: Option<String>,
}

impl Login {
    fn pair(self) -> Option<(String, String)> {
        if let (Some(user), Some(password)) = (self.username, self.password) {
            return Some((user, password));
        }
        let text = String::from_utf8(STANDARD.decode(self.auth?).ok()?).ok()?;
        text.split_once(':').map(|(user, password)| (user.into(), password.into()))
    }
}

/// Docker Hub's logins stand under this name in a Docker configuration.
fn server(credentials: &Credentials) -> &str {
    match credentials.server.as_str() {
        "docker.io" | "index.docker.io" => HUB_KEY,
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
    secret.data = Some(BTreeMap::from([(KEY.into(), ByteString(config))]));
    Ok(secret)
}

/// The logins in such a Secret, whosever it is; what cannot be read of it lets nobody in.
pub fn logins(secret: &Secret) -> Vec<Credentials> {
    let configuration = secret.data.as_ref().and_then(|data| data.get(KEY));
    let read = configuration.and_then(|bytes| serde_json::from_slice::<Configuration>(&bytes.0).ok());
    let auths = read.map(|read| read.auths).unwrap_or_default().into_iter();
    let login = |(server, login): (String, Login)| {
        let (user, password) = login.pair()?;
        Some(Credentials::new(&server, user, password, None))
    };
    auths.filter_map(login).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Keyring;

    #[test]
    fn what_a_secret_of_others_lets_in_is_read_as_nodes_read_it() {
        let configuration = json!({"auths": {
            "https://index.docker.io/v1/": {"username": "me", "password": "secret"},
            "r.example:5000": {"auth": STANDARD.encode("you:sec:ret")},
            "broken.example": {"auth": "!"},
        }});
        let data = BTreeMap::from([(KEY.to_owned(), ByteString(configuration.to_string().into_bytes()))]);
        let keyring = Keyring::only(logins(&Secret { data: Some(data), ..Secret::default() }));
        let user_at =
            |registry: &str| keyring.find(registry).unwrap().map(|found| (found.user, found.password));
        assert_eq!(user_at("docker.io"), Some(("me".into(), "secret".into())));
        assert_eq!(user_at("r.example:5000"), Some(("you".into(), "sec:ret".into())));
        assert_eq!(user_at("broken.example"), None);
        assert!(logins(&Secret::default()).is_empty());
    }

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
