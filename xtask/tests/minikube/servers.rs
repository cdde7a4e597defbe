//! Doubles of Docker's API and of the cluster's API server, of the same folder as the programs.

use std::path::{Path, PathBuf};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::world::World;

/// Serves both until the test's process ends. Returns where Docker answers.
pub fn serve(dir: &Path) -> String {
    let socket = dir.join("docker.sock");
    let host = format!("unix://{}", socket.display());
    let (ready, wait) = std::sync::mpsc::channel();
    let dir = dir.to_owned();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let docker = tokio::net::UnixListener::bind(&socket).expect("Docker's socket");
            let cluster = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = cluster.local_addr().expect("its address");
            std::fs::write(dir.join("apiserver"), format!("http://{address}")).expect("telling it");
            let engine = Router::new().fallback(engine).with_state(dir.clone());
            let cluster_api = Router::new().fallback(api_server).with_state(dir);
            ready.send(()).expect("the test waits");
            let (docker, cluster) = (axum::serve(docker, engine), axum::serve(cluster, cluster_api));
            let _ = tokio::join!(docker.into_future(), cluster.into_future());
        });
    });
    wait.recv().expect("both serve");
    host
}

fn ok(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

fn missing() -> Response {
    let body = json!({"message": "no such thing"});
    (StatusCode::NOT_FOUND, [("content-type", "application/json")], body.to_string()).into_response()
}

async fn engine(State(dir): State<PathBuf>, request: Request) -> Response {
    let world = World::at(&dir);
    let (parts, body) = request.into_parts();
    let body: Value =
        serde_json::from_slice(&to_bytes(body, 1 << 20).await.unwrap_or_default()).unwrap_or_default();
    // The version of the API goes before each path.
    let path = parts.uri.path().trim_start_matches('/');
    let path =
        path.split_once('/').filter(|(version, _)| version.starts_with("v1.")).map_or(path, |(_, it)| it);
    let words: Vec<&str> = path.split('/').collect();
    match (parts.method, words.as_slice()) {
        (Method::GET, ["info"]) => ok(&json!({
            "ServerVersion": "28.0.0", "OSType": "linux", "Architecture": "x86_64", "NCPU": 2,
            "MemTotal": 17_179_869_184_u64, "CgroupVersion": "2",
        })),
        (Method::GET, ["images", "json"]) => ok(&json!([])),
        (Method::GET, ["containers", "json"]) => ok(&containers(&world)),
        (Method::GET, ["containers", "platen-registry", "json"]) if world.has_registry() => {
            let networks: serde_json::Map<String, Value> = world
                .profiles()
                .into_iter()
                .filter_map(|it| Some((it.name.clone(), world.registry_address(&it.name)?)))
                .map(|(name, address)| (name, json!({"IPAMConfig": {"IPv4Address": address}})))
                .collect();
            ok(&json!({"State": {"Running": true}, "NetworkSettings": {"Networks": networks}}))
        }
        (Method::DELETE, ["containers", "platen-registry"]) if world.has_registry() => {
            world.remove_registry();
            StatusCode::NO_CONTENT.into_response()
        }
        (Method::GET, ["containers", node, "json"]) => inspected(&world, node),
        (Method::GET, ["networks", name]) if world.has_network(name) => {
            ok(&json!({"Name": name, "IPAM": {"Config": [{"Subnet": "192.168.49.0/24"}]}}))
        }
        (Method::POST, ["networks", name, "connect"]) if world.has_network(name) => {
            let address = body.pointer("/EndpointConfig/IPAMConfig/IPv4Address").and_then(Value::as_str);
            world.connect_registry(name, address.unwrap_or_default());
            StatusCode::OK.into_response()
        }
        (Method::POST, ["networks", name, "disconnect"]) if world.registry_is_in(name) => {
            world.disconnect_registry(name);
            StatusCode::OK.into_response()
        }
        (Method::DELETE, ["networks", name]) if world.has_network(name) => {
            world.forget_network(name);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => missing(),
    }
}

/// Nodes alone: whoever lists by kind's label gets none of them.
fn containers(world: &World) -> Value {
    let nodes = world.profiles().into_iter().flat_map(|profile| profile.nodes);
    let container = |node: crate::world::Node| {
        let state = if node.running { "running" } else { "exited" };
        json!({"Id": node.name, "Names": [format!("/{}", node.name)], "State": state,
            "Labels": {"name.minikube.sigs.k8s.io": node.name}})
    };
    nodes.map(container).collect()
}

/// Each node has a loopback address of its own, on which the test listens in its place.
pub fn node_address(index: usize) -> String {
    format!("127.0.77.{}", index + 2)
}

fn inspected(world: &World, name: &str) -> Response {
    for profile in world.profiles() {
        if let Some(index) = profile.nodes.iter().position(|node| node.name == name) {
            let networks = json!({profile.name.as_str(): {"IPAddress": node_address(index)}});
            let running = profile.nodes[index].running;
            return ok(&json!({"State": {"Running": running}, "NetworkSettings": {"Networks": networks}}));
        }
    }
    missing()
}

async fn api_server(State(dir): State<PathBuf>, request: Request) -> Response {
    let world = World::at(&dir);
    let nodes = world.profiles().into_iter().flat_map(|profile| profile.nodes);
    let (parts, body) = request.into_parts();
    let list =
        |items: Vec<Value>| ok(&json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}));
    match (parts.method, parts.uri.path()) {
        (Method::GET, "/api/v1/nodes") => list(
            nodes
                .map(|node| {
                    let status = if node.running { "True" } else { "Unknown" };
                    json!({"metadata": {"name": node.name}, "status": {"conditions": [{"type": "Ready", "status": status,
                        "lastTransitionTime": "2026-11-21T04:00:00Z"}]}})
                })
                .collect(),
        ),
        (Method::GET, "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases") => list(
            nodes
                .filter(|node| node.running)
                .map(|node| json!({"metadata": {"name": node.name}, "spec": {"renewTime": format!("{:.6}", Timestamp::now())}}))
                .collect(),
        ),
        (Method::PATCH, "/api/v1/namespaces/kube-public/configmaps/local-registry-hosting") => {
            let bytes = to_bytes(body, 1 << 20).await.unwrap_or_default();
            ok(&serde_json::from_slice(&bytes).unwrap_or_default())
        }
        (Method::GET, path) if !path.contains("argoproj.io") => list(Vec::new()),
        _ => {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "reason": "NotFound", "message": "not found", "code": 404});
            (StatusCode::NOT_FOUND, [("content-type", "application/json")], status.to_string()).into_response()
        }
    }
}
