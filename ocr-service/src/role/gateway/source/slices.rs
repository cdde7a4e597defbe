//! Every pod behind a Service, from the EndpointSlices that the API server keeps of it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use reqwest::Url;

use super::super::directory::Directory;
use super::Service;

/// The label by which a slice names its Service.
const SERVICE: &str = "kubernetes.io/service-name";
/// Until the API server has answered once, the Service's own address must do.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the API server keeps one watch open.
const WATCH: Duration = Duration::from_mins(1);
const AGAIN: Duration = Duration::from_secs(5);

/// Watches for as long as the process lives. What was known stays while the API server is away.
pub async fn follow(service: Service, directory: Arc<Directory>, slot: usize) {
    loop {
        match client().await {
            Ok(client) => return watch(client, &service, &directory, slot).await,
            Err(error) => {
                tracing::warn!(error, "the API server cannot be asked for endpoints; asking the Service");
                directory.publish(slot, service.url().into_iter().collect());
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn client() -> Result<Client, String> {
    let mut config = kube::Config::infer().await.map_err(|error| error.to_string())?;
    // A watch that is silent for longer than the server would let it be is dead.
    config.connect_timeout = Some(PATIENCE);
    config.read_timeout = Some(WATCH + PATIENCE);
    Client::try_from(config).map_err(|error| error.to_string())
}

/// Ends only with the stream, which does not end.
async fn watch(client: Client, service: &Service, directory: &Directory, slot: usize) {
    let slices: Api<EndpointSlice> = Api::namespaced(client, &service.namespace);
    let config = watcher::Config::default()
        .labels(&format!("{SERVICE}={}", service.name))
        .timeout(u32::try_from(WATCH.as_secs()).unwrap_or(u32::MAX));
    let mut events = pin!(kube::runtime::watcher(slices, config).default_backoff());
    let mut known = Slices::default();
    let mut lately = None;
    loop {
        let event = match lately {
            None => tokio::time::timeout(PATIENCE, events.next()).await,
            Some(()) => Ok(events.next().await),
        };
        match event {
            Ok(None) => return,
            Ok(Some(Ok(event))) => {
                if known.apply(event) {
                    lately = Some(());
                    directory.publish(slot, known.urls());
                }
                continue;
            }
            Ok(Some(Err(error))) => tracing::warn!(%error, "endpoints are not watched for now"),
            Err(_) => tracing::warn!("the API server does not answer"),
        }
        if lately.is_none() {
            directory.publish(slot, service.url().into_iter().collect());
        }
    }
}

/// The slices by name, and those of a listing that is not complete yet.
#[derive(Debug, Default)]
struct Slices {
    known: BTreeMap<String, EndpointSlice>,
    listed: BTreeMap<String, EndpointSlice>,
}

impl Slices {
    /// Whether the endpoints may be others now.
    fn apply(&mut self, event: Event<EndpointSlice>) -> bool {
        match event {
            Event::Init => {
                self.listed.clear();
                return false;
            }
            Event::InitApply(slice) => {
                self.listed.insert(slice.name_any(), slice);
                return false;
            }
            Event::InitDone => self.known = std::mem::take(&mut self.listed),
            Event::Apply(slice) => drop(self.known.insert(slice.name_any(), slice)),
            Event::Delete(slice) => drop(self.known.remove(&slice.name_any())),
        }
        true
    }

    /// The ready ones; without any, those that end but still serve, as kube-proxy does it.
    fn urls(&self) -> Vec<Url> {
        let ready = self.of(|endpoint| {
            let conditions = endpoint.conditions.as_ref();
            // Nothing said means ready.
            conditions.and_then(|conditions| conditions.ready).unwrap_or(true)
        });
        if !ready.is_empty() {
            return ready;
        }
        self.of(|endpoint| {
            let conditions = endpoint.conditions.as_ref();
            conditions.is_some_and(|it| it.serving == Some(true) && it.terminating == Some(true))
        })
    }

    fn of(&self, usable: impl Fn(&Endpoint) -> bool) -> Vec<Url> {
        let mut addresses = BTreeSet::new();
        for slice in self.known.values() {
            let Some(port) = port(slice) else { continue };
            let endpoints = slice.endpoints.iter().flatten().filter(|endpoint| usable(endpoint));
            // Of the addresses of one endpoint any will do: they are the same pod.
            for address in endpoints.filter_map(|endpoint| endpoint.addresses.first()) {
                let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
                addresses.insert(format!("http://{host}:{port}"));
            }
        }
        addresses.iter().filter_map(|address| address.parse().ok()).collect()
    }
}

/// The pods' port: the one called http, else the only one.
fn port(slice: &EndpointSlice) -> Option<i32> {
    let ports = slice.ports.as_deref().unwrap_or_default();
    let http = ports.iter().find(|port| port.name.as_deref() == Some("http"));
    http.or(if let [only] = ports { Some(only) } else { None })?.port
}

#[cfg(test)]
#[path = "slices_tests.rs"]
mod tests;
