//! A door on loopback to an HTTP Service of the cluster, through the API server's proxy. Where the Service's pod runs is
//! the API server's to know, for each request anew, so that the door outlives the pod.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use kube::client::Body;

use crate::error::{Doing, Result};

/// A query is short; nothing larger is asked through here.
const LARGEST_REQUEST: usize = 1 << 20;

/// A Service's port, as the API server's proxy names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub namespace: &'static str,
    pub service: &'static str,
    pub port: u16,
}

impl Target {
    fn path(&self) -> String {
        let Self { namespace, service, port } = self;
        format!("/api/v1/namespaces/{namespace}/services/{service}:{port}/proxy")
    }
}

/// Opens the door; it stays open as long as this process runs.
pub async fn open(client: kube::Client, target: &Target) -> Result<SocketAddr> {
    let doing = || format!("opening a door to {}", target.service);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.doing(doing())?;
    let address = listener.local_addr().doing(doing())?;
    let app = Router::new().fallback(pass).with_state((client, target.path()));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

async fn pass(State((client, base)): State<(kube::Client, String)>, request: Request) -> Response {
    match passed(client, &base, request).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, error).into_response(),
    }
}

async fn passed(client: kube::Client, base: &str, request: Request) -> Result<Response, String> {
    let told = |error: &dyn std::fmt::Display| format!("the API server's proxy: {error}");
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LARGEST_REQUEST).await.map_err(|error| told(&error))?;
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut asked = http::Request::builder().method(parts.method).uri(format!("{base}{path}"));
    for name in [ACCEPT, CONTENT_TYPE] {
        if let Some(value) = parts.headers.get(&name) {
            asked = asked.header(name, value);
        }
    }
    let asked = asked.body(Body::from(body.to_vec())).map_err(|error| told(&error))?;
    let answer = client.send(asked).await.map_err(|error| told(&error))?;
    let (parts, body) = answer.into_parts();
    let body = body.collect_bytes().await.map_err(|error| told(&error))?;
    let mut response = (parts.status, body).into_response();
    if let Some(kind) = parts.headers.get(CONTENT_TYPE) {
        response.headers_mut().insert(CONTENT_TYPE, kind.clone());
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target = Target { namespace: "monitoring", service: "prometheus", port: 9090 };

    #[tokio::test]
    async fn a_request_reaches_the_service_with_its_query_and_body_and_its_answer_comes_back() {
        let api_server = Router::new().fallback(|request: Request| async move {
            let said = format!("{} {}", request.method(), request.uri());
            let body = to_bytes(request.into_body(), 100).await.unwrap();
            (StatusCode::BAD_REQUEST, format!("{said} {}", String::from_utf8_lossy(&body)))
        });
        let address = open(kube::Client::new(api_server, "default"), &TARGET).await.unwrap();
        let client = crate::http::direct(std::time::Duration::from_secs(5)).unwrap();
        let answer = client.post(format!("http://{address}/api/v1/query?a=b%20c")).body("query=up").send();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 400);
        assert_eq!(
            answer.text().await.unwrap(),
            "POST /api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query?a=b%20c query=up"
        );
    }
}
