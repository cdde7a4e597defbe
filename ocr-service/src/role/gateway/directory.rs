//! The endpoints that are known now, whatever told of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;
use tokio::sync::watch;

use super::endpoint::Endpoint;
use crate::metrics::Counter;

pub type Endpoints = Arc<[Arc<Endpoint>]>;

pub struct Directory {
    /// How often any endpoint was thrown out.
    ejections: Counter,
    /// What each source knows, by its place.
    slots: Mutex<BTreeMap<usize, Vec<Url>>>,
    endpoints: watch::Sender<Endpoints>,
}

impl Directory {
    pub fn new(ejections: Counter) -> Self {
        Self { ejections, slots: Mutex::default(), endpoints: watch::Sender::new(Arc::default()) }
    }

    pub fn endpoints(&self) -> Endpoints {
        self.endpoints.borrow().clone()
    }

    /// The endpoints, as soon as there are any; after `patience`, none.
    pub async fn some_endpoints(&self, patience: Duration) -> Endpoints {
        let mut known = self.endpoints.subscribe();
        let any = known.wait_for(|endpoints| !endpoints.is_empty());
        match tokio::time::timeout(patience, any).await {
            Ok(Ok(endpoints)) => endpoints.clone(),
            _ => Arc::default(),
        }
    }

    /// What the source at `slot` knows now. An endpoint that stays keeps what is known of it.
    pub fn publish(&self, slot: usize, urls: Vec<Url>) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.get(&slot) == Some(&urls) {
            return;
        }
        slots.insert(slot, urls);
        let before = self.endpoints();
        let mut now: Vec<Arc<Endpoint>> = Vec::new();
        for url in slots.values().flatten() {
            if now.iter().any(|endpoint| endpoint.url == *url) {
                continue;
            }
            let known = before.iter().find(|endpoint| endpoint.url == *url).cloned();
            now.push(known.unwrap_or_else(|| Arc::new(Endpoint::new(url.clone(), self.ejections.clone()))));
        }
        let names: Vec<_> = now.iter().map(|endpoint| endpoint.name.as_str()).collect();
        tracing::info!(endpoints = names.join(","), "models are known");
        self.endpoints.send_replace(now.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(names: &[&str]) -> Vec<Url> {
        names.iter().map(|name| format!("http://{name}").parse().unwrap()).collect()
    }

    fn names(directory: &Directory) -> Vec<String> {
        directory.endpoints().iter().map(|endpoint| endpoint.name.clone()).collect()
    }

    #[test]
    fn an_endpoint_of_two_sources_is_one_and_stays_while_either_knows_it() {
        let directory = Directory::new(Counter::default());
        directory.publish(1, urls(&["b", "c"]));
        directory.publish(0, urls(&["a", "b"]));
        assert_eq!(names(&directory), ["a", "b", "c"]);
        directory.publish(0, urls(&["a"]));
        assert_eq!(names(&directory), ["a", "b", "c"]);
        directory.publish(1, urls(&[]));
        assert_eq!(names(&directory), ["a"]);
    }

    #[test]
    fn what_is_known_of_an_endpoint_outlives_the_coming_and_going_of_others() {
        let directory = Directory::new(Counter::default());
        directory.publish(0, urls(&["a"]));
        while !directory.endpoints()[0].is_out() {
            directory.endpoints()[0].failed();
        }
        directory.publish(0, urls(&["b", "a"]));
        let out: Vec<_> = directory.endpoints().iter().map(|endpoint| endpoint.is_out()).collect();
        assert_eq!(out, [false, true]);
    }

    #[tokio::test]
    async fn who_asks_before_anything_is_known_is_told_as_soon_as_it_is() {
        let directory = Arc::new(Directory::new(Counter::default()));
        let asking = tokio::spawn({
            let directory = directory.clone();
            async move { directory.some_endpoints(Duration::from_mins(1)).await.len() }
        });
        directory.publish(0, urls(&["a"]));
        assert_eq!(asking.await.unwrap(), 1);
        let none = Directory::new(Counter::default()).some_endpoints(Duration::from_millis(1)).await;
        assert!(none.is_empty());
    }
}
