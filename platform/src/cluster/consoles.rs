//! The pages of what runs beside the service, on ports of this machine: Argo CD, Grafana, Prometheus, each with its login.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::Api;
use serde::Serialize;

use super::forward;
use super::relay::Target;
use crate::error::{Doing, Result, if_allowed};
use crate::http;

/// A page says something within this, or it does not answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// A page, with the port that leads to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Console {
    pub name: &'static str,
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
}

#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Login {
    pub user: String,
    pub password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login {{ user: {:?}, password: … }}", self.user)
    }
}

/// A page that there may be.
struct Known {
    name: &'static str,
    target: Target,
    /// The port of this machine that people know it by.
    port: u16,
    login: Option<Stored>,
}

/// Where a login stands.
struct Stored {
    secret: &'static str,
    /// The key of the user's name; without it, the name is `admin`.
    user: Option<&'static str>,
    password: &'static str,
}

const KNOWN: [Known; 3] = [
    Known {
        name: "Argo CD",
        target: Target { namespace: "argocd", service: "argocd-server", port: 80 },
        port: 8083,
        login: Some(Stored { secret: "argocd-initial-admin-secret", user: None, password: "password" }),
    },
    Known {
        name: "Grafana",
        target: Target { namespace: "monitoring", service: "monitoring-grafana", port: 80 },
        port: 3000,
        login: Some(Stored {
            secret: "monitoring-grafana",
            user: Some("admin-user"),
            password: "admin-password",
        }),
    },
    Known {
        name: "Prometheus",
        target: Target {
            namespace: "monitoring",
            service: "monitoring-kube-prometheus-prometheus",
            port: 9090,
        },
        port: 9090,
        login: None,
    },
];

/// Opens a port for each page whose Service is there; they stay open as long as this process runs.
pub async fn open(client: &kube::Client) -> Result<Vec<Console>> {
    let mut consoles = Vec::new();
    for Known { name, target, port, login } in KNOWN {
        let services: Api<Service> = Api::namespaced(client.clone(), target.namespace);
        let found = services.get_opt(target.service).await.doing(format!("looking for {name}"));
        // Who may not look there has not installed it.
        if if_allowed(found)?.flatten().is_none() {
            continue;
        }
        let login = match login {
            Some(stored) => read(client, target.namespace, &stored).await?,
            None => None,
        };
        let address = forward::open(client.clone(), target, port).await?;
        consoles.push(Console { name, url: format!("http://{address}/"), login });
    }
    Ok(consoles)
}

/// Whether the page answers, whatever it says.
pub async fn answers(console: &Console) -> Result<bool> {
    Ok(http::direct(ANSWERS_WITHIN)?
        .get(&console.url)
        .send()
        .await
        .is_ok_and(|it| !it.status().is_server_error()))
}

/// None where there is no such Secret: somebody has removed it, as Argo CD's manual says one should.
async fn read(client: &kube::Client, namespace: &str, stored: &Stored) -> Result<Option<Login>> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found =
        secrets.get_opt(stored.secret).await.doing(format!("reading the Secret {}", stored.secret))?;
    let data = found.and_then(|secret| secret.data).unwrap_or_default();
    let text = |key: &str| Some(String::from_utf8_lossy(&data.get(key)?.0).into_owned());
    let user = stored.user.map_or_else(|| Some("admin".to_owned()), text);
    Ok(user.zip(text(stored.password)).map(|(user, password)| Login { user, password }))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Request;
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_page_that_is_not_there_is_not_named_and_a_login_is_read_from_its_secret() {
        let answer = |request: Request| async move {
            let path = request.uri().path().to_owned();
            let missing = || {
                (
                    StatusCode::NOT_FOUND,
                    axum::Json(json!({"kind": "Status", "apiVersion": "v1",
                "status": "Failure", "reason": "NotFound", "code": 404, "message": "no"})),
                )
                    .into_response()
            };
            match path.rsplit('/').next().unwrap_or_default() {
                "argocd-server" => axum::Json(json!({"kind": "Service", "apiVersion": "v1", "metadata": {}})).into_response(),
                "argocd-initial-admin-secret" => axum::Json(
                    json!({"kind": "Secret", "apiVersion": "v1", "metadata": {}, "data": {"password": "aHVudGVyMg=="}}),
                )
                .into_response(),
                _ => missing(),
            }
        };
        let client = kube::Client::new(Router::new().fallback(answer), "default");
        let consoles = open(&client).await.unwrap();
        assert_eq!(consoles.len(), 1, "{consoles:?}");
        let login = consoles[0].login.as_ref().unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("admin", "hunter2"));
        assert!(!format!("{consoles:?}").contains("hunter2"));
    }
}
