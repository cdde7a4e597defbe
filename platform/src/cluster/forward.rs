//! A port of this machine that leads to a Service of the cluster, by the API server's port forwarding: for each connection
//! anew to a pod that is ready then, so that the port outlives every pod. For looking, not for measuring: everything goes
//! through the API server.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Api, ListParams};
use tokio::net::{TcpListener, TcpStream};

use super::objects::serves;
use super::relay::Target;
use crate::error::{Doing, Error, Result};

/// Between two looks for a ready pod, doubling.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// A client that waits longer than all of them has given up.
const TRIES: u32 = 6;

/// Opens the port: `preferred`, or any that is free where somebody has that. It stays open as long as this process runs.
pub async fn open(client: kube::Client, target: Target, preferred: u16) -> Result<SocketAddr> {
    let doing = || format!("opening a port for {}", target.service);
    let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, preferred)).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.doing(doing())?,
    };
    let address = listener.local_addr().doing(doing())?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((socket, _)) => drop(tokio::spawn(carry(client.clone(), target.clone(), socket))),
                // Of a shortage on this machine; the next may be taken.
                Err(_) => tokio::time::sleep(FIRST_PAUSE).await,
            }
        }
    });
    Ok(address)
}

/// Everything from one side to the other until both have ended. A connection for which no pod is found is closed.
async fn carry(client: kube::Client, target: Target, mut socket: TcpStream) {
    let mut pause = FIRST_PAUSE;
    for _ in 0..TRIES {
        if let Ok((pod, port)) = behind(&client, &target).await {
            let pods: Api<Pod> = Api::namespaced(client.clone(), target.namespace);
            if let Ok(mut forwarder) = pods.portforward(&pod, &[port]).await
                && let Some(mut stream) = forwarder.take_stream(port)
            {
                // Whoever breaks off, both ends are closed.
                let _ = tokio::io::copy_bidirectional(&mut socket, &mut stream).await;
                return;
            }
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

/// A ready pod of the Service, and the port of it that the Service's port stands for.
async fn behind(client: &kube::Client, target: &Target) -> Result<(String, u16)> {
    let Target { namespace, service: name, port } = target;
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let service = services.get(name).await.doing(format!("looking at the Service {name}"))?;
    let spec = service.spec.unwrap_or_default();
    let selector = spec.selector.unwrap_or_default();
    let selector: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let wanted = spec.ports.unwrap_or_default().into_iter().find(|it| it.port == i32::from(*port));
    let wanted = wanted.and_then(|it| it.target_port).unwrap_or(IntOrString::Int((*port).into()));
    let params = ListParams::default().labels(&selector.join(","));
    let pods = Api::<Pod>::namespaced(client.clone(), namespace).list(&params).await;
    let pods = pods.doing(format!("listing the pods of the Service {name}"))?.items;
    let found = pods
        .iter()
        .filter(|pod| serves(pod))
        .find_map(|pod| Some((pod.metadata.name.clone()?, port_of(pod, &wanted)?)));
    found.ok_or_else(|| {
        Error::unhealthy(
            format!("no pod of the Service {name} in {namespace} is ready"),
            format!("look: kubectl -n {namespace} get pods"),
        )
    })
}

fn port_of(pod: &Pod, wanted: &IntOrString) -> Option<u16> {
    let number = match wanted {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => {
            let containers = &pod.spec.as_ref()?.containers;
            let mut ports = containers.iter().filter_map(|it| it.ports.as_ref()).flatten();
            ports.find(|port| port.name.as_ref() == Some(name))?.container_port
        }
    };
    u16::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::Request;
    use serde_json::{Value, json};

    use super::*;

    const TARGET: Target = Target { namespace: "argocd", service: "argocd-server", port: 80 };

    fn pod(name: &str, ready: bool, leaving: bool) -> Value {
        let mut metadata = json!({"name": name});
        if leaving {
            metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        let status = if ready { "True" } else { "False" };
        json!({
            "metadata": metadata,
            "spec": {"containers": [{"name": "c", "ports": [{"name": "server", "containerPort": 8080}]}]},
            "status": {"conditions": [{"type": "Ready", "status": status}]},
        })
    }

    /// An API server with this Service and these pods.
    fn cluster(pods: Value) -> kube::Client {
        let answer = move |request: Request| {
            let uri = request.uri().to_string();
            let body = if uri.contains("/services/") {
                json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "argocd-server"}, "spec": {
                    "selector": {"app": "argocd-server"},
                    "ports": [{"port": 443, "targetPort": "tls"}, {"port": 80, "targetPort": "server"}],
                }})
            } else {
                assert!(uri.contains("labelSelector=app%3Dargocd-server"), "{uri}");
                json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})
            };
            async move { axum::Json(body) }
        };
        kube::Client::new(Router::new().fallback(answer), "default")
    }

    #[tokio::test]
    async fn a_connection_goes_to_a_pod_that_is_ready_and_stays() {
        let pods = json!([pod("a", false, false), pod("b", true, true), pod("c", true, false)]);
        assert_eq!(behind(&cluster(pods), &TARGET).await.unwrap(), ("c".to_owned(), 8080));
    }

    #[tokio::test]
    async fn where_no_pod_is_ready_it_is_said_of_which_service() {
        let error = behind(&cluster(json!([pod("a", false, false)])), &TARGET).await.unwrap_err();
        assert!(error.to_string().contains("argocd-server in argocd"), "{error}");
    }

    #[tokio::test]
    async fn a_port_that_somebody_has_is_left_to_him() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
        let held = std::net::TcpListener::bind(taken).unwrap();
        let opened = open(cluster(json!([])), TARGET, taken.port()).await.unwrap();
        assert_ne!(opened.port(), held.local_addr().unwrap().port());
    }
}
