//! The Secret by which nodes pull from a registry that wants a login: `regcred`, made from the credentials at hand.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
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
    /// What stands in one goes before, as nodes read it.
    fn pair(self) -> Option<(String, String)> {
        match self.auth.filter(|auth| !auth.is_empty()) {
            Some(auth) => {
                let text = String::from_utf8(STANDARD_PAD_INDIFFERENT.decode(auth).ok()?).ok()?;
                text.split_once(':').map(|(user, password)| (user.into(), password.into()))
            }
            None => Some((self.username?, self.password?)),
        }
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

    /// What nodes log in with at a registry by a Secret with this under `auths`.
    fn pair_at(auths: &serde_json::Value, registry: &str) -> Option<(String, String)> {
        let configuration = json!({"auths": auths}).to_string().into_bytes();
        let data = BTreeMap::from([(KEY.to_owned(), ByteString(configuration))]);
        let keyring = Keyring::only(logins(&Secret { data: Some(data), ..Secret::default() }));
        keyring.find(registry).unwrap().map(|found| (found.user, found.password))
    }

    #[test]
    fn what_a_secret_of_others_lets_in_is_read_as_nodes_read_it() {
        let auths = json!({
            "https://index.docker.io/v1/": {"username": "me", "password": "secret"},
            "r.example:5000": {"auth": STANDARD_PAD_INDIFFERENT.encode("you:sec:ret")},
            "broken.example": {"auth": "!"},
        });
        assert_eq!(pair_at(&auths, "docker.io"), Some(("me".into(), "secret".into())));
        assert_eq!(pair_at(&auths, "r.example:5000"), Some(("you".into(), "sec:ret".into())));
        assert_eq!(pair_at(&auths, "broken.example"), None);
        assert!(logins(&Secret::default()).is_empty());
    }

    #[test]
    fn a_secrets_key_may_have_a_scheme_and_a_path_and_its_base64_no_padding() {
        let auth = "bWU6c2VjcmV0IQ";
        for key in ["https://r.example/v2/", "http://r.example", "r.example/team", "r.example"] {
            let auths = json!({key: {"auth": auth, "username": "of before", "password": "stale"}});
            assert_eq!(pair_at(&auths, "r.example"), Some(("me".into(), "secret!".into())), "{key}");
        }
        let padded = json!({"r.example": {"auth": format!("{auth}=="), "username": ""}});
        assert_eq!(pair_at(&padded, "r.example"), Some(("me".into(), "secret!".into())));
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
