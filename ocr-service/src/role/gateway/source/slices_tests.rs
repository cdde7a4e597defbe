//! The watch against an API server that the test plays, and the folding of its events.

use std::sync::Mutex;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::metrics::Counter;

/// A slice with an endpoint for each address and its conditions: ready, serving, terminating.
fn slice(name: &str, endpoints: &[(&str, [Option<bool>; 3])]) -> Value {
    let endpoint = |(address, [ready, serving, terminating]): &(&str, [Option<bool>; 3])| {
        json!({
            "addresses": [address],
            "conditions": { "ready": ready, "serving": serving, "terminating": terminating },
        })
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": name, "namespace": "ocr", "resourceVersion": "1" },
        "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }],
    })
}

const READY: [Option<bool>; 3] = [Some(true), Some(true), Some(false)];
const UNREADY: [Option<bool>; 3] = [Some(false), Some(false), Some(false)];
const ENDING: [Option<bool>; 3] = [Some(false), Some(true), Some(true)];

fn urls_of(slices: &[Value]) -> Vec<String> {
    let mut known = Slices::default();
    for slice in slices {
        known.apply(Event::Apply(serde_json::from_value(slice.clone()).unwrap()));
    }
    known.urls().iter().map(ToString::to_string).collect()
}

#[test]
fn ready_endpoints_of_all_slices_are_known_and_nothing_said_means_ready() {
    let first = slice("a", &[("10.0.0.1", READY), ("10.0.0.2", UNREADY), ("10.0.0.3", ENDING)]);
    let second = slice("b", &[("10.0.0.4", [None; 3]), ("fd00::1", READY)]);
    assert_eq!(
        urls_of(&[first, second]),
        ["http://10.0.0.1:8080/", "http://10.0.0.4:8080/", "http://[fd00::1]:8080/"]
    );
}

#[test]
fn without_a_ready_endpoint_those_that_end_and_still_serve_are_asked() {
    let all = slice("a", &[("10.0.0.2", UNREADY), ("10.0.0.3", ENDING)]);
    assert_eq!(urls_of(&[all]), ["http://10.0.0.3:8080/"]);
}

#[test]
fn the_port_is_the_one_called_http_or_the_only_one() {
    let mut slice = slice("a", &[("10.0.0.1", READY)]);
    slice["ports"] = json!([{ "name": "metrics", "port": 9 }, { "name": "http", "port": 80 }]);
    assert_eq!(urls_of(std::slice::from_ref(&slice)), ["http://10.0.0.1/"]);
    slice["ports"] = json!([{ "name": "web", "port": 81 }]);
    assert_eq!(urls_of(std::slice::from_ref(&slice)), ["http://10.0.0.1:81/"]);
    slice["ports"] = json!([{ "name": "a", "port": 1 }, { "name": "b", "port": 2 }]);
    assert!(urls_of(&[slice]).is_empty());
}

#[test]
fn a_new_listing_replaces_what_was_known_only_when_it_is_complete() {
    let of = |value| serde_json::from_value::<EndpointSlice>(value).unwrap();
    let mut known = Slices::default();
    assert!(known.apply(Event::Apply(of(slice("a", &[("10.0.0.1", READY)])))));
    assert!(!known.apply(Event::Init));
    assert!(!known.apply(Event::InitApply(of(slice("b", &[("10.0.0.2", READY)])))));
    assert_eq!(known.urls()[0].as_str(), "http://10.0.0.1:8080/");
    assert!(known.apply(Event::InitDone));
    assert_eq!(known.urls()[0].as_str(), "http://10.0.0.2:8080/");
}

type Watchers = Arc<Mutex<Vec<mpsc::UnboundedSender<Result<Bytes, std::io::Error>>>>>;

/// Lists one slice, and hands every watch to the test.
async fn api_server(listed: Value) -> (Client, Watchers) {
    let watchers = Watchers::default();
    let answer = async move |Query(query): Query<BTreeMap<String, String>>,
                             State((listed, watchers)): State<(Value, Watchers)>|
                -> Response {
        assert_eq!(query["labelSelector"], "kubernetes.io/service-name=ocr-model");
        if !query.contains_key("watch") {
            let metadata = json!({ "resourceVersion": "1" });
            let list = json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSliceList",
                "metadata": metadata, "items": [listed],
            });
            return Json(list).into_response();
        }
        let (sender, mut receiver) = mpsc::unbounded_channel();
        watchers.lock().unwrap().push(sender);
        Body::from_stream(futures_util::stream::poll_fn(move |context| receiver.poll_recv(context)))
            .into_response()
    };
    let router = Router::new()
        .route("/apis/discovery.k8s.io/v1/namespaces/ocr/endpointslices", get(answer))
        .with_state((listed, watchers.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    (Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap(), watchers)
}

async fn until_known(directory: &Directory, expected: &[&str]) {
    let known = || directory.endpoints().iter().map(|it| it.name.clone()).collect::<Vec<_>>();
    let seen = async {
        while known() != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_mins(1), seen).await;
    assert!(seen.is_ok(), "{:?} and not {expected:?}", known());
}

#[tokio::test]
async fn changes_are_followed_and_what_was_known_stays_while_the_api_server_is_away() {
    let (client, watchers) = api_server(slice("a", &[("10.0.0.1", READY)])).await;
    let directory = Arc::new(Directory::new(Counter::default()));
    let service = Service { namespace: "ocr".into(), name: "ocr-model".into(), port: 8080 };
    let following = tokio::spawn({
        let directory = directory.clone();
        async move { watch(client, &service, &directory, 0).await }
    });
    until_known(&directory, &["10.0.0.1:8080"]).await;
    let change =
        json!({ "type": "MODIFIED", "object": slice("a", &[("10.0.0.1", UNREADY), ("10.0.0.2", READY)]) });
    let watching = async {
        while watchers.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), watching).await.unwrap();
    let sender = watchers.lock().unwrap().remove(0);
    sender.send(Ok(format!("{change}\n").into())).unwrap();
    until_known(&directory, &["10.0.0.2:8080"]).await;
    // The API server breaks off in the middle of a line.
    sender.send(Ok("{\"type\":".into())).unwrap();
    sender.send(Err(std::io::Error::other("away"))).unwrap();
    drop(sender);
    tokio::time::timeout(Duration::from_mins(1), async {
        while watchers.lock().unwrap().is_empty() {
            assert_eq!(directory.endpoints()[0].name, "10.0.0.2:8080");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    following.abort();
}

#[tokio::test]
async fn an_api_server_that_cannot_be_reached_leaves_the_services_own_address() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = kube::Config::new(format!("http://{nobody}").parse().unwrap());
    let directory = Arc::new(Directory::new(Counter::default()));
    let service = Service { namespace: "ocr".into(), name: "ocr-model".into(), port: 8080 };
    let following = tokio::spawn({
        let (directory, client) = (directory.clone(), Client::try_from(config).unwrap());
        async move { watch(client, &service, &directory, 0).await }
    });
    until_known(&directory, &["ocr-model.ocr.svc:8080"]).await;
    following.abort();
}
